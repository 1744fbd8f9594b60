//! Messages, in order, without a gap. How they are appended is in `append`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use transtalk_core::chat::{Message, NewMessage, Translation};
use transtalk_core::ports::{Appended, Changed, Head, Messages, MessagesError, Page, StoreError, Unread};
use transtalk_core::translate::Language;
use transtalk_core::{MessageId, RoomId, Seq, Timestamp, limits};

use super::SqliteStore;
use super::append::Append;
use super::error::SqliteError;
use super::heads::Mark;
use super::message_row::{read, read_all, write_translations};
use super::values::{Columns, int, json, millis};
use super::writer::Work;

#[async_trait]
impl Messages for SqliteStore {
    async fn append(&self, batch: &[NewMessage]) -> Result<Vec<Appended>, MessagesError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (append, answered) = Append::new(batch.to_vec());
        self.writer.append(append).await?;
        answered.await.unwrap_or_else(|_| Err(SqliteError::Closed.into()))
    }

    async fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Message>, StoreError> {
        let row = sqlx::query("select * from messages where room = ?1 and seq = ?2")
            .bind(int(room.get()))
            .bind(int(seq.0))
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn find_by_id(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        let row = sqlx::query("select * from messages where id = ?1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn after(&self, room: RoomId, seq: Seq, limit: u32, hidden: bool) -> Result<Vec<Message>, StoreError> {
        let rows = sqlx::query(
            "select * from messages where room = ?1 and seq > ?2 and seq <= iif(?4, 9223372036854775807,
                 coalesce((select published from room_heads where room = ?1), 0))
             order by seq limit ?3",
        )
        .bind(int(room.get()))
        .bind(int(seq.0))
        .bind(limit)
        .bind(hidden)
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(read_all(&rows)?)
    }

    async fn before(&self, room: RoomId, seq: Seq, limit: u32) -> Result<Vec<Message>, StoreError> {
        let rows = sqlx::query(
            "select * from messages where room = ?1
             and seq <= min(?2 - 1, coalesce((select published from room_heads where room = ?1), 0))
             order by seq desc limit ?3",
        )
        .bind(int(room.get()))
        .bind(int(seq.0))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(read_all(&rows)?)
    }

    async fn page(&self, room: RoomId, anchor: Seq, page: u32, size: u32) -> Result<Page, StoreError> {
        let skipped = u64::from(page) * u64::from(size);
        let page = read_page(self, room, anchor, skipped, size).await?;
        Ok(page)
    }

    async fn translate(
        &self,
        room: RoomId,
        seq: Seq,
        language: &Language,
        result: &Translation,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let (language, result) = (language.clone(), result.clone());
        let changed = self.writer.act(move |work| Box::pin(translate(work, room, seq, language, result, now))).await?;
        Ok(changed)
    }

    async fn release(&self, room: RoomId, upto: Seq) -> Result<Vec<Message>, StoreError> {
        let published = self.writer.act(move |work| Box::pin(release(work, room, upto))).await?;
        Ok(published)
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        let rows = sqlx::query(
            "select asked.value as asked, head, published, room_heads.changed_at as head_changed_at, messages.*
             from json_each(?1) as asked
             left join room_heads on room_heads.room = asked.value
             left join messages on messages.room = room_heads.room and messages.seq = published
             order by asked.key",
        )
        .bind(json(rooms.iter().map(|room| room.get())))
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read_head).collect::<Result<_, _>>()?)
    }

    async fn unread(&self, of: &[Unread]) -> Result<Vec<u64>, StoreError> {
        let of = of.iter().map(|of| [int(of.room.get()), int(of.reader.get()), int(of.after.0)]);
        let counts: Vec<i64> = sqlx::query_scalar(
            "select (select count(*) from (
                 select 1 from messages where room = one.value ->> 0 and sender <> one.value ->> 1
                 and seq > one.value ->> 2
                 and seq <= coalesce((select published from room_heads where room = one.value ->> 0), 0)
                 limit ?2))
             from json_each(?1) as one order by one.key",
        )
        .bind(json(of))
        .bind(int(limits::UNREAD_MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(counts.into_iter().map(|count| u64::try_from(count).unwrap_or_default()).collect())
    }

    async fn pending(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        let rows = sqlx::query("select * from messages where settled = 0 order by sent_at, room, seq limit ?1")
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(read_all(&rows)?)
    }

    async fn hidden(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        // A cross join keeps this order: few rooms have something hidden, and an index has just those.
        let rows = sqlx::query(
            "select messages.* from room_heads cross join messages
             on messages.room = room_heads.room and messages.seq > published
             where published < head order by sent_at, messages.room, seq limit ?1",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(read_all(&rows)?)
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let purged = self.writer.act(move |work| Box::pin(purge(work, before, limit))).await?;
        Ok(purged)
    }
}

async fn read_page(
    store: &SqliteStore,
    room: RoomId,
    anchor: Seq,
    skipped: u64,
    size: u32,
) -> Result<Page, SqliteError> {
    // All from one moment.
    let mut snapshot = store.readers.begin().await?;
    let published: Option<i64> = sqlx::query_scalar("select published from room_heads where room = ?1")
        .bind(int(room.get()))
        .fetch_optional(&mut *snapshot)
        .await?;
    let last = int(anchor.0).min(published.unwrap_or_default());
    let total: i64 = sqlx::query_scalar("select count(*) from messages where room = ?1 and seq <= ?2")
        .bind(int(room.get()))
        .bind(last)
        .fetch_one(&mut *snapshot)
        .await?;
    // What is skipped is skipped in the index alone.
    let rows = sqlx::query(
        "select * from messages where room = ?1 and seq in
             (select seq from messages where room = ?1 and seq <= ?2 order by seq desc limit ?3 offset ?4)
         order by seq desc",
    )
    .bind(int(room.get()))
    .bind(last)
    .bind(size)
    .bind(int(skipped))
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.commit().await?;
    Ok(Page { messages: read_all(&rows)?, total: u64::try_from(total).unwrap_or_default() })
}

fn read_head(row: &SqliteRow) -> Result<Head, SqliteError> {
    let room = row.room("asked")?;
    if row.maybe_time("head_changed_at")?.is_none() {
        let changed_at = Timestamp::default();
        return Ok(Head { room, head: Seq::ZERO, published: Seq::ZERO, last: None, changed_at });
    }
    Ok(Head {
        room,
        head: row.seq("head")?,
        published: row.seq("published")?,
        last: if row.maybe_text("id")?.is_some() { Some(read(row)?) } else { None },
        changed_at: row.time("head_changed_at")?,
    })
}

async fn translate(
    work: &mut Work,
    room: RoomId,
    seq: Seq,
    language: Language,
    result: Translation,
    now: Timestamp,
) -> Result<Changed, SqliteError> {
    let unchanged = Changed { message: None, published: Vec::new() };
    let row = sqlx::query("select * from messages where room = ?1 and seq = ?2")
        .bind(int(room.get()))
        .bind(int(seq.0))
        .fetch_optional(&mut work.connection)
        .await?;
    let Some(row) = row else { return Ok(unchanged) };
    let mut message = read(&row)?;
    if !message.apply(&language, &result, now) {
        return Ok(unchanged);
    }
    update(&mut work.connection, &message).await?;

    let mut mark = load_mark(work, room).await?;
    let before = mark.published;
    mark.changed_at = mark.changed_at.max(message.changed_at);
    if message.is_settled() && seq.0 == before + 1 {
        mark.published = settled_up_to(&mut work.connection, room, mark, before).await?;
    }
    work.heads.save(&mut work.connection, &BTreeMap::from([(room, mark)])).await?;
    let published = between(&mut work.connection, room, before, mark.published).await?;
    Ok(Changed { message: Some(message), published })
}

async fn release(work: &mut Work, room: RoomId, upto: Seq) -> Result<Vec<Message>, SqliteError> {
    let mut mark = load_mark(work, room).await?;
    let before = mark.published;
    let released = upto.0.min(mark.head);
    if released <= before {
        return Ok(Vec::new());
    }
    mark.published = settled_up_to(&mut work.connection, room, mark, released).await?;
    work.heads.save(&mut work.connection, &BTreeMap::from([(room, mark)])).await?;
    between(&mut work.connection, room, before, mark.published).await
}

async fn load_mark(work: &mut Work, room: RoomId) -> Result<Mark, SqliteError> {
    let marks = work.heads.load(&mut work.connection, [room]).await?;
    Ok(marks.get(&room).copied().unwrap_or_default())
}

async fn update(connection: &mut SqliteConnection, message: &Message) -> Result<(), SqliteError> {
    sqlx::query(
        "update messages set translations = ?3, revision = ?4, settled = ?5, changed_at = ?6
         where room = ?1 and seq = ?2",
    )
    .bind(int(message.room.get()))
    .bind(int(message.seq.0))
    .bind(write_translations(&message.translations))
    .bind(message.revision.0)
    .bind(message.is_settled())
    .bind(millis(message.changed_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The last number after this one before something pending.
async fn settled_up_to(
    connection: &mut SqliteConnection,
    room: RoomId,
    mark: Mark,
    after: u64,
) -> Result<u64, SqliteError> {
    // The plus keeps SQLite from walking over everything that is pending anywhere.
    let pending: Option<i64> = sqlx::query_scalar(
        "select seq from messages where room = ?1 and seq > ?2 and +settled = 0 order by seq limit 1",
    )
    .bind(int(room.get()))
    .bind(int(after))
    .fetch_optional(connection)
    .await?;
    let pending = pending.and_then(|seq| u64::try_from(seq).ok());
    Ok(pending.map_or(mark.head, |seq| seq - 1))
}

/// The messages after the one number and up to the other.
async fn between(
    connection: &mut SqliteConnection,
    room: RoomId,
    after: u64,
    upto: u64,
) -> Result<Vec<Message>, SqliteError> {
    if after == upto {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("select * from messages where room = ?1 and seq > ?2 and seq <= ?3 order by seq")
        .bind(int(room.get()))
        .bind(int(after))
        .bind(int(upto))
        .fetch_all(connection)
        .await?;
    read_all(&rows)
}

async fn purge(work: &mut Work, before: Timestamp, limit: u32) -> Result<u64, SqliteError> {
    let done = sqlx::query(
        // Rows lie in the order in which they came, so only what is old is walked over, up to the first that is not.
        "delete from messages where position in (
             select position from messages cross join room_heads on room_heads.room = messages.room
             where position < coalesce((select position from messages where sent_at >= ?1 order by position limit 1),
                                       9223372036854775807)
             and seq <= published order by position limit ?2)",
    )
    .bind(millis(before))
    .bind(limit)
    .execute(&mut work.connection)
    .await?;
    Ok(done.rows_affected())
}
