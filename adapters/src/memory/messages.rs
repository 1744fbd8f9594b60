//! Messages in memory: a log a room, and indexes over all rooms for the work that is still to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use async_trait::async_trait;
use transtalk_core::chat::{Message, NewMessage, Text, Translation};
use transtalk_core::limits;
use transtalk_core::ports::{Appended, Changed, Head, Messages, MessagesError, Page, StoreError, Unread};
use transtalk_core::translate::Language;
use transtalk_core::{ClientMessageId, MessageId, RoomId, Seq, Timestamp, UserId};

use super::{MemoryStore, lock, taken};

/// The place of a message among those of all rooms: how many came before it.
type Arrival = u64;

/// Every room's log.
#[derive(Default)]
pub(super) struct Table {
    logs: BTreeMap<RoomId, Log>,
    by_id: BTreeMap<MessageId, (RoomId, Seq)>,
    arrivals: Arrival,
    /// The oldest first, like the next.
    pending: BTreeMap<Arrival, (RoomId, Seq)>,
    hidden: BTreeMap<Arrival, (RoomId, Seq)>,
}

/// One room's messages.
#[derive(Default)]
struct Log {
    head: Seq,
    published: Seq,
    changed_at: Timestamp,
    entries: BTreeMap<Seq, Entry>,
    by_client_id: BTreeMap<(UserId, ClientMessageId), Seq>,
    /// So that unread messages are counted without looking at one's own.
    by_sender: BTreeMap<UserId, BTreeSet<Seq>>,
}

struct Entry {
    arrival: Arrival,
    message: Message,
}

impl Log {
    fn find(&self, seq: Seq) -> Option<&Message> {
        self.entries.get(&seq).map(|entry| &entry.message)
    }

    fn known(&self, sender: UserId, client_id: &ClientMessageId) -> Option<&Message> {
        self.by_client_id.get(&(sender, client_id.clone())).and_then(|seq| self.find(*seq))
    }

    /// What is visible up to this number, in ascending order.
    fn visible_upto(&self, seq: Seq) -> impl DoubleEndedIterator<Item = &Message> {
        self.entries.range(..=seq.min(self.published)).map(|(_, entry)| &entry.message)
    }

    /// What comes after this number up to another, in ascending order.
    fn between(&self, after: Seq, upto: Seq) -> impl Iterator<Item = &Message> {
        // A range that ends before it begins panics.
        let range = (after < upto).then(|| self.entries.range((Excluded(after), Included(upto))));
        range.into_iter().flatten().map(|(_, entry)| &entry.message)
    }

    fn unread(&self, reader: UserId, after: Seq) -> u64 {
        let max = usize::try_from(limits::UNREAD_MAX).unwrap_or(usize::MAX);
        let of_others = self.by_sender.iter().filter(|(sender, _)| **sender != reader).map(|(_, seqs)| seqs);
        let unread = of_others
            .flat_map(|seqs| seqs.range((Excluded(after), Unbounded)).take_while(|seq| **seq <= self.published));
        unread.take(max).count() as u64
    }
}

impl Table {
    /// Why a batch is refused, before anything of it is stored.
    fn check(&self, batch: &[NewMessage]) -> Result<(), MessagesError> {
        let mut in_batch: BTreeMap<(RoomId, UserId, &ClientMessageId), &Text> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for (index, new) in batch.iter().enumerate() {
            if let Some(client_id) = &new.client_id {
                let stored = self.logs.get(&new.room).and_then(|log| log.known(new.sender, client_id));
                let key = (new.room, new.sender, client_id);
                match stored.map(|message| &message.text).or_else(|| in_batch.get(&key).copied()) {
                    Some(text) if *text == new.text => continue,
                    Some(_) => return Err(MessagesError::IdReused { index }),
                    None => in_batch.insert(key, &new.text),
                };
            }
            if self.by_id.contains_key(&new.id) || !ids.insert(new.id) {
                return Err(taken("the message id").into());
            }
        }
        Ok(())
    }

    fn append(&mut self, new: &NewMessage) -> Appended {
        let log = self.logs.entry(new.room).or_default();
        if let Some(known) = new.client_id.as_ref().and_then(|client_id| log.known(new.sender, client_id)) {
            return Appended::Known(known.clone());
        }
        log.head = log.head.next();
        log.changed_at = log.changed_at.max(new.sent_at);
        log.by_sender.entry(new.sender).or_default().insert(log.head);
        if let Some(client_id) = new.client_id.clone() {
            log.by_client_id.insert((new.sender, client_id), log.head);
        }
        let message = Message::stored(new.clone(), log.head);
        let place = (message.room, message.seq);
        self.arrivals += 1;
        self.by_id.insert(message.id, place);
        self.hidden.insert(self.arrivals, place);
        if !message.is_settled() {
            self.pending.insert(self.arrivals, place);
        }
        log.entries.insert(message.seq, Entry { arrival: self.arrivals, message: message.clone() });
        let visible = !self.publish(new.room, Seq::ZERO).is_empty();
        Appended::Stored { message, visible }
    }

    /// Shows what may be shown: everything up to `upto`, and what is settled after it, as far as there is no gap.
    fn publish(&mut self, room: RoomId, upto: Seq) -> Vec<Message> {
        let mut published = Vec::new();
        let Some(log) = self.logs.get_mut(&room) else { return published };
        while let Some(entry) = log.entries.get(&log.published.next()) {
            if entry.message.seq > upto && !entry.message.is_settled() {
                break;
            }
            log.published = entry.message.seq;
            self.hidden.remove(&entry.arrival);
            published.push(entry.message.clone());
        }
        published
    }

    fn remove(&mut self, room: RoomId, seq: Seq) {
        let Some(log) = self.logs.get_mut(&room) else { return };
        let Some(Entry { arrival, message }) = log.entries.remove(&seq) else { return };
        if let Some(client_id) = message.client_id {
            log.by_client_id.remove(&(message.sender, client_id));
        }
        if let Some(seqs) = log.by_sender.get_mut(&message.sender) {
            seqs.remove(&seq);
        }
        self.by_id.remove(&message.id);
        self.pending.remove(&arrival);
    }

    fn find(&self, room: RoomId, seq: Seq) -> Option<&Message> {
        self.logs.get(&room).and_then(|log| log.find(seq))
    }

    fn at<'a>(&'a self, places: &'a BTreeMap<Arrival, (RoomId, Seq)>, limit: u32) -> Vec<Message> {
        let places = places.values().take(limit as usize);
        places.filter_map(|(room, seq)| self.find(*room, *seq)).cloned().collect()
    }
}

#[async_trait]
impl Messages for MemoryStore {
    async fn append(&self, batch: &[NewMessage]) -> Result<Vec<Appended>, MessagesError> {
        let mut table = lock(&self.tables.messages);
        table.check(batch)?;
        Ok(batch.iter().map(|new| table.append(new)).collect())
    }

    async fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Message>, StoreError> {
        Ok(lock(&self.tables.messages).find(room, seq).cloned())
    }

    async fn find_by_id(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        let table = lock(&self.tables.messages);
        Ok(table.by_id.get(&id).and_then(|(room, seq)| table.find(*room, *seq)).cloned())
    }

    async fn after(&self, room: RoomId, seq: Seq, limit: u32, hidden: bool) -> Result<Vec<Message>, StoreError> {
        let table = lock(&self.tables.messages);
        let Some(log) = table.logs.get(&room) else { return Ok(Vec::new()) };
        let upto = if hidden { log.head } else { log.published };
        Ok(log.between(seq, upto).take(limit as usize).cloned().collect())
    }

    async fn before(&self, room: RoomId, seq: Seq, limit: u32) -> Result<Vec<Message>, StoreError> {
        let table = lock(&self.tables.messages);
        let Some((log, last)) = table.logs.get(&room).zip(seq.0.checked_sub(1)) else { return Ok(Vec::new()) };
        Ok(log.visible_upto(Seq(last)).rev().take(limit as usize).cloned().collect())
    }

    async fn page(&self, room: RoomId, anchor: Seq, page: u32, size: u32) -> Result<Page, StoreError> {
        let table = lock(&self.tables.messages);
        let Some(log) = table.logs.get(&room) else { return Ok(Page { messages: Vec::new(), total: 0 }) };
        let skip = page as usize * size as usize;
        let messages = log.visible_upto(anchor).rev().skip(skip).take(size as usize).cloned().collect();
        Ok(Page { messages, total: log.visible_upto(anchor).count() as u64 })
    }

    async fn translate(
        &self,
        room: RoomId,
        seq: Seq,
        language: &Language,
        result: &Translation,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let mut table = lock(&self.tables.messages);
        let table = &mut *table;
        let unchanged = Changed { message: None, published: Vec::new() };
        let Some(log) = table.logs.get_mut(&room) else { return Ok(unchanged) };
        let Some(entry) = log.entries.get_mut(&seq) else { return Ok(unchanged) };
        if !entry.message.apply(language, result, now) {
            return Ok(unchanged);
        }
        log.changed_at = log.changed_at.max(now);
        if entry.message.is_settled() {
            table.pending.remove(&entry.arrival);
        }
        let message = Some(entry.message.clone());
        Ok(Changed { message, published: table.publish(room, Seq::ZERO) })
    }

    async fn release(&self, room: RoomId, upto: Seq) -> Result<Vec<Message>, StoreError> {
        Ok(lock(&self.tables.messages).publish(room, upto))
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        let table = lock(&self.tables.messages);
        let empty = Log::default();
        let head = |room: &RoomId| {
            let log = table.logs.get(room).unwrap_or(&empty);
            let last = log.find(log.published).cloned();
            Head { room: *room, head: log.head, published: log.published, last, changed_at: log.changed_at }
        };
        Ok(rooms.iter().map(head).collect())
    }

    async fn unread(&self, of: &[Unread]) -> Result<Vec<u64>, StoreError> {
        let table = lock(&self.tables.messages);
        let count = |of: &Unread| table.logs.get(&of.room).map_or(0, |log| log.unread(of.reader, of.after));
        Ok(of.iter().map(count).collect())
    }

    async fn pending(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        let table = lock(&self.tables.messages);
        Ok(table.at(&table.pending, limit))
    }

    async fn hidden(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        let table = lock(&self.tables.messages);
        Ok(table.at(&table.hidden, limit))
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut table = lock(&self.tables.messages);
        let visible = table.logs.values().flat_map(|log| log.visible_upto(log.published));
        let old = visible.filter(|message| message.sent_at < before).take(limit as usize);
        let places: Vec<(RoomId, Seq)> = old.map(|message| (message.room, message.seq)).collect();
        for (room, seq) in &places {
            table.remove(*room, *seq);
        }
        Ok(places.len() as u64)
    }
}
