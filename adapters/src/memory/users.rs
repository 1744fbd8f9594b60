//! Accounts in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use transtalk_core::ports::{Revocation, StoreError, Users};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, SessionId, Timestamp, User, UserId};

use super::{MemoryStore, lock, taken};

/// The accounts, and the two keys that lead to those who have not withdrawn.
#[derive(Default)]
pub(super) struct Table {
    accounts: BTreeMap<UserId, User>,
    identities: BTreeMap<Identity, UserId>,
    verified: BTreeMap<Email, UserId>,
}

impl Table {
    pub(super) fn find(&self, id: UserId) -> Option<&User> {
        self.accounts.get(&id)
    }

    /// Empties the account and frees its keys. Says whether there was somebody to leave.
    fn withdraw(&mut self, id: UserId, at: Timestamp) -> bool {
        let Some(user) = self.accounts.get_mut(&id).filter(|user| user.withdrawn_at.is_none()) else { return false };
        let left = user.withdrawn(at);
        let user = std::mem::replace(user, left);
        self.identities.remove(&user.identity);
        if let Some(email) = user.email.filter(|_| user.email_verified) {
            self.verified.remove(&email);
        }
        true
    }
}

#[async_trait]
impl Users for MemoryStore {
    async fn register(&self, user: &User) -> Result<User, StoreError> {
        let mut table = lock(&self.tables.users);
        if let Some(known) = table.identities.get(&user.identity).and_then(|id| table.find(*id)) {
            return Ok(known.clone());
        }
        if table.accounts.contains_key(&user.id) {
            return Err(taken("the user id"));
        }
        let mut user = user.clone();
        user.email_verified &= user.email.as_ref().is_some_and(|email| !table.verified.contains_key(email));
        if user.withdrawn_at.is_none() {
            table.identities.insert(user.identity.clone(), user.id);
            if let Some(email) = user.email.clone().filter(|_| user.email_verified) {
                table.verified.insert(email, user.id);
            }
        }
        table.accounts.insert(user.id, user.clone());
        Ok(user)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(lock(&self.tables.users).find(id).cloned())
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let table = lock(&self.tables.users);
        Ok(ids.iter().filter_map(|id| table.find(*id)).cloned().collect())
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let table = lock(&self.tables.users);
        Ok(table.verified.get(email).and_then(|id| table.find(*id)).cloned())
    }

    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError> {
        let table = lock(&self.tables.users);
        Ok(table.identities.get(identity).and_then(|id| table.find(*id)).cloned())
    }

    async fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError> {
        let mut users = lock(&self.tables.users);
        let mut sessions = lock(&self.tables.sessions);
        Ok(users.withdraw(id, revocation.at).then(|| sessions.revoke_all(id, revocation)))
    }

    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError> {
        let mut table = lock(&self.tables.users);
        let Some(user) = table.accounts.get_mut(&id).filter(|user| user.withdrawn_at.is_none()) else {
            return Ok(false);
        };
        user.language = language.cloned();
        Ok(true)
    }
}
