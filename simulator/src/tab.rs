//! A browser tab of a member: it signs in, stays connected, and does things, drawn from its own stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use transtalk_core::RoomId;
use transtalk_core::app::HistoryQuery;
use transtalk_core::chat::Destination;
use transtalk_core::stomp::{CloseCode, Command, Frame};

use crate::counters::Sometimes;
use crate::inbox::{Expected, Subscription};
use crate::node::Node;
use crate::person::{Person, Way};
use crate::random::{Part, Random};
use crate::socket::Socket;
use crate::world::{Phase, World};

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
    status: Mutex<Status>,
}

impl Handle {
    /// A tab that is about to be opened.
    pub(crate) fn new(who: &str, person: Arc<Person>) -> Arc<Self> {
        Arc::new(Self { who: who.into(), person, status: Mutex::default() })
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
}

/// What there is to do in a tab.
#[derive(Clone, Copy)]
enum Action {
    Refresh,
    RefreshTwice,
    LogOut,
    LogOutAndRefresh,
    BeRobbed,
    Read,
    SubscribeAgain,
    Unsubscribe,
    Signal,
    SayOtherwise,
    Vanish,
    Disconnect,
    Say,
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
        Self {
            handle,
            random: Random::child(world.seed, Part::Tab(number)),
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
        let Some(tokens) = self.person().tokens() else {
            self.doing("signing in");
            let way = self.way();
            return self.person().sign_in(&self.world, way).await;
        };
        if std::mem::take(&mut self.is_stale) {
            self.doing("refreshing");
            let way = self.way();
            return self.person().refresh(&self.world, way).await;
        }
        let Some(room) = self.room else {
            self.doing("opening the room");
            return self.open_room().await;
        };
        let Some(socket) = self.socket.clone() else {
            self.doing("connecting");
            return self.connect(tokens).await;
        };
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

    /// One of the things that people do.
    async fn act(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let (one, other) = (self.way(), self.way());
        let (world, person) = (self.world.clone(), self.person());
        match self.choose() {
            Action::Refresh => person.refresh(&world, one).await,
            Action::RefreshTwice => person.refresh_twice(&world, one, other).await,
            Action::LogOut => {
                let probe = self.random.chance(500);
                person.log_out(&world, one, probe).await;
            }
            Action::LogOutAndRefresh => person.log_out_and_refresh(&world, one, other).await,
            Action::BeRobbed => person.is_robbed(&world, one).await,
            Action::Read => self.read(room).await,
            Action::SubscribeAgain => self.subscribe(socket, room).await,
            Action::Unsubscribe => self.unsubscribe(socket).await,
            Action::Signal => self.signal(socket, room),
            Action::SayOtherwise => self.say_otherwise(socket, room).await,
            Action::Vanish => socket.close(),
            Action::Disconnect => {
                let bye = socket.ask(Frame::new(Command::Disconnect), Expected::Done);
                socket.until(2_000, |inbox| !inbox.expected.contains_key(&bye)).await;
                socket.close();
            }
            Action::Say if self.to_say > 0 => {
                self.to_say -= 1;
                self.say();
                self.send_again(socket, room).await;
            }
            Action::Say => {}
        }
    }

    fn choose(&mut self) -> Action {
        let options = &self.world.options;
        let shares = [
            (Action::Refresh, options.refreshes / 2),
            (Action::RefreshTwice, options.refreshes / 2),
            (Action::LogOut, options.log_outs / 2),
            (Action::LogOutAndRefresh, options.log_outs / 2),
            (Action::BeRobbed, if options.thief { 40 } else { 0 }),
            (Action::Read, 100),
            (Action::SubscribeAgain, 40),
            (Action::Unsubscribe, 40),
            (Action::Signal, 60),
            (Action::SayOtherwise, 15),
            (Action::Vanish, 15),
            (Action::Disconnect, 15),
        ];
        let mut roll = self.random.between(0, 999);
        for (action, share) in shares {
            if roll < share {
                return action;
            }
            roll -= share;
        }
        Action::Say
    }

    /// Has something to say; it goes out with whatever else has no RECEIPT.
    fn say(&mut self) {
        self.said += 1;
        let client_id = format!("{}-{}", self.handle.who.replace('/', "-"), self.said);
        let text = format!("{} {client_id}", self.random.pick(PHRASES));
        self.unacknowledged.push_back(Outgoing { client_id, text, link: None });
    }

    /// Sends, in order, what was not sent on this connection.
    async fn send_again(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let last = self.send_new(socket, room);
        if let Some(last) = last
            && self.random.chance(500)
        {
            socket.until(3_000, |inbox| !inbox.expected.contains_key(&last)).await;
        } else {
            self.world.executor.sleep(20).await;
        }
    }

    /// The same, without waiting. Answers with the last RECEIPT that is to come.
    fn send_new(&mut self, socket: &Arc<Socket>, room: RoomId) -> Option<String> {
        let mut last = None;
        for outgoing in &mut self.unacknowledged {
            if outgoing.link == Some(socket.link) {
                continue;
            }
            if outgoing.link.replace(socket.link).is_some() && self.world.is_stored(&outgoing.text) {
                self.world.counters.count(Sometimes::SentAgain);
            }
            let email = &self.handle.person.email;
            self.world.model().send(room, email, &outgoing.client_id, &outgoing.text, socket.link);
            let times = if self.random.chance(100) { 2 } else { 1 };
            for _ in 0..times {
                let frame = Frame::new(Command::Send)
                    .with("destination", format!("/app/chat/{room}"))
                    .with("client-message-id", outgoing.client_id.as_str())
                    .with_body(serde_json::json!({ "content": outgoing.text }).to_string());
                last = Some(socket.ask(frame, Expected::Stored(outgoing.text.clone())));
            }
        }
        last
    }

    /// Sends another text under the client id of a message that is stored. It is refused, and what came before it is not.
    async fn say_otherwise(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let known = {
            let model = self.world.model();
            let mut own = model.sent.values().filter(|sent| sent.sender == self.handle.person.email);
            own.find(|sent| sent.receipt.is_some()).map(|sent| sent.client_id.clone())
        };
        let Some(known) = known else { return };
        self.say();
        self.send_new(socket, room);
        let frame = Frame::new(Command::Send)
            .with("destination", format!("/app/chat/{room}"))
            .with("client-message-id", known)
            .with_body(r#"{"content":"something else"}"#);
        socket.ask(frame, Expected::Never("C3", "another text under a known client id"));
        if socket.until(5_000, |inbox| inbox.error.is_some()).await {
            self.world.counters.count(Sometimes::ClientIdReused);
        }
        socket.close();
    }

    /// A message is acknowledged for good when any of its RECEIPTs came.
    fn forget_receipted(&mut self) {
        let model = self.world.model();
        let is_open = |outgoing: &Outgoing| model.sent.get(&outgoing.text).is_none_or(|sent| sent.receipt.is_none());
        self.unacknowledged.retain(is_open);
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
        if self.is_stale && !self.unacknowledged.is_empty() {
            self.world.counters.count(Sometimes::ExpiryDuringSend);
        }
        self.socket = None;
        self.subscriptions.clear();
    }

    async fn open_room(&mut self) {
        let with = self.world.other_than(&self.handle.person);
        let way = self.way();
        self.room = self.person().open_room(&self.world, way, with.email.clone()).await;
        if let Some(room) = self.room {
            self.world.room_opened(room, [&self.handle.person.email, &with.email]);
        } else {
            self.world.executor.sleep(300).await;
            // Perhaps the token is too old.
            self.person().refresh(&self.world, way).await;
        }
    }

    async fn connect(&mut self, tokens: crate::person::Tokens) {
        let pause = self.random.between(1, 400);
        self.world.executor.sleep(pause).await;
        let node = self.way().node;
        let upgrade = self.random.chance(200).then(|| tokens.access.clone());
        let Some(end) = Node::connect(&self.world, node, upgrade).await else { return };
        let heart_beat = self.random.pick(&["0,0", "10000,10000"]);
        let who = (&self.handle.who, self.handle.person.email.as_str());
        let socket = Socket::open(&self.world, who, (node, end), (tokens.session, &tokens.access), heart_beat);
        self.handle.status().socket = Some(socket.clone());
        if socket.until(15_000, |inbox| inbox.is_connected).await {
            (self.socket, self.next_subscription) = (Some(socket), 0);
        } else {
            let has_ended = !socket.is_open();
            socket.close();
            if has_ended {
                // The token may be too old, or its session over: the refresh tells.
                let way = self.way();
                self.person().refresh(&self.world, way).await;
            }
        }
    }

    async fn subscribe(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let id = format!("sub-{}", self.next_subscription);
        self.next_subscription += 1;
        let is_immediate = self.random.chance(400);
        let after = match (self.place, self.random.between(0, 99)) {
            (Some((seq, _)), 0..=74) => Some(seq),
            (_, 75..=79) => Some(1_000_000),
            (_, 80..=89) => Some(0),
            _ => None,
        };
        if let (Some((_, node)), Some(_)) = (self.place, after) {
            let elsewhere = node != socket.node;
            self.world.counters.count(if elsewhere { Sometimes::ResumedElsewhere } else { Sometimes::Resumed });
        }
        let mut frame =
            Frame::new(Command::Subscribe).with("id", id.as_str()).with("destination", format!("/topic/chat/{room}"));
        if let Some(after) = after {
            frame = frame.with("last-seq", after.to_string());
        }
        if is_immediate {
            frame = frame.with("pending", "immediate");
        }
        let subscription = Subscription::new(Destination::Room(room), is_immediate, after);
        self.ask_for(socket, &id, frame, subscription).await;
        self.subscriptions.push(id);
        if self.random.chance(300) {
            self.subscribe_beside(socket, room).await;
        }
    }

    /// The room's events, or the list of rooms.
    async fn subscribe_beside(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let Some(user) = self.person().user() else { return };
        let id = format!("sub-{}", self.next_subscription);
        self.next_subscription += 1;
        let destination =
            if self.random.chance(500) { Destination::RoomEvents(room) } else { Destination::RoomList(user) };
        let name = match &destination {
            Destination::RoomEvents(room) => format!("/topic/chat/{room}/events"),
            _ => format!("/topic/users/{user}/chatRoom"),
        };
        let frame = Frame::new(Command::Subscribe).with("id", id.as_str()).with("destination", name);
        self.ask_for(socket, &id, frame, Subscription::new(destination, false, None)).await;
    }

    async fn ask_for(&mut self, socket: &Arc<Socket>, id: &str, frame: Frame, subscription: Subscription) {
        socket.inbox().subscriptions.insert(id.to_owned(), subscription);
        let receipt = socket.ask(frame, Expected::Subscribed(id.to_owned()));
        if self.random.chance(700) {
            socket.until(5_000, |inbox| !inbox.expected.contains_key(&receipt)).await;
        }
    }

    async fn unsubscribe(&mut self, socket: &Arc<Socket>) {
        let index = self.random.index(self.subscriptions.len());
        let id = self.subscriptions.remove(index);
        let frame = Frame::new(Command::Unsubscribe).with("id", id.as_str());
        let receipt = socket.ask(frame, Expected::Unsubscribed(id));
        socket.until(5_000, |inbox| !inbox.expected.contains_key(&receipt)).await;
    }

    /// Somebody is writing, or has read.
    fn signal(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let what = self.random.pick(&["typing", "read"]);
        let frame = Frame::new(Command::Send).with("destination", format!("/app/chat/{room}/{what}"));
        socket.ask(frame, Expected::Done);
    }

    /// Reads history and looks at it.
    async fn read(&mut self, room: RoomId) {
        let pending = self.random.chance(500);
        let size = if pending { 200 } else { self.random.pick(&[3, 200]) };
        let query = HistoryQuery { page: 0, size, pending };
        let way = self.way();
        if let Some((asked, Ok(page))) = self.person().history(&self.world, way, room, query).await {
            self.world.check_page(&self.handle.person, room, query, asked, &page);
        }
    }

    /// Over any node, with the patience of people.
    fn way(&mut self) -> Way {
        let node = self.random.index(self.world.nodes.len());
        let is_impatient = self.world.phase() == Phase::Trouble && self.random.chance(self.world.options.lost_requests);
        Way { node, patience: if is_impatient { self.random.between(1, 400) } else { 10_000 } }
    }

    fn person(&self) -> Arc<Person> {
        self.handle.person.clone()
    }

    fn doing(&self, what: &'static str) {
        self.handle.status().doing = what;
    }
}

/// In several languages, with everything that has ever been escaped wrongly.
const PHRASES: &[&str] = &[
    "Hello, how are you?",
    "안녕하세요, 반갑습니다",
    "¿Dónde está la biblioteca?",
    "a:b\\c\nd\r\ne \"f\" {g}",
    "123",
    "🎉 é e\u{301}",
    "  blanks are kept  ",
    "The red house is big, and the meeting begins at ten o'clock.",
];
