//! Presence on one node: when the process ends, everybody has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_core::ports::{Presence, PresenceError};
use transtalk_core::{ConnectionId, UserId};

use super::lock;

/// The connections of each user. Who has none takes no room.
#[derive(Default)]
pub struct MemoryPresence {
    connections: Mutex<BTreeMap<UserId, BTreeSet<ConnectionId>>>,
}

impl MemoryPresence {
    /// Nobody is there.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Presence for MemoryPresence {
    async fn enter(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError> {
        let mut connections = lock(&self.connections);
        let own = connections.entry(user).or_default();
        let is_first = own.is_empty();
        own.insert(connection);
        Ok(is_first)
    }

    async fn leave(&self, user: UserId, connection: ConnectionId) -> Result<bool, PresenceError> {
        let mut connections = lock(&self.connections);
        let Some(own) = connections.get_mut(&user) else { return Ok(false) };
        let is_last = own.remove(&connection) && own.is_empty();
        if is_last {
            connections.remove(&user);
        }
        Ok(is_last)
    }

    async fn count(&self, user: UserId) -> Result<u64, PresenceError> {
        Ok(lock(&self.connections).get(&user).map_or(0, |own| own.len() as u64))
    }
}
