//! Many seeds, on as many threads as there are; each world has one thread, so threads change nothing in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::counters::Counters;
use crate::scenario::Scenario;
use crate::world::{Report, run};

/// Which seeds.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// On how many threads.
    pub threads: usize,
    /// With which bias.
    pub scenario: Scenario,
}

/// What came of them.
pub struct Outcome {
    /// How many passed, of all up to the first that did not.
    pub passed: u64,
    /// The first seed that did not pass.
    pub failed: Option<Report>,
    /// What all of them came across.
    pub counters: Counters,
    /// Of each seed that passed: its fingerprint.
    pub hashes: Vec<(u64, u64)>,
}

impl Campaign {
    /// Runs them all, or until one fails; `progress` is told how many are done.
    pub fn run(&self, progress: impl Fn(u64) + Sync) -> Outcome {
        let end = self.from.saturating_add(self.count);
        let next = AtomicU64::new(self.from);
        // No seed beyond the first failure matters.
        let limit = AtomicU64::new(end);
        let found = Mutex::new((Vec::new(), None::<Report>));
        let counters = Counters::default();
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= limit.load(Ordering::Relaxed) {
                            return;
                        }
                        let report = run(seed, self.scenario, false);
                        counters.add(&report.counters);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if report.broken.is_none() {
                            found.0.push((seed, report.hash));
                            let done = found.0.len() as u64;
                            drop(found);
                            progress(done);
                        } else if found.1.as_ref().is_none_or(|failed| seed < failed.seed) {
                            limit.fetch_min(seed, Ordering::Relaxed);
                            found.1 = Some(report);
                        }
                    }
                });
            }
        });
        let (mut hashes, failed) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        hashes.sort_unstable();
        if let Some(failed) = &failed {
            hashes.retain(|(seed, _)| *seed < failed.seed);
        }
        Outcome { passed: hashes.len() as u64, failed, counters, hashes }
    }
}
