//! What one connection has received, and the checks of every frame as it arrives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use transtalk_core::chat::Destination;
use transtalk_core::stomp::{CloseCode, Command, Frame};
use transtalk_core::{RoomId, UserId};

use crate::counters::{Counters, Sometimes};
use crate::model::{Check, Model, Order, Seen, Violation, ensure};

/// One connection from the client's side.
pub(crate) struct Inbox {
    /// Whose.
    user: UserId,
    /// CONNECTED came.
    pub(crate) is_connected: bool,
    /// ERROR came, with this code.
    pub(crate) error: Option<String>,
    /// The link is gone.
    pub(crate) is_closed: bool,
    /// What the server said when it closed.
    pub(crate) code: Option<CloseCode>,
    /// Receipts that were asked for and did not come.
    pub(crate) expected: BTreeMap<String, Expected>,
    /// By subscription id.
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

/// What a RECEIPT would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A message with this text is stored.
    Stored(String),
    /// The subscription stands.
    Subscribed(String),
    /// The subscription has ended.
    Unsubscribed(String),
    /// Something of no consequence was done.
    Done,
    /// It may be granted or refused.
    Perhaps,
    /// It must not come, by this invariant: what was asked for is forbidden.
    Never(&'static str, &'static str),
}

/// One subscription from the client's side.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// To what.
    pub(crate) destination: Destination,
    /// With `pending: immediate`.
    pub(crate) is_immediate: bool,
    /// After which number it begins; `None` until the first message has come to who did not say.
    pub(crate) after: Option<u64>,
    /// It said where to begin.
    pub(crate) is_resumed: bool,
    /// When its RECEIPT was seen.
    pub(crate) since: Option<Order>,
    /// The greatest number that came.
    pub(crate) last: Option<u64>,
    /// The newest revision of each.
    pub(crate) seen: BTreeMap<u64, u64>,
    /// UNSUBSCRIBE was acknowledged.
    pub(crate) has_ended: bool,
    message_ids: BTreeSet<String>,
}

/// A subscription without a place has shown its first message.
pub(crate) struct Began {
    /// Of which room.
    pub(crate) room: RoomId,
    /// When its RECEIPT had been seen.
    pub(crate) since: Order,
    /// The first number.
    pub(crate) first: u64,
    /// The earlier numbers of which a newer state was shown.
    pub(crate) updated: Vec<u64>,
}

/// What a frame led to, beyond the inbox.
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// This text is said to be stored.
    Stored(String),
    /// A subscription has begun.
    Began(Began),
}

impl Subscription {
    /// A subscription that was asked for.
    pub(crate) fn new(destination: Destination, is_immediate: bool, after: Option<u64>) -> Self {
        Self {
            destination,
            is_immediate,
            after,
            is_resumed: after.is_some(),
            since: None,
            last: after,
            seen: BTreeMap::new(),
            has_ended: false,
            message_ids: BTreeSet::new(),
        }
    }
}

impl Inbox {
    /// Nothing has come to this user.
    pub(crate) fn new(user: UserId) -> Self {
        Self {
            user,
            is_connected: false,
            error: None,
            is_closed: false,
            code: None,
            expected: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    /// Whether it may still be used.
    pub(crate) fn is_open(&self) -> bool {
        self.error.is_none() && !self.is_closed
    }

    /// The link is gone, perhaps with a code; the first time counts.
    pub(crate) fn close(&mut self, code: Option<CloseCode>) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.code = code;
        }
    }

    /// A frame has arrived.
    pub(crate) fn take(&mut self, frame: &Frame, model: &mut Model, counters: &Counters) -> Result<Effect, Violation> {
        let command = frame.command.as_str();
        ensure(self.error.is_none(), "S4", || format!("{command} came after ERROR"))?;
        match frame.command {
            Command::Connected => {
                ensure(!self.is_connected, "S3", || "CONNECTED came twice".to_owned())?;
                self.is_connected = true;
                Ok(Effect::None)
            }
            Command::Error => {
                let code = frame.header("code").unwrap_or_default();
                let refusable = |e: &Expected| matches!(e, Expected::Never(..) | Expected::Perhaps);
                let may_come = !self.is_connected || self.expected.values().any(refusable);
                ensure(may_come, "wire", || format!("ERROR {code} came for nothing"))?;
                self.error = Some(code.to_owned());
                Ok(Effect::None)
            }
            Command::Receipt => self.receipt(frame.header("receipt-id").unwrap_or_default(), model),
            Command::Message => {
                ensure(self.is_connected, "S3", || "MESSAGE came before CONNECTED".to_owned())?;
                self.message(frame, model, counters)
            }
            _ => Err(Violation("wire", format!("{command} came from a server"))),
        }
    }

    fn receipt(&mut self, id: &str, model: &mut Model) -> Result<Effect, Violation> {
        let expected = self.expected.remove(id);
        match expected.ok_or_else(|| Violation("wire", format!("a RECEIPT came unasked or twice: {id}")))? {
            Expected::Never(invariant, what) => {
                Err(Violation(invariant, format!("{what} was acknowledged to {}", self.user)))
            }
            Expected::Stored(text) => {
                model.receipt(&text);
                Ok(Effect::Stored(text))
            }
            Expected::Subscribed(id) => {
                let now = model.observe();
                self.subscriptions.entry(id).and_modify(|subscription| subscription.since = Some(now));
                Ok(Effect::None)
            }
            Expected::Unsubscribed(id) => {
                self.subscriptions.entry(id).and_modify(|subscription| subscription.has_ended = true);
                Ok(Effect::None)
            }
            Expected::Done | Expected::Perhaps => Ok(Effect::None),
        }
    }

    fn message(&mut self, frame: &Frame, model: &mut Model, counters: &Counters) -> Result<Effect, Violation> {
        let header =
            |name: &'static str| frame.header(name).ok_or_else(|| Violation("C4", format!("a MESSAGE has no {name}")));
        let (id, message_id) = (header("subscription")?, header("message-id")?);
        let destination = Destination::parse(header("destination")?).ok();
        let subscription = self.subscriptions.get_mut(id).filter(|subscription| !subscription.has_ended);
        let subscription = subscription
            .ok_or_else(|| Violation("S3", format!("MESSAGE {message_id} for a subscription that is not there")))?;
        ensure(destination.as_ref() == Some(&subscription.destination), "C4", || {
            format!("MESSAGE {message_id} names another destination")
        })?;
        let is_new = subscription.message_ids.insert(message_id.to_owned());
        ensure(is_new, "C4", || format!("MESSAGE {message_id} came twice to {}", self.user))?;
        let body: Value = serde_json::from_slice(&frame.body).unwrap_or_default();
        match subscription.destination {
            Destination::Room(room) => {
                allowed(model, room, self.user, message_id)?;
                if frame.header("reset") == Some("true") {
                    counters.count(Sometimes::Reset);
                    return subscription.reset(number(header("seq")?), message_id).map(|()| Effect::None);
                }
                let seq = number(header("seq")?);
                let revision = body["revision"].as_u64().unwrap_or(u64::MAX);
                let names = format!("{room}-{seq}-{revision}@{id}");
                ensure(message_id == names, "C4", || format!("{message_id} should be {names}"))?;
                ensure(body["seq"].as_u64() == Some(seq), "C4", || format!("{message_id} has another seq inside"))?;
                seen(model, room, &body)?;
                subscription.deliver(room, seq, revision, &body, counters)
            }
            Destination::RoomEvents(room) => allowed(model, room, self.user, message_id).map(|()| Effect::None),
            Destination::RoomList(_) => {
                let room = body["chatroomId"].as_u64().and_then(|id| RoomId::new(id).ok());
                let room = room.ok_or_else(|| Violation("wire", "a line of the list names no room".to_owned()))?;
                if !model.rooms.contains_key(&room) {
                    // It is new, and whoever opened it has no answer yet.
                    return Ok(Effect::None);
                }
                allowed(model, room, self.user, message_id).map(|()| Effect::None)
            }
            Destination::Own(_) | Destination::App(..) => Ok(Effect::None),
        }
    }
}

impl Subscription {
    fn reset(&mut self, head: u64, message_id: &str) -> Check {
        ensure(self.is_resumed && self.last == self.after, "C8", || {
            format!("{message_id}: a reset comes first, and only to who said where to begin")
        })?;
        (self.after, self.last) = (Some(head), Some(head));
        Ok(())
    }

    /// The next message, or a newer state of an earlier one.
    fn deliver(
        &mut self,
        room: RoomId,
        seq: u64,
        revision: u64,
        body: &Value,
        counters: &Counters,
    ) -> Result<Effect, Violation> {
        if let Some(before) = self.seen.insert(seq, revision) {
            ensure(self.is_immediate && before < revision, "C4", || {
                format!("{room}-{seq} came again: revision {revision} after {before}")
            })?;
            counters.count(Sometimes::SeenUpdated);
            return Ok(Effect::None);
        }
        // Whoever asked for newer states is told those of messages from before the subscription, too.
        let is_update = self.is_immediate && revision > 0 && self.after.is_none_or(|after| seq <= after);
        if is_update && self.last.is_none_or(|last| seq <= last) {
            return Ok(Effect::None);
        }
        if body["status"] == "PENDING" {
            counters.count(Sometimes::SeenPending);
        }
        let Some(last) = self.last.replace(seq) else {
            self.after = Some(seq - 1);
            let Some(since) = self.since else { return Ok(Effect::None) };
            let updated = self.seen.keys().copied().collect();
            return Ok(Effect::Began(Began { room, since, first: seq, updated }));
        };
        ensure(seq > last, "C5", || format!("{room}-{seq} came after {last}"))?;
        ensure(seq == last + 1, "C8", || format!("{room}-{seq} came after {last}: a gap"))?;
        Ok(Effect::None)
    }
}

/// A message as the wire shows it is as it was sent.
pub(crate) fn seen(model: &mut Model, room: RoomId, body: &Value) -> Check {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    model.seen(&Seen {
        room,
        seq: body["seq"].as_u64().unwrap_or_default(),
        text: text("originalMessage"),
        sender: text("senderEmail"),
        chat_id: text("chatId"),
        send_at: text("sendAt"),
    })
}

fn allowed(model: &Model, room: RoomId, user: UserId, message_id: &str) -> Check {
    ensure(model.is_member(room, user), "C7", || format!("{user} is not in {room} and was sent {message_id}"))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}
