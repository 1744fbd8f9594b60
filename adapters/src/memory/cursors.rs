//! Cursors in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use transtalk_core::limits::CURSOR_KEPT;
use transtalk_core::ports::{Cursor, Cursors, StoreError};
use transtalk_core::{RoomId, Seq, SessionId, Timestamp};

use super::{MemoryStore, lock};

/// By session and room: the lowest place, and when the last of its connections ended.
pub(super) type Table = BTreeMap<SessionId, BTreeMap<RoomId, (Seq, Timestamp)>>;

fn is_kept(put_at: Timestamp, now: Timestamp) -> bool {
    now.since(put_at) <= CURSOR_KEPT
}

#[async_trait]
impl Cursors for MemoryStore {
    async fn put(&self, session: SessionId, cursors: &[Cursor], now: Timestamp) -> Result<(), StoreError> {
        let mut table = lock(&self.tables.cursors);
        for cursor in cursors {
            let rooms = table.entry(session).or_default();
            // What is too old to be taken is too old to hold back.
            let before = rooms.get(&cursor.room).filter(|(_, put_at)| is_kept(*put_at, now));
            let (seq, put_at) = before.copied().unwrap_or((cursor.seq, now));
            rooms.insert(cursor.room, (seq.min(cursor.seq), put_at.max(now)));
        }
        Ok(())
    }

    async fn take(&self, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, StoreError> {
        let rooms = lock(&self.tables.cursors).remove(&session).unwrap_or_default();
        let kept = rooms.into_iter().filter(|(_, (_, put_at))| is_kept(*put_at, now));
        Ok(kept.map(|(room, (seq, _))| Cursor { room, seq }).collect())
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut table = lock(&self.tables.cursors);
        let mut removed = 0;
        table.retain(|_, rooms| {
            let before = rooms.len();
            rooms.retain(|_, (_, put_at)| is_kept(*put_at, now));
            removed += (before - rooms.len()) as u64;
            !rooms.is_empty()
        });
        Ok(removed)
    }
}
