//! Rate limits on one node, by the generic cell rate algorithm (ITU-T I.371): a bucket is one moment, that at which it is full again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use transtalk_core::Timestamp;
use transtalk_core::ports::{Allowance, RateLimitError, RateLimits, Taken};

use super::lock;

/// The buckets that are not full. A full one is forgotten: it is like one that was never used.
pub struct MemoryRateLimits {
    buckets: Mutex<Buckets>,
}

struct Buckets {
    /// When each is full again, in nanoseconds since 1970.
    full_at: BTreeMap<String, u128>,
    /// At this size the full ones are looked for, so that each take pays for a constant number of them.
    sweep_at: usize,
}

impl Default for MemoryRateLimits {
    fn default() -> Self {
        Self { buckets: Mutex::new(Buckets { full_at: BTreeMap::new(), sweep_at: SWEEP_AT_MIN }) }
    }
}

impl MemoryRateLimits {
    /// All buckets are full.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl RateLimits for MemoryRateLimits {
    async fn take(&self, key: &str, allowance: Allowance, now: Timestamp) -> Result<Taken, RateLimitError> {
        Ok(lock(&self.buckets).take(key, allowance, u128::from(now.as_millis()) * NANOS_PER_MILLI))
    }
}

impl Buckets {
    fn take(&mut self, key: &str, allowance: Allowance, now: u128) -> Taken {
        let period = allowance.period.as_nanos();
        if allowance.amount == 0 {
            return Taken::Denied { retry_after: allowance.period.max(Duration::from_millis(1)) };
        }
        let interval = period / u128::from(allowance.amount);
        // No bucket is emptier than empty: one that seems so was filled before the clock was set back.
        let known = self.full_at.get(key).map_or(now, |full_at| (*full_at).clamp(now, now + period));
        let full_at = known + interval;
        if full_at > now + period {
            // Or it would be empty at every later look too, until the time comes again that was before.
            if let Some(kept) = self.full_at.get_mut(key) {
                *kept = known;
            }
            let millis = (full_at - now - period).div_ceil(NANOS_PER_MILLI);
            return Taken::Denied { retry_after: Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)) };
        }
        if self.full_at.insert(key.to_owned(), full_at).is_none() && self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = (2 * self.full_at.len()).max(SWEEP_AT_MIN);
        }
        Taken::Allowed
    }
}

const NANOS_PER_MILLI: u128 = 1_000_000;
const SWEEP_AT_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_A_SECOND: Allowance = Allowance { amount: 1, period: Duration::from_secs(1) };

    #[test]
    fn full_buckets_are_forgotten() {
        let limits = MemoryRateLimits::new();
        let mut buckets = lock(&limits.buckets);
        for second in 0..100u128 {
            for caller in 0..500 {
                let key = format!("{second}.{caller}");
                assert_eq!(buckets.take(&key, ONE_A_SECOND, second * 1_000 * NANOS_PER_MILLI), Taken::Allowed);
            }
            assert!(buckets.full_at.len() <= SWEEP_AT_MIN, "{} buckets are kept", buckets.full_at.len());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_period() {
        let limits = MemoryRateLimits::new();
        let mut buckets = lock(&limits.buckets);
        let hour = 3_600_000 * NANOS_PER_MILLI;
        assert_eq!(buckets.take("key", ONE_A_SECOND, 2 * hour), Taken::Allowed);
        let denied = Taken::Denied { retry_after: Duration::from_secs(1) };
        assert_eq!(buckets.take("key", ONE_A_SECOND, hour), denied);
        assert_eq!(buckets.take("key", ONE_A_SECOND, hour + 1_000 * NANOS_PER_MILLI), Taken::Allowed);
    }

    #[test]
    fn an_allowance_of_nothing_denies() {
        let nothing = Allowance { amount: 0, period: Duration::from_secs(1) };
        let denied = Taken::Denied { retry_after: Duration::from_secs(1) };
        assert_eq!(lock(&MemoryRateLimits::new().buckets).take("key", nothing, 0), denied);
    }
}
