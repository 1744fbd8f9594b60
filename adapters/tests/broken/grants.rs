//! Broken grants.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::UserId;
use transtalk_core::contract::{grants::LAWS, run};
use transtalk_core::ports::{Grant, Grants, StoreError};

use crate::{bugs, check};

bugs! { TakesBytesForText, KeepsTheFirst, KeepsOneAUser, ListsInNoOrder, ListsEverybodys, RemovesNothing, RemovesEverybodys }

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    users: Mutex<BTreeSet<UserId>>,
}

impl Broken {
    fn others(&self, user: UserId) -> Vec<UserId> {
        self.users.lock().unwrap().iter().copied().filter(|other| *other != user).collect()
    }
}

#[async_trait]
impl Grants for Broken {
    async fn put(&self, grant: &Grant) -> Result<(), StoreError> {
        self.users.lock().unwrap().insert(grant.user);
        let mut grant = grant.clone();
        match self.bug {
            Some(Bug::TakesBytesForText) => grant.sealed = String::from_utf8_lossy(&grant.sealed).into_owned().into(),
            Some(Bug::KeepsTheFirst) => {
                let known = Grants::list(&self.store, grant.user).await?;
                if known.iter().any(|known| known.issuer == grant.issuer) {
                    return Ok(());
                }
            }
            Some(Bug::KeepsOneAUser) => {
                Grants::remove(&self.store, grant.user).await?;
            }
            _ => {}
        }
        Grants::put(&self.store, &grant).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError> {
        let mut grants = Grants::list(&self.store, user).await?;
        match self.bug {
            Some(Bug::ListsInNoOrder) => grants.reverse(),
            Some(Bug::ListsEverybodys) => {
                for other in self.others(user) {
                    grants.extend(Grants::list(&self.store, other).await?);
                }
            }
            _ => {}
        }
        Ok(grants)
    }

    async fn remove(&self, user: UserId) -> Result<u64, StoreError> {
        match self.bug {
            Some(Bug::RemovesNothing) => return Ok(Grants::list(&self.store, user).await?.len() as u64),
            Some(Bug::RemovesEverybodys) => {
                for other in self.others(user) {
                    Grants::remove(&self.store, other).await?;
                }
            }
            _ => {}
        }
        Grants::remove(&self.store, user).await
    }
}

#[test]
fn every_law_of_grants_catches_a_broken_variant() {
    check("grants", LAWS, BUGS, |law, bug| {
        run(law(&Broken { store: MemoryStore::new(), bug, users: Mutex::default() }));
    });
}
