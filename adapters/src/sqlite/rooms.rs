//! Rooms and membership.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use transtalk_core::chat::{Member, Room};
use transtalk_core::ports::{Opened, RoomPage, RoomQuery, Rooms, StoreError};
use transtalk_core::{RoomId, Seq, Timestamp, UserId};

use super::SqliteStore;
use super::error::SqliteError;
use super::values::{Columns, int, millis};
use super::writer::Work;

#[async_trait]
impl Rooms for SqliteStore {
    async fn open(&self, room: &Room) -> Result<Opened, StoreError> {
        let room = room.clone();
        let opened = self.writer.act(move |work| Box::pin(open(work, room))).await?;
        Ok(opened)
    }

    async fn find(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let rows =
            sqlx::query(ROOM_BY_ID).bind(int(id.get())).fetch_all(&self.readers).await.map_err(SqliteError::from)?;
        Ok(read_all(&rows)?.pop())
    }

    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError> {
        let row = sqlx::query("select * from room_members where room = ?1 and member = ?2")
            .bind(int(room.get()))
            .bind(int(user.get()))
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read_member).transpose()?)
    }

    async fn list(&self, user: UserId, query: &RoomQuery) -> Result<RoomPage, StoreError> {
        let page = list(self, user, query).await?;
        Ok(page)
    }

    async fn touch(&self, room: RoomId, at: Timestamp) -> Result<(), StoreError> {
        self.writer.act(move |work| Box::pin(touch(work, room, at))).await?;
        Ok(())
    }

    async fn mark_read(&self, room: RoomId, user: UserId, read: Seq) -> Result<bool, StoreError> {
        let rose = self.writer.act(move |work| Box::pin(mark_read(work, room, user, read))).await?;
        Ok(rose)
    }
}

const ROOM_BY_ID: &str = "select rooms.*, member, joined_at, read from rooms
     join room_members on room_members.room = rooms.id where rooms.id = ?1 order by member";

const ROOM_BY_PAIR: &str = "select rooms.*, member, joined_at, read from rooms
     join room_members on room_members.room = rooms.id
     where rooms.low = ?1 and rooms.high = ?2 and rooms.language = ?3 order by member";

async fn open(work: &mut Work, room: Room) -> Result<Opened, SqliteError> {
    let pair = match room.members.as_slice() {
        [one, other] => Some((one.user.min(other.user), one.user.max(other.user))),
        _ => None,
    };
    let (low, high) = (pair.map(|(low, _)| int(low.get())), pair.map(|(_, high)| int(high.get())));
    let existing = sqlx::query(ROOM_BY_PAIR)
        .bind(low)
        .bind(high)
        .bind(room.language.to_string())
        .fetch_all(&mut work.connection)
        .await?;
    if let Some(existing) = read_all(&existing)?.pop() {
        return Ok(Opened::Existing(existing));
    }
    sqlx::query(
        "insert into rooms (id, language, low, high, created_at, last_message_at) values (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(int(room.id.get()))
    .bind(room.language.to_string())
    .bind(low)
    .bind(high)
    .bind(millis(room.created_at))
    .bind(room.last_message_at.map(millis))
    .execute(&mut work.connection)
    .await?;
    for member in &room.members {
        insert_member(&mut work.connection, &room, member).await?;
    }
    Ok(Opened::New(room))
}

async fn insert_member(connection: &mut SqliteConnection, room: &Room, member: &Member) -> Result<(), SqliteError> {
    sqlx::query("insert into room_members (room, member, joined_at, read, active_at) values (?1, ?2, ?3, ?4, ?5)")
        .bind(int(room.id.get()))
        .bind(int(member.user.get()))
        .bind(millis(member.joined_at))
        .bind(int(member.read.0))
        .bind(millis(room.active_at()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Rooms of ?1 whose other member's name has the folded text ?2 in it, or all where ?2 is empty.
/// `instr` compares text as it stands: what people type is never a pattern.
macro_rules! matching {
    ($columns:literal) => {
        concat!(
            "select ",
            $columns,
            " from room_members as own where own.member = ?1 and (?2 = '' or exists (
                 select 1 from room_members as other join users on users.id = other.member
                 where other.room = own.room and other.member <> ?1 and instr(users.name_folded, ?2) > 0))"
        )
    };
}

async fn list(store: &SqliteStore, user: UserId, query: &RoomQuery) -> Result<RoomPage, SqliteError> {
    let name = query.name.to_lowercase();
    // Both answers from one moment.
    let mut snapshot = store.readers.begin().await?;
    let total: i64 = sqlx::query_scalar(matching!("count(*)"))
        .bind(int(user.get()))
        .bind(name.clone())
        .fetch_one(&mut *snapshot)
        .await?;
    let rows = sqlx::query(concat!(
        "with page as (",
        matching!("own.room, own.active_at"),
        " order by own.active_at desc, own.room desc limit ?3 offset ?4)
         select rooms.*, member, joined_at, read from page
         join rooms on rooms.id = page.room join room_members on room_members.room = page.room
         order by page.active_at desc, page.room desc, member"
    ))
    .bind(int(user.get()))
    .bind(name)
    .bind(query.size)
    .bind(int(u64::from(query.page) * u64::from(query.size)))
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.commit().await?;
    Ok(RoomPage { rooms: read_all(&rows)?, total: u64::try_from(total).unwrap_or_default() })
}

async fn touch(work: &mut Work, room: RoomId, at: Timestamp) -> Result<(), SqliteError> {
    let rose = sqlx::query(
        "update rooms set last_message_at = ?2 where id = ?1 and (last_message_at is null or last_message_at < ?2)",
    )
    .bind(int(room.get()))
    .bind(millis(at))
    .execute(&mut work.connection)
    .await?;
    if rose.rows_affected() == 1 {
        sqlx::query("update room_members set active_at = ?2 where room = ?1")
            .bind(int(room.get()))
            .bind(millis(at))
            .execute(&mut work.connection)
            .await?;
    }
    Ok(())
}

async fn mark_read(work: &mut Work, room: RoomId, user: UserId, read: Seq) -> Result<bool, SqliteError> {
    let rose = sqlx::query("update room_members set read = ?3 where room = ?1 and member = ?2 and read < ?3")
        .bind(int(room.get()))
        .bind(int(user.get()))
        .bind(int(read.0))
        .execute(&mut work.connection)
        .await?;
    Ok(rose.rows_affected() == 1)
}

/// Rooms out of rows of one member each; those of a room stand together.
fn read_all(rows: &[SqliteRow]) -> Result<Vec<Room>, SqliteError> {
    let mut rooms: Vec<Room> = Vec::new();
    for row in rows {
        let (id, member) = (row.room("id")?, read_member(row)?);
        match rooms.last_mut() {
            Some(room) if room.id == id => room.members.push(member),
            _ => rooms.push(Room {
                id,
                language: row.parsed("language")?,
                members: vec![member],
                created_at: row.time("created_at")?,
                last_message_at: row.maybe_time("last_message_at")?,
            }),
        }
    }
    Ok(rooms)
}

fn read_member(row: &SqliteRow) -> Result<Member, SqliteError> {
    Ok(Member { user: row.user("member")?, joined_at: row.time("joined_at")?, read: row.seq("read")? })
}
