//! The laws of [`Audit`].

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, at, session_id, user_id};
use crate::auth::{AuditEvent, AuditRecord};
use crate::id::UserId;
use crate::ports::Audit;

/// One law.
pub type Law = for<'a> fn(&'a dyn Audit) -> BoxFuture<'a, ()>;

contract!($, audit, audit_contract, (audit), [
    a_record_is_listed_as_given,
    a_list_begins_with_the_newest,
    a_list_is_limited_to_the_newest,
    a_record_is_seen_by_its_user_alone,
    a_record_repeated_is_another_record,
    concurrent_records_are_all_kept,
]);

fn record(user: UserId, event: AuditEvent, millis: u64) -> AuditRecord {
    AuditRecord {
        at: at(millis),
        user,
        session: Some(session_id()),
        event,
        address: "2001:db8::1".to_owned(),
        detail: "«closed» with 4001; it's 1 of 2".to_owned(),
    }
}

pub async fn a_record_is_listed_as_given(audit: &dyn Audit) {
    for event in [
        AuditEvent::SignedIn,
        AuditEvent::Refreshed,
        AuditEvent::Concurrent,
        AuditEvent::LostResponse,
        AuditEvent::Reuse,
        AuditEvent::LoggedOut,
        AuditEvent::Denied,
        AuditEvent::SocketOpened,
        AuditEvent::SocketClosed,
    ] {
        let record = record(user_id(), event, 7);
        audit.append(&record).await.unwrap();
        let (user, address, detail) = (user_id(), String::new(), String::new());
        let nameless = AuditRecord { user, session: None, address, detail, ..record.clone() };
        assert_eq!(audit.list(record.user, 10).await.unwrap(), [record]);
        audit.append(&nameless).await.unwrap();
        assert_eq!(audit.list(nameless.user, 10).await.unwrap(), [nameless]);
    }
}

pub async fn a_list_begins_with_the_newest(audit: &dyn Audit) {
    let user = user_id();
    let records: Vec<AuditRecord> = (0..5).map(|n| record(user, AuditEvent::Refreshed, n * 10)).collect();
    for record in &records {
        audit.append(record).await.unwrap();
    }
    assert_eq!(audit.list(user, 10).await.unwrap(), records.into_iter().rev().collect::<Vec<_>>());
}

pub async fn a_list_is_limited_to_the_newest(audit: &dyn Audit) {
    let user = user_id();
    for n in 0..5 {
        audit.append(&record(user, AuditEvent::Refreshed, n)).await.unwrap();
    }
    let times: Vec<_> = audit.list(user, 2).await.unwrap().iter().map(|record| record.at).collect();
    assert_eq!(times, [at(4), at(3)]);
}

pub async fn a_record_is_seen_by_its_user_alone(audit: &dyn Audit) {
    let (one, other) = (record(user_id(), AuditEvent::Reuse, 1), record(user_id(), AuditEvent::Denied, 2));
    audit.append(&one).await.unwrap();
    audit.append(&other).await.unwrap();
    assert_eq!(audit.list(one.user, 10).await.unwrap(), [one]);
    assert_eq!(audit.list(other.user, 10).await.unwrap(), [other]);
    assert_eq!(audit.list(user_id(), 10).await.unwrap(), []);
}

pub async fn a_record_repeated_is_another_record(audit: &dyn Audit) {
    let record = record(user_id(), AuditEvent::Denied, 1);
    audit.append(&record).await.unwrap();
    audit.append(&record).await.unwrap();
    assert_eq!(audit.list(record.user, 10).await.unwrap(), [record.clone(), record]);
}

pub async fn concurrent_records_are_all_kept(audit: &dyn Audit) {
    let user = user_id();
    let records: Vec<AuditRecord> = (0..RACERS).map(|_| record(user, AuditEvent::Denied, 1)).collect();
    join_all(records.iter().map(|record| audit.append(record))).await;
    let trail = audit.list(user, 100).await.unwrap();
    assert_eq!(trail.len(), RACERS);
    assert!(records.iter().all(|record| trail.contains(record)));
}
