//! Broken rate limits: buckets that hold time, with a bug each.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryRateLimits;
use transtalk_core::Timestamp;
use transtalk_core::contract::{rate_limits::LAWS, run};
use transtalk_core::ports::{Allowance, RateLimitError, RateLimits, Taken};

use crate::{bugs, check, others_first};

bugs! { GivesOneMore, ComesBackAtOnce, DenialEmpties, SharesOneBucket, IsImpatient, IsTooPatient, NeverIsFull, RacesToTake }

struct Broken {
    limits: MemoryRateLimits,
    bug: Option<Bug>,
    /// What is left, in time, and when that was so.
    buckets: Mutex<BTreeMap<String, (Duration, Timestamp)>>,
}

impl Broken {
    /// A bucket of our own, for the bugs that cannot be had around a good one.
    async fn take_own(&self, key: &str, allowance: Allowance, now: Timestamp) -> Taken {
        let before = self.buckets.lock().unwrap().get(key).copied().unwrap_or((allowance.period, now));
        let mut left = before.0 + now.since(before.1);
        match self.bug {
            Some(Bug::NeverIsFull) => {}
            Some(Bug::ComesBackAtOnce) if now.since(before.1) < allowance.period => left = before.0,
            _ => left = left.min(allowance.period),
        }
        if self.bug == Some(Bug::RacesToTake) {
            others_first().await;
        }
        let cost = allowance.period / allowance.amount;
        let mut buckets = self.buckets.lock().unwrap();
        if left >= cost {
            let since = if self.bug == Some(Bug::ComesBackAtOnce) { before.1 } else { now };
            buckets.insert(key.to_owned(), (left.saturating_sub(cost), since));
            return Taken::Allowed;
        }
        if self.bug == Some(Bug::DenialEmpties) {
            buckets.insert(key.to_owned(), (Duration::ZERO, now));
        }
        Taken::Denied { retry_after: (cost.saturating_sub(left)).max(Duration::from_millis(1)) }
    }
}

#[async_trait]
impl RateLimits for Broken {
    async fn take(&self, key: &str, allowance: Allowance, now: Timestamp) -> Result<Taken, RateLimitError> {
        let more = Allowance { amount: allowance.amount + 1, ..allowance };
        let taken = match self.bug {
            Some(Bug::GivesOneMore) => self.limits.take(key, more, now).await?,
            Some(Bug::SharesOneBucket) => self.limits.take("", allowance, now).await?,
            None | Some(Bug::IsImpatient | Bug::IsTooPatient) => self.limits.take(key, allowance, now).await?,
            _ => self.take_own(key, allowance, now).await,
        };
        Ok(match (taken, self.bug) {
            (Taken::Denied { retry_after }, Some(Bug::IsImpatient)) => Taken::Denied { retry_after: retry_after / 2 },
            (Taken::Denied { .. }, Some(Bug::IsTooPatient)) => Taken::Denied { retry_after: allowance.period },
            _ => taken,
        })
    }
}

#[test]
fn every_law_of_rate_limits_catches_a_broken_variant() {
    check("rate_limits", LAWS, BUGS, |law, bug| {
        run(law(&Broken { limits: MemoryRateLimits::new(), bug, buckets: Mutex::default() }));
    });
}
