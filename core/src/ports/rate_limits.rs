//! Shared allowances.

use std::time::Duration;

use async_trait::async_trait;

use super::BoxError;
use crate::time::Timestamp;

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many at once; they come back evenly over the period.
    pub amount: u32,
    /// Over how long.
    pub period: Duration,
}

/// What [`RateLimits::take`] answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// There was one left.
    Allowed,
    /// None is left; the next one comes after so long.
    Denied {
        /// At least one millisecond.
        retry_after: Duration,
    },
}

/// Why no limit could be asked.
#[derive(Debug, thiserror::Error)]
pub enum RateLimitError {
    /// Out of reach.
    #[error("{store} is not available")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// One bucket a key, shared by all nodes.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes one from the key's bucket. What was denied takes nothing.
    async fn take(&self, key: &str, allowance: Allowance, now: Timestamp) -> Result<Taken, RateLimitError>;
}
