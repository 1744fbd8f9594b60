//! How many refreshes wait on this node, of one session and in all: what waits costs memory, and a cookie can be sent often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Failure;
use crate::id::SessionId;
use crate::limits;

/// The refreshes that wait.
#[derive(Default)]
pub(super) struct Waiters(Mutex<State>);

#[derive(Default)]
struct State {
    all: usize,
    of: BTreeMap<SessionId, usize>,
}

/// One that waits, until it is dropped.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    session: SessionId,
}

impl Waiters {
    /// One more waits, or is refused because too many do.
    pub(super) fn enter(&self, session: SessionId) -> Result<Waiting<'_>, Failure> {
        let mut state = self.lock();
        let of = state.of.get(&session).copied().unwrap_or_default();
        if state.all >= limits::REFRESH_WAITERS_MAX || of >= limits::REFRESH_WAITERS_PER_SESSION_MAX {
            return Err(Failure::Unavailable { part: "the queue of refreshes", source: "full".into() });
        }
        state.all += 1;
        state.of.insert(session, of + 1);
        Ok(Waiting { waiters: self, session })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.all -= 1;
        if let Some(of) = state.of.get_mut(&self.session) {
            *of -= 1;
            if *of == 0 {
                state.of.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_so_many_places_and_gives_them_back() {
        let waiters = Waiters::default();
        let [one, other] = ["a", "b"].map(|digit| digit.repeat(32).parse::<SessionId>().unwrap());
        let max = limits::REFRESH_WAITERS_PER_SESSION_MAX;
        let waiting: Vec<_> = (0..max).map(|_| waiters.enter(one).unwrap_or_else(|_| panic!("a place"))).collect();
        assert!(waiters.enter(one).is_err());
        assert!(waiters.enter(other).is_ok());
        drop(waiting);
        assert!(waiters.enter(one).is_ok());
        let state = waiters.lock();
        assert_eq!((state.all, state.of.len()), (0, 0));
    }
}
