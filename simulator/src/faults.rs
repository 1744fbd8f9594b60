//! What happens to the call of a port: it takes time, it fails before the act, or it fails after the act, so that the
//! caller does not know that it was done.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transtalk_core::ports::{BoxError, BusError, IdentityError, MessagesError, StoreError};

use crate::counters::{Counters, Sometimes};
use crate::executor::Executor;
use crate::options::{Options, Pace};
use crate::random::{Part, Random};
use crate::trace::Kind;

/// The trouble of one world. It ends with [`Faults::heal`].
pub(crate) struct Faults {
    executor: Executor,
    counters: Counters,
    state: Mutex<State>,
}

struct State {
    random: Random,
    options: Options,
    /// The node that cannot ask about sessions.
    dark: Option<Arc<str>>,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    NotDone,
    AnswerLost,
}

impl Faults {
    /// The trouble that this seed's options ask for.
    pub(crate) fn new(seed: u64, options: &Options, executor: Executor, counters: Counters) -> Self {
        let state = State { random: Random::child(seed, Part::Faults), options: options.clone(), dark: None };
        Self { executor, counters, state: Mutex::new(state) }
    }

    /// From now on everything is prompt and nothing fails.
    pub(crate) fn heal(&self) {
        let options = &mut self.lock().options;
        (options.ports, options.bus, options.translator) = (Pace::Prompt, Pace::Prompt, Pace::Short);
        (options.outages, options.bus_loss, options.untranslated) = (0, 0, 0);
    }

    /// From now on this node gets no answer about any session; or all get theirs again.
    pub(crate) fn black_out(&self, node: Option<Arc<str>>) {
        self.lock().dark = node;
    }

    /// Calls a port: `act` is the memory adapter's, which never waits.
    pub(crate) async fn call<T, E: Outage>(
        &self,
        who: &str,
        port: &'static str,
        act: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.executor.count_call().await;
        let (before, after, fate) = {
            let mut state = self.lock();
            let is_dark = state.dark.as_deref() == Some(who) && port.starts_with("Sessions::");
            let (before, after, fate) = state.plan();
            (before, after, if is_dark { Fate::NotDone } else { fate })
        };
        self.wait(before).await;
        if fate == Fate::NotDone {
            return self.report(who, port, fate, Err(E::outage()));
        }
        let answer = act.await;
        let done = answer.is_ok();
        self.executor.note(Kind::Call, u64::from(done), port.as_bytes());
        self.wait(after).await;
        if fate == Fate::AnswerLost && done {
            return self.report(who, port, fate, Err(E::outage()));
        }
        self.report(who, port, Fate::Answered, answer)
    }

    /// How long an event is under way, and whether it arrives.
    pub(crate) async fn carry(&self) -> bool {
        let (pace, is_lost) = {
            let mut state = self.lock();
            let State { random, options, .. } = &mut *state;
            (options.bus.draw(random), random.chance(options.bus_loss))
        };
        self.wait(pace).await;
        !is_lost
    }

    /// How long a translation takes, and whether it is made.
    pub(crate) async fn translate(&self) -> bool {
        let (pace, fails) = {
            let mut state = self.lock();
            let State { random, options, .. } = &mut *state;
            (options.translator.draw(random), random.chance(options.untranslated))
        };
        self.wait(pace).await;
        !fails
    }

    async fn wait(&self, pace: Option<u64>) {
        match pace {
            None => {}
            Some(0) => self.executor.step_aside().await,
            Some(millis) => self.executor.sleep(millis).await,
        }
    }

    fn report<T, E>(&self, who: &str, port: &'static str, fate: Fate, answer: Result<T, E>) -> Result<T, E> {
        let what = match fate {
            Fate::Answered if answer.is_ok() => "answered",
            Fate::Answered => "refused",
            Fate::NotDone => "out of reach",
            Fate::AnswerLost => "done, but the answer is lost",
        };
        if fate == Fate::AnswerLost {
            self.counters.count(Sometimes::StoreAnswerLost);
        }
        self.executor.note(Kind::Call, fate as u64 + 2, port.as_bytes());
        self.executor.tell(who, format_args!("{port} {what}"));
        answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn plan(&mut self) -> (Option<u64>, Option<u64>, Fate) {
        let Self { random, options, .. } = self;
        let (before, after) = (options.ports.draw(random), options.ports.draw(random));
        let fate = match (random.chance(options.outages), random.chance(500)) {
            (false, _) => Fate::Answered,
            (true, true) => Fate::NotDone,
            (true, false) => Fate::AnswerLost,
        };
        (before, after, fate)
    }
}

/// An error that can say "out of reach".
pub(crate) trait Outage: Send {
    /// Out of reach.
    fn outage() -> Self;
}

impl Outage for StoreError {
    fn outage() -> Self {
        Self::Unavailable { store: STORE, source: cause() }
    }
}

impl Outage for MessagesError {
    fn outage() -> Self {
        Self::Unavailable { store: STORE, source: cause() }
    }
}

impl Outage for BusError {
    fn outage() -> Self {
        Self::Unavailable { bus: STORE, source: cause() }
    }
}

impl Outage for IdentityError {
    fn outage() -> Self {
        Self::Unavailable { provider: STORE.to_owned(), source: cause() }
    }
}

fn cause() -> BoxError {
    "a simulated outage".into()
}

const STORE: &str = "simulated";
