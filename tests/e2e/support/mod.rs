//! What every test needs: a server, somebody signed in, a STOMP client. Nothing here waits for a time, only for a condition.

mod client;
mod server;
mod stomp;

pub(crate) use client::{Anon, User, json, set_cookies};
pub(crate) use server::{Options, Server, binary, fresh_folder, repository};
pub(crate) use stomp::{Came, Frame, Stomp};

use std::time::Duration;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that has to happen, and fails by its name.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}
