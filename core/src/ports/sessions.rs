//! The truth about every session.

use async_trait::async_trait;

use super::StoreError;
use crate::auth::{AuditRecord, Generation, Session};
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// The new generation of a session. Its absolute end is not among the things that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The generation that must be current, or nothing happens.
    pub from: Generation,
    /// When.
    pub rotated_at: Timestamp,
    /// The new sliding end.
    pub expires_at: Timestamp,
}

/// What became of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// Done: the row as it is now.
    Done(Session),
    /// Not done, because another came first or the session is revoked: the row as it is now.
    Lost(Session),
    /// There is no such session.
    Unknown,
}

/// How a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Written for each session that this ends, in the same commit; its `session` is filled in.
    pub audit: AuditRecord,
}

/// Sessions. Rotation and revocation of one session are linearizable: whoever comes second sees what the first did.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Stores a new session and its audit record in one commit.
    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError>;

    /// The session, if there is one, ended or not.
    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// These sessions in any order; unknown ids are left out.
    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError>;

    /// From generation n to n+1, if n is current and the session is not revoked; with its audit record in the same commit.
    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError>;

    /// Notes that an access token of this generation was used. The mark only ever rises, to the current generation at most.
    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError>;

    /// Ends a session for ever. Says whether this call did it: a session ends once, with one audit record.
    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError>;

    /// Ends all sessions of a user that are not ended, each with its audit record, in one commit. Says which.
    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError>;

    /// A user's sessions that are not revoked, the newest first.
    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError>;
}
