//! Broken cursors.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::contract::{cursors::LAWS, run};
use transtalk_core::limits::CURSOR_KEPT;
use transtalk_core::ports::{Cursor, Cursors, StoreError};
use transtalk_core::{RoomId, SessionId, Timestamp};

use crate::{bugs, check, others_first};

bugs! {
    TakesInNoOrder,
    KeepsTheLatest,
    TakesWithoutRemoving,
    RacesToTake,
    SharesBetweenSessions,
    GivesTheOld,
    AgesFromTheFirst,
    NeverPurges,
    PurgesEarly,
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    first_put: Mutex<BTreeMap<RoomId, Timestamp>>,
}

impl Broken {
    fn session(&self, session: SessionId) -> SessionId {
        if self.bug == Some(Bug::SharesBetweenSessions) {
            return "00000000000000000000000000000000".parse().unwrap();
        }
        session
    }
}

#[async_trait]
impl Cursors for Broken {
    async fn put(&self, session: SessionId, cursors: &[Cursor], now: Timestamp) -> Result<(), StoreError> {
        let session = self.session(session);
        match self.bug {
            Some(Bug::KeepsTheLatest) => {
                let mut before = self.store.take(session, now).await?;
                before.retain(|one| cursors.iter().all(|new| new.room != one.room));
                Cursors::put(&self.store, session, &before, now).await?;
            }
            Some(Bug::AgesFromTheFirst) => {
                for cursor in cursors {
                    let first = *self.first_put.lock().unwrap().entry(cursor.room).or_insert(now);
                    Cursors::put(&self.store, session, &[*cursor], first).await?;
                }
                return Ok(());
            }
            _ => {}
        }
        Cursors::put(&self.store, session, cursors, now).await
    }

    async fn take(&self, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, StoreError> {
        let session = self.session(session);
        let when = if self.bug == Some(Bug::GivesTheOld) { now.minus(CURSOR_KEPT) } else { now };
        let mut taken = self.store.take(session, when).await?;
        match self.bug {
            Some(Bug::TakesInNoOrder) => taken.reverse(),
            Some(Bug::TakesWithoutRemoving) => Cursors::put(&self.store, session, &taken, now).await?,
            Some(Bug::RacesToTake) => {
                Cursors::put(&self.store, session, &taken, now).await?;
                others_first().await;
                self.store.take(session, now).await?;
            }
            _ => {}
        }
        Ok(taken)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        match self.bug {
            Some(Bug::NeverPurges) => Ok(0),
            Some(Bug::PurgesEarly) => Cursors::purge(&self.store, now.plus(CURSOR_KEPT / 10)).await,
            _ => Cursors::purge(&self.store, now).await,
        }
    }
}

#[test]
fn every_law_of_cursors_catches_a_broken_variant() {
    check("cursors", LAWS, BUGS, |law, bug| {
        run(law(&Broken { store: MemoryStore::new(), bug, first_put: Mutex::default() }));
    });
}
