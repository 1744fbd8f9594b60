//! What can go wrong with the file, for the ports and for whoever opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::MigrateError;
use transtalk_core::ports::{BoxError, MessagesError, StoreError};

/// The name of this store in an error.
const STORE: &str = "sqlite";

/// Why an act or a question failed. The ports see it as the source of "unavailable".
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    /// What SQLite or its driver said.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A value that this adapter does not write.
    #[error("the column {0} holds an impossible value")]
    Corrupt(&'static str),
    /// A new message has the id of another.
    #[error("the message id is taken")]
    IdTaken,
    /// Another act of the same transaction, or its commit, met an error of the file.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] Arc<Self>),
    /// The store was closed before this act had its turn.
    #[error("the store is closed")]
    Closed,
}

impl SqliteError {
    /// Whether only this act is at fault: the tables refused its values, or hold some that cannot be read.
    /// Everything else says something of the file, and ends the transaction.
    pub(super) fn is_of_one_act(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(_)) => self.code() == Some(CONSTRAINT),
            Self::Database(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
            | Self::Corrupt(_)
            | Self::IdTaken => true,
            Self::Database(_) | Self::RolledBack(_) | Self::Closed => false,
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Database(error) => primary_code(error),
            _ => None,
        }
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        Self::Unavailable { store: STORE, source: error.into() }
    }
}

impl From<SqliteError> for MessagesError {
    fn from(error: SqliteError) -> Self {
        StoreError::from(error).into()
    }
}

/// Why a database file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// The folder is not there and cannot be made.
    #[error("the data folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be made, read or written.
    #[error("the database file {} cannot be opened for writing", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: BoxError,
    },
    /// The file is of another kind, or damaged.
    #[error("the file {} is not a SQLite database, or it is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: BoxError,
    },
    /// The file has tables that this program does not know yet.
    #[error("the database file {} was written by a newer version of this program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// Anything else: it is locked by another process, the disk is full, or the tables are not as they were made.
    #[error("the database file {} could not be opened or brought up to date", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: BoxError,
    },
}

impl SqliteOpenError {
    pub(super) fn from_database(path: &Path, error: sqlx::Error) -> Self {
        let (path, code) = (path.to_owned(), primary_code(&error));
        let source = error.into();
        match code {
            Some(CANNOT_OPEN | READ_ONLY | NO_PERMISSION) => Self::NotWritable { path, source },
            Some(NOT_A_DATABASE | CORRUPT) => Self::Damaged { path, source },
            _ => Self::Failed { path, source },
        }
    }

    pub(super) fn from_migration(path: &Path, error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::from_database(path, error),
            MigrateError::VersionMissing(_) => Self::Newer { path: path.to_owned() },
            error => Self::Failed { path: path.to_owned(), source: error.into() },
        }
    }
}

/// The result code without its extension (sqlite.org/rescode.html).
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

const NO_PERMISSION: i32 = 3;
const READ_ONLY: i32 = 8;
const CORRUPT: i32 = 11;
const CANNOT_OPEN: i32 = 14;
const CONSTRAINT: i32 = 19;
const NOT_A_DATABASE: i32 = 26;
