//! Memory and SQLite give the same answers to the same questions about accounts and sessions, whatever came before them.
#![cfg(feature = "sqlite")]

mod sqlite_support;

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlite_support::{fresh, run};
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::auth::{AuditEvent, AuditRecord, Device, Generation, Lifetimes, Session};
use transtalk_core::ports::{Audit, Entropy, Revocation, Rotation, Sessions, StoreError, Users};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, SessionId, Timestamp, User, UserId};

/// Accounts 0 and 1 are one person's, and so are 2 and 3; 0 and 2 claim one address, and so do 1 and 3.
const ACCOUNTS: usize = 4;
/// Each belongs to the account of its number modulo [`ACCOUNTS`].
const SESSIONS: usize = 8;

/// What is asked of a store, about an account or a session of this number.
#[derive(Debug, Clone, Copy)]
enum Step {
    Register(usize),
    SetLanguage(usize),
    Withdraw(usize),
    RevokeAll(usize),
    List(usize),
    Add(usize),
    Rotate(usize, u32),
    Acknowledge(usize, u32),
    Revoke(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (account, session) = (0..ACCOUNTS, 0..SESSIONS);
    prop_oneof![
        3 => account.clone().prop_map(Step::Register),
        1 => account.clone().prop_map(Step::SetLanguage),
        2 => account.clone().prop_map(Step::Withdraw),
        1 => account.clone().prop_map(Step::RevokeAll),
        1 => account.prop_map(Step::List),
        6 => session.clone().prop_map(Step::Add),
        6 => (session.clone(), 0..4_u32).prop_map(|(session, from)| Step::Rotate(session, from)),
        3 => (session.clone(), 0..5_u32).prop_map(|(session, generation)| Step::Acknowledge(session, generation)),
        2 => session.prop_map(Step::Revoke),
    ]
}

#[test]
fn memory_and_sqlite_answer_alike() {
    run(async {
        let sqlite = fresh().await;
        let runtime = tokio::runtime::Handle::current();
        let checks = tokio::task::spawn_blocking(move || {
            let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
            TestRunner::new(config)
                .run(&vec(step(), 0..48), |steps| {
                    let (cast, memory) = (Cast::new(), MemoryStore::new());
                    for (index, step) in steps.into_iter().enumerate() {
                        let said = runtime.block_on(cast.act(&memory, step, index));
                        prop_assert_eq!(runtime.block_on(cast.act(&*sqlite, step, index)), said, "{:?}", step);
                    }
                    let found = runtime.block_on(cast.look(&memory));
                    prop_assert_eq!(runtime.block_on(cast.look(&*sqlite)), found);
                    Ok(())
                })
                .unwrap();
        });
        checks.await.unwrap();
    });
}

/// Accounts and sessions that no other case has.
struct Cast {
    accounts: Vec<User>,
    sessions: Vec<Session>,
}

impl Cast {
    fn new() -> Self {
        let (people, addresses) = ([Count::next(), Count::next()], [Count::next(), Count::next()]);
        let account = |index: usize| User {
            id: UserId::mint(&Count),
            identity: Identity { issuer: "https://issuer.example".to_owned(), subject: people[index / 2].to_string() },
            email: Some(Email::new(&format!("user-{}@example.com", addresses[index % 2])).unwrap()),
            email_verified: true,
            name: format!("Account {index}"),
            picture: None,
            language: None,
            created_at: at(0),
            withdrawn_at: None,
        };
        let accounts: Vec<User> = (0..ACCOUNTS).map(account).collect();
        let session = |index: usize| {
            let (id, user) = (SessionId::mint(&Count), accounts[index % ACCOUNTS].id);
            Session::begin(id, user, Device::default(), &Lifetimes::default(), at(index))
        };
        let sessions = (0..SESSIONS).map(session).collect();
        Self { accounts, sessions }
    }

    /// What this store says to this.
    async fn act<S: Users + Sessions + Audit>(&self, store: &S, step: Step, index: usize) -> String {
        let record = |user: UserId, session: Option<SessionId>, event: AuditEvent| AuditRecord {
            at: at(index),
            user,
            session,
            event,
            address: "203.0.113.9".to_owned(),
            detail: format!("step {index}"),
        };
        let end = |user| Revocation { at: at(index), audit: record(user, None, AuditEvent::LoggedOut) };
        match step {
            Step::Register(account) => said(store.register(&self.accounts[account]).await),
            Step::SetLanguage(account) => {
                let language = Language::new("ko").unwrap();
                said(store.set_language(self.accounts[account].id, Some(&language)).await)
            }
            Step::Withdraw(account) => {
                let user = self.accounts[account].id;
                said(store.withdraw(user, &end(user)).await.map(|ended| ended.map(sorted)))
            }
            Step::RevokeAll(account) => {
                let user = self.accounts[account].id;
                said(store.revoke_all(user, &end(user)).await.map(sorted))
            }
            Step::List(account) => said(Sessions::list(store, self.accounts[account].id).await),
            Step::Add(session) => {
                let session = &self.sessions[session];
                said(store.add(session, &record(session.user, Some(session.id), AuditEvent::SignedIn)).await)
            }
            Step::Rotate(session, from) => {
                let session = &self.sessions[session];
                let expires_at = at(index).plus(Duration::from_hours(1));
                let rotation = Rotation { from: Generation(from), rotated_at: at(index), expires_at };
                let record = record(session.user, Some(session.id), AuditEvent::Refreshed);
                said(store.rotate(session.id, rotation, &record).await)
            }
            Step::Acknowledge(session, generation) => {
                said(store.acknowledge(self.sessions[session].id, Generation(generation)).await)
            }
            Step::Revoke(session) => {
                let session = &self.sessions[session];
                said(store.revoke(session.id, &end(session.user)).await)
            }
        }
    }

    /// All that this store knows of them.
    async fn look<S: Users + Sessions + Audit>(&self, store: &S) -> Vec<String> {
        let mut known = Vec::new();
        for account in &self.accounts {
            known.push(said(Users::find(store, account.id).await));
            known.push(said(store.find_by_identity(&account.identity).await));
            known.push(said(store.find_by_email(account.email.as_ref().unwrap()).await));
            known.push(said(Sessions::list(store, account.id).await));
            let mut trail = Audit::list(store, account.id, 1_000).await.unwrap();
            // Each step has its own moment; in which order one commit ends several sessions is free.
            trail.sort_by_key(|record| (Reverse(record.at), record.session));
            known.push(format!("{trail:?}"));
        }
        for session in &self.sessions {
            known.push(said(Sessions::find(store, session.id).await));
        }
        known
    }
}

/// An answer in words. The reason of a refusal is each store's own.
fn said<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    answer.map_or_else(|_| "refused".to_owned(), |answer| format!("{answer:?}"))
}

fn sorted(mut ids: Vec<SessionId>) -> Vec<SessionId> {
    ids.sort_unstable();
    ids
}

fn at(index: usize) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus(Duration::from_secs(index as u64))
}

struct Count;

impl Count {
    fn next() -> u64 {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        COUNT.fetch_add(1, Ordering::Relaxed)
    }
}

impl Entropy for Count {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        let count = Self::next().to_le_bytes();
        let length = bytes.len().min(count.len());
        bytes[..length].copy_from_slice(&count[..length]);
    }
}
