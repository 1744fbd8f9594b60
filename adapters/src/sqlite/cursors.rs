//! Where ended connections had got to.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use transtalk_core::ports::{Cursor, Cursors, StoreError};
use transtalk_core::{SessionId, Timestamp, limits};

use super::SqliteStore;
use super::error::SqliteError;
use super::values::{Columns, int, json, millis};
use super::writer::Work;

#[async_trait]
impl Cursors for SqliteStore {
    async fn put(&self, session: SessionId, cursors: &[Cursor], now: Timestamp) -> Result<(), StoreError> {
        let cursors = cursors.to_vec();
        self.writer.act(move |work| Box::pin(put(work, session, cursors, now))).await?;
        Ok(())
    }

    async fn take(&self, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, StoreError> {
        let taken = self.writer.act(move |work| Box::pin(take(work, session, now))).await?;
        Ok(taken)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let purged = self.writer.act(move |work| Box::pin(purge(work, now))).await?;
        Ok(purged)
    }
}

async fn put(work: &mut Work, session: SessionId, cursors: Vec<Cursor>, now: Timestamp) -> Result<(), SqliteError> {
    // One too old to be taken is no longer there, as far as anybody can tell: it does not hold the new one down.
    sqlx::query(
        "insert into cursors (session, room, seq, at)
         select ?1, value ->> 0, value ->> 1, ?2 from json_each(?3) where true
         on conflict (session, room) do update
         set seq = iif(at < ?4, excluded.seq, min(seq, excluded.seq)), at = max(at, excluded.at)",
    )
    .bind(session.to_string())
    .bind(millis(now))
    .bind(json(cursors.iter().map(|cursor| [int(cursor.room.get()), int(cursor.seq.0)])))
    .bind(millis(oldest(now)))
    .execute(&mut work.connection)
    .await?;
    Ok(())
}

async fn take(work: &mut Work, session: SessionId, now: Timestamp) -> Result<Vec<Cursor>, SqliteError> {
    let rows = sqlx::query("delete from cursors where session = ?1 returning room, seq, at")
        .bind(session.to_string())
        .fetch_all(&mut work.connection)
        .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.time("at")? >= oldest(now) {
            taken.push(read(row)?);
        }
    }
    taken.sort_by_key(|cursor| cursor.room);
    Ok(taken)
}

async fn purge(work: &mut Work, now: Timestamp) -> Result<u64, SqliteError> {
    let done = sqlx::query("delete from cursors where at < ?1")
        .bind(millis(oldest(now)))
        .execute(&mut work.connection)
        .await?;
    Ok(done.rows_affected())
}

/// The earliest moment that is not too old.
fn oldest(now: Timestamp) -> Timestamp {
    now.minus(limits::CURSOR_KEPT)
}

fn read(row: &SqliteRow) -> Result<Cursor, SqliteError> {
    Ok(Cursor { room: row.room("room")?, seq: row.seq("seq")? })
}
