//! A server: the production use cases, sessions and hub over the simulated ports. It can die at any step, and come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::future::{Either, select};
use transtalk_adapters::memory::{MemoryPresence, MemoryRateLimits};
use transtalk_core::Failure;
use transtalk_core::app::{Connection, Done, Handshake, Pipeline, Services, Settings, Work, background, recover};
use transtalk_core::auth::Device;
use transtalk_core::chat::delivery::{Hub, Taken};
use transtalk_core::ports::Clock;

use crate::clock::VirtualClock;
use crate::counters::Sometimes;
use crate::executor::Group;
use crate::network::{Arrival, End, Scissors};
use crate::observed::{accepted, redeemed};
use crate::outside::SimulatedTranslator;
use crate::ports::{TroubledBus, TroubledStore};
use crate::world::World;

/// What the request for a connection carries.
#[derive(Clone, Default)]
pub(crate) struct Upgrade {
    /// The `Authorization` header.
    pub(crate) header: Option<String>,
    /// The ticket in the address.
    pub(crate) ticket: Option<String>,
    /// The refresh cookie.
    pub(crate) cookie: Option<String>,
}

/// A server of a world.
pub(crate) struct Node {
    /// Its name in the story.
    pub(crate) who: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All tasks of this life of the node.
    group: Option<Group>,
    /// There while it is ready.
    services: Option<Arc<Services>>,
    links: Vec<Scissors>,
}

impl Node {
    /// A server that does not run.
    pub(crate) fn new(number: usize) -> Self {
        Self { who: format!("node {}", number + 1).into(), state: Mutex::default() }
    }

    /// The use cases, while the node is ready.
    pub(crate) fn services(&self) -> Option<(Arc<Services>, Group)> {
        let state = self.lock();
        state.services.clone().zip(state.group)
    }

    /// Whether it runs, ready or not.
    pub(crate) fn runs(&self) -> bool {
        self.lock().group.is_some()
    }

    /// Starts with empty hands: what it needs to know is in the store.
    pub(crate) fn start(world: &Arc<World>, number: usize) {
        let node = &world.nodes[number];
        let group = world.new_group();
        node.lock().group = Some(group);
        let services = Arc::new(services(world, &node.who));
        for task in background(&services) {
            world.executor.spawn(group, &format!("{}'s background", node.who), task);
        }
        let booting = world.clone();
        world.executor.spawn(group, &format!("{} starts", node.who), async move {
            while recover(&services).await.is_err() {
                booting.executor.sleep(500).await;
            }
            let node = &booting.nodes[number];
            booting.executor.tell(&node.who, format_args!("is ready"));
            node.lock().services = Some(services);
        });
    }

    /// Dies at once: no task of it goes on, no answer leaves it.
    pub(crate) fn kill(world: &Arc<World>, number: usize) {
        let node = &world.nodes[number];
        let (group, services, links) = {
            let mut state = node.lock();
            (state.group.take(), state.services.take(), std::mem::take(&mut state.links))
        };
        let Some(group) = group else { return };
        world.executor.tell(&node.who, format_args!("is killed"));
        world.counters.count(Sometimes::Kill);
        world.executor.kill(group);
        links.iter().for_each(Scissors::cut);
        drop(services);
    }

    /// Cuts one of its links; which one, `choose` says of so many.
    pub(crate) fn cut(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let links = &mut self.lock().links;
        if links.is_empty() {
            return false;
        }
        let index = choose(links.len());
        links.remove(index).cut();
        true
    }

    /// A request over HTTP: there, the use case, and back. `None` when it or its answer is lost.
    pub(crate) async fn request<T, F>(
        world: &Arc<World>,
        number: usize,
        (what, patience): (&'static str, u64),
        use_case: impl FnOnce(Arc<Services>) -> F + Send,
    ) -> Option<Result<T, Failure>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        if !world.network.travel().await {
            return None;
        }
        let (services, group) = world.nodes[number].services()?;
        let (sender, receiver) = async_channel::bounded(1);
        let use_case = use_case(services);
        let task = world.executor.spawn(group, what, async move {
            let _ = sender.try_send(use_case.await);
        });
        let answer = match select(Box::pin(receiver.recv()), world.executor.sleep(patience)).await {
            Either::Left((answer, _)) => answer.ok()?,
            Either::Right(_) => {
                // The client goes away, and the server drops what it was doing for it.
                world.executor.tell(&world.nodes[number].who, format_args!("{what} is cancelled"));
                world.counters.count(Sometimes::RequestCancelled);
                world.executor.cancel(task);
                return None;
            }
        };
        world.network.travel().await.then_some(answer)
    }

    /// A connection to the gateway.
    pub(crate) async fn connect(world: &Arc<World>, number: usize, upgrade: Upgrade) -> Option<End> {
        if !world.network.travel().await {
            return None;
        }
        let node = &world.nodes[number];
        let (services, group) = node.services()?;
        let (client, server, scissors) = world.network.link();
        node.lock().links.push(scissors);
        let driver = drive(world.clone(), services, server, upgrade);
        world.executor.spawn(group, &format!("{} serves link {}", node.who, client.link), driver);
        Some(client)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn services(world: &Arc<World>, who: &Arc<str>) -> Services {
    let store = Arc::new(TroubledStore { who: who.clone(), store: world.store.clone(), faults: world.faults.clone() });
    let clock = Arc::new(VirtualClock(world.executor.clone()));
    let bus = TroubledBus { who: who.clone(), bus: world.bus.clone(), faults: world.faults.clone() };
    Services {
        users: store.clone(),
        rooms: store.clone(),
        messages: store.clone(),
        sessions: store.clone(),
        single_use: store.clone(),
        audit: store.clone(),
        grants: store.clone(),
        cursors: store,
        presence: Arc::new(MemoryPresence::new()),
        rate_limits: Arc::new(MemoryRateLimits::new()),
        bus: Arc::new(bus),
        translator: Arc::new(SimulatedTranslator(world.faults.clone())),
        identities: vec![world.provider.clone()],
        signer: world.signer.clone(),
        clock: clock.clone(),
        timer: clock,
        entropy: world.entropy.clone(),
        settings: Settings {
            lifetimes: world.options.lifetimes(),
            hold: std::time::Duration::from_millis(world.options.hold),
            ..Settings::default()
        },
        hub: Hub::default(),
        pipeline: Pipeline::default(),
    }
}

/// What a driver waits for.
enum Happened {
    Worked(Done),
    Taken(Taken),
    Arrived(Arrival),
    Due,
}

/// The gateway's task for one connection: bytes and time in, work run, frames out. It mirrors the real one.
async fn drive(world: Arc<World>, services: Arc<Services>, end: End, upgrade: Upgrade) {
    let clock = VirtualClock(world.executor.clone());
    let Upgrade { header, ticket, cookie } = upgrade;
    let principal = match (ticket, header) {
        (Some(ticket), _) => redeemed(&world, &services, &ticket).await.map(Some),
        (None, Some(header)) => accepted(&world, &services, &header).await.map(Some),
        (None, None) => Ok(None),
    };
    // Refused before the upgrade: 401.
    let Ok(principal) = principal else { return };
    let handshake = Handshake { principal, token: None, cookie, device: Device::default() };
    let mut connection = Connection::new(services, handshake);
    let outbox = connection.outbox();
    let mut work: Option<Work> = None;
    let (mut turn, mut code) = (0, None);
    loop {
        work = work.or_else(|| connection.next_work());
        let due = connection.next_deadline();
        let mut alarm = due.map(|due| Box::pin(world.executor.sleep_until(due.as_millis())));
        turn += 1;
        let happened = std::future::poll_fn(|context| {
            // Whoever is first gets the turn, so each goes first in its turn.
            for place in 0..4 {
                let polled = match (turn + place) % 4 {
                    0 => match &mut work {
                        Some(work) => work.as_mut().poll(context).map(Happened::Worked),
                        None => Poll::Pending,
                    },
                    1 => outbox.poll_take(context).map(Happened::Taken),
                    2 if connection.wants_bytes() => end.poll_receive(context).map(Happened::Arrived),
                    3 => match &mut alarm {
                        Some(alarm) => Pin::new(alarm).poll(context).map(|()| Happened::Due),
                        None => Poll::Pending,
                    },
                    _ => Poll::Pending,
                };
                if polled.is_ready() {
                    return polled;
                }
            }
            Poll::Pending
        })
        .await;
        match happened {
            Happened::Worked(done) => {
                work = None;
                connection.complete(done);
            }
            Happened::Taken(taken) => {
                if taken.frames.iter().any(|frame| frame.starts_with(b"MESSAGE\n")) {
                    world.message_written(end.link);
                }
                let bytes = taken.frames.concat();
                if !bytes.is_empty() {
                    end.send(&bytes);
                }
                connection.wrote(taken.wants_more);
                if taken.close.is_some() {
                    code = taken.close;
                    end.close(code);
                    break;
                }
            }
            Happened::Arrived(Arrival::Bytes(bytes)) => connection.receive(&bytes),
            Happened::Arrived(Arrival::Closed(_)) => break,
            Happened::Due => {
                debug_assert!(due.is_some_and(|due| clock.monotonic() >= due));
                connection.tick();
            }
        }
    }
    connection.close(code);
    if let Some(work) = work.filter(|_| world.toss()) {
        // A gateway may let it end, or drop it.
        work.await;
    }
}
