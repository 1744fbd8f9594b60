//! Appends that stand next to each other in the queue are stored together, in few statements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, SqliteConnection};
use tokio::sync::oneshot;
use transtalk_core::chat::{Message, NewMessage};
use transtalk_core::ports::{Appended, MessagesError};
use transtalk_core::{ClientMessageId, MessageId, RoomId, Seq, UserId};

use super::error::SqliteError;
use super::heads::Mark;
use super::message_row;
use super::values::{Columns, json};
use super::writer::Work;

/// One call of `Messages::append`, on its way through the writer.
pub(super) struct Append {
    batch: Vec<NewMessage>,
    outcome: Option<Outcome>,
    answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Vec<Appended>, MessagesError>;

impl Append {
    pub(super) fn new(batch: Vec<NewMessage>) -> (Self, oneshot::Receiver<Outcome>) {
        let (answer, answered) = oneshot::channel();
        (Self { batch, outcome: None, answer }, answered)
    }

    pub(super) fn answer(self, outcome: Result<(), &Arc<SqliteError>>) {
        let answer = match outcome {
            Ok(()) => self.outcome.unwrap_or_else(|| Err(SqliteError::Closed.into())),
            Err(cause) => Err(SqliteError::RolledBack(Arc::clone(cause)).into()),
        };
        // Whoever asked may have gone; the messages are stored all the same.
        let _ = self.answer.send(answer);
    }
}

/// Stores these batches in order. One that is refused leaves the others alone.
///
/// What the tables could refuse is looked up before anything is written. So no savepoint is needed, under which SQLite
/// would copy every page aside before it changes: with random ids that is most of the work.
pub(super) async fn run(work: &mut Work, appends: &mut [&mut Append]) -> Result<(), SqliteError> {
    let all = || appends.iter().flat_map(|append| &append.batch);
    let mut stage = Stage {
        heads: work.heads.load(&mut work.connection, all().map(|new| new.room)).await?,
        known: known(&mut work.connection, all().filter_map(key)).await?,
        ids: taken(&mut work.connection, all().map(|new| new.id)).await?,
        rows: Vec::new(),
    };
    for append in appends {
        append.outcome = Some(stage.take(&append.batch));
    }
    if stage.rows.is_empty() {
        return Ok(());
    }
    let written: BTreeSet<RoomId> = stage.rows.iter().map(|message| message.room).collect();
    stage.heads.retain(|room, _| written.contains(room));
    insert(&mut work.connection, &stage.rows).await?;
    work.heads.save(&mut work.connection, &stage.heads).await
}

/// By what a repeated message is known.
type Key = (RoomId, UserId, ClientMessageId);

fn key(new: &NewMessage) -> Option<Key> {
    new.client_id.as_ref().map(|id| (new.room, new.sender, id.clone()))
}

/// What the statements will write, worked out in memory.
struct Stage {
    heads: BTreeMap<RoomId, Mark>,
    known: BTreeMap<Key, Message>,
    /// Message ids that exist, or will.
    ids: BTreeSet<MessageId>,
    rows: Vec<Message>,
}

impl Stage {
    /// One batch: decided first and staged after, so that a refused one leaves nothing behind.
    fn take(&mut self, batch: &[NewMessage]) -> Outcome {
        let (mut texts, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for (index, new) in batch.iter().enumerate() {
            let repeated = match key(new) {
                None => None,
                Some(key) => match self.known.get(&key) {
                    Some(known) => Some(&known.text),
                    None => texts.insert(key, &new.text),
                },
            };
            match repeated {
                Some(text) if *text != new.text => return Err(MessagesError::IdReused { index }),
                None if self.ids.contains(&new.id) || !ids.insert(new.id) => return Err(SqliteError::IdTaken.into()),
                Some(_) | None => {}
            }
        }
        self.ids.append(&mut ids);
        Ok(batch.iter().map(|new| self.stage(new)).collect())
    }

    fn stage(&mut self, new: &NewMessage) -> Appended {
        let key = key(new);
        if let Some(known) = key.as_ref().and_then(|key| self.known.get(key)) {
            return Appended::Known(known.clone());
        }
        let mark = self.heads.entry(new.room).or_default();
        let message = Message::stored(new.clone(), Seq(mark.head + 1));
        let visible = message.is_settled() && mark.published == mark.head;
        mark.head += 1;
        if visible {
            mark.published = mark.head;
        }
        mark.changed_at = mark.changed_at.max(message.changed_at);
        self.rows.push(message.clone());
        if let Some(key) = key {
            self.known.insert(key, message.clone());
        }
        Appended::Stored { message, visible }
    }
}

/// The stored messages of these keys, in one query.
async fn known(
    connection: &mut SqliteConnection,
    keys: impl Iterator<Item = Key>,
) -> Result<BTreeMap<Key, Message>, SqliteError> {
    let keys: Vec<_> = keys.map(|(room, sender, id)| (room.get(), sender.get(), id.to_string())).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A cross join keeps this order: one look into the index for each key, never a walk over the messages.
    let rows = sqlx::query(
        "select messages.* from json_each(?1) as one cross join messages
         on room = one.value ->> 0 and sender = one.value ->> 1 and client_id = one.value ->> 2",
    )
    .bind(json(keys))
    .fetch_all(connection)
    .await?;
    let messages = message_row::read_all(&rows)?;
    Ok(messages
        .into_iter()
        .filter_map(|message| Some(((message.room, message.sender, message.client_id.clone()?), message)))
        .collect())
}

/// Those of the ids that some message has.
async fn taken(
    connection: &mut SqliteConnection,
    ids: impl Iterator<Item = MessageId>,
) -> Result<BTreeSet<MessageId>, SqliteError> {
    let rows = sqlx::query("select id from messages where id in (select value from json_each(?1))")
        .bind(json(ids.map(|id| id.to_string())))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Rows in one INSERT: the greatest that fits is taken first. Few sizes, so that each is prepared once and kept.
const SIZES: [usize; 4] = [64, 16, 4, 1];

static INSERTS: LazyLock<[Arc<str>; SIZES.len()]> = LazyLock::new(|| SIZES.map(message_row::insert_sql));

async fn insert(connection: &mut SqliteConnection, mut rows: &[Message]) -> Result<(), SqliteError> {
    for (size, sql) in SIZES.into_iter().zip(INSERTS.iter()) {
        while let Some((chunk, rest)) = rows.split_at_checked(size) {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
            chunk.iter().fold(query, message_row::bind).execute(&mut *connection).await?;
            rows = rest;
        }
    }
    Ok(())
}
