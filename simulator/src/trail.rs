//! The checks of sessions that look at the whole: what the store has of each, what their trail says, what is left of those that
//! have ended.

use std::sync::Arc;

use futures_util::FutureExt;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::auth::{AuditEvent, AuditRecord, Session};
use transtalk_core::chat::Room;
use transtalk_core::limits;
use transtalk_core::ports::{Audit, Grants, Rooms, Sessions, Users};
use transtalk_core::stomp::CloseCode;
use transtalk_core::{Email, RoomId, SessionId, Timestamp, UserId};

use crate::counters::Sometimes;
use crate::families::Cause;
use crate::model::{Check, Violation, ensure};
use crate::node::Node;
use crate::observed::{self, Way, accepted};
use crate::options::RECHECKED_WITHIN;
use crate::socket::Socket;
use crate::world::World;

/// The verdict on all sessions.
pub(crate) async fn at_the_end(world: &Arc<World>) -> Check {
    rows(world)?;
    for (cookie, access) in remains(world) {
        // The model knows that all of it must be refused.
        let way = Way { node: 0, patience: 10_000, gives_up: false };
        let _ = observed::refresh(world, "posterity", way, cookie).await;
        let observer = world.clone();
        let _ = Node::request(world, way.node, ("GET /me", way.patience), |services| async move {
            accepted(&observer, &services, &access).await.map(|_| ())
        })
        .await;
    }
    Ok(())
}

/// T1, T4, T7, T13 and T14: at most one live token a session; who was told of an end was told the truth, and for ever; and there is
/// one record of each end.
fn rows(world: &World) -> Check {
    let model = world.model();
    for (id, family) in &model.families.by_id {
        family.check(*id)?;
        let row = world.store.find_session(*id);
        let row = row.ok_or_else(|| Violation("T7", format!("session {id} is forgotten")))?;
        if let Some(end) = family.end.filter(|end| end.by != Cause::Found) {
            let invariant = if end.by == Cause::All { "T13" } else { "T4" };
            let is_revoked = row.revoked_at.is_some();
            ensure(is_revoked, invariant, || {
                format!("session {id} was said to have ended ({:?}), and has not", end.by)
            })?;
        }
        let trail = world.store.list_trail(row.user);
        let ends = trail.iter().filter(|record| {
            record.session == Some(*id) && matches!(record.event, AuditEvent::LoggedOut | AuditEvent::Reuse)
        });
        let (ends, expected) = (ends.count(), usize::from(row.revoked_at.is_some()));
        ensure(ends == expected, "T14", || format!("the end of session {id} is recorded {ends} times"))?;
    }
    Ok(())
}

/// The last tokens of some sessions that have ended.
fn remains(world: &World) -> Vec<(String, String)> {
    let model = world.model();
    let ended = model.families.by_id.values().filter(|family| family.end.is_some());
    ended.filter_map(|family| family.newest.clone()).take(REMAINS_MAX).collect()
}

/// S1: where the bus has lost the end of a session, its sockets end when the node looks.
pub(crate) async fn nothing_outlives_its_session(world: &World) -> Check {
    let until = world.executor.now() + RECHECKED_WITHIN;
    loop {
        let now = world.now();
        let dead = left_over(world);
        for (who, session, end) in &dead {
            ensure(now.since(*end).as_millis() <= u128::from(RECHECKED_WITHIN), "S1", || {
                format!("{who} has a socket of session {session}, which ended at {end}")
            })?;
        }
        if dead.is_empty() || world.executor.now() >= until {
            return Ok(());
        }
        world.executor.sleep(250).await;
    }
}

/// S1: a node that cannot ask about its sockets' sessions keeps them for five minutes, and no longer.
pub(crate) async fn patience_ends(world: &World) -> Check {
    let patience = u64::try_from(limits::RECHECK_PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let period = u64::try_from(limits::RECHECK_EVERY.as_millis()).unwrap_or(u64::MAX);
    world.executor.tell("world", format_args!("node 1 cannot ask about sessions any more"));
    world.faults.black_out(Some(world.nodes[0].who.clone()));
    let leased = on_first_node(world);
    // It has asked for the last time at most one period ago.
    world.executor.sleep(patience - period - 1_000).await;
    let lost = leased.iter().find(|socket| socket.inbox().code == Some(CloseCode::Unavailable));
    ensure(lost.is_none(), "S1", || {
        format!("{} lost its connection long before its node's patience ended", lost.map_or("", |socket| &socket.who))
    })?;
    world.executor.sleep(2 * period).await;
    let kept = on_first_node(world).into_iter().find(|socket| socket.inbox().is_open());
    ensure(kept.is_none(), "S1", || {
        format!(
            "{} is still connected to a node that cannot know why",
            kept.map_or_else(String::new, |s| s.who.to_string())
        )
    })?;
    world.counters.count(Sometimes::PatienceEnded);
    world.faults.black_out(None);
    Ok(())
}

/// The connections of members to the first node.
fn on_first_node(world: &World) -> Vec<Arc<Socket>> {
    let sockets = world.tabs.iter().filter_map(|tab| tab.status().socket.clone());
    sockets.filter(|socket| socket.node == 0 && socket.inbox().is_connected).collect()
}

/// Whether a socket has outlived its session so far.
pub(crate) fn is_anybody_left_over(world: &World) -> bool {
    !left_over(world).is_empty()
}

fn left_over(world: &World) -> Vec<(Arc<str>, SessionId, Timestamp)> {
    let now = world.now();
    let mut dead = Vec::new();
    for node in &world.nodes {
        let Some((services, _)) = node.services() else { continue };
        for session in services.hub.sessions() {
            let Some(row) = world.store.find_session(session) else { continue };
            let end = row.revoked_at.unwrap_or(row.expires_at.min(row.absolute_expires_at));
            if end <= now {
                dead.push((node.who.clone(), session, end));
            }
        }
    }
    dead
}

/// What providers granted for those who have left is given back, with the provider's own token.
pub(crate) fn grants_are_given_back(world: &World) -> Result<(), String> {
    let left = Grants::left(&world.store, u32::MAX).now_or_never().and_then(Result::ok).unwrap_or_default();
    if let Some(grant) = left.first() {
        return Err(format!("user {} has left, and their grant has not been given back", grant.user));
    }
    let (gone, revoked) = (world.model().families.left(), world.provider.revoked());
    if revoked < gone { Err(format!("{gone} have left, and {revoked} grants were given back")) } else { Ok(()) }
}

/// What is asked of the store behind everybody's back.
pub(crate) trait Peek {
    /// The session.
    fn find_session(&self, id: SessionId) -> Option<Session>;
    /// The whole trail of a user.
    fn list_trail(&self, user: UserId) -> Vec<AuditRecord>;
    /// The user who has this address and has not left.
    fn find_account(&self, email: &str) -> Option<UserId>;
    /// The room.
    fn find_room(&self, id: RoomId) -> Option<Room>;
}

impl Peek for MemoryStore {
    fn find_session(&self, id: SessionId) -> Option<Session> {
        Sessions::find(self, id).now_or_never()?.ok()?
    }

    fn list_trail(&self, user: UserId) -> Vec<AuditRecord> {
        Audit::list(self, user, u32::MAX).now_or_never().and_then(Result::ok).unwrap_or_default()
    }

    fn find_account(&self, email: &str) -> Option<UserId> {
        let email = Email::new(email).ok()?;
        Users::find_by_email(self, &email).now_or_never()?.ok()?.map(|user| user.id)
    }

    fn find_room(&self, id: RoomId) -> Option<Room> {
        Rooms::find(self, id).now_or_never()?.ok()?
    }
}

const REMAINS_MAX: usize = 4;
