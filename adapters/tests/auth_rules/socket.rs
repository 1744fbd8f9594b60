//! A connection whose shell is the test: bytes in, work run, frames out, at moments of the test's choice.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use transtalk_core::app::{Connection, Handshake, Principal, Work};
use transtalk_core::chat::delivery::Outbox;
use transtalk_core::ports::Clock;
use transtalk_core::stomp::{CloseCode, Command, Decoder, Frame, FrameLimits};
use transtalk_core::{Monotonic, RoomId};

use crate::world::{ADDRESS, Node, Person, World, device};

/// A client's socket.
pub(crate) struct Socket<'a> {
    world: &'a World,
    pub(crate) connection: Connection,
    outbox: Arc<Outbox>,
    decoder: Decoder,
    seen: Vec<String>,
    /// When the server closed it, and with which code.
    pub(crate) closed: Option<(Monotonic, CloseCode)>,
}

impl<'a> Socket<'a> {
    /// A socket that nobody has said anything on.
    pub(crate) fn open(world: &'a World, node: &Node, handshake: Handshake) -> Self {
        let connection = Connection::new(node.services.clone(), handshake);
        let outbox = connection.outbox();
        let decoder = Decoder::new(FrameLimits::default());
        Self { world, connection, outbox, decoder, seen: Vec::new(), closed: None }
    }

    /// A CONNECT with this person's token, and with this cookie on the upgrade.
    pub(crate) fn connect(world: &'a World, node: &Node, token: &str, cookie: Option<&str>) -> Self {
        let mut socket = Self::open(world, node, handshake(None, cookie, ADDRESS));
        socket.say(&connect_frame(token));
        socket
    }

    /// A connection that goes on by its token, and has been CONNECTED.
    pub(crate) fn connected(world: &'a World, node: &Node, person: &Person) -> Self {
        let mut socket = Self::connect(world, node, &person.access, None);
        assert_eq!(socket.seen(), ["CONNECTED"]);
        socket
    }

    /// A connection under a lease, CONNECTED.
    pub(crate) fn leased(world: &'a World, node: &Node, person: &Person) -> Self {
        let mut socket = Self::connect(world, node, &person.access, Some(&person.refresh));
        assert_eq!(socket.seen(), ["CONNECTED"]);
        socket
    }

    /// The client says this, and everything that follows from it happens.
    pub(crate) fn say(&mut self, frame: &str) {
        self.connection.receive(frame.as_bytes());
        self.settle();
    }

    /// The next thing to run, which the test runs when it likes.
    pub(crate) fn work(&mut self) -> Option<Work> {
        self.connection.next_work()
    }

    /// Runs work, in the world.
    pub(crate) fn finish(&mut self, work: Work) {
        let done = self.world.run(work);
        self.connection.complete(done);
    }

    /// Does all that can be done at this moment.
    pub(crate) fn settle(&mut self) {
        loop {
            self.world.runtime.idle();
            if let Some(work) = self.connection.next_work() {
                self.finish(work);
            } else if !self.write() {
                return;
            }
        }
    }

    /// Lets so much time pass, and does what is due in it at the moment when it is due.
    pub(crate) fn pass(&mut self, wait: Duration) {
        pass(self.world, &mut [self], wait);
    }

    /// What came since the test looked last.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }

    /// The code that it was closed with.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        self.closed.map(|(_, code)| code)
    }

    /// Writes what waits, if anything does.
    pub(crate) fn write(&mut self) -> bool {
        let Poll::Ready(taken) = self.outbox.poll_take(&mut Context::from_waker(Waker::noop())) else { return false };
        if self.closed.is_some() {
            return false;
        }
        taken.frames.iter().for_each(|bytes| self.decoder.push(bytes));
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            self.seen.push(self.tell(&frame));
        }
        self.connection.wrote(taken.wants_more);
        if let Some(code) = taken.close {
            self.closed = Some((self.world.runtime.time.monotonic(), code));
            self.seen.push(format!("close {}", code.code()));
            self.connection.close(Some(code));
        }
        true
    }

    fn tell(&self, frame: &Frame) -> String {
        let header = |name| frame.header(name).unwrap_or_default();
        match frame.command {
            Command::Receipt => format!("RECEIPT {}", header("receipt-id")),
            Command::Error => format!("ERROR {}", header("code")),
            Command::Message => format!("MESSAGE {} {}", header("subscription"), self.content(&frame.body)),
            command => command.as_str().to_owned(),
        }
    }

    /// What is said: an event with the seconds that are left, or a message's text.
    fn content(&self, body: &[u8]) -> String {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let event = text("event");
        if event.is_empty() {
            return text("originalMessage");
        }
        let until = text("expiresAt");
        let now = self.world.now();
        let left = (0..100_000).find(|left| now.plus(Duration::from_millis(left * 1_000)).to_string() >= until);
        format!("{event} {}", left.unwrap())
    }

    fn tick(&mut self) {
        if self.closed.is_none() && self.connection.next_deadline().is_some_and(|due| due <= self.now()) {
            self.connection.tick();
        }
        self.settle();
    }

    fn now(&self) -> Monotonic {
        self.world.runtime.time.monotonic()
    }
}

/// The same for several.
pub(crate) fn pass(world: &World, sockets: &mut [&mut Socket<'_>], wait: Duration) {
    let clock = &world.runtime.time;
    let end = clock.monotonic().plus(wait);
    while clock.monotonic() < end {
        let open = sockets.iter().filter(|socket| socket.closed.is_none());
        let due = open.filter_map(|socket| socket.connection.next_deadline()).min();
        // No longer than this, so that what others do to a socket is seen when it is done.
        let look = clock.monotonic().plus(LOOK_EVERY);
        let until = due.into_iter().chain([look, end]).min().unwrap_or(end);
        world.pass(until.since(clock.monotonic()).max(Duration::from_millis(1)));
        for socket in sockets.iter_mut() {
            socket.tick();
        }
    }
}

/// What an upgrade brings.
pub(crate) fn handshake(principal: Option<Principal>, cookie: Option<&str>, address: &str) -> Handshake {
    Handshake { principal, token: None, cookie: cookie.map(str::to_owned), device: device(address) }
}

pub(crate) fn connect_frame(token: &str) -> String {
    format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0")
}

/// A SEND to a room, with this header and asking for this receipt.
pub(crate) fn send_frame(room: RoomId, text: &str, token: &str, receipt: &str) -> String {
    let header = if token.is_empty() { String::new() } else { format!("Authorization:Bearer {token}\n") };
    format!("SEND\ndestination:/app/chat/{room}\n{header}receipt:{receipt}\n\n{{\"content\":\"{text}\"}}\0")
}

pub(crate) fn subscribe_frame(id: &str, destination: &str) -> String {
    format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\n\n\0")
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
