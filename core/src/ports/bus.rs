//! Events to every node.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::BoxError;
use crate::chat::{Message, RoomEntry};
use crate::id::{RoomId, SessionId, UserId};

/// A message with what its readers need to know of the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// As it is now.
    pub message: Message,
    /// The sender's address as others see it.
    pub sender_email: String,
}

/// Something that the nodes should know. None of them is a source of truth: what is lost is found by reading the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message was stored and is not yet visible.
    Appended(Arc<Publication>),
    /// Messages of one room became visible, in this order.
    Published(Vec<Arc<Publication>>),
    /// A message that was visible, or was announced by `Appended`, has a new revision.
    Updated(Arc<Publication>),
    /// A room of this user's list has changed.
    Listed(UserId, Arc<RoomEntry>),
    /// Something that concerns a room and has no place in it: somebody is writing, somebody has read. The body is JSON.
    Signal(RoomId, Bytes),
    /// A session has ended.
    SessionEnded(SessionId),
}

/// Why an event did not go out.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Out of reach.
    #[error("{bus} is not available")]
    Unavailable {
        /// Which bus.
        bus: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// Every event to every listener, **at most once**, and those of one publisher in order.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hands an event to every listener of every node, this one among them.
    async fn publish(&self, event: Event) -> Result<(), BusError>;

    /// Listens from now on.
    fn listen(&self) -> Box<dyn Events>;
}

/// One listener's events.
#[async_trait]
pub trait Events: Send {
    /// The next event; `None` when the bus is gone.
    async fn next(&mut self) -> Option<Event>;
}
