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

    /// Those of users who have withdrawn, so that they can be given back; the users' numbers rise, and the issuers of one user.
    async fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError>;

    /// Removes one, and says whether it was there.
    async fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError>;
}
