//! Tokens that were verified a moment ago: a hash is cheaper than a signature.
//!
//! Only what was found authentic is remembered, for exactly the keys that it was found with: whoever changes the keys
//! starts anew. Neither times nor sessions are remembered; they are asked about each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use transtalk_core::ports::{Claims, TokenKind};

/// A bounded memory of authentic tokens. What was not asked for in a while is forgotten first.
pub(super) struct Remembered {
    generations: Mutex<Generations>,
}

/// When the young are as many as may be, they become the old ones, and those are forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Name, Claims>,
    old: HashMap<Name, Claims>,
}

/// What a token is remembered by. The token itself would be worth stealing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; 32]);

impl Name {
    /// Of a token that is to be of this kind.
    pub(super) fn of(kind: TokenKind, token: &str) -> Self {
        // No `typ` has a zero byte in it, so that no (kind, token) reads as another.
        let hash = Sha256::new().chain_update(kind.typ()).chain_update([0]).chain_update(token);
        Self(hash.finalize().into())
    }
}

impl Remembered {
    pub(super) fn new() -> Self {
        Self { generations: Mutex::default() }
    }

    /// What the token says, if it was verified before.
    pub(super) fn find(&self, name: Name) -> Option<Claims> {
        let mut generations = self.lock();
        if let Some(claims) = generations.young.get(&name) {
            return Some(claims.clone());
        }
        let claims = generations.old.remove(&name)?;
        generations.keep(name, claims.clone());
        Some(claims)
    }

    /// Keeps what an authentic token says.
    pub(super) fn keep(&self, name: Name, claims: Claims) {
        self.lock().keep(name, claims);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // Each act leaves the maps whole, wherever a thread may have died.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, name: Name, claims: Claims) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, claims);
    }
}

/// Half of the tokens that are remembered at most.
const GENERATION_MAX: usize = 5_000;

#[cfg(test)]
mod tests {
    use transtalk_core::auth::Generation;
    use transtalk_core::{Timestamp, UserId};

    use super::*;

    fn claims(number: usize) -> Claims {
        Claims {
            user: UserId::new(7).unwrap(),
            session: "00112233445566778899aabbccddeeff".parse().unwrap(),
            generation: Generation(3),
            jti: number.to_string(),
            issued_at: Timestamp::from_secs(1_000),
            expires_at: Timestamp::from_secs(2_800),
        }
    }

    fn name(number: usize) -> Name {
        Name::of(TokenKind::Access, &number.to_string())
    }

    #[test]
    fn a_token_is_remembered_for_its_own_kind_only() {
        let remembered = Remembered::new();
        remembered.keep(name(1), claims(1));
        assert!(remembered.find(name(1)) == Some(claims(1)));
        assert!(remembered.find(name(2)).is_none());
        assert!(remembered.find(Name::of(TokenKind::WsTicket, "1")).is_none());
    }

    #[test]
    fn no_more_than_a_bounded_number_is_remembered_and_what_is_in_use_stays() {
        let remembered = Remembered::new();
        remembered.keep(name(0), claims(0));
        for number in 1..=10 * GENERATION_MAX {
            remembered.keep(name(number), claims(number));
            if number % 1_000 == 0 {
                assert!(remembered.find(name(0)) == Some(claims(0)), "{number}");
            }
            let generations = remembered.lock();
            assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
        }
        assert!(remembered.find(name(1)).is_none());
        assert!(remembered.find(name(10 * GENERATION_MAX)).is_some());
    }
}
