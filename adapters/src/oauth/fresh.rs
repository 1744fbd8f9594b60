//! Something of a provider's that is asked for once and kept for an hour: its metadata, its keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use transtalk_core::Monotonic;
use transtalk_core::ports::Clock;

use super::http::Failure;

/// A value that is fetched when it is needed, by one caller while the others wait.
pub(super) struct Fresh<T> {
    issuer: String,
    clock: Arc<dyn Clock>,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    value: Option<Arc<T>>,
    fetched_at: Monotonic,
    tried_at: Option<Monotonic>,
    forced_at: Option<Monotonic>,
}

impl<T> Fresh<T> {
    /// Nothing yet of this issuer.
    pub(super) fn new(issuer: &str, clock: Arc<dyn Clock>) -> Self {
        let held = Held { value: None, fetched_at: Monotonic::default(), tried_at: None, forced_at: None };
        Self { issuer: issuer.to_owned(), clock, held: Mutex::new(held) }
    }

    /// The value, fetched if it is missing or older than an hour. If that fails, an old one does for a day.
    pub(super) async fn get(&self, fetch: impl Future<Output = Result<T, Failure>> + Send) -> Result<Arc<T>, Failure> {
        let mut held = self.held.lock().await;
        let now = self.clock.monotonic();
        let kept = held.value.clone().map(|value| (value, now.since(held.fetched_at)));
        if let Some((value, age)) = &kept {
            let tried = held.tried_at.is_some_and(|at| now.since(at) < PAUSE);
            if *age < FRESH || (*age < STALE && tried) {
                return Ok(value.clone());
            }
        }
        // Before the attempt: whoever asks may be gone before it ends.
        held.tried_at = Some(now);
        match (fetch.await, kept) {
            (Ok(value), _) => Ok(held.keep(value, now)),
            (Err(Failure::Unavailable(trouble)), Some((value, age))) if age < STALE => {
                tracing::warn!(issuer = self.issuer, error = %trouble, "asked again in vain, so what it said before holds");
                Ok(value)
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// A newer value than the one seen; `None` if it was asked for too short a time ago.
    pub(super) async fn again(
        &self,
        seen: &Arc<T>,
        fetch: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<Option<Arc<T>>, Failure> {
        let mut held = self.held.lock().await;
        let now = self.clock.monotonic();
        if let Some(value) = held.value.as_ref().filter(|value| !Arc::ptr_eq(value, seen)) {
            return Ok(Some(value.clone()));
        }
        if held.forced_at.is_some_and(|at| now.since(at) < PAUSE) {
            return Ok(None);
        }
        held.forced_at = Some(now);
        let value = fetch.await?;
        Ok(Some(held.keep(value, now)))
    }
}

impl<T> Held<T> {
    fn keep(&mut self, value: T, now: Monotonic) -> Arc<T> {
        let value = Arc::new(value);
        self.value = Some(value.clone());
        self.fetched_at = now;
        value
    }
}

const FRESH: Duration = Duration::from_hours(1);
const STALE: Duration = Duration::from_hours(24);
/// Nobody makes this server ask more often.
const PAUSE: Duration = Duration::from_secs(10);
