//! Laws can fail: for each port, variants of its memory adapter with one deliberate bug each.
//!
//! Every law catches at least one of them, and every one of them is caught by at least one law.
//! Without a bug a variant obeys all laws, so it is the bug that is caught and not the wrapper around the adapter.

mod audit;
mod bus;
mod cursors;
mod grants;
mod messages;
mod presence;
mod rate_limits;
mod rooms;
mod sessions;
mod single_use;
mod users;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::task::Poll;

/// The bugs of one port, and the list of them.
macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident),+ $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Bug {
            $($(#[$doc])* $bug),+
        }

        const BUGS: &[Bug] = &[$(Bug::$bug),+];
    };
}
use bugs;

/// Holds every law against every bug. `obey` runs a law against the variant with this bug, or with none.
fn check<Law: Copy, Bug: Copy + Debug>(
    port: &str,
    laws: &[(&'static str, Law)],
    bugs: &[Bug],
    obey: impl Fn(Law, Option<Bug>),
) {
    let fails = |law: Law, bug: Option<Bug>| fails_quietly(|| obey(law, bug));
    let wrong: Vec<&str> = laws.iter().filter(|(_, law)| fails(*law, None)).map(|(name, _)| *name).collect();
    assert!(wrong.is_empty(), "{port}: without a bug these laws do not hold: {wrong:#?}");

    let mut blind: BTreeSet<&str> = laws.iter().map(|(name, _)| *name).collect();
    let mut unseen = Vec::new();
    for bug in bugs {
        let catchers: Vec<&str> =
            laws.iter().filter(|(_, law)| fails(*law, Some(*bug))).map(|(name, _)| *name).collect();
        if catchers.is_empty() {
            unseen.push(bug);
        }
        for name in catchers {
            blind.remove(name);
        }
    }
    eprintln!("{port:12} {:3} laws {:3} broken variants", laws.len(), bugs.len());
    assert!(unseen.is_empty(), "{port}: no law catches {unseen:#?}");
    assert!(blind.is_empty(), "{port}: these laws catch nothing: {blind:#?}");
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether this panics. Hundreds of laws fail here as they should: they do not report it.
fn fails_quietly(law: impl FnOnce()) -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                report(panic);
            }
        }));
    });
    IS_QUIET.set(true);
    let fails = catch_unwind(AssertUnwindSafe(law)).is_err();
    IS_QUIET.set(false);
    fails
}

/// Lets everybody else go first, once: between reading and writing, this makes a race that is always lost.
async fn others_first() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
