//! Where ended connections had got to.

use async_trait::async_trait;

use super::StoreError;
use crate::id::{RoomId, Seq, SessionId};
use crate::time::Timestamp;

/// A place in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which room.
    pub room: RoomId,
    /// The last message that was delivered.
    pub seq: Seq,
}

/// For each session and room, the lowest place that any of its ended connections had reached.
#[async_trait]
pub trait Cursors: Send + Sync {
    /// Notes where a connection of this session ended, at `now`. Of two, the lower is kept.
    async fn put(&self, session: SessionId, cursors: &[Cursor], now: Timestamp) -> Result<(), StoreError>;

    /// The session's cursors that are no older than [`crate::limits::CURSOR_KEPT`], ordered by room, and removes them: the next connection owns them.
    async fn take(&self, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, StoreError>;

    /// Removes what is too old, and says how many.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
}
