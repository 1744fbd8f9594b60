//! Providers' grants in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use transtalk_core::UserId;
use transtalk_core::ports::{Grant, Grants, StoreError};

use super::{MemoryStore, lock};

/// By user, then by issuer.
pub(super) type Table = BTreeMap<UserId, BTreeMap<String, Grant>>;

#[async_trait]
impl Grants for MemoryStore {
    async fn put(&self, grant: &Grant) -> Result<(), StoreError> {
        lock(&self.tables.grants).entry(grant.user).or_default().insert(grant.issuer.clone(), grant.clone());
        Ok(())
    }

    async fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError> {
        let table = lock(&self.tables.grants);
        Ok(table.get(&user).into_iter().flat_map(BTreeMap::values).cloned().collect())
    }

    async fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError> {
        let users = lock(&self.tables.users);
        let table = lock(&self.tables.grants);
        let has_left = |id: &UserId| users.find(*id).is_some_and(|user| user.withdrawn_at.is_some());
        let left = table.iter().filter(|(user, _)| has_left(user)).flat_map(|(_, grants)| grants.values());
        Ok(left.take(limit as usize).cloned().collect())
    }

    async fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError> {
        let mut table = lock(&self.tables.grants);
        let Some(grants) = table.get_mut(&user) else { return Ok(false) };
        let was_there = grants.remove(issuer).is_some();
        if grants.is_empty() {
            table.remove(&user);
        }
        Ok(was_there)
    }
}
