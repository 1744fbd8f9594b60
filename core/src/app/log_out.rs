//! Logging out: the session ends, and with it every token that it ever gave.

use super::Services;
use super::authenticate::authenticate;
use super::ending::{close_sockets, end_session, record};
use crate::auth::{AuditEvent, RefreshToken, Session, bearer};
use crate::error::{ErrorCode, Failure};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::{Revocation, TokenKind};

/// Ends the session that the access token or the refresh token names. An expired access token still says which:
/// logging out late is logging out. Either alone is enough; if they name two sessions, both end.
pub async fn log_out(
    services: &Services,
    authorization: Option<&str>,
    refresh: Option<&str>,
    address: &str,
) -> Result<(), Failure> {
    for session in named(services, authorization, refresh).await? {
        let audit = record(&session, AuditEvent::LoggedOut, address, services.clock.now());
        end_session(services, &session, audit).await?;
    }
    Ok(())
}

/// Ends all sessions of the user, this one among them. Only who could act in the session can ask for that, or an old token that
/// somebody found would be enough.
pub async fn log_out_everywhere(
    services: &Services,
    authorization: Option<&str>,
    refresh: Option<&str>,
    address: &str,
) -> Result<(), Failure> {
    let asking = asking(services, authorization, refresh).await?;
    let now = services.clock.now();
    let mut audit = record(&asking, AuditEvent::LoggedOut, address, now);
    audit.detail = format!("everywhere, by session {}", asking.id);
    if planted(Mutant::EverywhereEndsOne) {
        return end_session(services, &asking, audit).await;
    }
    for session in services.sessions.revoke_all(asking.user, &Revocation { at: now, audit }).await? {
        close_sockets(services, session).await;
    }
    // The other token may be another account's, which was signed in here before: it goes from this browser, too.
    log_out(services, authorization, refresh, address).await
}

/// Whose session asks for all to end: the one of a usable access token, or else of a refresh token that could be exchanged now.
async fn asking(services: &Services, authorization: Option<&str>, refresh: Option<&str>) -> Result<Session, Failure> {
    let refused = match authenticate(services, authorization).await {
        Ok(principal) => {
            let session = services.sessions.find(principal.session).await?;
            return session.ok_or(Failure::Refused(ErrorCode::SessionEnded));
        }
        Err(Failure::Refused(code)) => code,
        Err(failure) => return Err(failure),
    };
    let token = refresh.and_then(|token| RefreshToken::decode(token, services.signer.as_ref())).ok_or(refused)?;
    let (grace, now) = (services.settings.lifetimes.grace, services.clock.now());
    let session = services.sessions.find(token.session).await?;
    let session = session.filter(|session| session.honours(token.generation, grace, now));
    session.ok_or(Failure::Refused(ErrorCode::SessionEnded))
}

/// The sessions that authentic tokens name, ended or not.
async fn named(
    services: &Services,
    authorization: Option<&str>,
    refresh: Option<&str>,
) -> Result<Vec<Session>, Failure> {
    let access = authorization.map(bearer).filter(|token| token.len() <= limits::TOKEN_BYTES_MAX);
    let by_access = access.and_then(|token| services.signer.verify(TokenKind::Access, token).ok());
    let by_refresh = refresh.and_then(|token| RefreshToken::decode(token, services.signer.as_ref()));
    let named: Vec<_> =
        by_access.map(|claims| claims.session).into_iter().chain(by_refresh.map(|token| token.session)).collect();
    if named.is_empty() {
        return Err(ErrorCode::Unauthorized.into());
    }
    Ok(services.sessions.find_many(&named).await?)
}
