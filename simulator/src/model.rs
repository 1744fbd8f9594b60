//! What must be true of rooms and messages, as simply as it can be said: who sent what, and what was acknowledged. Sessions are in
//! `families.rs`, connections in `lines.rs`.

use std::collections::{BTreeMap, BTreeSet};

use transtalk_core::{RoomId, Timestamp, UserId};

use crate::families::Families;
use crate::lines::Lines;

/// An invariant by its number, and what speaks against it.
pub(crate) struct Violation(pub(crate) &'static str, pub(crate) String);

/// Whether all is well.
pub(crate) type Check = Result<(), Violation>;

/// Refuses unless something holds.
pub(crate) fn ensure(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation(invariant, what())) }
}

/// Counts everything that anybody observes, so that "before" has a meaning.
pub(crate) type Order = u64;

/// The model of one world.
#[derive(Default)]
pub(crate) struct Model {
    order: Order,
    /// Who may see which room.
    pub(crate) rooms: BTreeMap<RoomId, BTreeSet<UserId>>,
    /// Everybody who ever signed in, by the name of their account.
    pub(crate) users: BTreeMap<UserId, &'static str>,
    /// Users who are about to leave, or have left: they may be shown without a name.
    pub(crate) leaving: BTreeSet<UserId>,
    /// By text: every text is unique.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// Texts that must never be stored: they were sent with another user's token.
    pub(crate) forbidden: BTreeSet<String>,
    places: BTreeMap<(RoomId, u64), Place>,
    /// Sessions.
    pub(crate) families: Families,
    /// Connections.
    pub(crate) lines: Lines,
    /// Tickets and codes that were taken.
    pub(crate) taken: BTreeSet<String>,
}

/// A message that somebody sent, at least once.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Where.
    pub(crate) room: RoomId,
    /// By whom.
    pub(crate) sender: UserId,
    /// The sender's own name for it.
    pub(crate) client_id: String,
    /// When it was sent for the first time.
    pub(crate) begun_at: Order,
    /// On which links it was sent, and when.
    pub(crate) links: Vec<(u64, Timestamp)>,
    /// When its RECEIPT was seen.
    pub(crate) receipt: Option<Order>,
    seq: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    text: String,
    chat_id: String,
    send_at: String,
}

/// A message as somebody saw it.
pub(crate) struct Seen<'a> {
    pub(crate) room: RoomId,
    pub(crate) seq: u64,
    pub(crate) text: &'a str,
    pub(crate) sender: &'a str,
    pub(crate) chat_id: &'a str,
    pub(crate) send_at: &'a str,
}

impl Sent {
    /// On which connection it was sent first.
    pub(crate) fn first_link(&self) -> Option<u64> {
        self.links.first().map(|(link, _)| *link)
    }

    /// S1: one of the connections on which it was sent still had a right to.
    pub(crate) fn may_be_stored(&self, model: &Model) -> bool {
        self.links.iter().any(|(link, at)| {
            let session = model.lines.get(*link).map(|line| line.session);
            model.lines.may_say(*link, *at, session.and_then(|session| model.families.ended_at(session)))
        })
    }
}

impl Model {
    /// Something is observed now.
    pub(crate) fn observe(&mut self) -> Order {
        self.order += 1;
        self.order
    }

    /// Somebody sends this; the first time counts.
    pub(crate) fn send(
        &mut self,
        (room, sender): (RoomId, UserId),
        (client_id, text): (&str, &str),
        link: (u64, Timestamp),
    ) {
        let begun_at = self.observe();
        let sent = self.sent.entry(text.to_owned()).or_insert_with(|| Sent {
            room,
            sender,
            client_id: client_id.to_owned(),
            begun_at,
            links: Vec::new(),
            receipt: None,
            seq: None,
        });
        sent.links.push(link);
    }

    /// A RECEIPT was seen.
    pub(crate) fn receipt(&mut self, text: &str) {
        let now = self.observe();
        if let Some(sent) = self.sent.get_mut(text) {
            sent.receipt.get_or_insert(now);
        }
    }

    /// Whether somebody may see a room.
    pub(crate) fn is_member(&self, room: RoomId, user: UserId) -> bool {
        self.rooms.get(&room).is_some_and(|members| members.contains(&user))
    }

    /// A ticket or a code was taken. Says whether it was the first time.
    pub(crate) fn take(&mut self, once: &str) -> bool {
        self.taken.insert(once.to_owned())
    }

    /// Whether somebody may be shown like this.
    fn is_shown(&self, user: UserId, email: &str) -> bool {
        let name = self.users.get(&user).copied().unwrap_or_default();
        let is_gone = || self.leaving.contains(&user) && email == format!("user-{user}@users.invalid");
        email.strip_suffix(DOMAIN) == Some(name) || is_gone()
    }

    /// A message was delivered or read: it is as it was sent, and where it was before.
    pub(crate) fn seen(&mut self, seen: &Seen<'_>) -> Check {
        let Seen { room, seq, text, sender, chat_id, send_at } = *seen;
        ensure(!self.forbidden.contains(text), "S6", || {
            format!("{text:?} was sent with another user's token, and is at {room}-{seq}")
        })?;
        let sent = self.sent.get(text).map(|sent| sent.sender);
        let by = sent.ok_or_else(|| Violation("C2", format!("nobody ever sent {text:?}, which is at {room}-{seq}")))?;
        ensure(self.is_shown(by, sender), "C2", || format!("{text:?} by {by} is shown as by {sender}"))?;
        let Some(sent) = self.sent.get_mut(text) else { return Ok(()) };
        ensure(sent.room == room, "C2", || format!("{text:?} was sent to {} and is in {room}", sent.room))?;
        let place = sent.seq.get_or_insert(seq);
        ensure(*place == seq, "C3", || format!("{text:?} is in the room twice: at {place} and at {seq}"))?;
        let now = Place { text: text.to_owned(), chat_id: chat_id.to_owned(), send_at: send_at.to_owned() };
        let before = self.places.entry((room, seq)).or_insert_with(|| now.clone());
        ensure(before.text == now.text, "C5", || format!("at {seq} are both {:?} and {text:?}", before.text))?;
        ensure(*before == now, "C2", || format!("{text:?} was altered: {before:?} became {now:?}"))
    }
}

/// The address of an account.
pub(crate) fn address(name: &str) -> String {
    format!("{name}{DOMAIN}")
}

const DOMAIN: &str = "@example.com";
