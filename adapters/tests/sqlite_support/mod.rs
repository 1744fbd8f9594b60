//! A fresh database file for each test, and nothing left of it afterwards.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};

/// A folder of its own, removed with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("transtalk-sqlite-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where a test keeps its database.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("transtalk.db")
    }
}

impl Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind fails no test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty store, and its folder.
pub(crate) struct Fresh {
    store: SqliteStore,
    _folder: Folder,
}

impl Deref for Fresh {
    type Target = SqliteStore;
    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

pub(crate) async fn fresh() -> Fresh {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file(), SqliteOptions::default()).await.unwrap();
    Fresh { store, _folder: folder }
}

/// Waits on a runtime of its own.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}
