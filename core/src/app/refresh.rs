//! A new access token for a refresh token. Every refresh is one compare-and-swap in the store.
//!
//! A refresh that fails signs the first client's user out. So one with an authentic cookie is never turned away while there is
//! hope: it waits for the store, and for its own allowance, up to [`limits::REFRESH_PATIENCE`].

use std::time::Duration;

use super::Services;
use super::ending::{end_session, record};
use super::limit::{Limited, Payer, spend};
use super::sign_in::{Tokens, tokens};
use crate::auth::{AuditEvent, Presented, RefreshToken};
use crate::error::{ErrorCode, Failure};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::{Rotated, Rotation};
use crate::time::{Monotonic, Timestamp};

/// Exchanges a refresh token. Two tabs that come at once are given the same new one (invariant T2); one that was
/// replaced long ago ends the session (T3).
pub async fn refresh(services: &Services, token: Option<&str>, address: &str) -> Result<Tokens, Failure> {
    let token = token.filter(|token| !token.is_empty()).ok_or(ErrorCode::RefreshTokenMissing);
    let token = token
        .and_then(|token| RefreshToken::decode(token, services.signer.as_ref()).ok_or(ErrorCode::RefreshTokenInvalid));
    let token = match token {
        Ok(token) => token,
        Err(code) => {
            // Whoever has no cookie of ours is counted by address, and does not wait.
            spend(services, Limited::Refresh, Payer::Address(address)).await?;
            return Err(code.into());
        }
    };
    let arrived = services.clock.now();
    let mut waiting = None;
    let deadline = services.clock.monotonic().plus(limits::REFRESH_PATIENCE);
    let mut pause = Duration::from_millis(50);
    while let Err(failure) = spend(services, Limited::Refresh, Payer::Session(token.session)).await {
        let Failure::TooMany { retry_after } = failure else { return Err(failure) };
        if waiting.is_none() {
            waiting = Some(services.pipeline.waiters().enter(token.session)?);
        }
        if !wait(services, retry_after, deadline).await {
            return Err(Failure::Unavailable {
                part: "the session's allowance of refreshes",
                source: "used up".into(),
            });
        }
    }
    loop {
        match exchange(services, token, address, arrived).await {
            // What the store did before it went away is found at the next look: one behind, and so a lost response.
            Err(Failure::Unavailable { part, source }) => {
                if waiting.is_none() {
                    waiting = Some(services.pipeline.waiters().enter(token.session)?);
                }
                if !wait(services, pause, deadline).await {
                    return Err(Failure::Unavailable { part, source });
                }
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            done => return done,
        }
    }
}

/// Waits so long, or up to the deadline, and says whether there is time left.
async fn wait(services: &Services, pause: Duration, deadline: Monotonic) -> bool {
    let now = services.clock.monotonic();
    services.timer.sleep_until(now.plus(pause).min(deadline)).await;
    services.clock.monotonic() < deadline
}

async fn exchange(
    services: &Services,
    token: RefreshToken,
    address: &str,
    arrived: Timestamp,
) -> Result<Tokens, Failure> {
    let mut session = services.sessions.find(token.session).await?.ok_or(ErrorCode::RefreshTokenInvalid)?;
    let mut looked_again = false;
    // Whoever loses a rotation looks again; with each loss the session has moved on, so this ends.
    loop {
        let now = services.clock.now();
        // Whoever had to wait here for the store is measured by when they came, or their own wait would make them a thief.
        let presented = if session.is_live(now) {
            session.classify(token.generation, services.settings.lifetimes.grace, arrived)
        } else {
            Presented::Ended
        };
        let presented = match presented {
            Presented::Concurrent if planted(Mutant::GraceForks) => Presented::Current,
            Presented::Reuse if planted(Mutant::ReuseForgiven) => Presented::LostResponse,
            Presented::LostResponse if planted(Mutant::LossIsReuse) => Presented::Reuse,
            presented => presented,
        };
        let audit = |event| record(&session, event, address, now);
        match presented {
            Presented::Ended if session.revoked_at.is_some() && planted(Mutant::RefreshIgnoresRevocation) => {
                return Ok(tokens(services, &session, now));
            }
            // The row may have been read just before another tab's refresh gave the session more time, and the answer have come just
            // after the old end: nobody is told that a session is over before it was looked at after that.
            Presented::Ended if session.revoked_at.is_none() && !looked_again => {
                looked_again = true;
                session = services.sessions.find(token.session).await?.ok_or(ErrorCode::RefreshTokenInvalid)?;
            }
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
