//! A new access token for a refresh token. Every refresh is one compare-and-swap in the store.

use super::Services;
use super::sign_in::{Tokens, tokens};
use crate::auth::{AuditEvent, AuditRecord, Presented, RefreshToken, Session};
use crate::error::{ErrorCode, Failure};
use crate::mutant::{Mutant, planted};
use crate::ports::{Event, Revocation, Rotated, Rotation};
use crate::time::Timestamp;

/// Exchanges a refresh token. Two tabs that come at once are given the same new one (invariant T2); one that was
/// replaced long ago ends the session (T3).
pub async fn refresh(services: &Services, token: Option<&str>, address: &str) -> Result<Tokens, Failure> {
    let token = token.filter(|token| !token.is_empty()).ok_or(ErrorCode::RefreshTokenMissing)?;
    let token = RefreshToken::decode(token, services.signer.as_ref()).ok_or(ErrorCode::RefreshTokenInvalid)?;
    let mut session = services.sessions.find(token.session).await?.ok_or(ErrorCode::RefreshTokenInvalid)?;
    // Whoever loses a rotation looks again; with each loss the session has moved on, so this ends.
    loop {
        let now = services.clock.now();
        let presented = session.classify(token.generation, services.settings.lifetimes.grace, now);
        let audit = |event| record(&session, event, address, now);
        match presented {
            Presented::Ended => return Err(ErrorCode::SessionEnded.into()),
            Presented::Reuse => {
                end_session(services, &session, audit(AuditEvent::Reuse)).await?;
                return Err(ErrorCode::RefreshTokenReused.into());
            }
            Presented::Concurrent => {
                services.audit.append(&audit(AuditEvent::Concurrent)).await?;
                return Ok(tokens(services, &session, now));
            }
            Presented::LostResponse => {
                services.audit.append(&audit(AuditEvent::LostResponse)).await?;
                return Ok(tokens(services, &session, now));
            }
            Presented::Current => {
                let next = session.rotated(&services.settings.lifetimes, now);
                let mut rotation =
                    Rotation { from: session.generation, rotated_at: next.rotated_at, expires_at: next.expires_at };
                if planted(Mutant::NoCompareAndSwap)
                    && let Some(newest) = services.sessions.find(session.id).await?
                {
                    rotation.from = newest.generation;
                }
                match services.sessions.rotate(session.id, rotation, &audit(AuditEvent::Refreshed)).await? {
                    Rotated::Done(session) => return Ok(tokens(services, &session, now)),
                    Rotated::Lost(newer) => session = newer,
                    Rotated::Unknown => return Err(ErrorCode::RefreshTokenInvalid.into()),
                }
            }
        }
    }
}

/// Ends a session in the store, then tells the nodes, whose sockets close. Ending it twice is ending it once (T14).
pub(super) async fn end_session(services: &Services, session: &Session, audit: AuditRecord) -> Result<(), Failure> {
    services.sessions.revoke(session.id, &Revocation { at: audit.at, audit }).await?;
    // Told each time: an earlier log-out may have been cut off here. The bus may lose it; the store has it.
    let _ = services.bus.publish(Event::SessionEnded(session.id)).await;
    Ok(())
}

pub(super) fn record(session: &Session, event: AuditEvent, address: &str, at: Timestamp) -> AuditRecord {
    AuditRecord { at, user: session.user, session: Some(session.id), event, address: address.to_owned() }
}
