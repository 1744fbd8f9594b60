//! Accounts.

use async_trait::async_trait;

use super::{Revocation, StoreError};
use crate::id::{SessionId, UserId};
use crate::translate::Language;
use crate::user::{Email, Identity, User};

/// One account per (issuer, subject). An e-mail never links two accounts, and is verified for one of them at most.
#[async_trait]
pub trait Users: Send + Sync {
    /// The account of this identity: the one that exists, unchanged, or this one, stored.
    /// If another account has verified the same address, it is stored as unverified.
    /// Of two at once with the same identity, both are given the same account.
    async fn register(&self, user: &User) -> Result<User, StoreError>;

    /// The user, if there is one. A withdrawn one is found too.
    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// These users, in any order; unknown ids are left out.
    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError>;

    /// The user who has verified this address and has not withdrawn.
    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError>;

    /// The user of this identity who has not withdrawn.
    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError>;

    /// The user leaves: the account becomes what [`User::withdrawn`] says, and all sessions end, each with this audit record, in one
    /// commit. Answers with the sessions that this ended; `None` if there is no such user, or they have left before.
    async fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError>;

    /// Sets the language that the user reads. Says whether there is such a user.
    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError>;
}
