//! What is under way at once: each ordered pair of acts of one session is counted, the second begun while the first was under way.
//!
//! A refresh, a log-out and a callback are under way from the moment when a server begins them until it has its answer, or drops
//! them; a SEND from its leaving the browser until its RECEIPT is seen, or the connection is gone. A token's end is a moment: what
//! is under way then met it, and what is begun within [`RIGHT_AFTER`] comes right after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use transtalk_core::SessionId;

use crate::counters::{Act, Counters, Sometimes};
use crate::world::World;

/// Whose act it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// In whose browser.
    pub(crate) person: &'static str,
    /// Of which session; a callback makes its own.
    pub(crate) session: Option<SessionId>,
}

/// Everything that is under way.
#[derive(Default)]
pub(crate) struct Races {
    begun: u64,
    under_way: BTreeMap<u64, Running>,
    /// The access token in each browser: its session and its end, in virtual milliseconds.
    held: BTreeMap<&'static str, (SessionId, u64)>,
}

struct Running {
    act: Act,
    subject: Subject,
    since: u64,
    /// The end of the browser's token when it began.
    token_end: Option<u64>,
}

impl Subject {
    /// Two acts of one session, or of one browser if one of them has no session yet.
    fn meets(self, other: Self) -> bool {
        match (self.session, other.session) {
            (Some(one), Some(other)) => one == other,
            _ => self.person == other.person,
        }
    }
}

impl Races {
    /// A browser has this token now.
    pub(crate) fn hold(&mut self, person: &'static str, token: Option<(SessionId, u64)>) {
        match token {
            Some(token) => self.held.insert(person, token),
            None => self.held.remove(person),
        };
    }

    /// An act begins. Answers with its number.
    pub(crate) fn begin(&mut self, (act, subject): (Act, Subject), now: u64, counters: &Counters) -> u64 {
        for running in self.under_way.values().filter(|running| running.subject.meets(subject)) {
            count(counters, (running.act, act));
        }
        let of_session = |of: SessionId| subject.session.is_none_or(|session| session == of);
        let held = self.held.get(subject.person).filter(|(of, _)| of_session(*of));
        let token_end = held.map(|(_, end)| *end);
        if token_end.is_some_and(|end| end <= now && now <= end + RIGHT_AFTER) {
            count(counters, (Act::Expiry, act));
        }
        self.begun += 1;
        self.under_way.insert(self.begun, Running { act, subject, since: now, token_end });
        self.begun
    }

    /// An act has ended, one way or another.
    pub(crate) fn end(&mut self, number: u64, now: u64, counters: &Counters) {
        let Some(running) = self.under_way.remove(&number) else { return };
        if running.token_end.is_some_and(|end| running.since < end && end <= now) {
            count(counters, (running.act, Act::Expiry));
        }
    }
}

fn count(counters: &Counters, pair: (Act, Act)) {
    counters.count_pair(pair);
    match pair {
        (Act::Refresh, Act::Refresh) => counters.count(Sometimes::RefreshBesideRefresh),
        (Act::Refresh, Act::LogOut) | (Act::LogOut, Act::Refresh) => counters.count(Sometimes::RefreshBesideLogOut),
        (Act::Send, Act::Expiry) => counters.count(Sometimes::ExpiryDuringSend),
        _ => {}
    }
}

/// An act that ends when this is dropped: a cancelled request ends it, too.
pub(crate) struct UnderWay {
    world: Arc<World>,
    number: u64,
}

impl UnderWay {
    /// It begins now.
    pub(crate) fn begin(world: &Arc<World>, act: Act, subject: Subject) -> Self {
        let number = world.races().begin((act, subject), world.executor.now(), &world.counters);
        Self { world: world.clone(), number }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world.races().end(self.number, self.world.executor.now(), &self.world.counters);
    }
}

/// In milliseconds.
const RIGHT_AFTER: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_counted_in_the_order_in_which_it_was_begun() {
        let (mut races, counters) = (Races::default(), Counters::default());
        let [a, b] = ["a", "b"].map(|digit| digit.repeat(32).parse().unwrap());
        let subject = |session| Subject { person: "alice", session };
        races.hold("alice", Some((a, 1_000)));
        let refresh = races.begin((Act::Refresh, subject(Some(a))), 990, &counters);
        races.begin((Act::LogOut, subject(Some(b))), 995, &counters);
        let callback = races.begin((Act::Callback, subject(None)), 999, &counters);
        races.end(refresh, 1_000, &counters);
        races.begin((Act::Send, subject(Some(a))), 1_100, &counters);
        races.end(callback, 1_200, &counters);
        let reached: Vec<_> =
            counters.pairs().into_iter().filter(|(_, count)| *count > 0).map(|(pair, _)| pair).collect();
        let expected = [
            (Act::Expiry, Act::Send),
            (Act::Refresh, Act::Expiry),
            (Act::Refresh, Act::Callback),
            (Act::LogOut, Act::Callback),
            (Act::Callback, Act::Expiry),
            (Act::Callback, Act::Send),
        ];
        assert_eq!(reached, expected);
    }
}
