//! What a tab says and reads.

use std::sync::Arc;

use transtalk_core::RoomId;
use transtalk_core::app::HistoryQuery;
use transtalk_core::chat::Destination;
use transtalk_core::stomp::{Command, Frame};

use super::{Outgoing, Tab};
use crate::counters::Sometimes;
use crate::inbox::{Expected, Subscription};
use crate::socket::Socket;

impl Tab {
    /// Has something to say; it goes out with whatever else has no RECEIPT.
    pub(super) fn say(&mut self) {
        self.said += 1;
        let client_id = format!("{}-{}", self.handle.who.replace('/', "-"), self.said);
        let text = format!("{} {client_id}", self.random.pick(PHRASES));
        self.unacknowledged.push_back(Outgoing { client_id, text, link: None });
    }

    /// Sends, in order, what was not sent on this connection.
    pub(super) async fn send_again(&mut self, socket: &Arc<Socket>, room: RoomId) {
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
    pub(super) fn send_new(&mut self, socket: &Arc<Socket>, room: RoomId) -> Option<String> {
        let mut last = None;
        let (stamp, now) = (self.stamp(), self.world.now());
        let is_others = stamp.as_ref().is_some_and(|access| access.claims.user != socket.claims.user);
        for outgoing in &mut self.unacknowledged {
            if outgoing.link == Some(socket.link) {
                continue;
            }
            let is_new = outgoing.link.replace(socket.link).is_none();
            if !is_new && self.world.is_stored(&outgoing.text) {
                self.world.counters.count(Sometimes::SentAgain);
            }
            if !is_others {
                let says = (outgoing.client_id.as_str(), outgoing.text.as_str());
                self.world.model().send((room, socket.claims.user), says, (socket.link, now));
            } else if is_new {
                self.world.model().forbidden.insert(outgoing.text.clone());
            }
            let times = if self.random.chance(100) { 2 } else { 1 };
            for _ in 0..times {
                let frame = Frame::new(Command::Send)
                    .with("destination", format!("/app/chat/{room}"))
                    .with("client-message-id", outgoing.client_id.as_str())
                    .with_body(serde_json::json!({ "content": outgoing.text }).to_string());
                last = Some(socket.ask(frame, Expected::Stored(outgoing.text.clone()), stamp.as_ref()));
            }
        }
        if is_others && last.is_some() {
            // Whoever said it is gone.
            self.lose_what_was_said();
        }
        last
    }

    /// Sends another text under the client id of a message that is stored. It is refused, and what came before it is not.
    pub(super) async fn say_otherwise(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let known = {
            let model = self.world.model();
            let mut own = model.sent.values().filter(|sent| sent.sender == socket.claims.user && sent.room == room);
            own.find(|sent| sent.receipt.is_some()).map(|sent| sent.client_id.clone())
        };
        let Some(known) = known else { return };
        self.say();
        self.send_new(socket, room);
        let frame = Frame::new(Command::Send)
            .with("destination", format!("/app/chat/{room}"))
            .with("client-message-id", known)
            .with_body(r#"{"content":"something else"}"#);
        self.ask(socket, frame, Expected::Never("C3", "another text under a known client id"));
        if socket.until(5_000, |inbox| inbox.error.is_some()).await {
            self.world.counters.count(Sometimes::ClientIdReused);
        }
        socket.close();
    }

    /// A message is acknowledged for good when any of its RECEIPTs came.
    pub(super) fn forget_receipted(&mut self) {
        let model = self.world.model();
        let is_open = |outgoing: &Outgoing| model.sent.get(&outgoing.text).is_none_or(|sent| sent.receipt.is_none());
        self.unacknowledged.retain(is_open);
    }

    pub(super) async fn subscribe(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let id = self.subscription_id();
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

    /// The room's events, the list of rooms, or what the server says of the connection's own end.
    async fn subscribe_beside(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let (id, user) = (self.subscription_id(), socket.claims.user);
        let (destination, name) = match self.random.between(0, 2) {
            0 => (Destination::RoomEvents(room), format!("/topic/chat/{room}/events")),
            1 => (Destination::RoomList(user), format!("/topic/users/{user}/chatRoom")),
            _ => (Destination::Own("session".to_owned()), "/user/queue/session".to_owned()),
        };
        let frame = Frame::new(Command::Subscribe).with("id", id.as_str()).with("destination", name);
        self.ask_for(socket, &id, frame, Subscription::new(destination, false, None)).await;
    }

    fn subscription_id(&mut self) -> String {
        let id = format!("sub-{}", self.next_subscription);
        self.next_subscription += 1;
        id
    }

    async fn ask_for(&mut self, socket: &Arc<Socket>, id: &str, frame: Frame, subscription: Subscription) {
        socket.inbox().subscriptions.insert(id.to_owned(), subscription);
        let receipt = self.ask(socket, frame, Expected::Subscribed(id.to_owned()));
        if self.random.chance(700) {
            socket.until(5_000, |inbox| !inbox.expected.contains_key(&receipt)).await;
        }
    }

    pub(super) async fn unsubscribe(&mut self, socket: &Arc<Socket>) {
        if self.subscriptions.is_empty() {
            return;
        }
        let index = self.random.index(self.subscriptions.len());
        let id = self.subscriptions.remove(index);
        let frame = Frame::new(Command::Unsubscribe).with("id", id.as_str());
        // The first client's carries no token.
        let receipt = socket.ask(frame, Expected::Unsubscribed(id), None);
        socket.until(5_000, |inbox| !inbox.expected.contains_key(&receipt)).await;
    }

    /// Somebody is writing, or has read.
    pub(super) fn signal(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let what = self.random.pick(&["typing", "read"]);
        let frame = Frame::new(Command::Send).with("destination", format!("/app/chat/{room}/{what}"));
        self.ask(socket, frame, Expected::Done);
    }

    /// Reads history and looks at it.
    pub(super) async fn read(&mut self, room: RoomId) {
        let pending = self.random.chance(500);
        let size = if pending { 200 } else { self.random.pick(&[3, 200]) };
        let query = HistoryQuery { page: 0, size, pending };
        let way = self.way();
        let read = self.person().history(&self.world, &self.handle.turn, way, room, query).await;
        if let Some(Ok((principal, asked, page))) = read {
            self.world.check_page(principal.user, room, query, asked, &page);
        }
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
