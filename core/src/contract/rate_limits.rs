//! The laws of [`RateLimits`].

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, at, unique};
use crate::ports::{Allowance, RateLimits, Taken};
use crate::time::Timestamp;

/// One law.
pub type Law = for<'a> fn(&'a dyn RateLimits) -> BoxFuture<'a, ()>;

contract!($, rate_limits, rate_limits_contract, (rate_limits), [
    the_whole_amount_is_there_at_once_and_no_more,
    what_was_taken_comes_back_evenly,
    what_was_denied_takes_nothing,
    one_key_takes_nothing_from_another,
    a_denied_caller_is_allowed_after_the_time_it_was_told,
    a_bucket_never_holds_more_than_the_amount,
    concurrent_takers_share_one_amount,
]);

/// Four in four seconds: one comes back every second.
const FOUR: Allowance = Allowance { amount: 4, period: Duration::from_secs(4) };

async fn allowed(limits: &dyn RateLimits, key: &str, now: Timestamp) -> bool {
    limits.take(key, FOUR, now).await.unwrap() == Taken::Allowed
}

/// How many are allowed at this moment, of more than there can be.
async fn drain(limits: &dyn RateLimits, key: &str, now: Timestamp) -> usize {
    let mut count = 0;
    for _ in 0..3 * FOUR.amount {
        count += usize::from(allowed(limits, key, now).await);
    }
    count
}

pub async fn the_whole_amount_is_there_at_once_and_no_more(limits: &dyn RateLimits) {
    assert_eq!(drain(limits, &unique("key"), at(0)).await, 4);
    let (key, one) = (unique("key"), Allowance { amount: 1, period: Duration::from_millis(1500) });
    assert_eq!(limits.take(&key, one, at(0)).await.unwrap(), Taken::Allowed);
    assert_ne!(limits.take(&key, one, at(0)).await.unwrap(), Taken::Allowed);
}

pub async fn what_was_taken_comes_back_evenly(limits: &dyn RateLimits) {
    let key = unique("key");
    drain(limits, &key, at(0)).await;
    for (millis, expect) in [(999, 0), (1000, 1), (1999, 0), (2000, 1), (4000, 2), (4001, 0)] {
        assert_eq!(drain(limits, &key, at(millis)).await, expect, "at {millis} ms");
    }
}

pub async fn what_was_denied_takes_nothing(limits: &dyn RateLimits) {
    let key = unique("key");
    drain(limits, &key, at(0)).await;
    for millis in 1..1000 {
        assert!(!allowed(limits, &key, at(millis)).await, "at {millis} ms");
    }
    assert!(allowed(limits, &key, at(1000)).await);
}

pub async fn one_key_takes_nothing_from_another(limits: &dyn RateLimits) {
    let (one, other) = (unique("key"), unique("key"));
    assert_eq!(drain(limits, &one, at(0)).await, 4);
    assert_eq!(drain(limits, &other, at(0)).await, 4);
}

pub async fn a_denied_caller_is_allowed_after_the_time_it_was_told(limits: &dyn RateLimits) {
    for allowance in [FOUR, Allowance { amount: 7, period: Duration::from_secs(1) }] {
        for begin in [0, 1, 143, 999] {
            let key = unique("key");
            let mut now = at(begin);
            while limits.take(&key, allowance, now).await.unwrap() == Taken::Allowed {}
            for _ in 0..10 {
                let Taken::Denied { retry_after } = limits.take(&key, allowance, now).await.unwrap() else {
                    panic!("more than the amount was given");
                };
                let longest = allowance.period / allowance.amount + Duration::from_millis(1);
                assert!((Duration::from_millis(1)..=longest).contains(&retry_after), "{retry_after:?}");
                now = now.plus(retry_after);
                assert_eq!(limits.take(&key, allowance, now).await.unwrap(), Taken::Allowed, "{retry_after:?}");
            }
        }
    }
}

pub async fn a_bucket_never_holds_more_than_the_amount(limits: &dyn RateLimits) {
    let key = unique("key");
    assert!(allowed(limits, &key, at(0)).await);
    assert_eq!(drain(limits, &key, at(400_000)).await, 4);
    assert_eq!(drain(limits, &key, at(800_000)).await, 4);
}

pub async fn concurrent_takers_share_one_amount(limits: &dyn RateLimits) {
    let key = unique("key");
    let taken = join_all((0..RACERS).map(|_| limits.take(&key, FOUR, at(0)))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap() == Taken::Allowed).count(), 4);
}
