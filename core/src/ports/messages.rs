//! Messages, in order, without a gap.

use async_trait::async_trait;

use super::{BoxError, StoreError};
use crate::chat::{Message, NewMessage, Translation};
use crate::id::{MessageId, RoomId, Seq, UserId};
use crate::time::Timestamp;
use crate::translate::Language;

/// Why a message was not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum MessagesError {
    /// The message at this place of the batch has a known client id and another text. Nothing of the batch was stored.
    #[error("message {index} repeats a client id with another text")]
    IdReused {
        /// From 0.
        index: usize,
    },
    /// Out of reach, too slow, full or broken.
    #[error("{store} is not available")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

impl From<StoreError> for MessagesError {
    fn from(StoreError::Unavailable { store, source }: StoreError) -> Self {
        Self::Unavailable { store, source }
    }
}

/// What became of one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Stored now. `visible` says whether it is already published: it was settled, and so were all before it.
    Stored {
        /// As stored.
        message: Message,
        /// Whether the room shows it already.
        visible: bool,
    },
    /// Stored before, under the same client id, with the same text. As it is now.
    Known(Message),
}

impl Appended {
    /// The message, in either case.
    pub fn message(&self) -> &Message {
        match self {
            Self::Stored { message, .. } | Self::Known(message) => message,
        }
    }
}

/// What a change of state brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The message after the change; `None` if nothing changed (a late, repeated or unknown result).
    pub message: Option<Message>,
    /// The messages that became visible by it, in order; the changed one is among them, or was visible before, or is not yet.
    pub published: Vec<Message>,
}

/// How far a room has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which room.
    pub room: RoomId,
    /// The last number given. Numbering goes on from here even when all messages are gone.
    pub head: Seq,
    /// The last visible number: all up to here are published.
    pub published: Seq,
    /// The last visible message, if it is still kept.
    pub last: Option<Message>,
    /// When any message of the room last changed.
    pub changed_at: Timestamp,
}

/// A page of visible history by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub messages: Vec<Message>,
    /// How many visible messages there are up to the anchor.
    pub total: u64,
}

/// Of whom to count the unread messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// In which room.
    pub room: RoomId,
    /// For whom: their own messages do not count.
    pub reader: UserId,
    /// How far they have read.
    pub after: Seq,
}

/// The messages of every room, numbered 1, 2, 3, ... within it.
///
/// **Visible** is what the room shows: a prefix of its messages. It grows over every message that is settled
/// ([`Message::is_settled`]) as soon as all before it are visible, in the same atomic act that settled it, and by [`release`](Messages::release).
#[async_trait]
pub trait Messages: Send + Sync {
    /// Stores all of them or none, in this order, each with its room's next number.
    /// A message whose (room, sender, client id) is known is not stored again; with another text the whole batch is refused.
    /// When this has answered, a crash of any process loses nothing of it.
    async fn append(&self, batch: &[NewMessage]) -> Result<Vec<Appended>, MessagesError>;

    /// The message, visible or not.
    async fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Message>, StoreError>;

    /// The message of this id, visible or not.
    async fn find_by_id(&self, id: MessageId) -> Result<Option<Message>, StoreError>;

    /// Visible messages after this number, in ascending order; with `hidden`, the others too.
    async fn after(&self, room: RoomId, seq: Seq, limit: u32, hidden: bool) -> Result<Vec<Message>, StoreError>;

    /// Visible messages before this number, the newest first.
    async fn before(&self, room: RoomId, seq: Seq, limit: u32) -> Result<Vec<Message>, StoreError>;

    /// A page by number, from 0, of the visible messages up to `anchor` (a page does not shift when messages arrive).
    async fn page(&self, room: RoomId, anchor: Seq, page: u32, size: u32) -> Result<Page, StoreError>;

    /// Writes a translation's result ([`Message::apply`]) and publishes what that settles.
    async fn translate(
        &self,
        room: RoomId,
        seq: Seq,
        language: &Language,
        result: &Translation,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Publishes up to this number although something is pending: a hold has ended. And what is settled after it.
    /// Answers with what became visible, in order.
    async fn release(&self, room: RoomId, upto: Seq) -> Result<Vec<Message>, StoreError>;

    /// The heads of these rooms, in the order asked; a room without a message has head 0.
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError>;

    /// How many visible messages of others each has not read, up to [`crate::limits::UNREAD_MAX`]; in the order asked.
    /// It costs no more than what is counted.
    async fn unread(&self, of: &[Unread]) -> Result<Vec<u64>, StoreError>;

    /// Messages with a pending translation, the oldest first: the work that a restart finds again.
    async fn pending(&self, limit: u32) -> Result<Vec<Message>, StoreError>;

    /// Stored but invisible messages of all rooms, the oldest first.
    async fn hidden(&self, limit: u32) -> Result<Vec<Message>, StoreError>;

    /// Removes visible messages sent before this moment, and says how many. Numbering is not affected.
    async fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
