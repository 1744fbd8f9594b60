//! The store of one node, which fails when the test says so, and remembers what it was asked.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::auth::{AuditRecord, Generation, Session};
use transtalk_core::ports::{
    Audit, Clock, Consumed, Grant, Grants, Revocation, Rotated, Rotation, Sessions, SingleUse, StoreError, Users,
};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, Monotonic, SessionId, Timestamp, User, UserId};

use crate::time::{Time, step_aside};

/// What is wrong with a store, and what it was asked.
pub(crate) struct Trouble {
    time: Time,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<&'static str>,
}

struct Rule {
    calls: &'static str,
    when: When,
    span: Span,
}

/// Where a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was done.
    Before,
    /// It was done, but the answer is lost.
    After,
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// So many calls.
    Calls(u32),
    /// All that come before this moment.
    Until(Monotonic),
}

impl Trouble {
    pub(crate) fn new(time: Time) -> Arc<Self> {
        Arc::new(Self { time, state: Mutex::default() })
    }

    /// From now on, calls whose name begins like this fail.
    pub(crate) fn fail(&self, calls: &'static str, when: When, span: Span) {
        self.lock().rules.push(Rule { calls, when, span });
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        self.lock().rules.clear();
    }

    /// The calls that can have changed something, since this was asked last.
    pub(crate) fn take_writes(&self) -> Vec<&'static str> {
        let calls = std::mem::take(&mut self.lock().calls);
        calls.into_iter().filter(|call| !READS.contains(call)).collect()
    }

    async fn around<T>(
        &self,
        call: &'static str,
        act: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        step_aside().await;
        self.lock().calls.push(call);
        self.strike(call, When::Before)?;
        let done = act.await?;
        self.strike(call, When::After)?;
        Ok(done)
    }

    fn strike(&self, call: &'static str, when: When) -> Result<(), StoreError> {
        let now = self.time.monotonic();
        let mut state = self.lock();
        state.rules.retain(|rule| match rule.span {
            Span::Calls(left) => left > 0,
            Span::Until(end) => now < end,
        });
        let Some(rule) = state.rules.iter_mut().find(|rule| rule.when == when && call.starts_with(rule.calls)) else {
            return Ok(());
        };
        if let Span::Calls(left) = &mut rule.span {
            *left -= 1;
        }
        Err(StoreError::Unavailable { store: "troubled", source: "out of reach".into() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const READS: [&str; 11] = [
    "users.find",
    "users.find_many",
    "users.find_by_email",
    "users.find_by_identity",
    "sessions.find",
    "sessions.find_many",
    "sessions.list",
    "audit.list",
    "grants.list",
    "grants.left",
    // What it forgets can no longer be used.
    "single_use.purge",
];

/// The store as one node sees it.
pub(crate) struct Store {
    pub(crate) store: MemoryStore,
    pub(crate) trouble: Arc<Trouble>,
}

#[async_trait]
impl Users for Store {
    async fn register(&self, user: &User) -> Result<User, StoreError> {
        self.trouble.around("users.register", self.store.register(user)).await
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.trouble.around("users.find", Users::find(&self.store, id)).await
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        self.trouble.around("users.find_many", Users::find_many(&self.store, ids)).await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        self.trouble.around("users.find_by_email", self.store.find_by_email(email)).await
    }

    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError> {
        self.trouble.around("users.find_by_identity", self.store.find_by_identity(identity)).await
    }

    async fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError> {
        self.trouble.around("users.withdraw", self.store.withdraw(id, revocation)).await
    }

    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError> {
        self.trouble.around("users.set_language", self.store.set_language(id, language)).await
    }
}

#[async_trait]
impl Sessions for Store {
    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError> {
        self.trouble.around("sessions.add", self.store.add(session, audit)).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.trouble.around("sessions.find", Sessions::find(&self.store, id)).await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        self.trouble.around("sessions.find_many", Sessions::find_many(&self.store, ids)).await
    }

    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError> {
        self.trouble.around("sessions.rotate", self.store.rotate(id, rotation, audit)).await
    }

    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError> {
        self.trouble.around("sessions.acknowledge", self.store.acknowledge(id, generation)).await
    }

    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError> {
        self.trouble.around("sessions.revoke", self.store.revoke(id, revocation)).await
    }

    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError> {
        self.trouble.around("sessions.revoke_all", self.store.revoke_all(user, revocation)).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.trouble.around("sessions.list", Sessions::list(&self.store, user)).await
    }
}

#[async_trait]
impl SingleUse for Store {
    async fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError> {
        self.trouble.around("single_use.consume", self.store.consume(id, until)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.trouble.around("single_use.purge", SingleUse::purge(&self.store, now)).await
    }
}

#[async_trait]
impl Audit for Store {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.trouble.around("audit.append", Audit::append(&self.store, record)).await
    }

    async fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.trouble.around("audit.list", Audit::list(&self.store, user, limit)).await
    }
}

#[async_trait]
impl Grants for Store {
    async fn put(&self, grant: &Grant) -> Result<(), StoreError> {
        self.trouble.around("grants.put", Grants::put(&self.store, grant)).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError> {
        self.trouble.around("grants.list", Grants::list(&self.store, user)).await
    }

    async fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError> {
        self.trouble.around("grants.left", self.store.left(limit)).await
    }

    async fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError> {
        self.trouble.around("grants.remove", self.store.remove(user, issuer)).await
    }
}
