//! Broken trails.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::UserId;
use transtalk_core::auth::AuditRecord;
use transtalk_core::contract::{audit::LAWS, run};
use transtalk_core::ports::{Audit, StoreError};

use crate::{bugs, check, others_first};

bugs! {
    ForgetsAddresses,
    ForgetsDetails,
    ListsOldestFirst,
    LimitsToTheOldest,
    IgnoresTheLimit,
    ListsEverybodys,
    DropsRepeats,
    RacesToAppend,
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    users: Mutex<BTreeSet<UserId>>,
}

#[async_trait]
impl Audit for Broken {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.users.lock().unwrap().insert(record.user);
        let before = Audit::list(&self.store, record.user, u32::MAX).await?;
        match self.bug {
            Some(Bug::ForgetsAddresses) => {
                return self.store.append(&AuditRecord { address: String::new(), ..record.clone() }).await;
            }
            Some(Bug::ForgetsDetails) => {
                return self.store.append(&AuditRecord { detail: String::new(), ..record.clone() }).await;
            }
            Some(Bug::DropsRepeats) if before.contains(record) => return Ok(()),
            Some(Bug::RacesToAppend) => {
                others_first().await;
                if Audit::list(&self.store, record.user, u32::MAX).await?.len() != before.len() {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.store.append(record).await
    }

    async fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let mut all = Audit::list(&self.store, user, u32::MAX).await?;
        match self.bug {
            Some(Bug::IgnoresTheLimit) => return Ok(all),
            Some(Bug::LimitsToTheOldest) => {
                let skip = all.len().saturating_sub(limit as usize);
                return Ok(all.split_off(skip));
            }
            Some(Bug::ListsEverybodys) => {
                let users = self.users.lock().unwrap().clone();
                for other in users.into_iter().filter(|other| *other != user) {
                    all.extend(Audit::list(&self.store, other, limit).await?);
                }
            }
            _ => {}
        }
        all.truncate(limit as usize);
        if self.bug == Some(Bug::ListsOldestFirst) {
            all.reverse();
        }
        Ok(all)
    }
}

#[test]
fn every_law_of_audit_catches_a_broken_variant() {
    check("audit", LAWS, BUGS, |law, bug| {
        run(law(&Broken { store: MemoryStore::new(), bug, users: Mutex::default() }));
    });
}
