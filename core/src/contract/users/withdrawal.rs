//! Laws of a user's leaving: the account and its sessions end together, once, and the person may come again.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::{join, join_all};

use crate::auth::{AuditEvent, AuditRecord, Generation, Session};
use crate::contract::sessions::{added, record, records, revocation, rotate};
use crate::contract::{RACERS, address, at, language, somebody_at, user_id};
use crate::id::{SessionId, UserId};
use crate::ports::{Audit, Rotated, Sessions, Users};
use crate::user::User;

async fn registered(users: &dyn Users) -> User {
    users.register(&somebody_at(&address(), true)).await.unwrap()
}

/// The sessions that this ended, in order; `None` if there was nobody to leave.
async fn withdraw(users: &dyn Users, id: UserId, millis: u64) -> Option<Vec<SessionId>> {
    let mut ended = users.withdraw(id, &revocation(id, millis)).await.unwrap();
    if let Some(ended) = &mut ended {
        ended.sort_unstable();
    }
    ended
}

/// The record that a withdrawal leaves of a session.
fn last_record(session: &Session, millis: u64) -> AuditRecord {
    AuditRecord { session: Some(session.id), ..revocation(session.user, millis).audit }
}

pub async fn a_withdrawn_account_is_empty_and_its_number_stays(users: &dyn Users, _: &dyn Sessions, audit: &dyn Audit) {
    let user = User {
        picture: Some("https://example.com/me.png".to_owned()),
        language: Some(language("ko")),
        created_at: at(7),
        ..somebody_at(&address(), true)
    };
    let other = registered(users).await;
    users.register(&user).await.unwrap();
    assert_eq!(withdraw(users, user.id, 10).await, Some(Vec::new()));
    let left = user.withdrawn(at(10));
    assert_eq!(users.find(user.id).await.unwrap().as_ref(), Some(&left));
    assert_eq!(users.find_many(&[user.id]).await.unwrap().as_slice(), std::slice::from_ref(&left));
    assert_eq!(users.find_by_identity(&user.identity).await.unwrap(), None);
    assert_eq!(users.find_by_identity(&left.identity).await.unwrap(), None);
    assert_eq!(users.find_by_email(user.email.as_ref().unwrap()).await.unwrap(), None);
    assert_eq!(audit.list(user.id, 10).await.unwrap(), [], "no session ended, and a record says that one did");
    assert_eq!(users.find(other.id).await.unwrap(), Some(other));
}

pub async fn a_withdrawal_ends_every_session_with_its_record(
    users: &dyn Users,
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    let user = registered(users).await.id;
    let all = [added(sessions, user, 1).await, added(sessions, user, 2).await, added(sessions, user, 3).await];
    let mut expect: Vec<SessionId> = all.iter().map(|session| session.id).collect();
    expect.sort_unstable();
    assert_eq!(withdraw(users, user, 10).await, Some(expect));
    assert_eq!(sessions.list(user).await.unwrap(), []);
    let trail = audit.list(user, 100).await.unwrap();
    for session in all {
        let ended = Session { revoked_at: Some(at(10)), ..session.clone() };
        assert_eq!(sessions.find(session.id).await.unwrap(), Some(ended));
        assert_eq!(trail.iter().filter(|record| **record == last_record(&session, 10)).count(), 1);
        let first = session.created_at.since(at(0));
        let first = record(&session, AuditEvent::SignedIn, u64::try_from(first.as_millis()).unwrap());
        assert!(trail.contains(&first), "what happened before is gone");
    }
    assert_eq!(trail.len(), 6);
}

pub async fn a_withdrawal_leaves_out_what_has_ended_and_other_users(
    users: &dyn Users,
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    let (user, other) = (registered(users).await.id, registered(users).await.id);
    let (ended, live) = (added(sessions, user, 1).await, added(sessions, user, 2).await);
    let strangers = added(sessions, other, 3).await;
    sessions.revoke(ended.id, &revocation(user, 10)).await.unwrap();
    assert_eq!(withdraw(users, user, 20).await, Some(vec![live.id]));
    assert_eq!(sessions.find(ended.id).await.unwrap().unwrap().revoked_at, Some(at(10)));
    assert_eq!(sessions.find(live.id).await.unwrap().unwrap().revoked_at, Some(at(20)));
    assert_eq!(sessions.find(strangers.id).await.unwrap().as_ref(), Some(&strangers));
    assert_eq!(records(audit, &ended, AuditEvent::LoggedOut).await, 1);
    assert_eq!(records(audit, &live, AuditEvent::LoggedOut).await, 1);
    assert_eq!(records(audit, &strangers, AuditEvent::LoggedOut).await, 0);
}

pub async fn a_user_withdraws_once(users: &dyn Users, sessions: &dyn Sessions, audit: &dyn Audit) {
    let user = registered(users).await;
    let session = added(sessions, user.id, 1).await;
    assert_eq!(withdraw(users, user.id, 10).await, Some(vec![session.id]));
    assert_eq!(withdraw(users, user.id, 20).await, None);
    assert_eq!(users.find(user.id).await.unwrap(), Some(user.withdrawn(at(10))));
    assert_eq!(sessions.find(session.id).await.unwrap().unwrap().revoked_at, Some(at(10)));
    assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 1);
}

pub async fn the_withdrawal_of_nobody_ends_nothing(users: &dyn Users, sessions: &dyn Sessions, audit: &dyn Audit) {
    let nobody = user_id();
    let session = added(sessions, nobody, 1).await;
    assert_eq!(withdraw(users, nobody, 10).await, None);
    assert_eq!(users.find(nobody).await.unwrap(), None);
    assert_eq!(sessions.find(session.id).await.unwrap().as_ref(), Some(&session));
    assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 0);
}

pub async fn whoever_left_comes_again_as_somebody_new(users: &dyn Users, sessions: &dyn Sessions, _: &dyn Audit) {
    let before = registered(users).await;
    withdraw(users, before.id, 10).await;
    let again = User { id: user_id(), created_at: at(20), ..before.clone() };
    assert_eq!(users.register(&again).await.unwrap(), again);
    assert_eq!(users.find_by_identity(&again.identity).await.unwrap().as_ref(), Some(&again));
    assert_eq!(users.find_by_email(again.email.as_ref().unwrap()).await.unwrap().as_ref(), Some(&again));
    // The two have nothing to do with each other.
    let session = added(sessions, again.id, 30).await;
    assert_eq!(withdraw(users, before.id, 40).await, None);
    assert_eq!(users.find(before.id).await.unwrap(), Some(before.withdrawn(at(10))));
    assert_eq!(sessions.find(session.id).await.unwrap().as_ref(), Some(&session));
    assert_eq!(withdraw(users, again.id, 50).await, Some(vec![session.id]));
    assert_eq!(users.find_by_identity(&again.identity).await.unwrap(), None);
}

pub async fn an_address_is_free_when_its_holder_has_left(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let email = address();
    let (holder, next) = (somebody_at(&email, true), somebody_at(&email, true));
    users.register(&holder).await.unwrap();
    withdraw(users, holder.id, 10).await;
    assert_eq!(users.find_by_email(&email).await.unwrap(), None);
    assert_eq!(users.register(&next).await.unwrap(), next);
    assert_eq!(users.find_by_email(&email).await.unwrap(), Some(next));
}

pub async fn an_address_stays_with_its_holder_when_others_leave(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let email = address();
    let (holder, other, late) = (somebody_at(&email, true), somebody_at(&email, true), somebody_at(&email, true));
    users.register(&holder).await.unwrap();
    users.register(&other).await.unwrap();
    withdraw(users, other.id, 10).await;
    assert_eq!(users.find_by_email(&email).await.unwrap(), Some(holder));
    assert!(!users.register(&late).await.unwrap().email_verified, "an address was verified for two accounts");
}

pub async fn no_language_is_set_for_one_who_left(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let user = registered(users).await;
    withdraw(users, user.id, 10).await;
    assert!(!users.set_language(user.id, Some(&language("ko"))).await.unwrap());
    assert_eq!(users.find(user.id).await.unwrap(), Some(user.withdrawn(at(10))));
}

pub async fn no_session_of_one_who_left_rotates(users: &dyn Users, sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, registered(users).await.id, 1).await;
    withdraw(users, session.user, 10).await;
    let ended = Session { revoked_at: Some(at(10)), ..session.clone() };
    assert_eq!(rotate(sessions, &session, 1, 20).await, Rotated::Lost(ended.clone()));
    assert_eq!(sessions.find(session.id).await.unwrap(), Some(ended));
    assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, 0);
}

pub async fn of_concurrent_withdrawals_one_does_it(users: &dyn Users, sessions: &dyn Sessions, audit: &dyn Audit) {
    let session = added(sessions, registered(users).await.id, 1).await;
    let answers = join_all((0..RACERS).map(|_| withdraw(users, session.user, 10))).await;
    let done: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(done, [vec![session.id]], "a user left {} times", done.len());
    assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 1);
}

/// Which comes first is free; but the second sees what the first did.
pub async fn a_rotation_beside_a_withdrawal_ends_revoked(
    users: &dyn Users,
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    for _ in 0..RACERS {
        let session = added(sessions, registered(users).await.id, 1).await;
        let (ended, rotated) = join(withdraw(users, session.user, 10), rotate(sessions, &session, 1, 10)).await;
        assert_eq!(ended, Some(vec![session.id]));
        let done = matches!(rotated, Rotated::Done(_));
        let found = sessions.find(session.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(at(10)), "a rotation escaped a withdrawal");
        assert_eq!(found.generation, Generation(if done { 2 } else { 1 }));
        assert_eq!(records(audit, &session, AuditEvent::Refreshed).await, usize::from(done));
    }
}

pub async fn a_revocation_beside_a_withdrawal_leaves_one_record(
    users: &dyn Users,
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    for _ in 0..RACERS {
        let session = added(sessions, registered(users).await.id, 1).await;
        let revocation = revocation(session.user, 10);
        let (ended, revoked) = join(withdraw(users, session.user, 10), sessions.revoke(session.id, &revocation)).await;
        let times = ended.map_or(0, |ended| ended.len()) + usize::from(revoked.unwrap());
        assert_eq!(times, 1, "a session ended {times} times");
        assert_eq!(records(audit, &session, AuditEvent::LoggedOut).await, 1);
    }
}

/// So whoever looks at the account after storing a session knows whether the session must end.
pub async fn a_session_that_comes_beside_a_withdrawal_is_ended_by_it_or_comes_after_it(
    users: &dyn Users,
    sessions: &dyn Sessions,
    audit: &dyn Audit,
) {
    for _ in 0..RACERS {
        let user = registered(users).await.id;
        let (ended, late) = join(withdraw(users, user, 10), async {
            let late = added(sessions, user, 5).await;
            (users.find(user).await.unwrap().unwrap(), late)
        })
        .await;
        let (account, late) = late;
        let found = sessions.find(late.id).await.unwrap().unwrap();
        if ended.unwrap().contains(&late.id) {
            assert_eq!(found.revoked_at, Some(at(10)));
            assert_eq!(records(audit, &late, AuditEvent::LoggedOut).await, 1);
        } else {
            assert_eq!(found.revoked_at, None, "a session was ended in silence");
            assert_eq!(
                account.withdrawn_at,
                Some(at(10)),
                "a session lives on, and nobody could know that it must end"
            );
            assert_eq!(records(audit, &late, AuditEvent::LoggedOut).await, 0);
        }
    }
}

/// Nobody ever sees an account that has ended with a session that has not, or the other way round.
pub async fn a_withdrawal_is_seen_whole(users: &dyn Users, sessions: &dyn Sessions, _: &dyn Audit) {
    for _ in 0..RACERS {
        let session = added(sessions, registered(users).await.id, 1).await;
        let has_left = async || users.find(session.user).await.unwrap().unwrap().withdrawn_at.is_some();
        let has_ended = async || sessions.find(session.id).await.unwrap().unwrap().revoked_at.is_some();
        let look = async {
            for _ in 0..LOOKS {
                if has_left().await {
                    return assert!(has_ended().await, "an account ended before its session");
                }
                if has_ended().await {
                    return assert!(has_left().await, "a session ended before its account");
                }
                others_first().await;
            }
        };
        let (ended, ()) = join(withdraw(users, session.user, 10), look).await;
        assert_eq!(ended, Some(vec![session.id]));
    }
}

/// How often somebody looks while a user leaves, at most.
const LOOKS: usize = 1_000;

/// Lets everybody else go first, once.
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
