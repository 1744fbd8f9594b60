//! How far each room has come, as the writer remembers it.
//!
//! The table is the truth; this is a copy in the memory of the only task that writes. It is forgotten
//! whenever it could differ: after a rollback, and when another process has written to the file.

use std::collections::{BTreeMap, HashMap};

use sqlx::SqliteConnection;
use transtalk_core::{RoomId, Timestamp};

use super::error::SqliteError;
use super::values::{Columns, int, json};

/// Rooms that are remembered, at most.
const REMEMBERED_MAX: usize = 100_000;

/// A row of `room_heads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The last number given.
    pub(super) head: u64,
    /// The last visible number.
    pub(super) published: u64,
    /// When any message last changed.
    pub(super) changed_at: Timestamp,
}

/// The rows of `room_heads` that were needed of late.
#[derive(Debug, Default)]
pub(super) struct Heads {
    marks: HashMap<RoomId, Mark>,
    data_version: Option<i64>,
}

impl Heads {
    /// Forgets all. They are read again when they are needed.
    pub(super) fn forget(&mut self) {
        self.marks.clear();
    }

    /// Forgets all if another connection has written since the last call. To be called inside a transaction.
    pub(super) async fn check(&mut self, connection: &mut SqliteConnection) -> Result<(), SqliteError> {
        // "The integer values returned by two invocations of "PRAGMA data_version" from the same connection
        // will be different if changes were committed to the database by any other connection in the interim."
        let now: i64 = sqlx::query_scalar("pragma data_version").fetch_one(connection).await?;
        if self.data_version != Some(now) || self.marks.len() > REMEMBERED_MAX {
            self.forget();
        }
        self.data_version = Some(now);
        Ok(())
    }

    /// The marks of these rooms; a room without a message is at its beginning.
    pub(super) async fn load(
        &mut self,
        connection: &mut SqliteConnection,
        rooms: impl IntoIterator<Item = RoomId>,
    ) -> Result<BTreeMap<RoomId, Mark>, SqliteError> {
        let mut asked: BTreeMap<RoomId, Mark> = rooms.into_iter().map(|room| (room, Mark::default())).collect();
        let missing: Vec<RoomId> = asked.keys().filter(|room| !self.marks.contains_key(room)).copied().collect();
        if !missing.is_empty() {
            let rows = sqlx::query("select * from room_heads where room in (select value from json_each(?1))")
                .bind(json(missing.iter().map(|room| room.get())))
                .fetch_all(connection)
                .await?;
            self.marks.extend(missing.into_iter().map(|room| (room, Mark::default())));
            for row in &rows {
                self.marks.insert(row.room("room")?, mark(row)?);
            }
        }
        for (room, mark) in &mut asked {
            *mark = self.marks.get(room).copied().unwrap_or_default();
        }
        Ok(asked)
    }

    /// Writes these marks.
    pub(super) async fn save(
        &mut self,
        connection: &mut SqliteConnection,
        marks: &BTreeMap<RoomId, Mark>,
    ) -> Result<(), SqliteError> {
        let rows = marks.iter().map(|(room, mark)| {
            [int(room.get()), int(mark.head), int(mark.published), int(mark.changed_at.as_millis())]
        });
        sqlx::query(
            "insert into room_heads (room, head, published, changed_at)
             select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(?1) where true
             on conflict (room) do update
             set head = excluded.head, published = excluded.published, changed_at = excluded.changed_at",
        )
        .bind(json(rows))
        .execute(connection)
        .await?;
        self.marks.extend(marks);
        Ok(())
    }
}

fn mark(row: &sqlx::sqlite::SqliteRow) -> Result<Mark, SqliteError> {
    Ok(Mark { head: row.number("head")?, published: row.number("published")?, changed_at: row.time("changed_at")? })
}
