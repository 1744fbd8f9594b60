//! Things that may be used once.

use async_trait::async_trait;

use super::StoreError;
use crate::time::Timestamp;

/// What [`SingleUse::consume`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumed {
    /// Nobody had used it.
    First,
    /// It was used before.
    Already,
}

/// A memory of what was used, linearizable: of any number of callers with the same id exactly one is `First`.
#[async_trait]
pub trait SingleUse: Send + Sync {
    /// Uses it up. The memory of it may be dropped after `until`, never before; the thing itself must be worthless by then.
    async fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError>;

    /// Forgets what need not be remembered after `now`, and says how many.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
}
