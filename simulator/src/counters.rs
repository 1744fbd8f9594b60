//! How often a world really got into the situations that it is there for. One that never occurs tests nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sometimes {
    /// Two refreshes of one session at once.
    RefreshBesideRefresh,
    /// A refresh while the session is being ended.
    RefreshBesideLogOut,
    /// A replaced refresh token came again and was given its successor.
    Grace,
    /// A stolen refresh token was found out.
    ReuseFound,
    /// A stolen copy of a token was taken, because nobody could know.
    StolenTokenTaken,
    /// A stolen copy of a token was refused.
    StolenTokenRefused,
    /// A token was presented as one of another kind.
    KindMistaken,
    /// The token of a session ended while something had no RECEIPT.
    ExpiryDuringSend,
    /// An interceptor met a 401, and refreshed.
    Intercepted,
    /// A connection was opened with a live token and the cookie.
    Lease,
    /// The same, with a token that had expired.
    LeaseWithDeadToken,
    /// A frame with a dead token was done.
    DeadTokenOnFrame,
    /// A connection was opened with a ticket.
    Ticket,
    /// A ticket came twice.
    TicketAgain,
    /// A frame renewed a connection.
    Renewed,
    /// A connection reached the end of its token.
    TokenEnded,
    /// The account was switched beside an open connection.
    AccountSwitched,
    /// A connection outlived its session because an event was lost, until the sessions were looked at.
    FoundByRecheck,
    /// A node could not ask about its sockets' sessions for so long that it closed them.
    PatienceEnded,
    /// A code was brought back twice.
    CodeReplayed,
    /// A code was brought to a browser that did not ask for it.
    CodeFromElsewhere,
    /// A log-out everywhere.
    LogOutEverywhere,
    /// Somebody ended another session of theirs.
    OtherSessionEnded,
    /// Somebody has left for good.
    Withdrawn,
    /// Somebody who had left came again.
    RegisteredAgain,
    /// A node died after a message was stored and before its RECEIPT was seen.
    KillBetweenCommitAndReceipt,
    /// A node died.
    Kill,
    /// A link was cut.
    Cut,
    /// The store did something and its answer was lost.
    StoreAnswerLost,
    /// A request was given up half-way.
    RequestCancelled,
    /// A message that was stored already was sent again.
    SentAgain,
    /// Another text under a known client id was refused.
    ClientIdReused,
    /// A subscription went on where an earlier one had ended.
    Resumed,
    /// The same, on another node.
    ResumedElsewhere,
    /// A subscription was told to begin anew.
    Reset,
    /// A message was seen before its translation.
    SeenPending,
    /// A message was seen again with its translation.
    SeenUpdated,
    /// An outsider was refused.
    OutsiderRefused,
    /// Somebody who did nothing wrong was signed out, because an old answer or request of theirs came late.
    InnocentSignedOut,
}

/// What can meet something else in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// The access token ends.
    Expiry,
    /// A refresh.
    Refresh,
    /// The session, or all of them, are ended.
    LogOut,
    /// A code is brought back from the provider.
    Callback,
    /// A message is sent.
    Send,
}

/// Counts. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<Tally>>);

#[derive(Debug, Clone, Default)]
struct Tally {
    sometimes: BTreeMap<Sometimes, u64>,
    pairs: BTreeMap<(Act, Act), u64>,
}

impl Counters {
    /// It has happened.
    pub(crate) fn count(&self, what: Sometimes) {
        *self.lock().sometimes.entry(what).or_default() += 1;
    }

    /// The second was begun while the first was under way.
    pub(crate) fn count_pair(&self, pair: (Act, Act)) {
        *self.lock().pairs.entry(pair).or_default() += 1;
    }

    /// How often it has happened.
    pub fn get(&self, what: Sometimes) -> u64 {
        self.lock().sometimes.get(&what).copied().unwrap_or_default()
    }

    /// How often the second was begun while the first was under way.
    pub fn pair(&self, pair: (Act, Act)) -> u64 {
        self.lock().pairs.get(&pair).copied().unwrap_or_default()
    }

    /// The pairs that have to be reached, each with how often it was, and the orders both counted.
    pub fn pairs(&self) -> Vec<((Act, Act), u64)> {
        let ordered = Act::ALL.into_iter().flat_map(|(one, _)| Act::ALL.map(|(other, _)| (one, other)));
        let wanted = ordered.filter(|(one, other)| one != other || *one == Act::Refresh);
        wanted.map(|pair| (pair, self.pair(pair))).collect()
    }

    /// Adds those of another world.
    pub fn add(&self, other: &Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let other = other.lock().clone();
        let mut sum = self.lock();
        for (what, count) in other.sometimes {
            *sum.sometimes.entry(what).or_default() += count;
        }
        for (pair, count) in other.pairs {
            *sum.pairs.entry(pair).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Act {
    /// All of them, with a name each.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Expiry, "expiry"),
        (Self::Refresh, "refresh"),
        (Self::LogOut, "log-out"),
        (Self::Callback, "callback"),
        (Self::Send, "SEND"),
    ];
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(act, _)| act == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl Sometimes {
    /// All of them, with a name each.
    pub const ALL: [(Self, &'static str); 39] = [
        (Self::RefreshBesideRefresh, "refresh beside refresh"),
        (Self::RefreshBesideLogOut, "refresh beside log-out"),
        (Self::Grace, "replaced token taken"),
        (Self::ReuseFound, "reuse found"),
        (Self::StolenTokenTaken, "stolen token taken"),
        (Self::StolenTokenRefused, "stolen token refused"),
        (Self::KindMistaken, "token of another kind refused"),
        (Self::ExpiryDuringSend, "expiry during SEND"),
        (Self::Intercepted, "refresh on 401"),
        (Self::Lease, "lease"),
        (Self::LeaseWithDeadToken, "lease with a dead token"),
        (Self::DeadTokenOnFrame, "frame with a dead token done"),
        (Self::Ticket, "ticket"),
        (Self::TicketAgain, "ticket came twice"),
        (Self::Renewed, "connection renewed in-band"),
        (Self::TokenEnded, "connection ended with its token"),
        (Self::AccountSwitched, "account switched"),
        (Self::FoundByRecheck, "ended session found by re-check"),
        (Self::PatienceEnded, "sockets closed without a store"),
        (Self::CodeReplayed, "code replayed"),
        (Self::CodeFromElsewhere, "code in another browser"),
        (Self::LogOutEverywhere, "log-out everywhere"),
        (Self::OtherSessionEnded, "another session ended"),
        (Self::Withdrawn, "withdrawal"),
        (Self::RegisteredAgain, "registered again"),
        (Self::KillBetweenCommitAndReceipt, "kill between commit and RECEIPT"),
        (Self::Kill, "kill"),
        (Self::Cut, "cut"),
        (Self::StoreAnswerLost, "store answer lost"),
        (Self::RequestCancelled, "request cancelled"),
        (Self::SentAgain, "stored message sent again"),
        (Self::ClientIdReused, "client id reused"),
        (Self::Resumed, "resume"),
        (Self::ResumedElsewhere, "resume on another node"),
        (Self::Reset, "reset"),
        (Self::SeenPending, "seen before its translation"),
        (Self::SeenUpdated, "seen again with its translation"),
        (Self::OutsiderRefused, "outsider refused"),
        (Self::InnocentSignedOut, "innocent signed out"),
    ];
}

/// One line each, then a table: what was under way, and what was begun beside it.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, name) in Sometimes::ALL {
            writeln!(f, "  {:>9}  {name}", self.get(what))?;
        }
        write!(f, "orders reached (rows: under way; columns: begun meanwhile):\n  {:<9}", "")?;
        for (begun, _) in Act::ALL {
            write!(f, "{begun:>10}")?;
        }
        writeln!(f)?;
        for (under_way, _) in Act::ALL {
            write!(f, "  {under_way:<9}")?;
            for (begun, _) in Act::ALL {
                match (under_way, begun) {
                    (Act::Expiry, Act::Expiry) => write!(f, "{:>10}", "-")?,
                    pair => write!(f, "{:>10}", self.pair(pair))?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
