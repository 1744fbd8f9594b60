//! Sixty-four refreshes of one token at once, a thousand times: one generation later, everybody holds the same token (T1, T2).
//!
//! Real tasks on several threads go through the use case, on memory, on SQLite, and through two stores that were opened separately
//! on one file. The same law is broken by an adapter that reads and then writes, and it says so.
#![cfg(all(feature = "sqlite", feature = "system"))]

#[path = "sqlite_support/folder.rs"]
mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use folder::Folder;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use transtalk_adapters::memory::{MemoryBus, MemoryPresence, MemoryRateLimits, MemorySigner, MemoryStore};
use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};
use transtalk_adapters::system::{SystemClock, SystemEntropy, TokioTimer};
use transtalk_core::app::{Limits, Pipeline, Services, Settings, refresh};
use transtalk_core::auth::{AuditEvent, AuditRecord, Device, Generation, Lifetimes, RefreshToken, Session};
use transtalk_core::chat::delivery::Hub;
use transtalk_core::ports::{
    Audit, Clock, Cursors, Grants, Messages, Revocation, Rooms, Rotated, Rotation, Sessions, SingleUse, StoreError,
    TokenKind, Translated, TranslationRequest, Translator, TranslatorError, Users,
};
use transtalk_core::{Monotonic, SessionId, Timestamp, UserId};

/// Refreshes at once.
const CALLERS: usize = 64;
/// Repetitions. Each begins with the token that the one before gave.
const ROUNDS: usize = 1_000;

#[test]
fn t2_of_64_refreshes_at_once_all_get_the_same_next_token_in_memory() {
    run("memory", async {
        let mut race = Race::begin(vec![MemoryStore::new()], |store| store).await;
        race.run().await
    });
}

#[test]
fn t2_of_64_refreshes_at_once_all_get_the_same_next_token_on_sqlite() {
    run("sqlite", async {
        let folder = Folder::new();
        let mut race = Race::begin(vec![open(&folder).await], |store| store).await;
        race.run().await
    });
}

#[test]
fn t2_of_64_refreshes_at_once_through_two_stores_on_one_file_all_get_the_same_next_token() {
    run("two stores on one file", async {
        let folder = Folder::new();
        let stores = vec![open(&folder).await, open(&folder).await];
        let mut race = Race::begin(stores, |store| store).await;
        race.run().await
    });
}

#[test]
fn an_adapter_that_reads_and_then_writes_breaks_the_law() {
    for writes in [Writes::WhatItRead, Writes::OneMoreThanThereIs] {
        run("reads and then writes, in memory", async {
            let broken = |store| Arc::new(ReadsThenWrites { store, writes, rows: Mutex::default() });
            violated(Race::begin(vec![MemoryStore::new()], broken).await, writes).await
        });
        run("reads and then writes, on sqlite", async {
            let folder = Folder::new();
            let broken = |store| Arc::new(ReadsThenWrites { store, writes, rows: Mutex::default() });
            violated(Race::begin(vec![open(&folder).await], broken).await, writes).await
        });
    }
}

/// Turns the law round: in some of the rounds it must have something to say. A store that was out of reach proves nothing.
async fn violated<W: std::fmt::Debug>(mut race: Race, writes: W) -> Result<(), String> {
    match race.run().await {
        Ok(()) => Err(format!("the law did not notice {writes:?}")),
        Err(violation) if violation.contains("Unavailable") || violation.contains("not available") => Err(violation),
        Err(violation) => {
            eprintln!("{writes:?}: {violation}");
            Ok(())
        }
    }
}

/// Nodes that share a store, and a session whose token is refreshed again and again.
struct Race {
    nodes: Vec<Arc<Services>>,
    clock: Arc<Rounds>,
    session: Session,
}

impl Race {
    /// One node for each store. `sessions` says through what it sees its sessions.
    async fn begin<S, V>(stores: Vec<S>, sessions: impl Fn(Arc<S>) -> Arc<V>) -> Self
    where
        S: Users + Rooms + Messages + Sessions + SingleUse + Audit + Grants + Cursors + 'static,
        V: Sessions + 'static,
    {
        let clock = Arc::new(Rounds(AtomicU64::new(1_700_000_000_000)));
        let nodes: Vec<_> = stores
            .into_iter()
            .map(|store| {
                let store = Arc::new(store);
                let sessions = sessions(Arc::clone(&store));
                Arc::new(services(store, sessions, Arc::clone(&clock)))
            })
            .collect();
        let (id, user) = (SessionId::mint(&SystemEntropy), UserId::mint(&SystemEntropy));
        let session = Session::begin(id, user, Device::default(), &Lifetimes::default(), clock.now());
        let audit = AuditRecord {
            at: clock.now(),
            user,
            session: Some(id),
            event: AuditEvent::SignedIn,
            address: String::new(),
            detail: String::new(),
        };
        nodes[0].sessions.add(&session, &audit).await.unwrap();
        Self { nodes, clock, session }
    }

    async fn run(&mut self) -> Result<(), String> {
        for round in 1..=ROUNDS {
            self.round().await.map_err(|violation| format!("round {round}: {violation}"))?;
        }
        Ok(())
    }

    /// The law.
    async fn round(&mut self) -> Result<(), String> {
        let now = self.clock.next();
        let token = RefreshToken { session: self.session.id, generation: self.session.generation };
        let next = RefreshToken { generation: token.generation.next(), ..token };
        let signer = self.nodes[0].signer.as_ref();
        let (token, next_token) = (token.encode(signer), next.encode(signer));

        let start = Arc::new(Barrier::new(CALLERS));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (services, start) = (Arc::clone(&self.nodes[caller % self.nodes.len()]), Arc::clone(&start));
            let token = token.clone();
            callers.spawn(async move {
                start.wait().await;
                refresh(&services, Some(&token), "203.0.113.9").await
            });
        }
        let (mut held, mut access) = (BTreeSet::new(), None);
        for given in callers.join_all().await {
            let given = given.map_err(|failure| format!("a caller was refused: {failure:?}"))?;
            held.insert(given.refresh);
            access = Some(given.access);
        }
        ensure(held.len() == 1, || format!("the callers hold {} different tokens", held.len()))?;
        ensure(held.contains(&next_token), || "the callers hold a token of another generation".to_owned())?;

        let access =
            signer.verify(TokenKind::Access, &access.unwrap_or_default()).map_err(|error| error.to_string())?;
        ensure(access.generation == next.generation, || format!("an access token is of {}", access.generation))?;

        for node in &self.nodes {
            let found = node.sessions.find(self.session.id).await.map_err(|error| error.to_string())?;
            let found = found.ok_or("the session is gone")?;
            ensure(found.generation == next.generation, || format!("the session is at {}", found.generation))?;
            ensure(found.revoked_at.is_none(), || "the session has ended".to_owned())?;
            self.session = found;
        }
        // Whoever minted it wrote so: two of them would be two children of one token, though they look alike.
        let limit = u32::try_from(2 * CALLERS).unwrap();
        let trail = self.nodes[0].audit.list(self.session.user, limit).await.map_err(|error| error.to_string())?;
        let count = |event| trail.iter().filter(|record| record.at == now && record.event == event).count();
        let counted = (count(AuditEvent::Refreshed), count(AuditEvent::Concurrent));
        ensure(counted == (1, CALLERS - 1), || format!("{} minted the token, and {} shared it", counted.0, counted.1))
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// What a broken adapter writes over the row that it has read.
#[derive(Debug, Clone, Copy)]
enum Writes {
    /// The row that it read, rotated. Everybody gets the same token, minted many times; and a log-out meanwhile is undone.
    WhatItRead,
    /// One more than the generation that it finds by then.
    OneMoreThanThereIs,
}

/// Sessions whose rotation is two acts: it compares, and then it swaps.
struct ReadsThenWrites<S> {
    store: Arc<S>,
    writes: Writes,
    rows: Mutex<BTreeMap<SessionId, Session>>,
}

#[async_trait]
impl<S: Sessions + Audit> Sessions for ReadsThenWrites<S> {
    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError> {
        let Some(mut row) = Sessions::find(self, id).await? else { return Ok(Rotated::Unknown) };
        if row.generation != rotation.from || row.revoked_at.is_some() {
            return Ok(Rotated::Lost(row));
        }
        yield_now().await;
        if let Writes::OneMoreThanThereIs = self.writes {
            row = Sessions::find(self, id).await?.unwrap_or(row);
        }
        row.generation = row.generation.next();
        row.rotated_at = rotation.rotated_at;
        row.expires_at = rotation.expires_at;
        self.rows.lock().unwrap().insert(id, row.clone());
        self.store.append(audit).await?;
        Ok(Rotated::Done(row))
    }

    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let written = self.rows.lock().unwrap().get(&id).cloned();
        let stored = Sessions::find(self.store.as_ref(), id).await?;
        Ok(written.or(stored))
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        Sessions::find_many(self.store.as_ref(), ids).await
    }

    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError> {
        self.store.add(session, audit).await
    }

    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError> {
        self.store.acknowledge(id, generation).await
    }

    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError> {
        self.store.revoke(id, revocation).await
    }

    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError> {
        self.store.revoke_all(user, revocation).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        Sessions::list(self.store.as_ref(), user).await
    }
}

/// A node on this store. All of them have the same key.
fn services<S>(store: Arc<S>, sessions: Arc<dyn Sessions>, clock: Arc<Rounds>) -> Services
where
    S: Users + Rooms + Messages + Sessions + SingleUse + Audit + Grants + Cursors + 'static,
{
    Services {
        users: store.clone(),
        rooms: store.clone(),
        messages: store.clone(),
        sessions,
        single_use: store.clone(),
        audit: store.clone(),
        grants: store.clone(),
        cursors: store,
        presence: Arc::new(MemoryPresence::new()),
        rate_limits: Arc::new(MemoryRateLimits::new()),
        bus: Arc::new(MemoryBus::new()),
        translator: Arc::new(NoTranslator),
        identities: Vec::new(),
        signer: Arc::new(MemorySigner::new([7; 32])),
        clock,
        timer: Arc::new(TokioTimer),
        entropy: Arc::new(SystemEntropy),
        // Nobody refreshes a session a thousand times a minute, but this test does.
        settings: Settings { limits: Limits { refresh: 0, ..Limits::default() }, ..Settings::default() },
        hub: Hub::default(),
        pipeline: Pipeline::default(),
    }
}

/// Wall time that stands still in each round, so that a record tells its round; what waits, waits in real time.
struct Rounds(AtomicU64);

impl Rounds {
    /// The next round, a second later.
    fn next(&self) -> Timestamp {
        self.0.fetch_add(1_000, Ordering::SeqCst);
        self.now()
    }
}

impl Clock for Rounds {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        SystemClock.monotonic()
    }
}

/// Nobody sends a message here.
struct NoTranslator;

#[async_trait]
impl Translator for NoTranslator {
    async fn translate(&self, _: &TranslationRequest) -> Result<Translated, TranslatorError> {
        Err(TranslatorError::Unsupported { engine: self.name().to_owned() })
    }

    fn name(&self) -> &'static str {
        "none"
    }
}

async fn open(folder: &Folder) -> SqliteStore {
    SqliteStore::open(&folder.file(), SqliteOptions::default()).await.unwrap()
}

/// Waits on threads of its own, and says how long it took.
fn run(what: &str, test: impl Future<Output = Result<(), String>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let begun = Instant::now();
    let outcome = runtime.block_on(test);
    eprintln!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    runtime.shutdown_timeout(Duration::from_secs(5));
    if let Err(violation) = outcome {
        panic!("{what}: {violation}");
    }
}
