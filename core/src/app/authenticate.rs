//! Whose access token is this, and may it still be used?

use super::Services;
use crate::auth::bearer;
use crate::error::{ErrorCode, Failure};
use crate::id::{SessionId, UserId};
use crate::limits;
use crate::ports::TokenKind;
use crate::time::Timestamp;

/// Somebody who has signed in, for as long as their token lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// In which session.
    pub session: SessionId,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Believes an access token if it is authentic, of this moment, and of a live session.
/// The store is asked every time: a session that has ended takes all its tokens with it (invariant T6).
pub async fn authenticate(services: &Services, authorization: Option<&str>) -> Result<Principal, Failure> {
    let token = bearer(authorization.ok_or(ErrorCode::Unauthorized)?);
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(ErrorCode::Unauthorized.into());
    }
    let claims = services.signer.verify(TokenKind::Access, token).map_err(|_| ErrorCode::Unauthorized)?;
    let now = services.clock.now();
    if claims.issued_at > now.plus(limits::TOKEN_LEEWAY) {
        return Err(ErrorCode::Unauthorized.into());
    }
    // No leeway: the token is dead at the second of its `exp` (invariant T8).
    if claims.expires_at <= now {
        return Err(ErrorCode::TokenExpired.into());
    }
    let session = services.sessions.find(claims.session).await?.filter(|session| session.user == claims.user);
    let session = session.filter(|session| session.is_live(now)).ok_or(ErrorCode::SessionEnded)?;
    if claims.generation > session.acknowledged && claims.generation <= session.generation {
        services.sessions.acknowledge(session.id, claims.generation).await?;
    }
    Ok(Principal { user: claims.user, session: claims.session, expires_at: claims.expires_at })
}
