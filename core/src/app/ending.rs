//! How a session ends: in the store first, then its sockets, here and on every node.

use super::Services;
use crate::auth::{AuditEvent, AuditRecord, Session};
use crate::error::Failure;
use crate::id::SessionId;
use crate::mutant::{Mutant, planted};
use crate::ports::{Event, Revocation};
use crate::time::Timestamp;

/// Ends a session in the store, then tells the nodes, whose sockets close. Ending it twice is ending it once (T14).
pub(super) async fn end_session(services: &Services, session: &Session, audit: AuditRecord) -> Result<(), Failure> {
    if planted(Mutant::EndRecordedTwice) {
        services.audit.append(&audit).await?;
    }
    services.sessions.revoke(session.id, &Revocation { at: audit.at, audit }).await?;
    // Told each time: an earlier log-out may have been cut off here.
    close_sockets(services, session.id).await;
    Ok(())
}

/// Closes the sockets of a session that has ended: this node's at once, the others' by the bus, or, if it loses the event, when they
/// next look at their sessions ([`RECHECK_EVERY`](crate::limits::RECHECK_EVERY)).
pub(super) async fn close_sockets(services: &Services, session: SessionId) {
    if planted(Mutant::LogOutKeepsSockets) {
        return;
    }
    let event = Event::SessionEnded(session);
    services.hub.event(&event);
    let _ = services.bus.publish(event).await;
}

/// A line of the trail about this session, with nothing more to say.
pub(super) fn record(session: &Session, event: AuditEvent, address: &str, at: Timestamp) -> AuditRecord {
    AuditRecord {
        at,
        user: session.user,
        session: Some(session.id),
        event,
        address: address.to_owned(),
        detail: String::new(),
    }
}
