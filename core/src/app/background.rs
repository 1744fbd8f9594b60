//! Work that nobody waits for: publishing, translating, ending holds, feeding the hub, and finding again what was lost.
//!
//! Each loop is a future that the shell spawns; they talk through the [`Pipeline`]. Nothing here is the only memory of
//! anything: what a queue drops or a crash forgets is found in the store by [`recover`] and by the sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender, bounded, unbounded};
use futures_util::future::{Either, select};

use super::Services;
use super::deliver::{appended, published, serve};
use super::refusals::Refusals;
use super::rooms::push_entries;
#[cfg(feature = "mutants")]
use super::send_message::append;
use super::translate_message::{Task, translate};
use super::waiters::Waiters;
use super::withdraw::give_back_grants;
use crate::auth::AuditRecord;
use crate::chat::Message;
#[cfg(feature = "mutants")]
use crate::chat::NewMessage;
use crate::chat::delivery::Need;
use crate::error::Failure;
use crate::id::{RoomId, Seq, UserId};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::Event;
use crate::stomp::CloseCode;
use crate::time::Timestamp;

/// Queues between the loops of one node.
pub struct Pipeline {
    stored: Queue<(Message, bool)>,
    tasks: Queue<Task>,
    /// One for each lane and listener at most.
    needs: Queue<Need>,
    rooms: Queue<RoomId>,
    #[cfg(feature = "mutants")]
    late: Queue<Vec<NewMessage>>,
    hold_changed: Queue<()>,
    audit: Queue<AuditRecord>,
    /// Records that wait or are being written.
    unwritten: AtomicUsize,
    left: Queue<()>,
    refusals: Refusals,
    waiters: Waiters,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Messages whose first publication waits, and when they were sent.
    held: BTreeMap<(RoomId, Seq), Timestamp>,
    /// The same, the oldest first.
    holds: BTreeSet<(Timestamp, RoomId, Seq)>,
    /// Translations that are queued or under way.
    under_way: BTreeSet<Task>,
    /// Rooms whose lines wait to be pushed.
    changed: BTreeSet<RoomId>,
    /// Where somebody's later pages of a room begin.
    anchors: BTreeMap<(UserId, RoomId), Seq>,
}

struct Queue<T>(Sender<T>, Receiver<T>);

impl<T> Queue<T> {
    fn bounded(capacity: usize) -> Self {
        let (sender, receiver) = bounded(capacity);
        Self(sender, receiver)
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            stored: Queue::bounded(limits::FOLLOW_QUEUE_MAX),
            tasks: Queue::bounded(limits::TRANSLATION_QUEUE_MAX),
            needs: Queue(sender, receiver),
            rooms: Queue::bounded(limits::FOLLOW_QUEUE_MAX),
            #[cfg(feature = "mutants")]
            late: Queue::bounded(limits::FOLLOW_QUEUE_MAX),
            hold_changed: Queue::bounded(1),
            audit: Queue::bounded(limits::AUDIT_QUEUE_MAX),
            unwritten: AtomicUsize::new(0),
            left: Queue::bounded(1),
            refusals: Refusals::default(),
            waiters: Waiters::default(),
            state: Mutex::default(),
        }
    }
}

impl Pipeline {
    /// A message was stored here: publish it, or translate it first. If the queue is full, the sweep finds it.
    pub(super) fn follow(&self, message: Message, visible: bool) {
        let _ = self.stored.0.try_send((message, visible));
    }

    /// Only for the planted bug: stores what was acknowledged already.
    #[cfg(feature = "mutants")]
    pub(super) fn store_later(&self, batch: Vec<NewMessage>) {
        let _ = self.late.0.try_send(batch);
    }

    /// For the audit trail, without waiting for it. If the queue is full the record is lost: what the trail must never miss is
    /// written in the commit that it tells of.
    pub(super) fn audit(&self, record: AuditRecord) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        if self.audit.0.try_send(record).is_err() {
            self.unwritten.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Audit records that are not written yet. A server that stops waits for them.
    pub fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Somebody has left: the providers' grants are given back.
    pub(super) fn give_back(&self) {
        let _ = self.left.0.try_send(());
    }

    /// The refreshes that wait.
    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Who was sent an ERROR a moment ago.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// What the hub needs.
    pub(super) fn need(&self, needs: Vec<Need>) {
        for need in needs {
            let _ = self.needs.0.try_send(need);
        }
    }

    /// A room's line has changed. Many changes at once become one push.
    pub(super) fn room_changed(&self, room: RoomId) {
        if self.lock().changed.insert(room) {
            let _ = self.rooms.0.try_send(room);
        }
    }

    /// A message had its first publication.
    pub(super) fn shown(&self, room: RoomId, seq: Seq) {
        self.unhold(room, seq);
    }

    /// Says whether it was held.
    fn unhold(&self, room: RoomId, seq: Seq) -> bool {
        let mut state = self.lock();
        let sent = state.held.remove(&(room, seq));
        sent.is_some_and(|sent| state.holds.remove(&(sent, room, seq)))
    }

    /// Where this page begins: page 0 pins the place, later pages use it.
    pub(super) fn anchor(&self, user: UserId, room: RoomId, published: Seq, page: u32) -> Seq {
        let mut state = self.lock();
        if page > 0 {
            return state.anchors.get(&(user, room)).copied().unwrap_or(published);
        }
        state.anchors.insert((user, room), published);
        while state.anchors.len() > limits::ANCHORS_MAX {
            state.anchors.pop_first();
        }
        published
    }

    fn hold(&self, message: &Message) {
        let mut state = self.lock();
        state.held.insert((message.room, message.seq), message.sent_at);
        state.holds.insert((message.sent_at, message.room, message.seq));
        drop(state);
        let _ = self.hold_changed.0.try_send(());
    }

    fn enqueue(&self, message: &Message) {
        for language in message.pending() {
            let task = Task { room: message.room, seq: message.seq, language: language.clone() };
            let mut state = self.lock();
            if state.under_way.insert(task.clone()) && self.tasks.0.try_send(task.clone()).is_err() {
                state.under_way.remove(&task);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loop for the shell to spawn.
pub type Loop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All loops of a node. They end with their node, not before.
pub fn background(services: &Arc<Services>) -> Vec<Loop> {
    let mut events = services.bus.listen();
    let listening = services.clone();
    let mut loops: Vec<Loop> = vec![
        Box::pin(async move {
            while let Some(event) = events.next().await {
                let needs = listening.hub.event(&event);
                listening.pipeline.need(needs);
            }
        }),
        Box::pin(follow_stored(services.clone())),
        Box::pin(end_holds(services.clone())),
        Box::pin(push_rooms(services.clone())),
        Box::pin(compare_heads(services.clone())),
        Box::pin(sweep(services.clone())),
        Box::pin(write_audit(services.clone())),
        Box::pin(recheck_sessions(services.clone())),
        Box::pin(give_back(services.clone())),
        #[cfg(feature = "mutants")]
        Box::pin(store_late(services.clone())),
    ];
    for _ in 0..limits::TRANSLATION_WORKERS {
        loops.push(Box::pin(translate_tasks(services.clone())));
    }
    for _ in 0..limits::FEEDERS {
        loops.push(Box::pin(feed_hub(services.clone())));
    }
    loops
}

/// Finds again what a crash interrupted: publishes what is past its hold and queues what is not translated.
/// A server that starts does so before it calls itself ready.
pub async fn recover(services: &Services) -> Result<(), Failure> {
    let now = services.clock.now();
    let mut past: BTreeMap<RoomId, Seq> = BTreeMap::new();
    for message in services.messages.hidden(limits::SWEEP_MAX).await? {
        if now >= message.sent_at.plus(services.settings.hold) {
            let last = past.entry(message.room).or_default();
            *last = message.seq.max(*last);
        } else {
            services.pipeline.hold(&message);
        }
    }
    for (room, seq) in past {
        release(services, room, seq).await?;
    }
    for message in services.messages.pending(limits::SWEEP_MAX).await? {
        services.pipeline.enqueue(&message);
    }
    Ok(())
}

async fn follow_stored(services: Arc<Services>) {
    while let Ok((message, visible)) = services.pipeline.stored.1.recv().await {
        let _ = if visible {
            published(&services, vec![message]).await
        } else {
            services.pipeline.hold(&message);
            services.pipeline.enqueue(&message);
            appended(&services, message).await
        };
    }
}

async fn translate_tasks(services: Arc<Services>) {
    while let Ok(task) = services.pipeline.tasks.1.recv().await {
        // A store that is out of reach leaves the message pending: the sweep finds it again.
        let _ = translate(&services, &task).await;
        services.pipeline.lock().under_way.remove(&task);
    }
}

async fn end_holds(services: Arc<Services>) {
    loop {
        let hold = services.settings.hold;
        let next = services.pipeline.lock().holds.first().copied();
        let changed = services.pipeline.hold_changed.1.recv();
        let Some((sent, room, seq)) = next else {
            let _ = changed.await;
            continue;
        };
        let wait = sent.plus(hold).since(services.clock.now());
        if !wait.is_zero() {
            let until = services.clock.monotonic().plus(wait);
            if let Either::Right(_) = select(services.timer.sleep_until(until), Box::pin(changed)).await {
                continue;
            }
        }
        // Perhaps it was translated meanwhile.
        if services.pipeline.unhold(room, seq) {
            let _ = release(&services, room, seq).await;
        }
    }
}

async fn release(services: &Services, room: RoomId, seq: Seq) -> Result<(), Failure> {
    published(services, services.messages.release(room, seq).await?).await
}

async fn push_rooms(services: Arc<Services>) {
    while let Ok(room) = services.pipeline.rooms.1.recv().await {
        services.pipeline.lock().changed.remove(&room);
        let _ = push_entries(&services, room).await;
    }
}

/// A need that cannot be met is tried again, more slowly each time; a listener that waits too long is sent away to come back.
async fn feed_hub(services: Arc<Services>) {
    while let Ok(need) = services.pipeline.needs.1.recv().await {
        let mut pause = Duration::from_millis(100);
        loop {
            if let Ok(needs) = serve(&services, &need).await {
                services.pipeline.need(needs);
                break;
            }
            if let Need::Replay { connection, .. } = &need {
                services.hub.close(*connection, CloseCode::Unavailable);
                break;
            }
            services.timer.sleep_until(services.clock.monotonic().plus(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// Every two seconds, what the bus has lost is found: the heads of all rooms with a listener, in one question.
async fn compare_heads(services: Arc<Services>) {
    loop {
        services.timer.sleep_until(services.clock.monotonic().plus(limits::COMPARE_EVERY)).await;
        let rooms = services.hub.rooms();
        if rooms.is_empty() {
            continue;
        }
        for head in services.messages.heads(&rooms).await.unwrap_or_default() {
            let needs = services.hub.compare(&head);
            services.pipeline.need(needs);
        }
    }
}

/// Every half minute, what a full queue dropped or another node left behind.
async fn sweep(services: Arc<Services>) {
    loop {
        services.timer.sleep_until(services.clock.monotonic().plus(limits::SWEEP_EVERY)).await;
        let _ = recover(&services).await;
        let now = services.clock.now();
        let _ = services.single_use.purge(now).await;
        let _ = services.cursors.purge(now).await;
    }
}

async fn write_audit(services: Arc<Services>) {
    while let Ok(record) = services.pipeline.audit.1.recv().await {
        let _ = services.audit.append(&record).await;
        services.pipeline.unwritten.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Every half minute, the sessions of all sockets in one question: closes those whose end the bus did not tell. A node that cannot ask
/// for five minutes cannot know who has logged out, and closes them all.
async fn recheck_sessions(services: Arc<Services>) {
    let mut known_at = services.clock.monotonic();
    loop {
        services.timer.sleep_until(services.clock.monotonic().plus(limits::RECHECK_EVERY)).await;
        if planted(Mutant::LeaseNeverRechecked) {
            continue;
        }
        let connected = services.hub.sessions();
        if connected.is_empty() {
            known_at = services.clock.monotonic();
            continue;
        }
        match services.sessions.find_many(&connected).await {
            Ok(sessions) => {
                known_at = services.clock.monotonic();
                let now = services.clock.now();
                let live: BTreeSet<_> =
                    sessions.iter().filter(|session| session.is_live(now)).map(|session| session.id).collect();
                for session in connected.into_iter().filter(|session| !live.contains(session)) {
                    services.hub.event(&Event::SessionEnded(session));
                }
            }
            Err(_) if planted(Mutant::PatienceWithoutEnd) => {}
            Err(_) if services.clock.monotonic() >= known_at.plus(limits::RECHECK_PATIENCE) => {
                services.hub.abort_all(CloseCode::Unavailable);
            }
            Err(_) => {}
        }
    }
}

/// When somebody leaves, and every half minute for what could not be done then.
async fn give_back(services: Arc<Services>) {
    loop {
        let _ = give_back_grants(&services).await;
        let next = services.clock.monotonic().plus(limits::SWEEP_EVERY);
        select(services.timer.sleep_until(next), Box::pin(services.pipeline.left.1.recv())).await;
    }
}

#[cfg(feature = "mutants")]
async fn store_late(services: Arc<Services>) {
    while let Ok(batch) = services.pipeline.late.1.recv().await {
        let _ = append(&services, batch).await;
    }
}
