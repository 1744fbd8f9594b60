//! Who was sent an ERROR a moment ago.
//!
//! The first client answers an ERROR by connecting again at once (trap 6 of the wire contract): the first one of a minute leaves at
//! once, those that follow are held back, so that nobody can loop fast.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::id::SessionId;
use crate::limits;
use crate::time::Monotonic;

/// The last ERROR to each address and session.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(String, Option<SessionId>), Monotonic>>);

impl Refusals {
    /// How long an ERROR is held back that is due now.
    pub(super) fn delay(
        &self,
        address: &str,
        session: Option<SessionId>,
        now: Monotonic,
        error_delay: Duration,
    ) -> Duration {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Monotonic| now < at.plus(limits::ERROR_MEMORY);
        if last.len() >= limits::ERROR_MEMORY_MAX {
            last.retain(|_, at| recent(at));
        }
        // So many at once is no client's mistake: nobody is answered at once until some are forgotten.
        let full = last.len() >= limits::ERROR_MEMORY_MAX;
        let held = match last.get(&(address.to_owned(), session)) {
            Some(at) => recent(at),
            None => full,
        };
        if !full {
            last.insert((address.to_owned(), session), now);
        }
        if held { error_delay } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_minute_leaves_at_once() {
        let refusals = Refusals::default();
        let start = Monotonic::default();
        let session = Some("00112233445566778899aabbccddeeff".parse().unwrap());
        let delay = |who: &str, session, secs| {
            refusals.delay(who, session, start.plus(Duration::from_secs(secs)), Duration::from_secs(3)).as_secs()
        };
        assert_eq!(delay("a", session, 0), 0);
        assert_eq!(delay("a", session, 1), 3);
        assert_eq!(delay("b", session, 1), 0, "another address");
        assert_eq!(delay("a", None, 1), 0, "another session");
        assert_eq!(delay("a", session, 60), 3, "a minute after the last, not after the first");
        assert_eq!(delay("a", session, 120), 0);
    }
}
