//! Links between clients and servers: bytes take time, arrive in other pieces than they were sent, and are lost when the
//! link is cut. It is all virtual, and it does no I/O.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use transtalk_core::stomp::CloseCode;

use crate::executor::{Executor, Sleep};
use crate::options::{Options, Pace};
use crate::random::{Part, Random};
use crate::trace::Kind;

/// The network of a world.
#[derive(Clone)]
pub(crate) struct Network {
    executor: Executor,
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    pace: Pace,
    pieces: bool,
    lost: u64,
    links: u64,
}

/// What comes out of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The other side has closed, and perhaps said why.
    Closed(Option<CloseCode>),
}

/// One side of a link. When it is dropped, the other side hears of it.
pub(crate) struct End {
    /// The link's number.
    pub(crate) link: u64,
    network: Network,
    direction: Kind,
    inward: Arc<Mutex<Pipe>>,
    outward: Arc<Mutex<Pipe>>,
}

#[derive(Default)]
struct Pipe {
    under_way: VecDeque<(u64, Arrival)>,
    /// Nothing overtakes what was sent before.
    last_arrival: u64,
    is_closed: bool,
    reader: Option<Waker>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Cuts a link from outside.
pub(crate) struct Scissors {
    network: Network,
    pipes: [Arc<Mutex<Pipe>>; 2],
}

impl Network {
    /// The network that this seed's options ask for.
    pub(crate) fn new(seed: u64, options: &Options, executor: Executor) -> Self {
        let state = State {
            random: Random::child(seed, Part::Network),
            pace: options.network,
            pieces: options.pieces,
            lost: options.lost_requests,
            links: 0,
        };
        Self { executor, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on everything is fast and nothing is lost.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.pace = Pace::Short;
        state.lost = 0;
    }

    /// A new link: the client's side and the server's, and what cuts it.
    pub(crate) fn link(&self) -> (End, End, Scissors) {
        let link = {
            let mut state = self.lock();
            state.links += 1;
            state.links
        };
        let [up, down] = [(); 2].map(|()| Arc::new(Mutex::new(Pipe::default())));
        let network = || self.clone();
        let client = End { link, network: network(), direction: Kind::Up, inward: down.clone(), outward: up.clone() };
        let server = End { link, network: network(), direction: Kind::Down, inward: up.clone(), outward: down.clone() };
        (client, server, Scissors { network: network(), pipes: [up, down] })
    }

    /// Travels one way. Says whether it arrives.
    pub(crate) async fn travel(&self) -> bool {
        let (millis, is_lost) = {
            let mut state = self.lock();
            let State { random, pace, lost, .. } = &mut *state;
            (pace.draw(random).unwrap_or_default(), random.chance(*lost))
        };
        self.executor.sleep(millis.max(1)).await;
        !is_lost
    }

    fn send(&self, pipe: &Mutex<Pipe>, arrival: Arrival) {
        let now = self.executor.now();
        let latency = {
            let mut state = self.lock();
            let State { random, pace, .. } = &mut *state;
            pace.draw(random).unwrap_or_default().max(1)
        };
        let waker = {
            let mut pipe = lock(pipe);
            if pipe.is_closed {
                return;
            }
            pipe.is_closed = matches!(arrival, Arrival::Closed(_));
            pipe.last_arrival = pipe.last_arrival.max(now + latency);
            let at = pipe.last_arrival;
            pipe.under_way.push_back((at, arrival));
            pipe.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Where to cut a piece of so many bytes in two; `None` to leave it whole.
    fn cut_at(&self, length: usize) -> Option<usize> {
        let mut state = self.lock();
        let wants = state.pieces && length > 1 && state.random.chance(400);
        wants.then(|| 1 + state.random.index(length - 1))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl End {
    /// Sends bytes, in one piece or two.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.network.executor.note(self.direction, self.link, bytes);
        let (first, second) = bytes.split_at(self.network.cut_at(bytes.len()).unwrap_or(bytes.len()));
        for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
            self.network.send(&self.outward, Arrival::Bytes(piece.to_vec()));
        }
    }

    /// Says that this was all.
    pub(crate) fn close(&self, code: Option<CloseCode>) {
        self.network.send(&self.outward, Arrival::Closed(code));
    }

    /// What arrives next.
    pub(crate) async fn receive(&self) -> Arrival {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    /// What has arrived: pieces that are there together come together.
    pub(crate) fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Arrival> {
        let now = self.network.executor.now();
        let mut pipe = lock(&self.inward);
        let mut bytes = Vec::new();
        while let Some((at, arrival)) = pipe.under_way.front_mut() {
            if *at > now {
                break;
            }
            match arrival {
                Arrival::Bytes(piece) => bytes.append(piece),
                Arrival::Closed(code) if bytes.is_empty() => return Poll::Ready(Arrival::Closed(*code)),
                Arrival::Closed(_) => break,
            }
            pipe.under_way.pop_front();
        }
        if !bytes.is_empty() {
            return Poll::Ready(Arrival::Bytes(bytes));
        }
        pipe.reader = Some(context.waker().clone());
        let alarm = pipe.under_way.front().map(|(at, _)| Box::pin(self.network.executor.sleep_until(*at)));
        let before = std::mem::replace(&mut pipe.alarm, alarm);
        if let Some(alarm) = &mut pipe.alarm {
            // It lies ahead, so it only notes who is to be woken.
            let _ = alarm.as_mut().poll(context);
        }
        drop(pipe);
        drop(before);
        Poll::Pending
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close(None);
    }
}

impl Scissors {
    /// Cuts the link: what is under way is lost, and each side finds out in its own time.
    pub(crate) fn cut(&self) {
        for pipe in &self.pipes {
            {
                let mut pipe = lock(pipe);
                if pipe.is_closed {
                    continue;
                }
                pipe.under_way.clear();
            }
            let network = &self.network;
            let noticed = network.lock().random.between(0, 1_500);
            lock(pipe).last_arrival = network.executor.now() + noticed;
            network.send(pipe, Arrival::Closed(None));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
