//! Time and chance as the core sees them: virtual, and from the seed.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use transtalk_core::ports::{Clock, Entropy, Timer};
use transtalk_core::{Monotonic, Timestamp};

use crate::executor::Executor;
use crate::random::{Part, Random};

/// Clock and timer over the executor's time.
pub(crate) struct VirtualClock(pub(crate) Executor);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH_MILLIS + self.0.now())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_millis(self.0.now())
    }
}

#[async_trait]
impl Timer for VirtualClock {
    async fn sleep_until(&self, at: Monotonic) {
        self.0.sleep_until(at.as_millis()).await;
    }
}

/// The same moment in virtual milliseconds.
pub(crate) fn millis(at: Timestamp) -> u64 {
    at.as_millis().saturating_sub(EPOCH_MILLIS)
}

/// Bytes from the seed.
pub(crate) struct SeededEntropy(Mutex<Random>);

impl SeededEntropy {
    /// The entropy of the world of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::child(seed, Part::Entropy)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

/// When every world begins: 2026-01-01T00:00:00.123Z, so that seconds and milliseconds do not fall together.
const EPOCH_MILLIS: u64 = 1_767_225_600_123;
