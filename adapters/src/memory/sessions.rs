//! Sessions in memory, with the trail: both are written in one commit.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_trait::async_trait;
use transtalk_core::auth::{AuditRecord, Generation, Session};
use transtalk_core::ports::{Revocation, Rotated, Rotation, Sessions, StoreError};
use transtalk_core::{SessionId, UserId};

use super::{MemoryStore, lock, taken};

/// The sessions and the trail.
#[derive(Default)]
pub(super) struct Table {
    by_id: BTreeMap<SessionId, Session>,
    by_user: BTreeMap<UserId, Vec<SessionId>>,
    /// Of each user, the oldest first.
    pub(super) trail: BTreeMap<UserId, Vec<AuditRecord>>,
}

impl Table {
    /// Adds a record behind all that are not younger.
    pub(super) fn record(&mut self, record: AuditRecord) {
        let trail = self.trail.entry(record.user).or_default();
        let place = trail.partition_point(|earlier| earlier.at <= record.at);
        trail.insert(place, record);
    }

    fn of_user(&self, user: UserId) -> impl Iterator<Item = &Session> {
        self.by_user.get(&user).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    fn revoke(&mut self, id: SessionId, revocation: &Revocation) -> bool {
        let Some(session) = self.by_id.get_mut(&id).filter(|session| session.revoked_at.is_none()) else {
            return false;
        };
        session.revoked_at = Some(revocation.at);
        self.record(AuditRecord { session: Some(id), ..revocation.audit.clone() });
        true
    }

    /// Ends all of a user that are not ended, and says which.
    pub(super) fn revoke_all(&mut self, user: UserId, revocation: &Revocation) -> Vec<SessionId> {
        let ids: Vec<SessionId> = self.of_user(user).map(|session| session.id).collect();
        ids.into_iter().filter(|id| self.revoke(*id, revocation)).collect()
    }
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError> {
        let mut table = lock(&self.tables.sessions);
        if table.by_id.contains_key(&session.id) {
            return Err(taken("the session id"));
        }
        table.by_id.insert(session.id, session.clone());
        table.by_user.entry(session.user).or_default().push(session.id);
        table.record(audit.clone());
        Ok(())
    }

    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(lock(&self.tables.sessions).by_id.get(&id).cloned())
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        let table = lock(&self.tables.sessions);
        Ok(ids.iter().filter_map(|id| table.by_id.get(id)).cloned().collect())
    }

    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError> {
        let mut table = lock(&self.tables.sessions);
        let Some(session) = table.by_id.get_mut(&id) else { return Ok(Rotated::Unknown) };
        if session.generation != rotation.from || session.revoked_at.is_some() {
            return Ok(Rotated::Lost(session.clone()));
        }
        session.generation = rotation.from.next();
        session.rotated_at = rotation.rotated_at;
        session.expires_at = rotation.expires_at;
        let done = session.clone();
        table.record(audit.clone());
        Ok(Rotated::Done(done))
    }

    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError> {
        if let Some(session) = lock(&self.tables.sessions).by_id.get_mut(&id) {
            session.acknowledged = session.acknowledged.max(generation.min(session.generation));
        }
        Ok(())
    }

    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError> {
        Ok(lock(&self.tables.sessions).revoke(id, revocation))
    }

    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError> {
        Ok(lock(&self.tables.sessions).revoke_all(user, revocation))
    }

    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let table = lock(&self.tables.sessions);
        let live = table.of_user(user).filter(|session| session.revoked_at.is_none());
        let mut sessions: Vec<Session> = live.cloned().collect();
        sessions.sort_by_key(|session| Reverse((session.created_at, session.id)));
        Ok(sessions)
    }
}
