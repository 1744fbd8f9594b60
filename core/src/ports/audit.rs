//! The audit trail.

use async_trait::async_trait;

use super::StoreError;
use crate::auth::AuditRecord;
use crate::id::UserId;

/// Records that are only ever added. Those of a session's beginning and end are written by [`super::Sessions`], in its commits.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds a record.
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError>;

    /// A user's records, the newest first.
    async fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
}
