//! What every test needs: a server, somebody signed in, a STOMP client. Nothing here waits for a time, only for a condition.

mod client;
mod logs;
mod server;
mod stomp;

pub(crate) use client::{
    Anon, User, claims, data, envelope, json, refreshed, refused, set_cookies, token_header, upgrade,
};
pub(crate) use logs::{Log, secret, secret_pairs};
pub(crate) use server::{Options, Server, binary, fresh_folder, kill, repository, target};
pub(crate) use stomp::{Came, Frame, Stomp};

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that has to happen, and fails by its name.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else { panic!("{what}: not within {PATIENCE:?}") };
    value
}

/// Asks until there is an answer, and fails by the name of what never came.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    within(what, answered).await
}

/// Tests that fill the machine or measure times hold this, one after the other.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
