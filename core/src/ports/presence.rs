//! Who is connected where.

use async_trait::async_trait;

use super::BoxError;
use crate::id::{ConnectionId, UserId};

/// Why presence could not be told.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// Out of reach.
    #[error("{store} is not available")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// The connections of all nodes. A node that dies is forgotten, with its connections.
#[async_trait]
pub trait Presence: Send + Sync {
    /// A connection of this user has begun. Says whether it is the user's first.
    async fn enter(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError>;

    /// A connection has ended. Says whether it was the user's last; a connection that was not there changes nothing.
    async fn leave(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError>;

    /// How many connections the user has.
    async fn count(&self, user: UserId) -> Result<u64, PresenceError>;
}
