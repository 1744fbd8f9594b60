//! A browser tab of a member: it signs in, stays connected, and does things, drawn from its own stream.

mod acts;
mod talk;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use transtalk_core::stomp::CloseCode;
use transtalk_core::{RoomId, UserId};

use crate::counters::Sometimes;
use crate::inbox::Expected;
use crate::model::{Violation, address};
use crate::node::{Node, Upgrade};
use crate::observed::{Access, Way};
use crate::person::{Person, Turn};
use crate::random::{Part, Random};
use crate::socket::{Opening, Socket};
use crate::world::{MEMBERS, Phase, World, other_than};

/// What others may know of a tab.
#[derive(Default)]
pub(crate) struct Status {
    /// Its connection, if it has one.
    pub(crate) socket: Option<Arc<Socket>>,
    /// Since all is well: signed in, connected, subscribed, and nothing to be sent.
    pub(crate) has_settled: bool,
    /// It has sent its last message, and its RECEIPT came.
    pub(crate) has_said_goodbye: bool,
    /// What it is at.
    pub(crate) doing: &'static str,
}

/// A tab from outside.
pub(crate) struct Handle {
    /// Its name in the story.
    pub(crate) who: Arc<str>,
    /// Whose.
    pub(crate) person: Arc<Person>,
    /// Its interceptor.
    pub(crate) turn: Turn,
    status: Mutex<Status>,
}

impl Handle {
    /// A tab that is about to be opened.
    pub(crate) fn new(who: &str, person: Arc<Person>) -> Arc<Self> {
        Arc::new(Self { who: who.into(), person, turn: Turn::default(), status: Mutex::default() })
    }

    /// What is known of it now.
    pub(crate) fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tab.
pub(crate) struct Tab {
    world: Arc<World>,
    handle: Arc<Handle>,
    random: Random,
    /// Whose page it shows; the browser may belong to another account by now.
    user: Option<UserId>,
    room: Option<RoomId>,
    socket: Option<Arc<Socket>>,
    /// The subscriptions of the room on this connection.
    subscriptions: Vec<String>,
    next_subscription: u64,
    /// The last number that was seen, and on which node.
    place: Option<(u64, usize)>,
    /// What has no RECEIPT.
    unacknowledged: VecDeque<Outgoing>,
    to_say: u64,
    said: u64,
    is_leaving: bool,
    /// The server said that the token has expired.
    is_stale: bool,
    manner: Manner,
}

/// What kind of client it is.
struct Manner {
    /// Its frames carry the browser's token, as the first client's do.
    is_stamping: bool,
    /// It sends the cookie with the upgrade: one site.
    is_same_site: bool,
}

struct Outgoing {
    client_id: String,
    text: String,
    /// The link on which it was sent last.
    link: Option<u64>,
}

impl Tab {
    /// A tab that does nothing yet.
    pub(crate) fn new(world: &Arc<World>, handle: Arc<Handle>, number: u64) -> Self {
        let mut random = Random::child(world.seed, Part::Tab(number));
        let [alice, bob] = world.options.same_site;
        Self {
            manner: Manner {
                is_same_site: if handle.person.name == MEMBERS[0] { alice } else { bob },
                is_stamping: random.chance(750),
            },
            handle,
            random,
            user: None,
            room: None,
            socket: None,
            subscriptions: Vec::new(),
            next_subscription: 0,
            place: None,
            unacknowledged: VecDeque::new(),
            to_say: world.options.messages,
            said: 0,
            is_leaving: false,
            is_stale: false,
            world: world.clone(),
        }
    }

    /// All its life.
    pub(crate) async fn live(mut self) {
        while self.world.phase() != Phase::Over {
            self.step().await;
        }
        if let Some(socket) = self.socket.take() {
            socket.close();
        }
    }

    async fn step(&mut self) {
        self.forget_receipted();
        self.look_at_the_connection();
        let settled = self.socket.is_some() && !self.subscriptions.is_empty() && self.unacknowledged.is_empty();
        {
            let mut status = self.handle.status();
            status.has_settled |= settled && self.world.phase() != Phase::Trouble;
            status.has_said_goodbye |= settled && self.is_leaving;
            status.socket.clone_from(&self.socket);
        }
        let Some(access) = self.person().access().filter(|_| !self.is_missed()) else {
            self.doing("signing in");
            let (way, account) = (self.way(), self.account());
            return self.person().sign_in(&self.world, way, account).await;
        };
        if self.socket.is_none() && self.user != Some(access.claims.user) {
            self.show_the_page_of(access.claims.user);
        }
        if std::mem::take(&mut self.is_stale) {
            self.doing("refreshing");
            let way = self.way();
            return self.person().refresh(&self.world, &self.handle.turn, way).await;
        }
        let Some(room) = self.room else {
            self.doing("opening the room");
            return self.open_room().await;
        };
        let Some(socket) = self.socket.clone() else {
            self.doing("connecting");
            return self.connect(access).await;
        };
        if socket.is_switched() {
            self.doing("waiting for the end");
            return self.be_closed(&socket).await;
        }
        if self.subscriptions.is_empty() {
            self.doing("subscribing");
            return self.subscribe(&socket, room).await;
        }
        self.doing("sending what has no receipt");
        self.send_again(&socket, room).await;
        match self.world.phase() {
            Phase::Trouble => {
                self.doing("something");
                let pause = self.random.between(1, self.world.options.pause * 2);
                self.world.executor.sleep(pause).await;
                self.act(&socket, room).await;
            }
            Phase::Goodbye if !self.is_leaving => {
                self.is_leaving = true;
                self.say();
            }
            _ => self.world.executor.sleep(100).await,
        }
    }

    /// The account to sign in with: now and then somebody else's, once one's own is known.
    fn account(&mut self) -> &'static str {
        let own = self.handle.person.name;
        let may_switch = self.world.phase() == Phase::Trouble && self.world.user_of(own).is_some();
        let switches = may_switch && self.random.chance(self.world.options.habits.switches);
        if switches { other_than(own) } else { own }
    }

    /// Nobody has one's own account any more, and somebody waits for it.
    fn is_missed(&self) -> bool {
        self.world.phase() == Phase::Healing && self.world.user_of(self.handle.person.name).is_none()
    }

    /// Somebody else has signed in in this browser, or the same person as somebody new: the page begins anew.
    fn show_the_page_of(&mut self, user: UserId) {
        self.user = Some(user);
        (self.room, self.place) = (None, None);
        self.lose_what_was_said();
    }

    /// The page is gone, and what it had to say with it. A goodbye is said again, if it was not heard.
    fn lose_what_was_said(&mut self) {
        self.unacknowledged.clear();
        self.is_leaving = self.handle.status().has_said_goodbye;
    }

    /// S6: whoever sends another user's token is sent away.
    async fn be_closed(&mut self, socket: &Arc<Socket>) {
        if !socket.until(SWITCHED_WITHIN, |inbox| !inbox.is_open()).await && socket.is_open() {
            let what = format!("{} sent another user's token and is still connected", self.handle.who);
            self.world.check(Err(Violation("S6", what)));
        }
    }

    /// Notes where a connection has got to, and forgets it when it is gone.
    fn look_at_the_connection(&mut self) {
        let Some(socket) = self.socket.clone() else { return };
        let inbox = socket.inbox();
        let last = self.subscriptions.iter().filter_map(|id| inbox.subscriptions.get(id)?.last).max();
        self.place = last.map(|last| (last, socket.node)).or(self.place);
        if inbox.is_open() {
            return;
        }
        self.is_stale = inbox.code == Some(CloseCode::TokenExpired);
        self.socket = None;
        self.subscriptions.clear();
    }

    async fn open_room(&mut self) {
        let account = self.user.and_then(|user| self.world.model().users.get(&user).copied()).unwrap_or(MEMBERS[0]);
        let with = address(other_than(account));
        let way = self.way();
        let room = self.person().open_room(&self.world, &self.handle.turn, way, with).await;
        // The page may have changed hands meanwhile.
        self.room = room.filter(|_| self.person().user() == self.user);
        if self.room.is_none() {
            self.world.executor.sleep(300).await;
        }
    }

    /// With the token in CONNECT, as the first client does it, in the upgrade's header, or with a ticket.
    async fn connect(&mut self, access: Access) {
        let pause = self.random.between(1, 400);
        self.world.executor.sleep(pause).await;
        let (way, entrance) = (self.way(), self.random.between(0, 9));
        let heart_beat = self.random.pick(&["0,0", "10000,10000"]);
        let cookie = self.person().cookie().filter(|_| self.manner.is_same_site);
        let (upgrade, access, connect) = match entrance {
            0 | 1 => (Upgrade { header: Some(access.token.clone()), ..Upgrade::default() }, access, None),
            2 | 3 => {
                let Some((ticket, access)) = self.person().ticket(&self.world, &self.handle.turn, way).await else {
                    return;
                };
                (Upgrade { ticket: Some(ticket), ..Upgrade::default() }, access, None)
            }
            _ => (Upgrade::default(), access.clone(), Some(access.token)),
        };
        if self.user != Some(access.claims.user) {
            return;
        }
        let has_ticket = upgrade.ticket.is_some();
        let upgrade = Upgrade { cookie: cookie.clone(), ..upgrade };
        let opening = Opening { claims: access.claims, connect, cookie };
        if self.random.chance(300) {
            self.use_again(&upgrade);
        }
        let Some(end) = Node::connect(&self.world, way.node, upgrade).await else { return };
        let socket = Socket::open(
            &self.world,
            (&self.handle.who, self.handle.person.name),
            (way.node, end),
            opening,
            heart_beat,
        );
        self.handle.status().socket = Some(socket.clone());
        if socket.until(15_000, |inbox| inbox.is_connected).await {
            if has_ticket {
                self.world.counters.count(Sometimes::Ticket);
            }
            (self.socket, self.next_subscription) = (Some(socket), 0);
        } else {
            let has_ended = !socket.is_open();
            socket.close();
            if has_ended {
                // The token may be too old, or its session over: the refresh tells.
                let way = self.way();
                self.person().refresh(&self.world, &self.handle.turn, way).await;
            }
        }
    }

    /// Over any node, with the patience of people.
    fn way(&mut self) -> Way {
        let node = self.random.index(self.world.nodes.len());
        let is_trouble = self.world.phase() == Phase::Trouble;
        let is_impatient = is_trouble && self.random.chance(self.world.options.lost_requests);
        let patience = if is_impatient { self.random.between(1, 400) } else { 10_000 };
        Way { node, patience, gives_up: is_trouble && self.random.chance(300) }
    }

    fn person(&self) -> Arc<Person> {
        self.handle.person.clone()
    }

    /// What a frame carries now: the browser's token, whosever it is.
    fn stamp(&self) -> Option<Access> {
        if self.manner.is_stamping { self.person().access() } else { None }
    }

    fn doing(&self, what: &'static str) {
        self.handle.status().doing = what;
    }

    /// Asks for something of no consequence, with the browser's token.
    fn ask(&self, socket: &Arc<Socket>, frame: transtalk_core::stomp::Frame, expected: Expected) -> String {
        socket.ask(frame, expected, self.stamp().as_ref())
    }
}

/// What was asked before another user's token is still done.
const SWITCHED_WITHIN: u64 = 30_000;
