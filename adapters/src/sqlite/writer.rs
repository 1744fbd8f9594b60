//! The one task that writes: it takes what waits, does it in one transaction, syncs once, and only then answers.
//!
//! Acts are done in the order in which they came. One that the tables refuse is undone alone; an error of the
//! file undoes the whole transaction, and every act in it is told. So an answer always means "on the disk".

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::append::{self, Append};
use super::error::SqliteError;
use super::heads::Heads;

/// Acts in one transaction, at most.
const BATCH_MAX: usize = 512;
/// Acts that wait; beyond it, whoever writes waits for a place.
const QUEUE_MAX: usize = 4_096;

/// Turns that the writer gives to those who come, before it goes on.
const GATHER_MAX: usize = 8;

/// A future that an act is made of.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an act works with.
pub(super) struct Work {
    /// Inside a transaction.
    pub(super) connection: SqliteConnection,
    /// The heads as of this moment of the transaction.
    pub(super) heads: Heads,
}

impl Work {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { connection, heads: Heads::default() }
    }

    pub(super) async fn execute(&mut self, sql: &'static str) -> Result<(), SqliteError> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// The way to the writer. It ends when the last clone of it is gone, after what was sent is done.
#[derive(Debug, Clone)]
pub(super) struct Queue(mpsc::Sender<Command>);

impl Queue {
    /// Starts the writer on this connection.
    pub(super) fn start(work: Work, options: SqliteConnectOptions, readers: SqlitePool) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Writer { work: Some(work), options, readers }.run(receiver));
        Self(sender)
    }

    /// Does this in a transaction and answers when that is on the disk.
    pub(super) async fn act<T, F>(&self, run: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Work) -> Boxed<'a, Result<T, SqliteError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let act = Closure { run: Some(run), outcome: None, answer };
        self.0.send(Command::Act(Box::new(act))).await.map_err(|_| SqliteError::Closed)?;
        answered.await.map_err(|_| SqliteError::Closed)?
    }

    /// Hands over a batch of messages.
    pub(super) async fn append(&self, append: Append) -> Result<(), SqliteError> {
        self.0.send(Command::Append(append)).await.map_err(|_| SqliteError::Closed)
    }

    /// Does what waits, refuses the rest, and returns when the file is closed.
    pub(super) async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Command::Stop(answer)).await.is_ok() {
            // An error means that the writer has ended, which is what was asked for.
            let _ = answered.await;
        } else {
            // Somebody else has asked before; the queue is closed once the writer is gone.
            self.0.closed().await;
        }
    }
}

enum Command {
    Append(Append),
    Act(Box<dyn Act>),
    Stop(oneshot::Sender<()>),
}

impl Command {
    fn answer(self, outcome: Result<(), &Arc<SqliteError>>) {
        match self {
            Self::Append(append) => append.answer(outcome),
            Self::Act(act) => act.answer(outcome),
            Self::Stop(_) => {}
        }
    }
}

/// An act of any answer.
#[async_trait]
trait Act: Send {
    /// Does it and keeps its answer. An error says that the transaction is lost.
    async fn run(&mut self, work: &mut Work) -> Result<Verdict, SqliteError>;

    /// Tells what was kept, or that all was undone.
    fn answer(self: Box<Self>, outcome: Result<(), &Arc<SqliteError>>);
}

enum Verdict {
    Keep,
    Undo,
}

struct Closure<T, F> {
    run: Option<F>,
    outcome: Option<Result<T, SqliteError>>,
    answer: oneshot::Sender<Result<T, SqliteError>>,
}

#[async_trait]
impl<T, F> Act for Closure<T, F>
where
    T: Send,
    F: for<'a> FnOnce(&'a mut Work) -> Boxed<'a, Result<T, SqliteError>> + Send,
{
    async fn run(&mut self, work: &mut Work) -> Result<Verdict, SqliteError> {
        let Some(run) = self.run.take() else { return Ok(Verdict::Undo) };
        match run(work).await {
            Err(error) if !error.is_of_one_act() => Err(error),
            outcome => {
                let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
                self.outcome = Some(outcome);
                Ok(verdict)
            }
        }
    }

    fn answer(self: Box<Self>, outcome: Result<(), &Arc<SqliteError>>) {
        let answer = match outcome {
            Ok(()) => self.outcome.unwrap_or(Err(SqliteError::Closed)),
            Err(cause) => Err(SqliteError::RolledBack(Arc::clone(cause))),
        };
        // Whoever asked may have gone; the act is done all the same.
        let _ = self.answer.send(answer);
    }
}

struct Writer {
    /// `None` after an error of the file, until the next batch opens it again.
    work: Option<Work>,
    options: SqliteConnectOptions,
    readers: SqlitePool,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        let mut stops = Vec::new();
        while queue.recv_many(&mut waiting, BATCH_MAX).await > 0 {
            if waiting.iter().any(|command| matches!(command, Command::Stop(_))) {
                // What is in the queue already is still received.
                queue.close();
            }
            let outcome = self.transact(&mut waiting).await.map_err(Arc::new);
            if let Err(cause) = &outcome {
                tracing::error!(error = %cause, acts = waiting.len(), "a transaction was rolled back");
            }
            for command in waiting.drain(..) {
                match command {
                    Command::Stop(answer) => stops.push(answer),
                    command => command.answer(outcome.as_ref().copied()),
                }
            }
            gather(&queue).await;
        }
        // The last connection to close folds the log back into the file, which a reader cannot.
        self.readers.close().await;
        self.give_up().await;
        for stop in stops {
            let _ = stop.send(());
        }
    }

    /// All of them in one transaction.
    async fn transact(&mut self, commands: &mut [Command]) -> Result<(), SqliteError> {
        let outcome = self.try_transact(commands).await;
        if outcome.is_err() {
            // Whether a transaction is still open depends on the error; a closed connection has none.
            self.give_up().await;
        }
        outcome
    }

    async fn try_transact(&mut self, commands: &mut [Command]) -> Result<(), SqliteError> {
        let work = match &mut self.work {
            Some(work) => work,
            none => none.insert(Work::new(self.options.connect().await?)),
        };
        work.execute("begin immediate").await?;
        work.heads.check(&mut work.connection).await?;
        for run in commands.chunk_by_mut(|one, next| matches!((one, next), (Command::Append(_), Command::Append(_)))) {
            match run {
                [Command::Act(act)] => act_alone(work, act.as_mut()).await?,
                run => {
                    let mut appends: Vec<&mut Append> = run.iter_mut().filter_map(as_append).collect();
                    append::run(work, &mut appends).await?;
                }
            }
        }
        work.execute("commit").await
    }

    async fn give_up(&mut self) {
        if let Some(work) = self.work.take()
            && let Err(error) = work.connection.close().await
        {
            tracing::warn!(%error, "the database file was not closed cleanly");
        }
    }
}

/// Lets those who were just answered come again, as long as more of them come: they share the next sync instead of
/// waiting for it. It takes microseconds, and no time at all where nobody comes.
async fn gather(queue: &mpsc::Receiver<Command>) {
    for _ in 0..GATHER_MAX {
        let before = queue.len();
        tokio::task::yield_now().await;
        if queue.len() == before {
            break;
        }
    }
}

fn as_append(command: &mut Command) -> Option<&mut Append> {
    match command {
        Command::Append(append) => Some(append),
        Command::Act(_) | Command::Stop(_) => None,
    }
}

/// One act, which its neighbours survive.
async fn act_alone(work: &mut Work, act: &mut dyn Act) -> Result<(), SqliteError> {
    work.execute("savepoint act").await?;
    if let Verdict::Undo = act.run(work).await? {
        // What was remembered may come from what is undone.
        work.heads.forget();
        work.execute("rollback to act").await?;
    }
    work.execute("release act").await
}
