//! What a connection goes on by, and what a token on one of its frames means.
//!
//! A connection belongs to one user and one session for life (invariant S6). Browsers go on sending the token that they
//! connected with, so an expired one on a frame means nothing; another user's means that the account was switched.

use crate::id::{SessionId, UserId};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::Claims;
use crate::time::Timestamp;

/// The source of a connection's right to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitlement {
    /// The access token, until this moment.
    Token {
        /// Its `exp`.
        until: Timestamp,
    },
    /// The session itself, for as long as it lives: the handshake carried its refresh cookie from an allowed origin.
    Lease,
}

/// What an authentic token on a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Nothing: it is no newer, or of another session, or the connection does not depend on it.
    Ignored,
    /// The connection lasts until this moment now.
    Renews(Timestamp),
    /// It is another user's: the frame is not done, and the connection ends.
    Switched,
}

impl Entitlement {
    /// Until when, if a moment is known.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Token { until } => Some(until),
            Self::Lease => None,
        }
    }

    /// What an authentic token, expired or not, means for a connection of this user and session.
    pub fn carried(self, (user, session): (UserId, SessionId), claims: &Claims, now: Timestamp) -> Carried {
        if claims.user != user && !planted(Mutant::SwitchedTokenAccepted) {
            return Carried::Switched;
        }
        let usable =
            claims.session == session && now < claims.expires_at && claims.issued_at <= now.plus(limits::TOKEN_LEEWAY);
        match self {
            Self::Token { until } if usable && claims.expires_at > until => Carried::Renews(claims.expires_at),
            _ => Carried::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Generation;

    const NOW: u64 = 1_000;

    fn user(id: u64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn session(digit: &str) -> SessionId {
        digit.repeat(32).parse().unwrap()
    }

    fn claims(user_id: u64, digit: &str, issued_at: u64, expires_at: u64) -> Claims {
        Claims {
            user: user(user_id),
            session: session(digit),
            generation: Generation::FIRST,
            jti: "j".to_owned(),
            issued_at: Timestamp::from_secs(issued_at),
            expires_at: Timestamp::from_secs(expires_at),
        }
    }

    #[test]
    fn s6_a_token_on_a_frame_renews_is_ignored_or_ends_the_connection() {
        let at = Timestamp::from_secs;
        let token = Entitlement::Token { until: at(NOW + 10) };
        for (entitlement, (who, digit, issued, expires), expect) in [
            // Newer, of the same session.
            (token, (1, "a", NOW, NOW + 11), Carried::Renews(at(NOW + 11))),
            (token, (1, "a", NOW + 5, NOW + 60), Carried::Renews(at(NOW + 60))),
            // The same one, an older one, an expired one, one from the future.
            (token, (1, "a", NOW, NOW + 10), Carried::Ignored),
            (token, (1, "a", NOW, NOW + 9), Carried::Ignored),
            (token, (1, "a", NOW - 60, NOW), Carried::Ignored),
            (token, (1, "a", NOW + 6, NOW + 60), Carried::Ignored),
            // Another session of the same user.
            (token, (1, "b", NOW, NOW + 60), Carried::Ignored),
            // A lease stays a lease.
            (Entitlement::Lease, (1, "a", NOW, NOW + 60), Carried::Ignored),
            (Entitlement::Lease, (1, "a", NOW - 60, NOW - 1), Carried::Ignored),
            // Another user, dead or alive, whatever the connection goes on by.
            (token, (2, "a", NOW, NOW + 60), Carried::Switched),
            (token, (2, "b", NOW - 60, NOW - 1), Carried::Switched),
            (Entitlement::Lease, (2, "b", NOW, NOW + 60), Carried::Switched),
        ] {
            let found = entitlement.carried((user(1), session("a")), &claims(who, digit, issued, expires), at(NOW));
            assert_eq!(found, expect, "{entitlement:?} {who} {digit} {issued} {expires}");
        }
    }

    #[test]
    fn only_a_token_says_until_when() {
        let until = Timestamp::from_secs(NOW);
        assert_eq!(Entitlement::Token { until }.until(), Some(until));
        assert_eq!(Entitlement::Lease.until(), None);
    }

    #[test]
    fn a_token_renewed_past_its_end_is_no_renewal() {
        // The connection's own end has come, and the token's too: nothing is left to renew with.
        let ended = Entitlement::Token { until: Timestamp::from_secs(NOW - 5) };
        for expires in [NOW - 1, NOW] {
            let late = claims(1, "a", NOW - 60, expires);
            let found = ended.carried((user(1), session("a")), &late, Timestamp::from_secs(NOW));
            assert_eq!(found, Carried::Ignored, "dead at the second of its exp");
        }
    }
}
