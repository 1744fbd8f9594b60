//! Time and chance of the interleavings, and a watch on the machine itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use reqwest::Method;

use crate::support::Anon;

/// Between the end of a session or a token and the end of its sockets, at most (invariants T6 and S1).
const SOCKET_BOUND: u64 = 1_000_000;
/// How often the machine is looked at.
const LOOK_EVERY: u64 = 20_000;
/// A look that takes longer than this says that nothing else went on either.
const STALL: u64 = 100_000;

/// Microseconds since 1970, by a clock that never jumps.
#[derive(Clone)]
pub(super) struct Clock {
    wall: u64,
    zero: Instant,
    stalls: Arc<Stalls>,
}

/// When the machine stood still.
#[derive(Default)]
struct Stalls {
    over: Mutex<Vec<(u64, u64)>>,
    /// When the look under way was due.
    due: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let wall = u64::try_from(wall.as_micros()).expect("a time of this age");
        Self { wall, zero: Instant::now(), stalls: Arc::default() }
    }

    pub(super) fn now(&self) -> u64 {
        self.wall + u64::try_from(self.zero.elapsed().as_micros()).expect("a time of this age")
    }

    /// The skews are what is tested: nobody waits here for something to be done.
    pub(super) async fn until(&self, micros: u64) {
        let at = self.zero + Duration::from_micros(micros.saturating_sub(self.wall));
        tokio::time::sleep_until(at.into()).await;
    }

    /// Whether what was due since `from` was done in time at `at`. A machine that is kept busy by others is no fault of the server: a
    /// request that needs no store tells how long it had no time for anything.
    pub(super) fn in_time(&self, from: u64, at: u64) -> bool {
        let now = self.now();
        let due = self.stalls.due.load(Ordering::Acquire);
        let over = self.stalls.over.lock().expect("nobody panics with it");
        let under_way = (now > due + STALL).then_some((due, now));
        let still = over.iter().copied().chain(under_way);
        let still: u64 = still.map(|(began, ended)| ended.min(at).saturating_sub(began.max(from))).sum();
        at <= from + SOCKET_BOUND + still
    }

    /// Looks at the machine for as long as the test goes on.
    pub(super) async fn watch(self, anon: Anon) {
        let mut due = self.now();
        loop {
            self.stalls.due.store(due, Ordering::Release);
            self.until(due).await;
            if anon.request(Method::GET, "/livez").send().await.is_err() {
                return;
            }
            let now = self.now();
            if now > due + STALL {
                self.stalls.over.lock().expect("nobody panics with it").push((due, now));
            }
            due = now + LOOK_EVERY;
        }
    }
}

/// Chance from a seed, by `SplitMix64` (Steele, Lea and Flood 2014).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn of(seed: u64, index: u64) -> Self {
        Self(seed.wrapping_add(index).wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}
