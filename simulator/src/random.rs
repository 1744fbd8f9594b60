//! Chance, all of it from one seed. Every part of a world draws from a stream of its own, so that a change of one part
//! leaves what the others draw as it was.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Who draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the world is like.
    Options,
    /// Which task runs next.
    Executor,
    /// How long bytes travel, and how they are cut into pieces.
    Network,
    /// What the ports do.
    Faults,
    /// What the core asks of its `Entropy` port.
    Entropy,
    /// When nodes die and links break.
    Chaos,
    /// What one browser tab does.
    Tab(u64),
}

/// A stream of numbers.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of one part of the world of this seed.
    pub(crate) fn child(seed: u64, part: Part) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(match part {
            Part::Options => 1,
            Part::Executor => 2,
            Part::Network => 3,
            Part::Faults => 4,
            Part::Entropy => 5,
            Part::Chaos => 6,
            Part::Tab(number) => 100 + number,
        });
        Self(stream)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// An index into something of this length, which must not be 0.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        // It is less than a `usize`, so it is one.
        usize::try_from(self.between(0, (length as u64).saturating_sub(1))).unwrap_or_default()
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.between(1, 1_000) <= per_mille
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// Random bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
