//! The checks that look at the whole: what is in the store against what was observed, and whether all is well at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt;
use transtalk_core::app::HistoryQuery;
use transtalk_core::chat::{Destination, HistoryPage, Message};
use transtalk_core::ports::Messages;
use transtalk_core::{ClientMessageId, RoomId, Seq, UserId};

use crate::inbox::{Began, Subscription, seen};
use crate::model::{Check, Order, Sent, Violation, ensure};
use crate::observed::Way;
use crate::person::{Person, Turn};
use crate::tab::Handle;
use crate::world::World;

impl World {
    /// Everything that the store has of a room, visible or not; nobody notices.
    fn rows(&self, room: RoomId) -> Vec<Message> {
        let rows = self.store.after(room, Seq::ZERO, u32::MAX, true).now_or_never();
        rows.and_then(Result::ok).unwrap_or_default()
    }

    fn message(&self, sent: &Sent, text: &str) -> Option<Message> {
        self.rows(sent.room).into_iter().find(|row| row.text.as_str() == text)
    }

    /// Whether a message that was sent is in the store.
    pub(crate) fn is_stored(&self, text: &str) -> bool {
        let sent = self.model().sent.get(text).cloned();
        sent.is_some_and(|sent| self.message(&sent, text).is_some())
    }

    /// C1, at the very moment when a RECEIPT is seen.
    pub(crate) fn check_stored(&self, text: &str) -> Check {
        ensure(self.is_stored(text), "C1", || format!("a RECEIPT came for {text:?}, which is not in the history"))
    }

    /// C9: a subscription whose first message is this one has missed none that was sent after its RECEIPT.
    pub(crate) fn check_began(&self, who: &str, began: &Began) -> Check {
        let Began { room, since, first, updated } = began;
        let model = self.model();
        for row in self.rows(*room).iter().filter(|row| row.seq.0 < *first && !updated.contains(&row.seq.0)) {
            let sent = model.sent.get(row.text.as_str());
            ensure(sent.is_none_or(|sent| sent.begun_at < *since), "C9", || {
                format!("{who} had subscribed before {} was sent, and was given {first} first", row.seq)
            })?;
        }
        Ok(())
    }

    /// A page of history as a member was given it.
    pub(crate) fn check_page(&self, user: UserId, room: RoomId, query: HistoryQuery, asked: Order, page: &HistoryPage) {
        self.check(self.page(user, room, query, asked, page));
    }

    fn page(&self, user: UserId, room: RoomId, query: HistoryQuery, asked: Order, page: &HistoryPage) -> Check {
        let mut model = self.model();
        ensure(model.is_member(room, user), "C7", || format!("{user} read {room}"))?;
        for chat in &page.chats {
            seen(&mut model, room, &serde_json::to_value(chat).unwrap_or_default())?;
        }
        let seqs: Vec<u64> = page.chats.iter().map(|chat| chat.seq).collect();
        ensure(seqs.windows(2).all(|pair| pair[0] == pair[1] + 1), "C5", || format!("history has gaps: {seqs:?}"))?;
        if query.page == 0 && !query.pending {
            let first = seqs.first().copied().unwrap_or_default();
            ensure(first == page.total, "C5", || format!("history ends at {first} and has {}", page.total))?;
        }
        let is_whole = query.pending && seqs.len() < query.size as usize;
        for (text, sent) in model.sent.iter().filter(|(_, sent)| is_whole && sent.room == room) {
            if sent.receipt.is_some_and(|receipt| receipt < asked) {
                let is_there = page.chats.iter().any(|chat| chat.original_message == *text);
                ensure(is_there, "C1", || format!("{text:?} had its RECEIPT and is not in the history"))?;
            }
        }
        Ok(())
    }
}

/// Whether a node that dies now takes a RECEIPT with it.
pub(crate) fn is_between_commit_and_receipt(world: &World) -> bool {
    let open: Vec<String> = {
        let model = world.model();
        let open = model.sent.iter().filter(|(_, sent)| sent.receipt.is_none());
        open.map(|(text, _)| text.clone()).collect()
    };
    open.iter().any(|text| world.is_stored(text))
}

/// Everybody was connected and had sent what they had to send, and every message has left its pending state.
pub(crate) fn settled(world: &World) -> Result<(), String> {
    for tab in &world.tabs {
        let status = tab.status();
        if !status.has_settled {
            return Err(format!("{} is {}", tab.who, status.doing));
        }
    }
    nothing_is_pending(world)
}

fn nothing_is_pending(world: &World) -> Result<(), String> {
    for room in world.rooms() {
        if let Some(row) = world.rows(room).iter().find(|row| !row.is_settled()) {
            return Err(format!("{}-{} is PENDING", row.room, row.seq));
        }
    }
    let hidden = world.store.hidden(u32::MAX).now_or_never().and_then(Result::ok).unwrap_or_default();
    match hidden.first() {
        Some(row) => Err(format!("{}-{} is not published", row.room, row.seq)),
        None => Ok(()),
    }
}

/// Everybody has the RECEIPT of their last message.
pub(crate) fn all_said_goodbye(world: &World) -> Result<(), String> {
    match world.tabs.iter().find(|tab| !tab.status().has_said_goodbye) {
        Some(tab) => Err(format!("{} is {} and could not say goodbye", tab.who, tab.status().doing)),
        None => nothing_is_pending(world),
    }
}

/// L1: every live subscription has everything that it has a right to. Whose connection ends now and then, because their
/// token does, is counted once they had it; `done` says who.
pub(crate) fn all_arrived(world: &World, done: &mut BTreeSet<Arc<str>>) -> Result<(), String> {
    let mut missing = None;
    for tab in world.tabs.iter().filter(|tab| !done.contains(&tab.who)).cloned().collect::<Vec<_>>() {
        match arrived(world, &tab) {
            Ok(()) => {
                done.insert(tab.who.clone());
            }
            Err(what) => missing = Some(what),
        }
    }
    missing.map_or(Ok(()), Err)
}

fn arrived(world: &World, tab: &Handle) -> Result<(), String> {
    let socket = tab.status().socket.clone().filter(|socket| socket.is_open());
    let socket = socket.ok_or_else(|| format!("{} is not connected", tab.who))?;
    let inbox = socket.inbox();
    let mut rooms = 0;
    for (id, subscription) in inbox.subscriptions.iter().filter(|(_, subscription)| !subscription.has_ended) {
        let Destination::Room(room) = subscription.destination else { continue };
        rooms += 1;
        if let Some(missing) = missing(world, room, subscription) {
            return Err(format!("{}'s {id} has not received {room}-{missing}", tab.who));
        }
    }
    if rooms == 0 { Err(format!("{} is not subscribed", tab.who)) } else { Ok(()) }
}

fn missing(world: &World, room: RoomId, subscription: &Subscription) -> Option<Seq> {
    let model = world.model();
    let has_a_right = |row: &&Message| match (subscription.after, subscription.since) {
        (Some(after), _) if row.seq.0 > after => true,
        (_, Some(since)) if !subscription.is_resumed => {
            model.sent.get(row.text.as_str()).is_some_and(|sent| sent.begun_at > since)
        }
        _ => false,
    };
    let rows = world.rows(room);
    rows.iter().filter(has_a_right).find(|row| !subscription.seen.contains_key(&row.seq.0)).map(|row| row.seq)
}

/// The verdict: the store against everything that was observed.
pub(crate) async fn at_the_end(world: &Arc<World>) -> Check {
    let rooms = world.rooms();
    ensure(!rooms.is_empty(), "L2", || "nobody ever opened the room".to_owned())?;
    for room in rooms {
        let rows = world.rows(room);
        stored(world, room, &rows)?;
        order(world, &rows)?;
        for tab in &world.tabs {
            pages(world, &tab.person, room, &rows).await?;
        }
    }
    Ok(())
}

/// C1, C2, C3, C5: numbered 1 to n, each as it was sent, each once, and nothing with a RECEIPT is missing.
fn stored(world: &World, room: RoomId, rows: &[Message]) -> Check {
    let model = world.model();
    let mut by_client_id = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let place = index as u64 + 1;
        ensure(row.seq.0 == place, "C5", || format!("{room}-{place} is missing in the history"))?;
        let text = row.text.as_str();
        ensure(!model.forbidden.contains(text), "S6", || {
            format!("{room}-{place} was sent with another user's token, and is in the history")
        })?;
        let sent = model.sent.get(text);
        let sent = sent.ok_or_else(|| Violation("C2", format!("nobody sent what is at {room}-{place}")))?;
        ensure(sent.sender == row.sender, "S6", || format!("{room}-{place} by {} is of {}", sent.sender, row.sender))?;
        ensure(sent.may_be_stored(&model), "S1", || {
            format!("{room}-{place} was only sent on connections whose right had ended: {:?}", sent.links)
        })?;
        let client_id = row.client_id.as_ref().map(ClientMessageId::as_str).unwrap_or_default();
        ensure(client_id == sent.client_id, "C2", || format!("{room}-{place} has the client id {client_id:?}"))?;
        if let Some(other) = by_client_id.insert((row.sender, client_id), place) {
            return Err(Violation("C3", format!("{client_id} is in the history twice: at {other} and at {place}")));
        }
    }
    for (text, sent) in model.sent.iter().filter(|(_, sent)| sent.room == room && sent.receipt.is_some()) {
        let is_there = rows.iter().any(|row| row.text.as_str() == text);
        ensure(is_there, "C1", || format!("{:?} had its RECEIPT and is not in the history", sent.client_id))?;
    }
    Ok(())
}

/// C6: what was acknowledged before the other was sent comes first, and one connection's messages keep their order.
fn order(world: &World, rows: &[Message]) -> Check {
    let model = world.model();
    let sent: Vec<(&Message, &Sent)> =
        rows.iter().filter_map(|row| Some((row, model.sent.get(row.text.as_str())?))).collect();
    for (index, (later, after)) in sent.iter().enumerate() {
        for (earlier, before) in &sent[..index] {
            let acknowledged = after.receipt.is_some_and(|receipt| receipt < before.begun_at);
            ensure(!acknowledged, "C6", || {
                format!("{} has its RECEIPT from before {} was sent, and comes after it", later.seq, earlier.seq)
            })?;
            let overtaken = after.first_link() == before.first_link() && after.begun_at < before.begun_at;
            ensure(!overtaken, "C6", || {
                format!("{} and {} were sent on one connection, the other way round", earlier.seq, later.seq)
            })?;
        }
    }
    Ok(())
}

/// The same, as a member reads it page by page; whoever has left or come as somebody else since reads nothing.
async fn pages(world: &Arc<World>, person: &Arc<Person>, room: RoomId, rows: &[Message]) -> Check {
    let (mut read, turn) = (Vec::new(), Turn::default());
    for _ in 0..PAGES_MAX {
        let user = person.user();
        if user.is_some_and(|user| !world.model().is_member(room, user)) {
            return Ok(());
        }
        let page = u32::try_from(read.len() / PAGE_SIZE as usize).unwrap_or_default();
        let query = HistoryQuery { page, size: PAGE_SIZE, pending: false };
        let way = Way { node: 0, patience: 10_000, gives_up: false };
        match person.history(world, &turn, way, room, query).await {
            Some(Ok((principal, asked, answer))) => {
                world.check_page(principal.user, room, query, asked, &answer);
                let is_last = answer.chats.len() < PAGE_SIZE as usize;
                read.extend(answer.chats.into_iter().map(|chat| chat.seq));
                if is_last {
                    break;
                }
            }
            // Perhaps the session has ended, and a tab signs in again.
            _ => world.executor.sleep(500).await,
        }
    }
    let expected: Vec<u64> = rows.iter().rev().map(|row| row.seq.0).collect();
    ensure(read == expected, "C5", || format!("{} reads {read:?} instead of {expected:?}", person.name))
}

/// S7: no connection and no subscription is left where nobody is.
pub(crate) fn nobody_is_left(world: &World) -> Result<(), String> {
    for node in &world.nodes {
        let Some((services, _)) = node.services() else { continue };
        let counters = services.hub.counters();
        if counters.connections > 0 || counters.rooms > 0 {
            return Err(format!("{} still has {} connections", node.who, counters.connections));
        }
    }
    Ok(())
}

const PAGE_SIZE: u32 = 7;
const PAGES_MAX: usize = 50;
