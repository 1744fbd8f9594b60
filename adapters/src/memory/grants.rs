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

    async fn remove(&self, user: UserId) -> Result<u64, StoreError> {
        Ok(lock(&self.tables.grants).remove(&user).map_or(0, |grants| grants.len() as u64))
    }
}
