//! The memory adapters behind trouble: every call takes its time and may fail, see [`Faults::call`].

use std::sync::Arc;

use async_trait::async_trait;
use transtalk_adapters::memory::{MemoryBus, MemoryStore};
use transtalk_core::auth::{AuditRecord, Generation, Session};
use transtalk_core::chat::{Member, Message, NewMessage, Room, Translation};
use transtalk_core::ports::{
    Appended, Audit, Bus, BusError, Changed, Consumed, Cursor, Cursors, Event, Events, Grant, Grants, Head, Messages,
    MessagesError, Opened, Page, Revocation, RoomPage, RoomQuery, Rooms, Rotated, Rotation, Sessions, SingleUse,
    StoreError, Unread, Users,
};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, MessageId, RoomId, Seq, SessionId, Timestamp, User, UserId};

use crate::faults::Faults;

/// All storage ports of one node.
pub(crate) struct TroubledStore {
    /// The node's name in the story.
    pub(crate) who: Arc<str>,
    /// What all nodes share.
    pub(crate) store: MemoryStore,
    /// What happens to the calls.
    pub(crate) faults: Arc<Faults>,
}

/// One port of [`TroubledStore`]: each method goes to the memory adapter's, through [`Faults::call`].
macro_rules! troubled {
    ($port:ident { $(fn $method:ident(&self $(, $arg:ident: $type:ty)*) -> $answer:ty;)* }) => {
        #[async_trait]
        impl $port for TroubledStore {
            $(async fn $method(&self $(, $arg: $type)*) -> $answer {
                let act = $port::$method(&self.store $(, $arg)*);
                let name = concat!(stringify!($port), "::", stringify!($method));
                self.faults.call(&self.who, name, act).await
            })*
        }
    };
}

troubled!(Users {
    fn register(&self, user: &User) -> Result<User, StoreError>;
    fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;
    fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError>;
    fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError>;
    fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError>;
    fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError>;
    fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError>;
});

troubled!(Rooms {
    fn open(&self, room: &Room) -> Result<Opened, StoreError>;
    fn find(&self, id: RoomId) -> Result<Option<Room>, StoreError>;
    fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError>;
    fn list(&self, user: UserId, query: &RoomQuery) -> Result<RoomPage, StoreError>;
    fn touch(&self, room: RoomId, at: Timestamp) -> Result<(), StoreError>;
    fn mark_read(&self, room: RoomId, user: UserId, read: Seq) -> Result<bool, StoreError>;
});

troubled!(Messages {
    fn append(&self, batch: &[NewMessage]) -> Result<Vec<Appended>, MessagesError>;
    fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Message>, StoreError>;
    fn find_by_id(&self, id: MessageId) -> Result<Option<Message>, StoreError>;
    fn after(&self, room: RoomId, seq: Seq, limit: u32, hidden: bool) -> Result<Vec<Message>, StoreError>;
    fn before(&self, room: RoomId, seq: Seq, limit: u32) -> Result<Vec<Message>, StoreError>;
    fn page(&self, room: RoomId, anchor: Seq, page: u32, size: u32) -> Result<Page, StoreError>;
    fn translate(&self, room: RoomId, seq: Seq, language: &Language, result: &Translation, now: Timestamp)
        -> Result<Changed, StoreError>;
    fn release(&self, room: RoomId, upto: Seq) -> Result<Vec<Message>, StoreError>;
    fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError>;
    fn unread(&self, of: &[Unread]) -> Result<Vec<u64>, StoreError>;
    fn pending(&self, limit: u32) -> Result<Vec<Message>, StoreError>;
    fn hidden(&self, limit: u32) -> Result<Vec<Message>, StoreError>;
    fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
});

troubled!(Sessions {
    fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError>;
    fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError>;
    fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError>;
    fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError>;
    fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError>;
    fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError>;
    fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError>;
    fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError>;
});

troubled!(SingleUse {
    fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError>;
    fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
});

troubled!(Audit {
    fn append(&self, record: &AuditRecord) -> Result<(), StoreError>;
    fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
});

troubled!(Grants {
    fn put(&self, grant: &Grant) -> Result<(), StoreError>;
    fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError>;
    fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError>;
    fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError>;
});

troubled!(Cursors {
    fn put(&self, session: SessionId, cursors: &[Cursor], now: Timestamp) -> Result<(), StoreError>;
    fn take(&self, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, StoreError>;
    fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
});

/// The bus of one node: late, and lossy for each listener by itself.
pub(crate) struct TroubledBus {
    /// The node's name in the story.
    pub(crate) who: Arc<str>,
    /// What all nodes share.
    pub(crate) bus: Arc<MemoryBus>,
    /// What happens to the events.
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Bus for TroubledBus {
    async fn publish(&self, event: Event) -> Result<(), BusError> {
        self.faults.call(&self.who, "Bus::publish", self.bus.publish(event)).await
    }

    fn listen(&self) -> Box<dyn Events> {
        Box::new(TroubledEvents { events: self.bus.listen(), faults: self.faults.clone() })
    }
}

struct TroubledEvents {
    events: Box<dyn Events>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Events for TroubledEvents {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.events.next().await?;
            if self.faults.carry().await {
                return Some(event);
            }
        }
    }
}
