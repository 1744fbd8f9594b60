//! Time that stands still until the test lets it pass, and an executor on one thread that lives in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use transtalk_core::ports::{Clock, Timer};
use transtalk_core::{Monotonic, Timestamp};

/// Clock and timer. A clone is the same time.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: u64,
    /// How far the calendar was set back.
    back: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
    sleeps: u64,
}

impl Time {
    /// Waits so long.
    pub(crate) fn pause(&self, wait: Duration) -> Sleep {
        self.until(self.monotonic().plus(wait))
    }

    /// Sets the calendar back; what has passed has passed all the same.
    pub(crate) fn set_back(&self, by: Duration) {
        self.lock().back += u64::try_from(by.as_millis()).unwrap();
    }

    /// Goes on by so much in one leap: whoever slept through it wakes late.
    pub(crate) fn leap(&self, by: Duration) {
        self.lock().now += u64::try_from(by.as_millis()).unwrap();
    }

    fn until(&self, at: Monotonic) -> Sleep {
        let mut state = self.lock();
        state.sleeps += 1;
        Sleep { time: self.clone(), key: (at.as_millis(), state.sleeps) }
    }

    /// Goes on to the next moment for which somebody waits; says whether anybody does.
    fn jump(&self) -> bool {
        let mut state = self.lock();
        let Some((next, _)) = state.sleepers.first_key_value().map(|(key, _)| *key) else { return false };
        state.now = state.now.max(next);
        let later = state.sleepers.split_off(&(next + 1, 0));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        let state = self.lock();
        Timestamp::from_millis(EPOCH_MILLIS + state.now - state.back)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_millis(self.lock().now)
    }
}

#[async_trait]
impl Timer for Time {
    async fn sleep_until(&self, at: Monotonic) {
        self.until(at).await;
    }
}

/// Waits for a moment.
pub(crate) struct Sleep {
    time: Time,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.time.lock();
        if state.now >= self.key.0 {
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.lock().sleepers.remove(&self.key);
    }
}

/// Lets others go first, once.
pub(crate) async fn step_aside() {
    let mut has_waited = false;
    std::future::poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs what a test waits for, and beside it what nobody waits for.
#[derive(Default)]
pub(crate) struct Runtime {
    pub(crate) time: Time,
    tasks: RefCell<Vec<(Task, Arc<Woken>)>>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Runtime {
    /// Something that goes on by itself.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.borrow_mut().push((Box::pin(task), Woken::new()));
    }

    /// Waits for it. Time passes only when nobody has anything else to do.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Woken::new();
        for _ in 0..TURNS_MAX {
            if woken.take() {
                if let Poll::Ready(done) = woken.poll(future.as_mut()) {
                    return done;
                }
                continue;
            }
            self.idle();
            assert!(woken.is_set() || self.time.jump(), "this waits for ever");
        }
        panic!("this takes for ever");
    }

    /// Lets so much time pass.
    pub(crate) fn pass(&self, wait: Duration) {
        self.run(self.time.pause(wait));
        self.idle();
    }

    /// Does what can be done at this moment.
    pub(crate) fn idle(&self) {
        let mut tasks = self.tasks.borrow_mut();
        for _ in 0..TURNS_MAX {
            let mut was_idle = true;
            tasks.retain_mut(|(task, woken)| {
                if !woken.take() {
                    return true;
                }
                was_idle = false;
                woken.poll(task.as_mut()).is_pending()
            });
            if was_idle {
                return;
            }
        }
        panic!("the background is never idle");
    }
}

/// Remembers that a task was woken; a new one is.
pub(crate) struct Woken(AtomicBool);

impl Woken {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn poll<T>(self: &Arc<Self>, future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
        self.0.store(false, Ordering::Relaxed);
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// 2026-01-01T00:00:00.123Z, so that seconds and milliseconds do not fall together.
const EPOCH_MILLIS: u64 = 1_767_225_600_123;
/// Whoever needs more turns in a circle.
const TURNS_MAX: usize = 10_000_000;
