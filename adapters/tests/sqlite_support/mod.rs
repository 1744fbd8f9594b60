//! A fresh database file for each test, and nothing left of it afterwards.

mod folder;

pub(crate) use folder::Folder;

use std::ops::Deref;

use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};

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
