//! What must be true, as simply as it can be said: who sent what, what was acknowledged, which token led to which.

use std::collections::{BTreeMap, BTreeSet};

use transtalk_core::{ErrorCode, RoomId, SessionId, Timestamp};

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
    /// Who may see which room, by e-mail address.
    pub(crate) rooms: BTreeMap<RoomId, BTreeSet<String>>,
    /// By text: every text is unique.
    pub(crate) sent: BTreeMap<String, Sent>,
    places: BTreeMap<(RoomId, u64), Place>,
    /// By session.
    pub(crate) families: BTreeMap<SessionId, Family>,
    /// When the token of each link ends.
    pub(crate) ends: BTreeMap<u64, Timestamp>,
    /// Refreshes under way, by refresh token.
    pub(crate) refreshing: BTreeMap<String, u64>,
    /// Log-outs under way.
    pub(crate) ending: BTreeMap<SessionId, u64>,
}

/// A message that somebody sent, at least once.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Where.
    pub(crate) room: RoomId,
    /// By whom: an e-mail address.
    pub(crate) sender: String,
    /// The sender's own name for it.
    pub(crate) client_id: String,
    /// When it was sent for the first time.
    pub(crate) begun_at: Order,
    /// On which link that was.
    pub(crate) link: u64,
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

/// A refresh that has begun.
pub(crate) struct Refresh {
    session: SessionId,
    parent: String,
    begun: Order,
    /// The token had a child by then.
    pub(crate) is_replaced: bool,
    /// So had the child.
    is_stale: bool,
}

/// The refresh tokens of a session.
#[derive(Default)]
pub(crate) struct Family {
    issued: BTreeSet<String>,
    children: BTreeMap<String, String>,
    /// When somebody was told that it has ended.
    ended: Option<Order>,
}

impl Model {
    /// Something is observed now.
    pub(crate) fn observe(&mut self) -> Order {
        self.order += 1;
        self.order
    }

    /// Somebody sends this; the first time counts.
    pub(crate) fn send(&mut self, room: RoomId, sender: &str, client_id: &str, text: &str, link: u64) {
        let begun_at = self.observe();
        self.sent.entry(text.to_owned()).or_insert_with(|| Sent {
            room,
            sender: sender.to_owned(),
            client_id: client_id.to_owned(),
            begun_at,
            link,
            receipt: None,
            seq: None,
        });
    }

    /// A RECEIPT was seen.
    pub(crate) fn receipt(&mut self, text: &str) {
        let now = self.observe();
        if let Some(sent) = self.sent.get_mut(text) {
            sent.receipt.get_or_insert(now);
        }
    }

    /// Whether somebody may see a room.
    pub(crate) fn is_member(&self, room: RoomId, email: &str) -> bool {
        self.rooms.get(&room).is_some_and(|members| members.contains(email))
    }

    /// A message was delivered or read: it is as it was sent, and where it was before.
    pub(crate) fn seen(&mut self, seen: &Seen<'_>) -> Check {
        let Seen { room, seq, text, sender, chat_id, send_at } = *seen;
        let sent = self.sent.get_mut(text);
        let sent =
            sent.ok_or_else(|| Violation("C2", format!("nobody ever sent {text:?}, which is at {room}-{seq}")))?;
        ensure(sent.sender == sender, "C2", || format!("{text:?} by {} is shown as by {sender}", sent.sender))?;
        ensure(sent.room == room, "C2", || format!("{text:?} was sent to {} and is in {room}", sent.room))?;
        let place = sent.seq.get_or_insert(seq);
        ensure(*place == seq, "C3", || format!("{text:?} is in the room twice: at {place} and at {seq}"))?;
        let now = Place { text: text.to_owned(), chat_id: chat_id.to_owned(), send_at: send_at.to_owned() };
        let before = self.places.entry((room, seq)).or_insert_with(|| now.clone());
        ensure(before.text == now.text, "C5", || format!("at {seq} are both {:?} and {text:?}", before.text))?;
        ensure(*before == now, "C2", || format!("{text:?} was altered: {before:?} became {now:?}"))
    }

    /// A sign-in gave this token.
    pub(crate) fn signed_in(&mut self, session: SessionId, token: &str) {
        self.families.entry(session).or_default().issued.insert(token.to_owned());
    }

    /// A refresh begins.
    pub(crate) fn refresh_begun(&mut self, session: SessionId, token: &str) -> Refresh {
        let begun = self.observe();
        let family = self.families.entry(session).or_default();
        let child = family.children.get(token);
        let is_stale = child.is_some_and(|child| family.children.contains_key(child));
        Refresh { session, parent: token.to_owned(), begun, is_replaced: child.is_some(), is_stale }
    }

    /// A refresh was answered.
    pub(crate) fn refreshed(&mut self, refresh: &Refresh, answer: &Result<String, ErrorCode>) -> Check {
        let now = self.observe();
        let Refresh { session, parent, begun, is_stale, .. } = refresh;
        let session = *session;
        let family = self.families.entry(session).or_default();
        match answer {
            Err(ErrorCode::RefreshTokenReused | ErrorCode::SessionEnded) => {
                family.ended.get_or_insert(now);
                Ok(())
            }
            Err(_) => Ok(()),
            Ok(child) => {
                ensure(family.ended.is_none_or(|ended| ended > *begun), "T4", || {
                    format!("session {session} had ended before this refresh began, and it was refreshed")
                })?;
                ensure(!is_stale, "T3", || {
                    format!("session {session}: a refresh token that was replaced twice was taken again")
                })?;
                let known = family.children.entry(parent.clone()).or_insert_with(|| child.clone());
                ensure(known == child, "T2", || {
                    format!("one refresh token has two children, {} and {}", named(known), named(child))
                })?;
                family.issued.insert(child.clone());
                family.check(session)
            }
        }
    }

    /// Somebody was told that a session has ended.
    pub(crate) fn ended(&mut self, session: SessionId) {
        let now = self.observe();
        self.families.entry(session).or_default().ended.get_or_insert(now);
    }

    /// An access token of this session was taken for good.
    pub(crate) fn accepted(&self, session: SessionId, begun: Order) -> Check {
        let ended = self.families.get(&session).and_then(|family| family.ended);
        ensure(ended.is_none_or(|ended| ended > begun), "T6", || {
            format!("session {session} had ended before, and an access token of it was taken")
        })
    }

    /// A server writes this to a link. After the end of its token it writes no message.
    pub(crate) fn written(&self, link: u64, now: Timestamp, bytes: &[u8]) -> Check {
        let is_over = self.ends.get(&link).is_some_and(|end| now > *end);
        let is_message = bytes.starts_with(b"MESSAGE\n") || bytes.windows(9).any(|part| part == b"\0MESSAGE\n");
        ensure(!(is_over && is_message), "S1", || format!("link {link} was written a message after its token's end"))
    }

    /// A refresh token of one of these sessions that was replaced at least twice.
    pub(crate) fn stale_token(&self, of: &BTreeSet<SessionId>) -> Option<(SessionId, String)> {
        let live = self.families.iter().filter(|(session, family)| of.contains(session) && family.ended.is_none());
        live.flat_map(|(session, family)| {
            let stale = family.children.iter().filter(|(_, child)| family.children.contains_key(*child));
            stale.map(|(token, _)| (*session, token.clone()))
        })
        .next()
    }
}

/// A refresh token without its code.
fn named(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(named, _)| named)
}

impl Family {
    /// T1: at most one token that was not replaced.
    pub(crate) fn check(&self, session: SessionId) -> Check {
        let leaves = self.issued.iter().filter(|token| !self.children.contains_key(*token)).count();
        ensure(leaves <= 1, "T1", || format!("session {session} has {leaves} live refresh tokens"))
    }
}
