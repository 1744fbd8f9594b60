//! Broken sessions.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::auth::{AuditRecord, Generation, Session};
use transtalk_core::contract::{run, sessions::LAWS};
use transtalk_core::ports::{Audit, Revocation, Rotated, Rotation, Sessions, StoreError};
use transtalk_core::{SessionId, UserId};

use crate::{bugs, check, others_first};

bugs! {
    AddsWithoutRecord,
    AddsWithoutDetail,
    RecordsTheUnknown,
    UnknownEmptiesMany,
    KeepsTheSlidingEnd,
    RotatesWithoutRecord,
    RotatesWithoutDetail,
    MovesTheAbsoluteEnd,
    RotatesFromAnyGeneration,
    RacesToRotate,
    RotatesTheRevoked,
    RevokesWithoutDetail,
    RevokesAgain,
    RacesToRevoke,
    AcknowledgementFalls,
    AcknowledgesTheFuture,
    RevokesAllWithOneRecord,
    RevokesAllWithoutDetail,
    RevokesAllAgain,
    ListsOldestFirst,
    ListsTheRevoked,
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    added: Mutex<Vec<(UserId, SessionId)>>,
    acknowledged: Mutex<BTreeMap<SessionId, Generation>>,
}

/// A record that its user never sees.
fn lost(record: &AuditRecord) -> AuditRecord {
    AuditRecord { user: UserId::new(1).unwrap(), ..record.clone() }
}

/// A record that has nothing else to say.
fn terse(record: &AuditRecord) -> AuditRecord {
    AuditRecord { detail: String::new(), ..record.clone() }
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

#[async_trait]
impl Sessions for Broken {
    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError> {
        self.added.lock().unwrap().push((session.user, session.id));
        let audit = match self.bug {
            Some(Bug::AddsWithoutRecord) => lost(audit),
            Some(Bug::AddsWithoutDetail) => terse(audit),
            _ => audit.clone(),
        };
        self.store.add(session, &audit).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let mut found = Sessions::find(&self.store, id).await?;
        let acknowledged = self.acknowledged.lock().unwrap().get(&id).copied();
        if let (Some(session), Some(acknowledged)) = (&mut found, acknowledged) {
            session.acknowledged = acknowledged;
        }
        if let Some(session) = found.as_mut().filter(|_| self.is(Bug::MovesTheAbsoluteEnd)) {
            session.absolute_expires_at = session.rotated_at.plus(Duration::from_hours(30 * 24));
        }
        Ok(found)
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        let found = Sessions::find_many(&self.store, ids).await?;
        Ok(if self.is(Bug::UnknownEmptiesMany) && found.len() < ids.len() { Vec::new() } else { found })
    }

    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError> {
        let Some(before) = Sessions::find(&self.store, id).await? else {
            if self.is(Bug::RecordsTheUnknown) {
                self.store.append(audit).await?;
            }
            return Ok(Rotated::Unknown);
        };
        let (mut rotation, mut audit) = (rotation, audit.clone());
        let was_current = before.generation == rotation.from && before.revoked_at.is_none();
        match self.bug {
            Some(Bug::KeepsTheSlidingEnd) => rotation.expires_at = before.expires_at,
            Some(Bug::RotatesWithoutRecord) => audit = lost(&audit),
            Some(Bug::RotatesWithoutDetail) => audit = terse(&audit),
            Some(Bug::RotatesFromAnyGeneration) => rotation.from = before.generation,
            Some(Bug::RacesToRotate) => others_first().await,
            _ => {}
        }
        let rotated = self.store.rotate(id, rotation, &audit).await?;
        Ok(match rotated {
            Rotated::Lost(session) if self.is(Bug::RacesToRotate) && was_current => Rotated::Done(session),
            Rotated::Lost(session) if self.is(Bug::RotatesTheRevoked) && session.revoked_at.is_some() => {
                Rotated::Done(session)
            }
            rotated => rotated,
        })
    }

    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError> {
        let current = Sessions::find(&self.store, id).await?.map_or(Generation(0), |session| session.generation);
        match self.bug {
            Some(Bug::AcknowledgementFalls) => {
                self.acknowledged.lock().unwrap().insert(id, generation.min(current));
            }
            Some(Bug::AcknowledgesTheFuture) => {
                let mut acknowledged = self.acknowledged.lock().unwrap();
                let mark = acknowledged.entry(id).or_insert(generation);
                *mark = generation.max(*mark);
            }
            _ => {}
        }
        self.store.acknowledge(id, generation).await
    }

    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError> {
        let before = Sessions::find(&self.store, id).await?;
        let was_live = before.as_ref().is_some_and(|session| session.revoked_at.is_none());
        if self.is(Bug::RacesToRevoke) {
            others_first().await;
        }
        let mut revocation = revocation.clone();
        if self.is(Bug::RevokesWithoutDetail) {
            revocation.audit = terse(&revocation.audit);
        }
        let revoked = self.store.revoke(id, &revocation).await?;
        let again = (self.is(Bug::RacesToRevoke) && was_live) || (self.is(Bug::RevokesAgain) && before.is_some());
        if !revoked && again {
            self.store.append(&AuditRecord { session: Some(id), ..revocation.audit.clone() }).await?;
        }
        Ok(revoked || again)
    }

    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError> {
        let all: Vec<SessionId> =
            self.added.lock().unwrap().iter().filter(|(owner, _)| *owner == user).map(|(_, id)| *id).collect();
        match self.bug {
            Some(Bug::RevokesAllWithOneRecord) => {
                let mut revocation = revocation.clone();
                let mut revoked = Vec::new();
                for id in all {
                    if self.store.revoke(id, &revocation).await? {
                        revoked.push(id);
                        revocation.audit = lost(&revocation.audit);
                    }
                }
                Ok(revoked)
            }
            Some(Bug::RevokesAllWithoutDetail) => {
                let audit = terse(&revocation.audit);
                self.store.revoke_all(user, &Revocation { audit, ..revocation.clone() }).await
            }
            Some(Bug::RevokesAllAgain) => {
                self.store.revoke_all(user, revocation).await?;
                Ok(all)
            }
            _ => self.store.revoke_all(user, revocation).await,
        }
    }

    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = Sessions::list(&self.store, user).await?;
        match self.bug {
            Some(Bug::ListsOldestFirst) => sessions.reverse(),
            Some(Bug::ListsTheRevoked) => {
                let all: Vec<SessionId> = self.added.lock().unwrap().iter().map(|(_, id)| *id).collect();
                let all = Sessions::find_many(&self.store, &all).await?;
                sessions.extend(all.into_iter().filter(|one| one.user == user && one.revoked_at.is_some()));
            }
            _ => {}
        }
        Ok(sessions)
    }
}

#[test]
fn every_law_of_sessions_catches_a_broken_variant() {
    check("sessions", LAWS, BUGS, |law, bug| {
        let store = MemoryStore::new();
        let (added, acknowledged) = (Mutex::default(), Mutex::default());
        run(law(&Broken { store: store.clone(), bug, added, acknowledged }, &store));
    });
}
