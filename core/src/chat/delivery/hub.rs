//! The hub itself: connections, their subscriptions, and the lanes behind them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::encoder::{Encoder, plain_frame};
use super::lane::{Lane, LaneKind, LaneNeed, Listener, Replayed};
use super::outbox::Outbox;
use crate::chat::{Destination, entry_json};
use crate::id::{ConnectionId, RoomId, Seq, SessionId, SubscriptionId, UserId};
use crate::ports::{Event, Head, Publication};
use crate::stomp::{CloseCode, Subscribe};

/// A connection, as the hub knows it.
#[derive(Debug, Clone)]
pub struct Link {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
}

/// What the hub needs from the store. The shell reads it and answers with the method of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// How far a room has come: [`Hub::head`].
    Head {
        /// Which room.
        room: RoomId,
        /// For which lane.
        lane: LaneKind,
    },
    /// What came after this: [`Hub::history`].
    History {
        /// Which room.
        room: RoomId,
        /// For which lane.
        lane: LaneKind,
        /// After which number.
        after: Seq,
    },
    /// What one listener missed: [`Hub::replay`].
    Replay {
        /// Which room.
        room: RoomId,
        /// For which lane.
        lane: LaneKind,
        /// Whose.
        connection: ConnectionId,
        /// Which subscription.
        subscription: SubscriptionId,
        /// After which number.
        after: Seq,
    },
}

/// What the hub has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages of rooms that were encoded, once for each (message, frame head).
    pub encoded: u64,
    /// Messages of rooms that were put into an outbox.
    pub delivered: u64,
    /// Connections now.
    pub connections: usize,
    /// Rooms with a listener now.
    pub rooms: usize,
}

/// All live subscriptions of a node.
#[derive(Default)]
pub struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    links: BTreeMap<ConnectionId, Registered>,
    lanes: BTreeMap<(RoomId, LaneKind), Lane>,
    /// Everything that has no places: room lists, events of rooms, queues of one user.
    plain: BTreeMap<PlainTopic, BTreeMap<Listener, Arc<Outbox>>>,
    next_number: u64,
    encoded: u64,
    delivered: u64,
}

struct Registered {
    link: Link,
    subscriptions: BTreeMap<SubscriptionId, Topic>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PlainTopic {
    List(UserId),
    Events(RoomId),
    Own(UserId, String),
}

#[derive(Debug, Clone)]
enum Topic {
    Lane(RoomId, LaneKind),
    Plain(PlainTopic),
}

impl Hub {
    /// A connection has authenticated.
    pub fn connect(&self, link: Link) {
        self.lock().links.insert(link.connection, Registered { link, subscriptions: BTreeMap::new() });
    }

    /// A connection is gone, with all its subscriptions (invariant S7).
    pub fn disconnect(&self, connection: ConnectionId) {
        let mut state = self.lock();
        let Some(registered) = state.links.remove(&connection) else { return };
        for (id, topic) in registered.subscriptions {
            state.leave(&(connection, id), &topic);
        }
    }

    /// Whether this subscription has a place to begin: the client named one, or others listen already. If not, the store
    /// has to be asked for the head **before** [`subscribe_from`](Self::subscribe_from) and the RECEIPT, or what is said
    /// between the RECEIPT and the first reading would be missed (invariant C9).
    pub fn has_place(&self, subscribe: &Subscribe) -> bool {
        let Destination::Room(room) = subscribe.destination else { return true };
        subscribe.last_seq.is_some()
            || self.lock().lanes.get(&(room, lane_kind(subscribe))).is_some_and(Lane::is_placed)
    }

    /// A subscription that was allowed. Answers with what has to be read for it.
    pub fn subscribe(&self, connection: ConnectionId, subscribe: &Subscribe) -> Vec<Need> {
        self.subscribe_from(connection, subscribe, None)
    }

    /// The same; `head` is how far the store had come, for one that has no place.
    pub fn subscribe_from(&self, connection: ConnectionId, subscribe: &Subscribe, head: Option<&Head>) -> Vec<Need> {
        let mut state = self.lock();
        let Some(registered) = state.links.get_mut(&connection) else { return Vec::new() };
        let (user, outbox) = (registered.link.user, registered.link.outbox.clone());
        let lane = lane_kind(subscribe);
        let topic = match &subscribe.destination {
            Destination::Room(room) => Topic::Lane(*room, lane),
            Destination::RoomEvents(room) => Topic::Plain(PlainTopic::Events(*room)),
            Destination::RoomList(owner) => Topic::Plain(PlainTopic::List(*owner)),
            Destination::Own(name) => Topic::Plain(PlainTopic::Own(user, name.clone())),
            // Nothing is ever delivered from there; who asks was refused before.
            Destination::App(..) => return Vec::new(),
        };
        registered.subscriptions.insert(subscribe.id.clone(), topic.clone());
        let listener = (connection, subscribe.id.clone());
        match topic {
            Topic::Plain(topic) => {
                state.plain.entry(topic).or_default().insert(listener, outbox);
                Vec::new()
            }
            Topic::Lane(room, kind) => state.on_lane(room, kind, true, |lane, needs| {
                let head = head.map(|head| lane_head(kind, head));
                lane.join(listener, outbox, (subscribe.last_seq, head), needs);
            }),
        }
    }

    /// A subscription that ended. Nothing is delivered to it from here on.
    pub fn unsubscribe(&self, connection: ConnectionId, id: &SubscriptionId) {
        let mut state = self.lock();
        let topic = state.links.get_mut(&connection).and_then(|registered| registered.subscriptions.remove(id));
        if let Some(topic) = topic {
            state.leave(&(connection, id.clone()), &topic);
        }
    }

    /// Something happened, here or on another node. Answers with what has to be read because of it.
    pub fn event(&self, event: &Event) -> Vec<Need> {
        let mut state = self.lock();
        match event {
            Event::Appended(publication) | Event::Updated(publication) => {
                state.publish(publication, &[LaneKind::Immediate])
            }
            Event::Published(publications) => publications
                .iter()
                .flat_map(|publication| state.publish(publication, &[LaneKind::Visible, LaneKind::Immediate]))
                .collect(),
            Event::Listed(user, entry) => {
                let destination = format!("/topic/users/{user}/chatRoom");
                state.tell(&PlainTopic::List(*user), &destination, &entry_json(entry).into());
                Vec::new()
            }
            Event::Signal(room, body) => {
                state.tell(&PlainTopic::Events(*room), &format!("/topic/chat/{room}/events"), body);
                Vec::new()
            }
            Event::SessionEnded(session) => {
                let ended = state.links.values().filter(|registered| registered.link.session == *session);
                ended.for_each(|registered| registered.link.outbox.abort(CloseCode::SessionEnded));
                Vec::new()
            }
        }
    }

    /// The sessions that have a connection.
    pub fn sessions(&self) -> Vec<SessionId> {
        let sessions: BTreeSet<_> = self.lock().links.values().map(|registered| registered.link.session).collect();
        sessions.into_iter().collect()
    }

    /// Says something to one connection, on its subscriptions to `/user/queue/{queue}`. The body is JSON.
    pub fn tell_connection(&self, connection: ConnectionId, queue: &str, body: &Bytes) {
        let mut state = self.lock();
        let Some(registered) = state.links.get(&connection) else { return };
        let (user, outbox) = (registered.link.user, registered.link.outbox.clone());
        let topic = PlainTopic::Own(user, queue.to_owned());
        let ids: Vec<SubscriptionId> = registered
            .subscriptions
            .iter()
            .filter(|(_, subscribed)| matches!(subscribed, Topic::Plain(plain) if *plain == topic))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            state.next_number += 1;
            outbox.push(plain_frame(&format!("/user/queue/{queue}"), &id, state.next_number, body.clone()));
        }
    }

    /// The rooms that somebody listens to.
    pub fn rooms(&self) -> Vec<RoomId> {
        let mut rooms: Vec<RoomId> = self.lock().lanes.keys().map(|(room, _)| *room).collect();
        rooms.dedup();
        rooms
    }

    /// What the store says of a room, unasked: finds what the bus has lost.
    pub fn compare(&self, head: &Head) -> Vec<Need> {
        let mut state = self.lock();
        [LaneKind::Visible, LaneKind::Immediate]
            .into_iter()
            .flat_map(|kind| {
                state.on_lane(head.room, kind, false, |lane, needs| lane.compare(lane_head(kind, head), needs))
            })
            .collect()
    }

    /// Answers [`Need::Head`].
    pub fn head(&self, room: RoomId, lane: LaneKind, head: &Head) -> Vec<Need> {
        let at = lane_head(lane, head);
        self.lock().on_lane(room, lane, false, |lane, needs| lane.loaded(at, needs))
    }

    /// Answers [`Need::History`].
    pub fn history(&self, room: RoomId, lane: LaneKind, messages: &[Arc<Publication>]) -> Vec<Need> {
        self.lock().on_lane(room, lane, false, |lane, needs| lane.history(messages, needs))
    }

    /// Answers [`Need::Replay`] for what comes after this number; the head was read before the messages.
    pub fn replay(
        &self,
        (room, lane): (RoomId, LaneKind),
        (connection, subscription): (ConnectionId, SubscriptionId),
        after: Seq,
        head: &Head,
        messages: &[Arc<Publication>],
    ) -> Vec<Need> {
        let last = messages.last().map_or(Seq::ZERO, |publication| publication.message.seq);
        let replayed = Replayed { after, head: lane_head(lane, head).max(last), messages };
        let listener = (connection, subscription);
        self.lock().on_lane(room, lane, false, |lane, needs| lane.replayed(&listener, &replayed, needs))
    }

    /// A connection has room again for what it is behind with.
    pub fn resume(&self, connection: ConnectionId) -> Vec<Need> {
        let mut state = self.lock();
        let Some(registered) = state.links.get(&connection) else { return Vec::new() };
        let behind: Vec<_> = registered
            .subscriptions
            .iter()
            .filter_map(|(id, topic)| match topic {
                Topic::Lane(room, kind) => Some((*room, *kind, (connection, id.clone()))),
                Topic::Plain(_) => None,
            })
            .collect();
        behind
            .into_iter()
            .flat_map(|(room, kind, listener)| {
                state.on_lane(room, kind, false, |lane, needs| lane.resume(&listener, needs))
            })
            .collect()
    }

    /// Ends every connection at once: nothing that is queued is written.
    pub fn abort_all(&self, code: CloseCode) {
        self.lock().links.values().for_each(|registered| registered.link.outbox.abort(code));
    }

    /// Ends every connection.
    pub fn close_all(&self, code: CloseCode) {
        self.lock().links.values().for_each(|registered| registered.link.outbox.close(code));
    }

    /// Ends one connection.
    pub fn close(&self, connection: ConnectionId, code: CloseCode) {
        if let Some(registered) = self.lock().links.get(&connection) {
            registered.link.outbox.abort(code);
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let state = self.lock();
        let live = |count: fn(&Lane) -> u64| state.lanes.values().map(count).sum::<u64>();
        let rooms = state.lanes.keys().map(|(room, _)| room).collect::<BTreeSet<_>>().len();
        Counters {
            encoded: state.encoded + live(|lane| lane.encoded),
            delivered: state.delivered + live(|lane| lane.delivered),
            connections: state.links.len(),
            rooms,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Works on a lane and translates what it needs. A lane that nobody listens to any more is dropped.
    fn on_lane(
        &mut self,
        room: RoomId,
        kind: LaneKind,
        create: bool,
        work: impl FnOnce(&mut Lane, &mut Vec<LaneNeed>),
    ) -> Vec<Need> {
        let lane = match self.lanes.entry((room, kind)) {
            Entry::Occupied(lane) => lane.into_mut(),
            Entry::Vacant(place) if create => place.insert(Lane::new(kind, room)),
            Entry::Vacant(_) => return Vec::new(),
        };
        let mut needs = Vec::new();
        work(lane, &mut needs);
        needs.into_iter().map(|need| name(room, kind, need)).collect()
    }

    fn publish(&mut self, publication: &Arc<Publication>, kinds: &[LaneKind]) -> Vec<Need> {
        let mut encoder = Encoder::new(publication.clone());
        let room = publication.message.room;
        let mut needs = Vec::new();
        for kind in kinds {
            needs
                .extend(self.on_lane(room, *kind, false, |lane, needs| lane.publish(publication, &mut encoder, needs)));
        }
        needs
    }

    fn tell(&mut self, topic: &PlainTopic, destination: &str, body: &Bytes) {
        let Some(listeners) = self.plain.get(topic) else { return };
        self.next_number += 1;
        let mut frames: BTreeMap<&SubscriptionId, Bytes> = BTreeMap::new();
        for ((_, id), outbox) in listeners {
            let number = self.next_number;
            let frame = frames.entry(id).or_insert_with(|| plain_frame(destination, id, number, body.clone()));
            outbox.push(frame.clone());
        }
    }

    fn leave(&mut self, listener: &Listener, topic: &Topic) {
        match topic {
            Topic::Plain(topic) => {
                if let Some(listeners) = self.plain.get_mut(topic) {
                    listeners.remove(listener);
                    if listeners.is_empty() {
                        self.plain.remove(topic);
                    }
                }
            }
            Topic::Lane(room, kind) => {
                let Some(lane) = self.lanes.get_mut(&(*room, *kind)) else { return };
                lane.leave(listener);
                if lane.is_empty() {
                    self.encoded += lane.encoded;
                    self.delivered += lane.delivered;
                    self.lanes.remove(&(*room, *kind));
                }
            }
        }
    }
}

fn lane_kind(subscribe: &Subscribe) -> LaneKind {
    if subscribe.immediate { LaneKind::Immediate } else { LaneKind::Visible }
}

fn lane_head(kind: LaneKind, head: &Head) -> Seq {
    match kind {
        LaneKind::Visible => head.published,
        LaneKind::Immediate => head.head,
    }
}

fn name(room: RoomId, lane: LaneKind, need: LaneNeed) -> Need {
    match need {
        LaneNeed::Head => Need::Head { room, lane },
        LaneNeed::History { after } => Need::History { room, lane, after },
        LaneNeed::Replay { listener: (connection, subscription), after } => {
            Need::Replay { room, lane, connection, subscription, after }
        }
    }
}
