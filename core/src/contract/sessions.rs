//! The laws of [`Sessions`]. What its commits write to the trail is read through [`Audit`].

use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};

use super::{RACERS, at, session_id, user_id};
use crate::auth::{AuditEvent, AuditRecord, Device, Generation, Lifetimes, Session};
use crate::id::{SessionId, UserId};
use crate::ports::{Audit, Revocation, Rotated, Rotation, Sessions};

/// One law.
pub type Law = for<'a> fn(&'a dyn Sessions, &'a dyn Audit) -> BoxFuture<'a, ()>;

contract!($, sessions, sessions_contract, (sessions, audit), [
    a_session_is_stored_with_its_record,
    an_unknown_session_is_nothing_and_leaves_no_record,
    unknown_sessions_are_left_out_of_many,
    a_rotation_gives_the_next_generation_with_its_record,
    a_rotation_never_moves_the_absolute_end,
    a_rotation_from_another_generation_is_lost_and_changes_nothing,
    of_concurrent_rotations_one_is_done,
    a_revoked_session_never_rotates,
    a_session_is_revoked_once_with_one_record,
    of_concurrent_revocations_one_does_it,
    a_rotation_and_a_revocation_at_once_end_revoked,
    an_acknowledgement_only_rises,
    an_acknowledgement_never_passes_the_current_generation,
    all_sessions_of_a_user_are_revoked_each_with_its_record,
    a_revocation_of_all_leaves_out_what_has_ended_and_other_users,
    one_revocation_beside_one_of_all_leaves_one_record,
    a_list_shows_a_users_unrevoked_sessions_the_newest_first,
]);

fn begun(user: UserId, millis: u64) -> Session {
    let device = Device { name: "Fox/1.0 (X11; «Linux»)".to_owned(), address: "2001:db8::1".to_owned() };
    Session::begin(session_id(), user, device, &Lifetimes::default(), at(millis))
}

pub(super) fn record(session: &Session, event: AuditEvent, millis: u64) -> AuditRecord {
    let (address, detail) = ("203.0.113.9".to_owned(), format!("it's «{millis}»"));
    AuditRecord { at: at(millis), user: session.user, session: Some(session.id), event, address, detail }
}

pub(super) async fn added(sessions: &dyn Sessions, user: UserId, millis: u64) -> Session {
    let session = begun(user, millis);
    sessions.add(&session, &record(&session, AuditEvent::SignedIn, millis)).await.unwrap();
    session
}

fn rotation(from: u32, millis: u64) -> Rotation {
    Rotation { from: Generation(from), rotated_at: at(millis), expires_at: at(millis).plus(Duration::from_mins(1)) }
}

pub(super) async fn rotate(sessions: &dyn Sessions, session: &Session, from: u32, millis: u64) -> Rotated {
    let record = record(session, AuditEvent::Refreshed, millis);
    sessions.rotate(session.id, rotation(from, millis), &record).await.unwrap()
}

/// A revocation as it is asked for: its record names no session yet.
pub(super) fn revocation(user: UserId, millis: u64) -> Revocation {
    let (address, detail) = ("198.51.100.7".to_owned(), "everywhere".to_owned());
    let audit = AuditRecord { at: at(millis), user, session: None, event: AuditEvent::LoggedOut, address, detail };
    Revocation { at: at(millis), audit }
}

/// How many records of this kind a session has.
pub(super) async fn records(audit: &dyn Audit, session: &Session, event: AuditEvent) -> usize {
    let trail = audit.list(session.user, 100).await.unwrap();
    trail.iter().filter(|record| record.session == Some(session.id) && record.event == event).count()
}

pub async fn a_session_is_stored_with_its_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 5).await;
    assert_eq!(sessions.find(session.id).await.unwrap().as_ref(), Some(&session));
    assert_eq!(audit.list(session.user, 10).await.unwrap(), [record(&session, AuditEvent::SignedIn, 5)]);
}

pub async fn an_unknown_session_is_nothing_and_leaves_no_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let unknown = begun(user_id(), 0);
    assert_eq!(sessions.find(unknown.id).await.unwrap(), None);
    assert_eq!(rotate(sessions, &unknown, 1, 1).await, Rotated::Unknown);
    assert!(!sessions.revoke(unknown.id, &revocation(unknown.user, 2)).await.unwrap());
    assert_eq!(sessions.revoke_all(unknown.user, &revocation(unknown.user, 3)).await.unwrap(), []);
    sessions.acknowledge(unknown.id, Generation(1)).await.unwrap();
    assert_eq!(sessions.find(unknown.id).await.unwrap(), None);
    assert_eq!(audit.list(unknown.user, 10).await.unwrap(), []);
}

pub async fn unknown_sessions_are_left_out_of_many(sessions: &dyn Sessions, _: &dyn Audit) {
    let user = user_id();
    let (one, two) = (added(sessions, user, 1).await, added(sessions, user_id(), 2).await);
    added(sessions, user, 3).await;
    let mut found = sessions.find_many(&[two.id, session_id(), one.id]).await.unwrap();
    found.sort_by_key(|session| session.created_at);
    assert_eq!(found, [one, two]);
    assert_eq!(sessions.find_many(&[]).await.unwrap(), []);
}

pub async fn a_rotation_gives_the_next_generation_with_its_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    let bystander = added(sessions, session.user, 0).await;
    let mut expect = session.clone();
    for from in 1..4 {
        let millis = u64::from(from) * 10;
        expect.generation = Generation(from + 1);
        expect.rotated_at = at(millis);
        expect.expires_at = rotation(from, millis).expires_at;
        assert_eq!(rotate(sessions, &session, from, millis).await, Rotated::Done(expect.clone()));
        assert_eq!(sessions.find(session.id).await.unwrap().as_ref(), Some(&expect));
        let newest = audit.list(session.user, 1).await.unwrap();
        assert_eq!(newest, [record(&session, AuditEvent::Refreshed, millis)]);
    }
    assert_eq!(sessions.find(bystander.id).await.unwrap(), Some(bystander));
}

pub async fn a_rotation_never_moves_the_absolute_end(sessions: &dyn Sessions, _: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    for from in 1..4 {
        rotate(sessions, &session, from, u64::from(from) * 1_000_000).await;
        let found = sessions.find(session.id).await.unwrap().unwrap();
        assert_eq!(found.generation, Generation(from + 1));
        assert_eq!(found.absolute_expires_at, session.absolute_expires_at);
    }
}

pub async fn a_rotation_from_another_generation_is_lost_and_changes_nothing(
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    let session = added(sessions, user_id(), 0).await;
    rotate(sessions, &session, 1, 10).await;
    let current = sessions.find(session.id).await.unwrap().unwrap();
    for other in [0, 1, 3] {
        assert_eq!(rotate(sessions, &session, other, 20).await, Rotated::Lost(current.clone()), "from {other}");
    }
    assert_eq!(sessions.find(session.id).await.unwrap(), Some(current));
    assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, 1);
}

pub async fn of_concurrent_rotations_one_is_done(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    let rotated = join_all((0..RACERS).map(|_| rotate(sessions, &session, 1, 10))).await;
    let current = sessions.find(session.id).await.unwrap().unwrap();
    assert_eq!(current.generation, Generation(2));
    let done = rotated.iter().filter(|outcome| **outcome == Rotated::Done(current.clone())).count();
    let lost = rotated.iter().filter(|outcome| **outcome == Rotated::Lost(current.clone())).count();
    assert_eq!((done, lost), (1, RACERS - 1));
    assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, 1);
}

pub async fn a_revoked_session_never_rotates(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    sessions.revoke(session.id, &revocation(session.user, 10)).await.unwrap();
    let ended = Session { revoked_at: Some(at(10)), ..session.clone() };
    assert_eq!(rotate(sessions, &session, 1, 20).await, Rotated::Lost(ended.clone()));
    assert_eq!(sessions.find(session.id).await.unwrap(), Some(ended));
    assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, 0);
}

pub async fn a_session_is_revoked_once_with_one_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    let bystander = added(sessions, session.user, 1).await;
    assert!(sessions.revoke(session.id, &revocation(session.user, 10)).await.unwrap());
    assert!(!sessions.revoke(session.id, &revocation(session.user, 20)).await.unwrap());
    let ended = Session { revoked_at: Some(at(10)), ..session.clone() };
    assert_eq!(sessions.find(session.id).await.unwrap(), Some(ended), "an ended session is found as it ended");
    assert_eq!(sessions.find(bystander.id).await.unwrap().as_ref(), Some(&bystander));
    let trail = audit.list(session.user, 10).await.unwrap();
    let expect = AuditRecord { session: Some(session.id), ..revocation(session.user, 10).audit };
    assert_eq!(trail.iter().filter(|record| record.event == AuditEvent::LoggedOut).collect::<Vec<_>>(), [&expect]);
}

pub async fn of_concurrent_revocations_one_does_it(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    let revocation = revocation(session.user, 10);
    let done = join_all((0..RACERS).map(|_| sessions.revoke(session.id, &revocation))).await;
    assert_eq!(done.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
    assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 1);
}

/// Which comes first is free; but the second sees what the first did.
pub async fn a_rotation_and_a_revocation_at_once_end_revoked(sessions: &dyn Sessions, audit: &dyn Audit) {
    for _ in 0..RACERS {
        let session = added(sessions, user_id(), 0).await;
        let revocation = revocation(session.user, 10);
        let (rotated, revoked) =
            join(rotate(sessions, &session, 1, 10), sessions.revoke(session.id, &revocation)).await;
        assert!(revoked.unwrap());
        let done = matches!(rotated, Rotated::Done(_));
        let found = sessions.find(session.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(at(10)), "a rotation undid a revocation");
        assert_eq!(found.generation, Generation(if done { 2 } else { 1 }));
        assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, usize::from(done));
        let Rotated::Lost(_) = rotate(sessions, &session, found.generation.0, 20).await else {
            panic!("a revoked session was rotated");
        };
    }
}

pub async fn an_acknowledgement_only_rises(sessions: &dyn Sessions, _: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    rotate(sessions, &session, 1, 10).await;
    rotate(sessions, &session, 2, 20).await;
    for (generation, expect) in [(1, 1), (2, 2), (1, 2), (3, 3), (2, 3)] {
        sessions.acknowledge(session.id, Generation(generation)).await.unwrap();
        let found = sessions.find(session.id).await.unwrap().unwrap();
        assert_eq!((found.acknowledged, found.generation), (Generation(expect), Generation(3)), "after {generation}");
    }
}

/// A generation that does not exist yet is either ignored or taken for the current one.
pub async fn an_acknowledgement_never_passes_the_current_generation(sessions: &dyn Sessions, _: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    sessions.acknowledge(session.id, Generation(9)).await.unwrap();
    assert_eq!(sessions.find(session.id).await.unwrap().as_ref(), Some(&session));
    rotate(sessions, &session, 1, 10).await;
    sessions.acknowledge(session.id, Generation(9)).await.unwrap();
    assert!(sessions.find(session.id).await.unwrap().unwrap().acknowledged <= Generation(2));
}

pub async fn all_sessions_of_a_user_are_revoked_each_with_its_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let user = user_id();
    let all = [added(sessions, user, 1).await, added(sessions, user, 2).await, added(sessions, user, 3).await];
    let mut revoked = sessions.revoke_all(user, &revocation(user, 10)).await.unwrap();
    let mut expect: Vec<SessionId> = all.iter().map(|session| session.id).collect();
    revoked.sort_unstable();
    expect.sort_unstable();
    assert_eq!(revoked, expect);
    let trail = audit.list(user, 100).await.unwrap();
    for session in all {
        let ended = Session { revoked_at: Some(at(10)), ..session.clone() };
        assert_eq!(sessions.find(session.id).await.unwrap(), Some(ended));
        let expect = AuditRecord { session: Some(session.id), ..revocation(user, 10).audit };
        assert_eq!(trail.iter().filter(|record| **record == expect).count(), 1);
    }
    assert_eq!(trail.len(), 6);
}

pub async fn a_revocation_of_all_leaves_out_what_has_ended_and_other_users(sessions: &dyn Sessions, audit: &dyn Audit) {
    let user = user_id();
    let (ended, live) = (added(sessions, user, 1).await, added(sessions, user, 2).await);
    let stranger = added(sessions, user_id(), 3).await;
    sessions.revoke(ended.id, &revocation(user, 10)).await.unwrap();
    assert_eq!(sessions.revoke_all(user, &revocation(user, 20)).await.unwrap(), [live.id]);
    assert_eq!(sessions.revoke_all(user, &revocation(user, 30)).await.unwrap(), []);
    assert_eq!(sessions.find(ended.id).await.unwrap().unwrap().revoked_at, Some(at(10)));
    assert_eq!(sessions.find(live.id).await.unwrap().unwrap().revoked_at, Some(at(20)));
    assert_eq!(sessions.find(stranger.id).await.unwrap().as_ref(), Some(&stranger));
    assert_eq!(records(audit, &ended, AuditEvent::LoggedOut).await, 1);
    assert_eq!(records(audit, &live, AuditEvent::LoggedOut).await, 1);
    assert_eq!(records(audit, &stranger, AuditEvent::LoggedOut).await, 0);
}

pub async fn one_revocation_beside_one_of_all_leaves_one_record(sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, user_id(), 0).await;
    let revocation = revocation(session.user, 10);
    let (one, all) =
        join(sessions.revoke(session.id, &revocation), sessions.revoke_all(session.user, &revocation)).await;
    let done = usize::from(one.unwrap()) + all.unwrap().len();
    assert_eq!(done, 1, "a session ended {done} times");
    assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 1);
}

pub async fn a_list_shows_a_users_unrevoked_sessions_the_newest_first(sessions: &dyn Sessions, _: &dyn Audit) {
    let user = user_id();
    let (middle, new, old) =
        (added(sessions, user, 20).await, added(sessions, user, 30).await, added(sessions, user, 10).await);
    let revoked = added(sessions, user, 40).await;
    added(sessions, user_id(), 50).await;
    sessions.revoke(revoked.id, &revocation(user, 60)).await.unwrap();
    // A refresh makes no session newer.
    let Rotated::Done(old) = rotate(sessions, &old, 1, 70).await else { panic!("the rotation was not done") };
    assert_eq!(sessions.list(user).await.unwrap(), [new, middle, old]);
    assert_eq!(sessions.list(user_id()).await.unwrap(), []);
}
