//! Logging out: the session ends, and with it every token that it ever gave.

use super::Services;
use super::refresh::{end_session, record};
use crate::auth::{AuditEvent, RefreshToken, bearer};
use crate::error::{ErrorCode, Failure};
use crate::limits;
use crate::ports::TokenKind;

/// Ends the session that the access token or the refresh token names. An expired access token still says which:
/// logging out late is logging out. Either alone is enough; if they name two sessions, both end.
pub async fn log_out(
    services: &Services,
    authorization: Option<&str>,
    refresh: Option<&str>,
    address: &str,
) -> Result<(), Failure> {
    let access = authorization.map(bearer).filter(|token| token.len() <= limits::TOKEN_BYTES_MAX);
    let by_access = access.and_then(|token| services.signer.verify(TokenKind::Access, token).ok());
    let by_refresh = refresh.and_then(|token| RefreshToken::decode(token, services.signer.as_ref()));
    let named: Vec<_> =
        by_access.map(|claims| claims.session).into_iter().chain(by_refresh.map(|token| token.session)).collect();
    if named.is_empty() {
        return Err(ErrorCode::Unauthorized.into());
    }
    for session in services.sessions.find_many(&named).await? {
        let audit = record(&session, AuditEvent::LoggedOut, address, services.clock.now());
        end_session(services, &session, audit).await?;
    }
    Ok(())
}
