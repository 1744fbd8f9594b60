//! The sessions that a user can see, and end.

use super::ending::{end_session, record};
use super::{Principal, Services};
use crate::auth::{AuditEvent, AuditRecord, Session};
use crate::error::{ErrorCode, Failure};
use crate::id::SessionId;
use crate::limits;

/// One's own live sessions, the newest first.
pub async fn list_sessions(services: &Services, principal: &Principal) -> Result<Vec<Session>, Failure> {
    let now = services.clock.now();
    let sessions = services.sessions.list(principal.user).await?;
    Ok(sessions.into_iter().filter(|session| session.is_live(now)).collect())
}

/// Ends one of one's own sessions; to end it twice is to end it once. Somebody else's is as unknown as none.
pub async fn end_my_session(
    services: &Services,
    principal: &Principal,
    id: SessionId,
    address: &str,
) -> Result<(), Failure> {
    let session = services.sessions.find(id).await?.filter(|session| session.user == principal.user);
    let session = session.ok_or(ErrorCode::SessionNotFound)?;
    let mut audit = record(&session, AuditEvent::LoggedOut, address, services.clock.now());
    audit.detail = format!("by session {}", principal.session);
    end_session(services, &session, audit).await
}

/// What happened in one's own sessions, the newest first.
pub async fn audit_trail(services: &Services, principal: &Principal) -> Result<Vec<AuditRecord>, Failure> {
    Ok(services.audit.list(principal.user, limits::AUDIT_PAGE).await?)
}
