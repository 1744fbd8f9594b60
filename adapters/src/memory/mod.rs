//! Every port in the process's own memory: what the simulator runs on, and a server with `storage.url=memory:`.
//!
//! These are real adapters, as strict as a database: they refuse an id that is taken, and one method is one atomic act
//! (each takes the locks that it needs once, in one order, and never waits with one). They are deterministic: ordered maps, no
//! clock, no thread, no runtime. What they keep ends with the process.

mod audit;
mod bus;
mod cursors;
mod grants;
mod messages;
mod presence;
mod rate_limits;
mod rooms;
mod sessions;
mod signer;
mod single_use;
mod users;

pub use bus::MemoryBus;
pub use presence::MemoryPresence;
pub use rate_limits::MemoryRateLimits;
pub use signer::MemorySigner;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transtalk_core::ports::StoreError;

/// All storage ports. A clone is the same store.
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Tables>,
}

/// One lock for what one port writes. Where two are held, the upper one was taken first, and both are let go together: so
/// whoever looks at one of them while an act is under way waits, and sees all of it or nothing.
#[derive(Default)]
struct Tables {
    users: Mutex<users::Table>,
    rooms: Mutex<rooms::Table>,
    messages: Mutex<messages::Table>,
    sessions: Mutex<sessions::Table>,
    single_use: Mutex<single_use::Table>,
    grants: Mutex<grants::Table>,
    cursors: Mutex<cursors::Table>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The store's name in errors.
const NAME: &str = "memory";

/// A write that a database's keys would refuse.
#[derive(Debug, thiserror::Error)]
#[error("{0} is taken")]
struct Taken(&'static str);

fn taken(what: &'static str) -> StoreError {
    StoreError::Unavailable { store: NAME, source: Taken(what).into() }
}

/// A panic under a lock is a bug that its own caller is told; the tables are good for the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
