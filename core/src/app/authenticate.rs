//! Whose token is this, and what may it still be used for?
//!
//! There are three ways in: an access token on a request, a ticket on an upgrade, and the CONNECT frame, where a live
//! refresh cookie may stand in for a token that has expired. No kind of token passes for another at any of them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Services;
use crate::auth::{Entitlement, Generation, RefreshToken, Session, bearer};
use crate::error::{ErrorCode, Failure};
use crate::id::{SessionId, UserId};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::{Claims, Consumed, TokenKind};
use crate::time::Timestamp;

/// Somebody who has signed in, for as long as their token lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// In which session.
    pub session: SessionId,
    /// Which generation of the session gave the token.
    pub generation: Generation,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Principal {
    fn of(claims: &Claims) -> Self {
        let Claims { user, session, generation, expires_at, .. } = *claims;
        Self { user, session, generation, expires_at }
    }
}

/// Believes an access token if it is authentic, of this moment, and of a live session.
/// The store is asked every time: a session that has ended takes all its tokens with it (invariant T6).
pub async fn authenticate(services: &Services, authorization: Option<&str>) -> Result<Principal, Failure> {
    let principal = Principal::of(&claims(services, TokenKind::Access, authorization)?);
    let now = services.clock.now();
    // No leeway: the token is dead at the second of its `exp` (invariant T8).
    if principal.expires_at <= now && !planted(Mutant::ExpiryIgnored) {
        return Err(ErrorCode::TokenExpired.into());
    }
    let session = live(services, &principal, now).await?;
    acknowledge(services, &session, principal.generation).await?;
    Ok(principal)
}

/// A ticket for one upgrade: it says what the access token said that buys it, and is good for [`limits::TICKET_LIFETIME`], once.
/// Answers with the ticket.
pub fn issue_ticket(services: &Services, principal: &Principal) -> String {
    let mut jti = [0; 16];
    services.entropy.fill(&mut jti);
    let claims = Claims {
        user: principal.user,
        session: principal.session,
        generation: principal.generation,
        jti: URL_SAFE_NO_PAD.encode(jti),
        issued_at: services.clock.now(),
        // The connection lasts as long as the token would have.
        expires_at: principal.expires_at,
    };
    services.signer.sign(TokenKind::WsTicket, &claims)
}

/// Uses a ticket up. It is refused when it is used, old, or of a session that has ended.
pub async fn redeem_ticket(services: &Services, ticket: &str) -> Result<Principal, Failure> {
    let claims = claims(services, TokenKind::WsTicket, Some(ticket))?;
    let principal = Principal::of(&claims);
    let now = services.clock.now();
    let good_until = claims.issued_at.plus(limits::TICKET_LIFETIME);
    if good_until <= now || principal.expires_at <= now {
        return Err(ErrorCode::TokenExpired.into());
    }
    // Another node's clock may be behind: what is used is remembered a little longer than it can be used.
    let until = good_until.plus(limits::TOKEN_LEEWAY).plus(Duration::from_secs(1));
    let consumed = services.single_use.consume(&format!("ticket:{}", claims.jti), until).await?;
    if consumed == Consumed::Already && !planted(Mutant::TicketTwice) {
        return Err(ErrorCode::Unauthorized.into());
    }
    let session = live(services, &principal, now).await?;
    acknowledge(services, &session, principal.generation).await?;
    Ok(principal)
}

/// Whose connection a CONNECT frame's token makes it. It may have expired: what is left of it is decided by [`entitle`].
pub(super) fn connecting(services: &Services, authorization: Option<&str>) -> Result<Principal, Failure> {
    Ok(Principal::of(&claims(services, TokenKind::Access, authorization)?))
}

/// What a connection of this principal goes on by. A refresh cookie of the same session that could be exchanged now makes it a lease,
/// also with an access token that has expired; looking at the cookie changes nothing about it.
pub(super) async fn entitle(
    services: &Services,
    principal: &Principal,
    cookie: Option<&str>,
) -> Result<Entitlement, Failure> {
    let now = services.clock.now();
    let cookie = cookie.and_then(|cookie| RefreshToken::decode(cookie, services.signer.as_ref()));
    let cookie = cookie.filter(|cookie| cookie.session == principal.session);
    let expired = principal.expires_at <= now;
    if expired && cookie.is_none() {
        return Err(ErrorCode::TokenExpired.into());
    }
    let session = live(services, principal, now).await?;
    if !expired {
        acknowledge(services, &session, principal.generation).await?;
    }
    let grace = services.settings.lifetimes.grace;
    let is_honoured = cookie.is_some_and(|cookie| session.honours(cookie.generation, grace, now));
    if is_honoured || planted(Mutant::LeaseWithoutCookie) {
        Ok(Entitlement::Lease)
    } else if expired {
        Err(ErrorCode::TokenExpired.into())
    } else {
        Ok(Entitlement::Token { until: principal.expires_at })
    }
}

/// What an authentic token of this kind says, expired or not.
pub(super) fn claims(services: &Services, kind: TokenKind, token: Option<&str>) -> Result<Claims, Failure> {
    let token = bearer(token.ok_or(ErrorCode::Unauthorized)?);
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(ErrorCode::Unauthorized.into());
    }
    let claims = services.signer.verify(kind, token).map_err(|_| ErrorCode::Unauthorized)?;
    if claims.issued_at > services.clock.now().plus(limits::TOKEN_LEEWAY) {
        return Err(ErrorCode::Unauthorized.into());
    }
    Ok(claims)
}

async fn live(services: &Services, principal: &Principal, now: Timestamp) -> Result<Session, Failure> {
    let session = services.sessions.find(principal.session).await?;
    let session = session
        .filter(|session| session.user == principal.user)
        .filter(|session| session.is_live(now) || planted(Mutant::SessionNotAsked));
    session.ok_or(Failure::Refused(ErrorCode::SessionEnded))
}

/// The first use of an access token of a new generation proves that its refresh was answered.
async fn acknowledge(services: &Services, session: &Session, generation: Generation) -> Result<(), Failure> {
    if generation > session.acknowledged && generation <= session.generation {
        services.sessions.acknowledge(session.id, generation).await?;
    }
    Ok(())
}
