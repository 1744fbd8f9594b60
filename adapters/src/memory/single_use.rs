//! What was used, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use transtalk_core::Timestamp;
use transtalk_core::ports::{Consumed, SingleUse, StoreError};

use super::{MemoryStore, lock};

/// Until when each is remembered.
pub(super) type Table = BTreeMap<String, Timestamp>;

#[async_trait]
impl SingleUse for MemoryStore {
    async fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError> {
        let mut table = lock(&self.tables.single_use);
        if table.contains_key(id) {
            return Ok(Consumed::Already);
        }
        table.insert(id.to_owned(), until);
        Ok(Consumed::First)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut table = lock(&self.tables.single_use);
        let before = table.len();
        table.retain(|_, until| *until >= now);
        Ok((before - table.len()) as u64)
    }
}
