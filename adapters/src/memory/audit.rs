//! The audit trail in memory. It lies beside the sessions.

use async_trait::async_trait;
use transtalk_core::UserId;
use transtalk_core::auth::AuditRecord;
use transtalk_core::ports::{Audit, StoreError};

use super::{MemoryStore, lock};

#[async_trait]
impl Audit for MemoryStore {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        lock(&self.tables.sessions).record(record.clone());
        Ok(())
    }

    async fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let table = lock(&self.tables.sessions);
        let trail = table.trail.get(&user).into_iter().flat_map(|trail| trail.iter().rev());
        Ok(trail.take(limit as usize).cloned().collect())
    }
}
