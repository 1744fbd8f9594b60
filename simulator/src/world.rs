//! One world: servers, a store, a network, people. First there is trouble, and only safety is checked; then everything
//! heals, and what was accepted must arrive.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use transtalk_adapters::memory::{MemoryBus, MemorySigner, MemoryStore};
use transtalk_core::auth::Session;
use transtalk_core::ports::Clock;
use transtalk_core::{RoomId, SessionId, Timestamp, UserId};

use crate::clock::{SeededEntropy, VirtualClock};
use crate::counters::{Counters, Sometimes};
use crate::executor::{Broken, Executor, Group};
use crate::families::{Begun, Given};
use crate::faults::Faults;
use crate::model::{Check, Model, Order, Violation, address};
use crate::network::Network;
use crate::node::Node;
use crate::observed::Tokens;
use crate::options::Options;
use crate::outside::SimulatedProvider;
use crate::outsider::intrude;
use crate::person::Person;
use crate::races::Races;
use crate::random::{Part, Random};
use crate::scenario::Scenario;
use crate::tab::{Handle, Tab};
use crate::thief::steal;
use crate::trace::Kind;
use crate::trail::Peek;
use crate::{checks, trail};

/// The part of its life that a world is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Things break.
    Trouble,
    /// Nothing breaks any more; what was begun is finished.
    Healing,
    /// Everybody says one last thing.
    Goodbye,
    /// Everybody leaves.
    Over,
}

/// Everything that there is.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) executor: Executor,
    pub(crate) store: MemoryStore,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) signer: Arc<MemorySigner>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) provider: Arc<SimulatedProvider>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) network: Network,
    pub(crate) counters: Counters,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tabs: Vec<Arc<Handle>>,
    outsider: Arc<Person>,
    model: Mutex<Model>,
    races: Mutex<Races>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    groups: u64,
    chaos: Random,
}

/// What came of a seed.
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The options that were drawn from it, in one line.
    pub options: String,
    /// The fingerprint of everything that happened: task picks, calls of ports, bytes of frames.
    pub hash: u64,
    /// How many times a task ran.
    pub steps: u64,
    /// How long it took, in virtual milliseconds.
    pub millis: u64,
    /// What it came across.
    pub counters: Counters,
    /// The invariant that did not hold, if one did not.
    pub broken: Option<Broken>,
    /// What happened, line by line, if it was asked for.
    pub story: Vec<String>,
}

/// Runs the world of one seed. The same seed and scenario give the same report, bit for bit, in every build.
pub fn run(seed: u64, scenario: Scenario, with_story: bool) -> Report {
    let world = Arc::new(World::new(seed, scenario, with_story));
    let director = world.clone();
    world.executor.spawn(Group::WORLD, "the director", async move { direct(director).await });
    let end = world.executor.run();
    let millis = world.executor.now();
    world.executor.clear();
    let (hash, steps, story) = world.executor.result();
    let counters = world.counters.clone();
    // Sockets know their world, and it knows them.
    world.tabs.iter().for_each(|tab| tab.status().socket = None);
    Report { seed, options: world.options.to_string(), hash, steps, millis, counters, broken: end.err(), story }
}

impl World {
    fn new(seed: u64, scenario: Scenario, with_story: bool) -> Self {
        let options = Options::draw(seed, scenario);
        let executor = Executor::new(seed, with_story);
        let counters = Counters::default();
        let faults = Arc::new(Faults::new(seed, &options, executor.clone(), counters.clone()));
        let mut model = Model::default();
        model.lines.delta = Duration::from_millis(options.socket_delta());
        let mut tabs = Vec::new();
        for (name, count) in MEMBERS.into_iter().zip(options.tabs) {
            let person = Arc::new(Person::new(name));
            tabs.extend((1..=count).map(|tab| Handle::new(&format!("{name}/{tab}"), person.clone())));
        }
        Self {
            seed,
            store: MemoryStore::new(),
            bus: Arc::new(MemoryBus::new()),
            signer: Arc::new(MemorySigner::new([7; 32])),
            entropy: Arc::new(SeededEntropy::new(seed)),
            provider: Arc::new(SimulatedProvider::new(faults.clone())),
            network: Network::new(seed, &options, executor.clone()),
            nodes: (0..options.nodes).map(Node::new).collect(),
            tabs,
            outsider: Arc::new(Person::new("carla")),
            model: Mutex::new(model),
            races: Mutex::default(),
            state: Mutex::new(State { phase: Phase::Trouble, groups: 0, chaos: Random::child(seed, Part::Chaos) }),
            options,
            executor,
            faults,
            counters,
        }
    }

    /// The part of its life that it is in.
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// The model.
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run if something is wrong.
    pub(crate) fn check(&self, check: Check) {
        if let Err(Violation(invariant, what)) = check {
            self.executor.fail(invariant, what);
        }
    }

    /// For tasks that die together.
    pub(crate) fn new_group(&self) -> Group {
        let mut state = self.state();
        state.groups += 1;
        Group(state.groups)
    }

    /// Heads or tails.
    pub(crate) fn toss(&self) -> bool {
        self.state().chaos.chance(500)
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        VirtualClock(self.executor.clone()).now()
    }

    /// The moment of an observation.
    pub(crate) fn moment(&self) -> (Order, Timestamp) {
        (self.model().observe(), self.now())
    }

    /// Something begins that concerns this session.
    pub(crate) fn begun(&self, session: Option<SessionId>) -> Begun {
        let (order, at) = self.moment();
        Begun { order, at, row: session.and_then(|session| self.row(session)) }
    }

    /// What the store has of a session; nobody notices.
    pub(crate) fn row(&self, session: SessionId) -> Option<Session> {
        self.store.find_session(session)
    }

    /// What is under way.
    pub(crate) fn races(&self) -> MutexGuard<'_, Races> {
        self.races.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user of an account, if there is one.
    pub(crate) fn user_of(&self, account: &str) -> Option<UserId> {
        self.store.find_account(&address(account))
    }

    /// Somebody has signed in with this account.
    pub(crate) fn signed_in(&self, account: &'static str, begun: &Begun, tokens: &Tokens) {
        let user = tokens.access.claims.user;
        let row = self.row(tokens.access.claims.session);
        let checked = {
            let mut model = self.model();
            let others: Vec<UserId> =
                model.users.iter().filter(|(_, name)| **name == account).map(|(id, _)| *id).collect();
            if model.users.insert(user, account).is_none() && others.iter().any(|other| model.families.has_left(*other))
            {
                self.counters.count(Sometimes::RegisteredAgain);
            }
            let two = others.iter().any(|other| *other != user && !model.leaving.contains(other));
            let now = model.observe();
            let given = Given { refresh: &tokens.refresh, access: &tokens.access };
            match row {
                _ if two => Err(Violation("accounts", format!("{account} has two accounts"))),
                Some(row) => model.families.signed_in(now, begun, &row, &given),
                None => Err(Violation("T7", format!("user {user} was signed in, and there is no session"))),
            }
        };
        self.check(checked);
    }

    /// A server writes a message to a link.
    pub(crate) fn message_written(&self, link: u64) {
        let session = self.model().lines.get(link).map(|line| line.session);
        let Some(session) = session else { return };
        let (now, row) = (self.now(), self.row(session));
        let checked = {
            let model = self.model();
            model.lines.written(link, now, model.families.ended_at(session), row.as_ref())
        };
        self.check(checked);
    }

    /// Somebody was given the room with the user of this address.
    pub(crate) fn room_opened(&self, room: RoomId, one: UserId, with: &str) {
        let Some(row) = self.store.find_room(room) else {
            return self.check(Err(Violation("rooms", format!("there is no room {room}"))));
        };
        let members: BTreeSet<UserId> = row.members.iter().map(|member| member.user).collect();
        let checked = {
            let mut model = self.model();
            let known = |other: &UserId| model.users.get(other).is_none_or(|name| address(name) == with);
            let is_right = members.contains(&one) && members.iter().filter(|other| **other != one).all(known);
            let is_second = model.rooms.iter().any(|(known, of)| *known != room && *of == members);
            model.rooms.insert(room, members);
            match (is_right, is_second) {
                (true, false) => Ok(()),
                (false, _) => Err(Violation("rooms", format!("{room} is not the room of {one} and {with}"))),
                (_, true) => Err(Violation("rooms", "one pair and language have two rooms".to_owned())),
            }
        };
        self.check(checked);
    }

    /// All rooms that somebody has opened.
    pub(crate) fn rooms(&self) -> Vec<RoomId> {
        self.model().rooms.keys().copied().collect()
    }

    /// The room, once somebody has opened it.
    pub(crate) fn some_room(&self) -> Option<RoomId> {
        self.model().rooms.keys().next().copied()
    }

    fn draw(&self, low: u64, high: u64) -> u64 {
        self.state().chaos.between(low, high)
    }

    fn set_phase(&self, phase: Phase) {
        self.executor.tell("world", format_args!("{phase:?}"));
        self.executor.note(Kind::Fault, phase as u64, &[]);
        self.state().phase = phase;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom this account talks to.
pub(crate) fn other_than(account: &str) -> &'static str {
    if account == MEMBERS[0] { MEMBERS[1] } else { MEMBERS[0] }
}

/// The life of a world, from the first server's start to the verdict.
async fn direct(world: Arc<World>) {
    let executor = world.executor.clone();
    for number in 0..world.nodes.len() {
        Node::start(&world, number);
    }
    for (number, handle) in world.tabs.iter().enumerate() {
        let tab = Tab::new(&world, handle.clone(), number as u64);
        executor.spawn(Group::WORLD, &handle.who, tab.live());
    }
    let outsider = intrude(world.clone(), world.outsider.clone(), OUTSIDER);
    executor.spawn(Group::WORLD, world.outsider.name, outsider);
    if world.options.thief {
        executor.spawn(Group::WORLD, "the thief", steal(world.clone(), THIEF));
    }
    executor.spawn(Group::WORLD, "cuts", cut_links(world.clone()));
    executor.spawn(Group::WORLD, "kills", kill_nodes(world.clone()));
    executor.sleep(world.options.trouble).await;

    world.faults.heal();
    world.network.heal();
    world.set_phase(Phase::Healing);
    for number in 0..world.nodes.len() {
        start(&world, number);
    }
    // What began in the trouble may still take as long as it takes then.
    executor.sleep(AFTERMATH).await;
    let healed = within(&world, SETTLED_WITHIN, || checks::settled(&world)).await;
    world.check(healed.map_err(|who| Violation("L2", format!("all is well again, and still {who}"))));

    world.set_phase(Phase::Goodbye);
    let comes_and_goes = world.options.access < 60 || trail::is_anybody_left_over(&world);
    let arrival = if comes_and_goes { RECONNECTED_WITHIN } else { ARRIVED_WITHIN };
    let said = within(&world, RECONNECTED_WITHIN, || checks::all_said_goodbye(&world)).await;
    world.check(said.map_err(|who| Violation("L2", who)));
    let mut done = BTreeSet::new();
    let arrived = within(&world, arrival, || checks::all_arrived(&world, &mut done)).await;
    world.check(arrived.map_err(|what| Violation("L1", what)));
    world.check(checks::at_the_end(&world).await);
    world.check(trail::at_the_end(&world).await);
    world.check(trail::nothing_outlives_its_session(&world).await);
    if world.options.blackout {
        world.check(trail::patience_ends(&world).await);
    }
    let given_back = within(&world, SETTLED_WITHIN, || trail::grants_are_given_back(&world)).await;
    world.check(given_back.map_err(|what| Violation("withdrawal", what)));

    world.set_phase(Phase::Over);
    let left = within(&world, LEFT_WITHIN, || checks::nobody_is_left(&world)).await;
    world.check(left.map_err(|what| Violation("S7", what)));
    executor.finish();
}

/// Waits until something is so; after so many milliseconds answers with why it is not.
async fn within(world: &World, millis: u64, mut holds: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let end = world.executor.now() + millis;
    loop {
        match holds() {
            Err(_) if world.executor.now() < end => world.executor.sleep(250).await,
            result => return result,
        }
    }
}

fn start(world: &Arc<World>, number: usize) {
    if !world.nodes[number].runs() {
        Node::start(world, number);
    }
}

async fn cut_links(world: Arc<World>) {
    let mean = world.options.cuts;
    if mean == 0 {
        return;
    }
    loop {
        let pause = world.draw(mean / 2, mean * 3 / 2);
        world.executor.sleep(pause).await;
        if world.phase() != Phase::Trouble {
            return;
        }
        let node = &world.nodes[world.state().chaos.index(world.nodes.len())];
        if node.cut(|links| world.state().chaos.index(links)) {
            world.executor.tell("world", format_args!("a link to {} is cut", node.who));
            world.counters.count(Sometimes::Cut);
        }
    }
}

async fn kill_nodes(world: Arc<World>) {
    let kills = world.options.kills;
    for _ in 0..kills {
        let pause = world.draw(500, world.options.trouble / kills);
        world.executor.sleep(pause).await;
        if world.phase() != Phase::Trouble {
            return;
        }
        let number = world.state().chaos.index(world.nodes.len());
        if checks::is_between_commit_and_receipt(&world) {
            world.counters.count(Sometimes::KillBetweenCommitAndReceipt);
        }
        Node::kill(&world, number);
        let pause = world.draw(50, 2_500);
        world.executor.sleep(pause).await;
        start(&world, number);
    }
}

/// The slowest call of a port: before the act and after it.
const AFTERMATH: u64 = 8_100;
/// What was left behind is swept up every half minute.
const SETTLED_WITHIN: u64 = 45_000;
/// L1.
const ARRIVED_WITHIN: u64 = 5_000;
/// L1 and L2, for those whose token ends in the midst of it.
const RECONNECTED_WITHIN: u64 = 15_000;
/// S7.
const LEFT_WITHIN: u64 = 5_000;
/// The outsider's stream of chance.
const OUTSIDER: u64 = 99;
/// The thief's.
const THIEF: u64 = 98;
/// Who is in the room.
pub(crate) const MEMBERS: [&str; 2] = ["alice", "bob"];
