//! A signed-in session: a family of refresh tokens, of which one generation is current.
//!
//! The row is the truth. Everything that a refresh token may lead to is decided by [`Session::classify`], a pure function.

use std::fmt;
use std::time::Duration;

use crate::id::{SessionId, UserId};
use crate::mutant::{Mutant, planted};
use crate::time::Timestamp;

/// Which refresh token of a session is meant: 1, 2, 3, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The one that a sign-in gives.
    pub const FIRST: Self = Self(1);

    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From what somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// The `User-Agent` header, cut to [`crate::limits::DEVICE_BYTES_MAX`].
    pub name: String,
    /// The network address.
    pub address: String,
}

/// A session's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The current generation.
    pub generation: Generation,
    /// The newest generation of which an access token was seen in use.
    pub acknowledged: Generation,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the current generation was made.
    pub rotated_at: Timestamp,
    /// It ends here unless it is refreshed.
    pub expires_at: Timestamp,
    /// It ends here whatever happens (invariant T9).
    pub absolute_expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// From what.
    pub device: Device,
}

/// How long the parts of a session live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an access token.
    pub access: Duration,
    /// Of a refresh token, from its making; each refresh begins it anew.
    pub refresh: Duration,
    /// Of a whole session, however often it is refreshed.
    pub absolute: Duration,
    /// How long the predecessor of the current refresh token is still taken for a second tab's.
    pub grace: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let days = |n: u64| Duration::from_hours(n * 24);
        Self { access: Duration::from_mins(30), refresh: days(7), absolute: days(30), grace: Duration::from_secs(10) }
    }
}

/// What a presented refresh token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// The current one: rotate.
    Current,
    /// One behind, within the grace window: two tabs refreshed at once. The current one is the answer.
    Concurrent,
    /// One behind, later, and the current generation was never used: its answer was lost. The current one is the answer.
    LostResponse,
    /// An old one: somebody else has it too. The session ends.
    Reuse,
    /// The session is over, by time or by revocation.
    Ended,
}

impl Session {
    /// A session that begins now.
    pub fn begin(id: SessionId, user: UserId, device: Device, lifetimes: &Lifetimes, now: Timestamp) -> Self {
        let absolute_expires_at = now.plus(lifetimes.absolute);
        Self {
            id,
            user,
            generation: Generation::FIRST,
            acknowledged: Generation::FIRST,
            created_at: now,
            rotated_at: now,
            expires_at: now.plus(lifetimes.refresh).min(absolute_expires_at),
            absolute_expires_at,
            revoked_at: None,
            device,
        }
    }

    /// Whether it is neither revoked nor over.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let is_within = now < self.absolute_expires_at || planted(Mutant::RotationExtendsAbsolute);
        self.revoked_at.is_none() && now < self.expires_at && is_within
    }

    /// What an authentic refresh token of this generation is, now.
    pub fn classify(&self, presented: Generation, grace: Duration, now: Timestamp) -> Presented {
        if !self.is_live(now) {
            Presented::Ended
        } else if presented == self.generation {
            Presented::Current
        } else if presented.next() != self.generation {
            Presented::Reuse
        } else if !grace.is_zero() && now.since(self.rotated_at) <= grace {
            Presented::Concurrent
        } else if self.acknowledged < self.generation {
            Presented::LostResponse
        } else {
            Presented::Reuse
        }
    }

    /// Whether a refresh token of this generation could be exchanged now: it is the current one, or its predecessor within grace
    /// or while the current one is unacknowledged. To ask changes nothing.
    pub fn honours(&self, presented: Generation, grace: Duration, now: Timestamp) -> bool {
        match self.classify(presented, grace, now) {
            Presented::Current | Presented::Concurrent | Presented::LostResponse => true,
            Presented::Reuse | Presented::Ended => false,
        }
    }

    /// The row after a rotation now. The absolute end never moves.
    #[must_use]
    pub fn rotated(&self, lifetimes: &Lifetimes, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.generation = self.generation.next();
        next.rotated_at = now;
        next.expires_at = now.plus(lifetimes.refresh);
        if !planted(Mutant::RotationExtendsAbsolute) {
            next.expires_at = next.expires_at.min(self.absolute_expires_at);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(generation: u32, acknowledged: u32) -> Session {
        let lifetimes = Lifetimes::default();
        let mut session = Session::begin(
            "00112233445566778899aabbccddeeff".parse().unwrap(),
            UserId::new(1).unwrap(),
            Device::default(),
            &lifetimes,
            Timestamp::from_secs(1_000),
        );
        session.generation = Generation(generation);
        session.acknowledged = Generation(acknowledged);
        session
    }

    #[test]
    fn a_presented_token_is_classified_by_generation_time_and_use() {
        let grace = Duration::from_secs(10);
        for (presented, after_secs, acknowledged, expect) in [
            (5, 0, 5, Presented::Current),
            (5, 600, 4, Presented::Current),
            (4, 0, 5, Presented::Concurrent),
            (4, 10, 5, Presented::Concurrent),
            (4, 11, 5, Presented::Reuse),
            (4, 11, 4, Presented::LostResponse),
            (3, 0, 5, Presented::Reuse),
            (3, 0, 3, Presented::Reuse),
            (6, 0, 5, Presented::Reuse),
            (5, 8 * 24 * 60 * 60, 5, Presented::Ended),
        ] {
            let session = session(5, acknowledged);
            let now = session.rotated_at.plus(Duration::from_secs(after_secs));
            assert_eq!(session.classify(Generation(presented), grace, now), expect, "{presented} {after_secs}");
        }
    }

    #[test]
    fn t9_rotation_never_moves_the_absolute_end() {
        let lifetimes = Lifetimes::default();
        let mut session = session(1, 1);
        let end = session.absolute_expires_at;
        for day in 1..60 {
            let now = Timestamp::from_secs(1_000 + day * 24 * 60 * 60);
            session = session.rotated(&lifetimes, now);
            assert_eq!(session.absolute_expires_at, end);
            assert!(session.expires_at <= end);
        }
        assert!(!session.is_live(end));
        // Whatever a row says of its sliding end.
        session.expires_at = end.plus(Duration::from_secs(1));
        assert!(!session.is_live(end));
        assert!(session.is_live(Timestamp::from_millis(end.as_millis() - 1)));
    }
}
