//! A seeded executor on one thread: at every step it draws which of the ready tasks runs next, and that choice is where
//! races are found. When nobody is ready, virtual time jumps to the next timer. It is bounded in time and in steps.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::random::{Part, Random};
use crate::trace::{Kind, Trace};

/// Which tasks end together: those of a node, when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(pub(crate) u64);

impl Group {
    /// What lives as long as the world.
    pub(crate) const WORLD: Self = Self(0);
}

/// Names a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId(usize);

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number, as `C1`.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at: u64,
}

/// The executor. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Mutex<State>>);

struct State {
    now: u64,
    steps: u64,
    calls: u64,
    random: Random,
    trace: Trace,
    tasks: Vec<Slot>,
    ready: Vec<usize>,
    timers: BTreeMap<(u64, u64), Waker>,
    timers_made: u64,
    end: Option<Result<(), Broken>>,
}

struct Slot {
    name: Arc<str>,
    group: Group,
    waker: Waker,
    /// Not there while it runs and after its end.
    future: Option<Task>,
    is_queued: bool,
    is_over: bool,
    picks: u64,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Executor {
    /// An executor at time 0.
    pub(crate) fn new(seed: u64, with_story: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: 0,
            steps: 0,
            calls: 0,
            random: Random::child(seed, Part::Executor),
            trace: Trace::new(with_story),
            tasks: Vec::new(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            end: None,
        })))
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.lock().now
    }

    /// A new task, which is ready at once.
    pub(crate) fn spawn(&self, group: Group, name: &str, task: impl Future<Output = ()> + Send + 'static) -> TaskId {
        let mut state = self.lock();
        let id = state.tasks.len();
        let waker = Waker::from(Arc::new(TaskWaker { executor: Arc::downgrade(&self.0), task: id }));
        state.tasks.push(Slot {
            name: name.into(),
            group,
            waker,
            future: Some(Box::pin(task)),
            is_queued: true,
            is_over: false,
            picks: 0,
        });
        state.ready.push(id);
        TaskId(id)
    }

    /// Drops a task where it stands.
    pub(crate) fn cancel(&self, task: TaskId) {
        let dropped = self.lock().tasks[task.0].end();
        // Without the lock: what is dropped may wake others.
        drop(dropped);
    }

    /// Drops all tasks of a group where they stand.
    pub(crate) fn kill(&self, group: Group) {
        let of_group = |slot: &&mut Slot| slot.group == group;
        let dropped: Vec<Option<Task>> = self.lock().tasks.iter_mut().filter(of_group).map(Slot::end).collect();
        drop(dropped);
    }

    /// Waits so long.
    pub(crate) fn sleep(&self, millis: u64) -> Sleep {
        self.sleep_until(self.now() + millis)
    }

    /// Waits until then.
    pub(crate) fn sleep_until(&self, at: u64) -> Sleep {
        Sleep { executor: self.clone(), at, timer: None }
    }

    /// Lets the others go first, or not: that is drawn.
    pub(crate) async fn step_aside(&self) {
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

    /// Counts a call of a port. A task that calls for ever and never waits is stopped here, where it can be.
    pub(crate) async fn count_call(&self) {
        let calls = {
            let mut state = self.lock();
            state.calls += 1;
            state.calls
        };
        if calls > CALLS_MAX {
            self.fail("executor", format!("more than {CALLS_MAX} calls of ports: somebody asks for ever"));
            std::future::pending::<()>().await;
        }
    }

    /// Adds to the fingerprint.
    pub(crate) fn note(&self, kind: Kind, number: u64, bytes: &[u8]) {
        let mut state = self.lock();
        let now = state.now;
        state.trace.note(now, kind, number, bytes);
    }

    /// Adds to the story.
    pub(crate) fn tell(&self, who: &str, what: fmt::Arguments<'_>) {
        let mut state = self.lock();
        let now = state.now;
        state.trace.tell(now, who, what);
    }

    /// Ends the run with a broken invariant; the first one counts.
    pub(crate) fn fail(&self, invariant: &'static str, what: String) {
        let mut state = self.lock();
        let at = state.now;
        state.trace.tell(at, "BROKEN", format_args!("{invariant}: {what}"));
        if !matches!(state.end, Some(Err(_))) {
            state.end = Some(Err(Broken { invariant, what, at }));
        }
    }

    /// Ends the run.
    pub(crate) fn finish(&self) {
        self.lock().end.get_or_insert(Ok(()));
    }

    /// Runs until somebody ends it.
    pub(crate) fn run(&self) -> Result<(), Broken> {
        loop {
            // Taken out of the match, or the lock would be held while others are woken.
            let next = self.lock().next();
            let (mut task, id, waker) = match next {
                Next::End(end) => return end,
                Next::Nobody => continue,
                Next::Wake(wakers) => {
                    wakers.into_iter().for_each(Waker::wake);
                    continue;
                }
                Next::Run(task, id, waker) => (task, id, waker),
            };
            let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
            let mut state = self.lock();
            match polled {
                Ok(Poll::Pending) if !state.tasks[id].is_over => {
                    state.tasks[id].future = Some(task);
                    continue;
                }
                Ok(_) => state.tasks[id].is_over = true,
                Err(_) => {
                    state.tasks[id].is_over = true;
                    let name = state.tasks[id].name.clone();
                    drop(state);
                    self.fail("executor", format!("the task {name:?} panicked"));
                    continue;
                }
            }
            drop(state);
            drop(task);
        }
    }

    /// Drops everything, so that nothing holds on to anything else.
    pub(crate) fn clear(&self) {
        let dropped: Vec<Option<Task>> = self.lock().tasks.iter_mut().map(Slot::end).collect();
        drop(dropped);
        let timers = std::mem::take(&mut self.lock().timers);
        drop(timers);
    }

    /// The fingerprint, the steps and the story of the run.
    pub(crate) fn result(&self) -> (u64, u64, Vec<String>) {
        let mut state = self.lock();
        (state.trace.hash(), state.steps, state.trace.take_story())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

enum Next {
    End(Result<(), Broken>),
    Run(Task, usize, Waker),
    Wake(Vec<Waker>),
    Nobody,
}

impl State {
    fn next(&mut self) -> Next {
        if let Some(end) = self.end.take() {
            return Next::End(end);
        }
        if self.ready.is_empty() {
            return self.next_moment();
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let busiest = self.tasks.iter().max_by_key(|slot| slot.picks);
            let name = busiest.map(|slot| slot.name.to_string()).unwrap_or_default();
            return self.broken(format!("no end after {STEPS_MAX} steps; the busiest task is {name:?}"));
        }
        let index = self.random.index(self.ready.len());
        let id = self.ready.swap_remove(index);
        let slot = &mut self.tasks[id];
        slot.is_queued = false;
        slot.picks += 1;
        let Some(task) = slot.future.take() else { return Next::Nobody };
        let waker = slot.waker.clone();
        self.trace.note(self.now, Kind::Pick, id as u64, &[]);
        Next::Run(task, id, waker)
    }

    /// Everybody whose moment is the next one.
    fn next_moment(&mut self) -> Next {
        let Some((moment, _)) = self.timers.first_key_value().map(|(key, _)| *key) else {
            return self.broken("everybody waits for ever".to_owned());
        };
        if moment > TIME_MAX {
            return self.broken(format!("no end after {TIME_MAX} virtual milliseconds"));
        }
        self.now = moment;
        let later = self.timers.split_off(&(moment + 1, 0));
        Next::Wake(std::mem::replace(&mut self.timers, later).into_values().collect())
    }

    fn broken(&self, what: String) -> Next {
        Next::End(Err(Broken { invariant: "executor", what, at: self.now }))
    }
}

impl Slot {
    /// The task is over; what is left of it is for the caller to drop.
    fn end(&mut self) -> Option<Task> {
        self.is_over = true;
        self.future.take()
    }
}

struct TaskWaker {
    executor: Weak<Mutex<State>>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(executor) = self.executor.upgrade() else { return };
        let mut state = lock(&executor);
        let slot = &mut state.tasks[self.task];
        if !slot.is_queued && !slot.is_over {
            slot.is_queued = true;
            state.ready.push(self.task);
        }
    }
}

/// Waits for a moment.
pub(crate) struct Sleep {
    executor: Executor,
    at: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let executor = self.executor.clone();
        let mut state = executor.lock();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let made = state.timers_made;
        let at = self.at;
        let key = *self.timer.get_or_insert((at, made));
        if key.1 == made {
            state.timers_made += 1;
        }
        state.timers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let waker = self.executor.lock().timers.remove(&key);
            drop(waker);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A world that needs more steps runs in a circle.
const STEPS_MAX: u64 = 1_000_000;
/// So does one that calls more ports.
const CALLS_MAX: u64 = 1_000_000;
/// A quarter of a virtual hour.
const TIME_MAX: u64 = 900_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_never_waits_for_anything_fails_the_run_by_name() {
        let executor = Executor::new(1, false);
        let inner = executor.clone();
        executor.spawn(Group::WORLD, "the restless one", async move {
            loop {
                inner.step_aside().await;
            }
        });
        let broken = executor.run().unwrap_err();
        assert!(broken.what.contains("the restless one"), "{broken:?}");
        executor.clear();
    }

    #[test]
    fn a_task_that_panics_fails_the_run_by_name() {
        let executor = Executor::new(1, false);
        executor.spawn(Group::WORLD, "the nervous one", async { panic!("on purpose") });
        assert!(executor.run().unwrap_err().what.contains("the nervous one"));
    }

    #[test]
    fn time_jumps_to_the_next_timer_and_a_killed_group_is_gone() {
        let executor = Executor::new(1, false);
        let (a, b) = (executor.clone(), executor.clone());
        executor.spawn(Group(1), "killed", async move {
            a.sleep(50).await;
            a.fail("executor", "still alive".to_owned());
        });
        executor.spawn(Group::WORLD, "killer", async move {
            b.sleep(20).await;
            b.kill(Group(1));
            b.sleep(100).await;
            assert_eq!(b.now(), 120);
            b.finish();
        });
        assert_eq!(executor.run(), Ok(()));
    }
}
