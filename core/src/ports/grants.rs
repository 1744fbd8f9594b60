//! What providers granted us, kept so that it can be given back.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::id::UserId;

/// A provider's token, encrypted by the core before it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub user: UserId,
    /// From which provider.
    pub issuer: String,
    /// What only the server's key opens.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("user", &self.user).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// One grant per user and provider.
#[async_trait]
pub trait Grants: Send + Sync {
    /// Stores it in place of the one before.
    async fn put(&self, grant: &Grant) -> Result<(), StoreError>;

    /// A user's grants, ordered by issuer.
    async fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError>;

    /// Removes all of a user, and says how many.
    async fn remove(&self, user: UserId) -> Result<u64, StoreError>;
}
