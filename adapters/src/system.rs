//! The system's clock, timers and random bytes: the one place of the server that reads them.
//! Nothing is decided here; see the ports [`Clock`], [`Timer`] and [`Entropy`].

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use transtalk_core::ports::{Clock, Entropy, Timer};
use transtalk_core::{Monotonic, Timestamp};

/// The system's clocks. All of them in one process agree.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock that is set before 1970 is taken for 1970: every token is then from the future and refused.
        Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default().plus(START.elapsed())
    }
}

/// Waits on the tokio runtime, by the same monotonic time as [`SystemClock`].
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTimer;

#[async_trait]
impl Timer for TokioTimer {
    async fn sleep_until(&self, at: Monotonic) {
        let wait = Duration::from_millis(at.as_millis()).min(WAIT_MAX);
        tokio::time::sleep_until((*START + wait).into()).await;
    }
}

/// The operating system's random bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // A system that has none cannot run a server that signs anything: nothing better is left than to stop.
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// Monotonic time counts from the first look at it.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A hundred years stand for ever, and no sum of times overflows.
const WAIT_MAX: Duration = Duration::from_hours(100 * 366 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_of_this_century() {
        let now = SystemClock.now().as_secs();
        assert!((1_700_000_000..4_102_444_800).contains(&now), "{now}");
    }

    #[tokio::test]
    async fn a_timer_never_returns_early() {
        let at = SystemClock.monotonic().plus(Duration::from_millis(3));
        TokioTimer.sleep_until(at).await;
        assert!(SystemClock.monotonic() >= at);
        // What has passed does not wait.
        TokioTimer.sleep_until(Monotonic::default()).await;
    }

    #[tokio::test]
    async fn a_timer_bears_the_end_of_time() {
        let timer = TokioTimer;
        let mut never = timer.sleep_until(Monotonic::from_millis(u64::MAX));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(never.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }

    #[test]
    fn random_bytes_differ() {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut two);
        assert_ne!(one, two);
        assert_ne!(one, [0; 32]);
    }
}
