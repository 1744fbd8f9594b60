//! Time and chance. They come from here and from nowhere else, or the simulator could not replay a run.

use async_trait::async_trait;

use crate::time::{Monotonic, Timestamp};

/// What time it is. It never waits.
pub trait Clock: Send + Sync {
    /// Wall time.
    fn now(&self) -> Timestamp;

    /// Time that only moves forward.
    fn monotonic(&self) -> Monotonic;
}

/// Waiting.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns at this moment or soon after it; at once if it has passed.
    async fn sleep_until(&self, at: Monotonic);
}

/// Random bytes that nobody can guess. It never waits.
pub trait Entropy: Send + Sync {
    /// Fills the whole of it.
    fn fill(&self, bytes: &mut [u8]);
}
