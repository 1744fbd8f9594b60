//! Every storage port on one SQLite file.
//!
//! One task writes, many acts to a transaction, and answers when they are on the disk (`writer`). Readers have
//! connections of their own beside it, and see all that was answered. Each port is a file here; where the same
//! text is asked of many ids, they travel as one JSON parameter.
//!
//! It never mints an id, never reads a clock and never logs what people write.

mod append;
mod audit;
mod cursors;
mod error;
mod grants;
mod heads;
mod message_row;
mod messages;
mod rooms;
mod sessions;
mod single_use;
mod users;
mod values;
mod writer;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};
use transtalk_core::ports::StoreError;

use error::SqliteError;
pub use error::SqliteOpenError;
use writer::{Queue, Work};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Small pages: an append changes a little in several places of the indexes, and each is written as a whole page.
const PAGE_BYTES: u32 = 2_048;
/// How long a connection waits for another process that has locked the file, and a reader for a free connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pages in the log before it is folded into the database. Batches write the same index pages again and again, and
/// each is folded once: at SQLite's own 1,000 pages nearly every batch would wait for that.
const LOG_PAGES: &str = "16384";
/// The log file is cut back to this many bytes when it is folded into the database.
const LOG_BYTES_KEPT: &str = "67108864";
/// Kibibytes of pages that the writer keeps in memory, written as SQLite wants it.
const WRITER_CACHE: &str = "-32768";

/// Whether an answer waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Every commit is synced before its answer.
    #[default]
    Full,
    /// Nothing is synced. It exists so that a test can see the difference, and is in no configuration.
    Off,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read.
    pub readers: u32,
    /// Whether an answer waits for the disk.
    pub synchronous: Synchronous,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, synchronous: Synchronous::Full }
    }
}

/// What the writer's own connection says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterPragmas {
    /// `PRAGMA synchronous`: 2 is FULL, 0 is OFF.
    pub synchronous: i64,
    /// `PRAGMA journal_mode`.
    pub journal_mode: String,
    /// `PRAGMA foreign_keys`.
    pub foreign_keys: bool,
}

/// A database file with everything in it. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Queue,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, made if it is missing and its folder too, and brings its tables up to date.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, SqliteOpenError> {
        if let Some(folder) = path.parent() {
            let failed = |source| SqliteOpenError::Folder { path: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let for_writer = writer_options(path, options.synchronous);
        let database = |error| SqliteOpenError::from_database(path, error);
        let mut connection = for_writer.connect().await.map_err(database)?;
        MIGRATIONS.run(&mut connection).await.map_err(|error| SqliteOpenError::from_migration(path, error))?;

        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(common_options(path).read_only(true))
            .await
            .map_err(database)?;
        let writer = Queue::start(Work::new(connection), for_writer, readers.clone());
        Ok(Self { writer, readers })
    }

    /// Does what waits to be written, refuses the rest, and returns when the file is closed.
    pub async fn close(&self) {
        self.writer.stop().await;
    }

    /// What holds on the connection that writes, for a test or a diagnosis.
    pub async fn writer_pragmas(&self) -> Result<WriterPragmas, StoreError> {
        let pragmas = self.writer.act(|work| Box::pin(read_pragmas(work))).await?;
        Ok(pragmas)
    }
}

async fn read_pragmas(work: &mut Work) -> Result<WriterPragmas, SqliteError> {
    let row = sqlx::query("select * from pragma_synchronous, pragma_journal_mode, pragma_foreign_keys")
        .fetch_one(&mut work.connection)
        .await?;
    Ok(WriterPragmas {
        synchronous: row.try_get("synchronous")?,
        journal_mode: row.try_get("journal_mode")?,
        foreign_keys: row.try_get("foreign_keys")?,
    })
}

fn writer_options(path: &Path, synchronous: Synchronous) -> SqliteConnectOptions {
    let synchronous = match synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Off => SqliteSynchronous::Off,
    };
    common_options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .page_size(PAGE_BYTES)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        // What a savepoint sets aside is soon forgotten and need not go through a file.
        .pragma("temp_store", "memory")
        .pragma("cache_size", WRITER_CACHE)
}

fn common_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging()
}
