//! Broken memories of what was used.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::Timestamp;
use transtalk_core::contract::{run, single_use::LAWS};
use transtalk_core::ports::{Consumed, SingleUse, StoreError};

use crate::{bugs, check, others_first};

bugs! { Forgets, FoldsCase, TrimsIds, RacesToConsume, PurgesEarly, NeverPurges, ShortensTheMemory }

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    latest: Mutex<BTreeMap<String, Timestamp>>,
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

#[async_trait]
impl SingleUse for Broken {
    async fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError> {
        let id = match self.bug {
            Some(Bug::FoldsCase) => id.to_lowercase(),
            Some(Bug::TrimsIds) => id.trim().to_owned(),
            _ => id.to_owned(),
        };
        let is_new = !self.latest.lock().unwrap().contains_key(&id);
        if self.is(Bug::RacesToConsume) {
            others_first().await;
        }
        self.latest.lock().unwrap().insert(id.clone(), until);
        match self.bug {
            Some(Bug::Forgets) => Ok(Consumed::First),
            Some(Bug::RacesToConsume | Bug::ShortensTheMemory) if is_new => Ok(Consumed::First),
            Some(Bug::RacesToConsume | Bug::ShortensTheMemory) => Ok(Consumed::Already),
            _ => self.store.consume(&id, until).await,
        }
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let removed = {
            let mut latest = self.latest.lock().unwrap();
            let before = latest.len();
            latest.retain(|_, until| *until >= now);
            (before - latest.len()) as u64
        };
        match self.bug {
            Some(Bug::PurgesEarly) => self.store.purge(now.plus(Duration::from_millis(50))).await,
            Some(Bug::NeverPurges) => Ok(0),
            Some(Bug::RacesToConsume | Bug::ShortensTheMemory) => Ok(removed),
            _ => self.store.purge(now).await,
        }
    }
}

#[test]
fn every_law_of_single_use_catches_a_broken_variant() {
    check("single_use", LAWS, BUGS, |law, bug| {
        run(law(&Broken { store: MemoryStore::new(), bug, latest: Mutex::default() }));
    });
}
