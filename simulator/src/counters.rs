//! How often a world really got into the situations that it is there for. One that never occurs tests nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sometimes {
    /// Two refreshes with the same token at once.
    RefreshBesideRefresh,
    /// A refresh while the session is being ended.
    RefreshBesideLogOut,
    /// A replaced refresh token came again and was given its successor.
    Grace,
    /// A stolen refresh token was found out.
    ReuseFound,
    /// The token of a connection ended while something had no RECEIPT.
    ExpiryDuringSend,
    /// A node died after a message was stored and before its RECEIPT was seen.
    KillBetweenCommitAndReceipt,
    /// A node died.
    Kill,
    /// A link was cut.
    Cut,
    /// The store did something and its answer was lost.
    StoreAnswerLost,
    /// A request was given up half-way.
    RequestCancelled,
    /// A message that was stored already was sent again.
    SentAgain,
    /// Another text under a known client id was refused.
    ClientIdReused,
    /// A subscription went on where an earlier one had ended.
    Resumed,
    /// The same, on another node.
    ResumedElsewhere,
    /// A subscription was told to begin anew.
    Reset,
    /// A message was seen before its translation.
    SeenPending,
    /// A message was seen again with its translation.
    SeenUpdated,
    /// An outsider was refused.
    OutsiderRefused,
    /// Somebody who did nothing wrong was signed out, because an old answer or request of theirs came late.
    InnocentSignedOut,
}

/// Counts. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<Sometimes, u64>>>);

impl Counters {
    /// It has happened.
    pub(crate) fn count(&self, what: Sometimes) {
        *self.lock().entry(what).or_default() += 1;
    }

    /// How often it has happened.
    pub fn get(&self, what: Sometimes) -> u64 {
        self.lock().get(&what).copied().unwrap_or_default()
    }

    /// Adds those of another world.
    pub fn add(&self, other: &Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let other = other.lock().clone();
        let mut sum = self.lock();
        for (what, count) in other {
            *sum.entry(what).or_default() += count;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Sometimes, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sometimes {
    /// All of them, with a name each.
    pub const ALL: [(Self, &'static str); 19] = [
        (Self::RefreshBesideRefresh, "refresh beside refresh"),
        (Self::RefreshBesideLogOut, "refresh beside log-out"),
        (Self::Grace, "replaced token within grace"),
        (Self::ReuseFound, "reuse found"),
        (Self::ExpiryDuringSend, "expiry during SEND"),
        (Self::KillBetweenCommitAndReceipt, "kill between commit and RECEIPT"),
        (Self::Kill, "kill"),
        (Self::Cut, "cut"),
        (Self::StoreAnswerLost, "store answer lost"),
        (Self::RequestCancelled, "request cancelled"),
        (Self::SentAgain, "stored message sent again"),
        (Self::ClientIdReused, "client id reused"),
        (Self::Resumed, "resume"),
        (Self::ResumedElsewhere, "resume on another node"),
        (Self::Reset, "reset"),
        (Self::SeenPending, "seen before its translation"),
        (Self::SeenUpdated, "seen again with its translation"),
        (Self::OutsiderRefused, "outsider refused"),
        (Self::InnocentSignedOut, "innocent signed out"),
    ];
}

/// One line each.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, name) in Sometimes::ALL {
            writeln!(f, "  {:>9}  {name}", self.get(what))?;
        }
        Ok(())
    }
}
