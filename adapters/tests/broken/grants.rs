//! Broken grants.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::UserId;
use transtalk_core::contract::{grants::LAWS, run};
use transtalk_core::ports::{Grant, Grants, StoreError, Users};

use crate::{bugs, check, others_first};

bugs! {
    TakesBytesForText,
    KeepsTheFirst,
    KeepsOneAUser,
    ListsInNoOrder,
    ListsEverybodys,
    ForgetsThoseWhoLeft,
    RemovesNothing,
    RemovesAllOfAUser,
    RemovesEverybodys,
    RacesToRemove,
    LeavesEverybodys,
    LeavesThoseOfStrangers,
    LeavesNothing,
    LeavesInNoOrder,
    LeavesOneAUser,
    IgnoresTheLimit,
    ForgetsLatecomers,
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    users: Mutex<BTreeSet<UserId>>,
}

impl Broken {
    fn others(&self, user: UserId) -> Vec<UserId> {
        self.users.lock().unwrap().iter().copied().filter(|other| *other != user).collect()
    }

    async fn has_left(&self, user: UserId) -> Result<bool, StoreError> {
        Ok(Users::find(&self.store, user).await?.is_some_and(|user| user.withdrawn_at.is_some()))
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
                for known in Grants::list(&self.store, grant.user).await? {
                    Grants::remove(&self.store, known.user, &known.issuer).await?;
                }
            }
            Some(Bug::ForgetsLatecomers) if self.has_left(grant.user).await? => return Ok(()),
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
            Some(Bug::ForgetsThoseWhoLeft) if self.has_left(user).await? => grants.clear(),
            _ => {}
        }
        Ok(grants)
    }

    async fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError> {
        let mut left = self.store.left(u32::MAX).await?;
        let users = self.users.lock().unwrap().clone();
        match self.bug {
            Some(Bug::LeavesNothing) => left.clear(),
            Some(Bug::LeavesInNoOrder) => left.reverse(),
            Some(Bug::LeavesOneAUser) => left.dedup_by_key(|grant| grant.user),
            Some(Bug::IgnoresTheLimit) => return Ok(left),
            Some(Bug::LeavesEverybodys) => {
                left.clear();
                for user in Users::find_many(&self.store, &users.into_iter().collect::<Vec<_>>()).await? {
                    left.extend(Grants::list(&self.store, user.id).await?);
                }
            }
            Some(Bug::LeavesThoseOfStrangers) => {
                for user in users {
                    if Users::find(&self.store, user).await?.is_none() {
                        left.extend(Grants::list(&self.store, user).await?);
                    }
                }
            }
            _ => {}
        }
        left.truncate(limit as usize);
        Ok(left)
    }

    async fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError> {
        let known = Grants::list(&self.store, user).await?;
        let was_there = known.iter().any(|grant| grant.issuer == issuer);
        match self.bug {
            Some(Bug::RemovesNothing) => return Ok(was_there),
            Some(Bug::RemovesAllOfAUser) => {
                for grant in known {
                    Grants::remove(&self.store, user, &grant.issuer).await?;
                }
                return Ok(was_there);
            }
            Some(Bug::RemovesEverybodys) => {
                for other in self.others(user) {
                    Grants::remove(&self.store, other, issuer).await?;
                }
            }
            Some(Bug::RacesToRemove) => {
                others_first().await;
                Grants::remove(&self.store, user, issuer).await?;
                return Ok(was_there);
            }
            _ => {}
        }
        Grants::remove(&self.store, user, issuer).await
    }
}

#[test]
fn every_law_of_grants_catches_a_broken_variant() {
    check("grants", LAWS, BUGS, |law, bug| {
        let store = MemoryStore::new();
        run(law(&Broken { store: store.clone(), bug, users: Mutex::default() }, &store));
    });
}
