//! Broken presence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryPresence;
use transtalk_core::contract::{presence::LAWS, run};
use transtalk_core::ports::{Presence, PresenceError};
use transtalk_core::{ConnectionId, UserId};

use crate::{bugs, check, others_first};

bugs! { EveryoneIsFirst, EveryoneIsLast, CountsOnly, IsFirstOnceOnly, RacesToEnter, RacesToLeave }

struct Broken {
    presence: MemoryPresence,
    bug: Option<Bug>,
    counts: Mutex<BTreeMap<UserId, u64>>,
    seen: Mutex<BTreeSet<UserId>>,
}

#[async_trait]
impl Presence for Broken {
    async fn enter(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError> {
        *self.counts.lock().unwrap().entry(user).or_default() += 1;
        let is_new = self.seen.lock().unwrap().insert(user);
        let before = self.presence.count(user).await?;
        if self.bug == Some(Bug::RacesToEnter) {
            others_first().await;
        }
        let is_first = self.presence.enter(user, connection).await?;
        Ok(match self.bug {
            Some(Bug::EveryoneIsFirst) => true,
            Some(Bug::IsFirstOnceOnly) => is_new,
            Some(Bug::RacesToEnter) => before == 0,
            _ => is_first,
        })
    }

    async fn leave(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError> {
        let before = self.presence.count(user).await?;
        let is_last = self.presence.leave(user, connection).await?;
        match self.bug {
            Some(Bug::EveryoneIsLast) => Ok(self.presence.count(user).await? < before),
            Some(Bug::RacesToLeave) => {
                let has_left = self.presence.count(user).await? < before;
                others_first().await;
                Ok(has_left && self.presence.count(user).await? == 0)
            }
            Some(Bug::CountsOnly) => {
                let mut counts = self.counts.lock().unwrap();
                let count = counts.entry(user).or_default();
                *count = count.saturating_sub(1);
                Ok(*count == 0)
            }
            _ => Ok(is_last),
        }
    }

    async fn count(&self, user: UserId) -> Result<u64, PresenceError> {
        if self.bug == Some(Bug::CountsOnly) {
            return Ok(self.counts.lock().unwrap().get(&user).copied().unwrap_or_default());
        }
        self.presence.count(user).await
    }
}

#[test]
fn every_law_of_presence_catches_a_broken_variant() {
    check("presence", LAWS, BUGS, |law, bug| {
        let (counts, seen) = (Mutex::default(), Mutex::default());
        run(law(&Broken { presence: MemoryPresence::new(), bug, counts, seen }));
    });
}
