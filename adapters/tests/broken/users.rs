//! Broken users.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::auth::{AuditRecord, Session};
use transtalk_core::contract::{run, users::LAWS};
use transtalk_core::ports::{Audit, Revocation, Sessions, StoreError, Users};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, SessionId, User, UserId};

use crate::{bugs, check, others_first};

bugs! {
    Forgets,
    FindsAnybody,
    RenamesOnRegistration,
    RacesToRegister,
    FoldsSubjects,
    IgnoresIssuers,
    VerifiesTwice,
    RacesToVerify,
    FindsUnverified,
    UnverifiedBlocks,
    FindsWithdrawn,
    HidesWithdrawn,
    UnknownEmptiesMany,
    NeverClearsLanguage,
    SetsLanguageOfNobody,
    SetsLanguageOfThoseWhoLeft,
    KeepsTheAccount,
    KeepsTheName,
    KeepsTheIdentity,
    KeepsTheAddress,
    FreesTheAddressOfOthers,
    WithdrawsAgain,
    WithdrawsNobody,
    RacesToWithdraw,
    EndsTheAccountFirst,
    EndsTheSessionsFirst,
    EndsNoSession,
    EndsOneSession,
    EndsWithOneRecord,
    EndsWithoutDetail,
    EndsTheEndedAgain,
    EndsEverybodysSessions,
    EndsTheGenerationThatItListed,
    EndsOnlyWhatItListed,
    AnswersWithWhatItListed,
    RecordsWhatItListed,
}

/// The accounts lie apart from the sessions, so that a withdrawal is two acts, and both can be done wrong.
struct Broken {
    accounts: MemoryStore,
    sessions: MemoryStore,
    bug: Option<Bug>,
    seen: Mutex<Vec<User>>,
    /// Those who left, as they were before.
    left: Mutex<Vec<User>>,
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn seen(&self, matches: impl Fn(&User) -> bool) -> Option<User> {
        self.seen.lock().unwrap().iter().find(|user| matches(user)).cloned()
    }

    fn left(&self, matches: impl Fn(&User) -> bool) -> Option<User> {
        self.left.lock().unwrap().iter().find(|user| matches(user)).cloned()
    }

    /// Ends the sessions of one who left. This is what was listed before.
    async fn end(&self, id: UserId, revocation: &Revocation, listed: &[Session]) -> Result<Vec<SessionId>, StoreError> {
        let mut ended = Vec::new();
        match self.bug {
            Some(Bug::EndsNoSession) => {}
            Some(Bug::EndsOneSession) => {
                for session in listed.iter().take(1) {
                    self.sessions.revoke(session.id, revocation).await?;
                    ended.push(session.id);
                }
            }
            Some(Bug::EndsWithOneRecord) => {
                let mut revocation = revocation.clone();
                for session in listed {
                    self.sessions.revoke(session.id, &revocation).await?;
                    ended.push(session.id);
                    // Nobody sees the other records.
                    revocation.audit.user = UserId::new(1).unwrap();
                }
            }
            Some(Bug::EndsWithoutDetail) => {
                let audit = AuditRecord { detail: String::new(), ..revocation.audit.clone() };
                ended = self.sessions.revoke_all(id, &Revocation { audit, ..revocation.clone() }).await?;
            }
            Some(Bug::EndsTheEndedAgain) => {
                let trail = Audit::list(&self.sessions, id, u32::MAX).await?;
                ended = self.sessions.revoke_all(id, revocation).await?;
                let all: BTreeSet<SessionId> = trail.iter().filter_map(|record| record.session).collect();
                for session in all.into_iter().filter(|session| !ended.contains(session)).collect::<Vec<_>>() {
                    self.record(session, revocation).await?;
                    ended.push(session);
                }
            }
            Some(Bug::EndsEverybodysSessions) => {
                let everybody = self.seen.lock().unwrap().clone();
                for user in everybody {
                    ended.extend(self.sessions.revoke_all(user.id, revocation).await?);
                }
            }
            Some(Bug::EndsTheGenerationThatItListed) => {
                for session in listed {
                    let now = Sessions::find(&self.sessions, session.id).await?;
                    if now.is_some_and(|now| now.generation == session.generation) {
                        self.sessions.revoke(session.id, revocation).await?;
                    }
                    ended.push(session.id);
                }
            }
            Some(Bug::EndsOnlyWhatItListed) => {
                for session in listed {
                    if self.sessions.revoke(session.id, revocation).await? {
                        ended.push(session.id);
                    }
                }
            }
            Some(Bug::AnswersWithWhatItListed) => {
                self.sessions.revoke_all(id, revocation).await?;
                ended.extend(listed.iter().map(|session| session.id));
            }
            Some(Bug::RecordsWhatItListed) => {
                for session in listed {
                    if !self.sessions.revoke(session.id, revocation).await? {
                        self.record(session.id, revocation).await?;
                    }
                    ended.push(session.id);
                }
            }
            _ => ended = self.sessions.revoke_all(id, revocation).await?,
        }
        Ok(ended)
    }

    async fn record(&self, session: SessionId, revocation: &Revocation) -> Result<(), StoreError> {
        self.sessions.append(&AuditRecord { session: Some(session), ..revocation.audit.clone() }).await
    }

    fn folded(&self, identity: &Identity) -> Identity {
        let mut identity = identity.clone();
        if self.is(Bug::FoldsSubjects) {
            identity.subject = identity.subject.to_lowercase();
        }
        if self.is(Bug::IgnoresIssuers) {
            "https://issuer.example".clone_into(&mut identity.issuer);
        }
        identity
    }
}

#[async_trait]
impl Users for Broken {
    async fn register(&self, user: &User) -> Result<User, StoreError> {
        let mut given = User { identity: self.folded(&user.identity), ..user.clone() };
        if self.is(Bug::UnverifiedBlocks) && self.seen(|seen| seen.email == user.email).is_some() {
            given.email_verified = false;
        }
        if self.is(Bug::KeepsTheAddress) && self.left(|left| left.email == user.email).is_some() {
            given.email_verified = false;
        }
        if let Some(left) = self.left(|left| left.identity == user.identity).filter(|_| self.is(Bug::KeepsTheIdentity))
        {
            return Ok(left);
        }
        let known = self.accounts.find_by_identity(&user.identity).await?;
        let holder = match &user.email {
            Some(email) => self.accounts.find_by_email(email).await?,
            None => None,
        };
        if self.is(Bug::RacesToRegister) || self.is(Bug::RacesToVerify) {
            others_first().await;
        }
        let stored = self.accounts.register(&given).await?;
        self.seen.lock().unwrap().push(stored.clone());
        let mut answer = stored;
        match self.bug {
            Some(Bug::RenamesOnRegistration) => answer.name.clone_from(&user.name),
            Some(Bug::RacesToRegister) if known.is_none() => answer.id = user.id,
            Some(Bug::VerifiesTwice) => answer.email_verified = user.email_verified,
            Some(Bug::RacesToVerify) if holder.is_none() => answer.email_verified = user.email_verified,
            _ => {}
        }
        Ok(answer)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let found = Users::find(&self.accounts, id).await?;
        Ok(match self.bug {
            Some(Bug::Forgets) => None,
            Some(Bug::FindsAnybody) => found.or_else(|| self.seen(|_| true)),
            Some(Bug::HidesWithdrawn) => found.filter(|user| user.withdrawn_at.is_none()),
            Some(Bug::KeepsTheName) => {
                let name = self.left(|left| left.id == id).map(|left| left.name);
                found.map(|user| User { name: name.unwrap_or(user.name), ..user })
            }
            _ => found,
        })
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let found = Users::find_many(&self.accounts, ids).await?;
        Ok(if self.is(Bug::UnknownEmptiesMany) && found.len() < ids.len() { Vec::new() } else { found })
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let was_freed = self.left(|left| left.email.as_ref() == Some(email)).is_some();
        if was_freed && self.is(Bug::FreesTheAddressOfOthers) {
            return Ok(None);
        }
        if self.is(Bug::FindsUnverified) {
            return Ok(self.seen(|user| user.email.as_ref() == Some(email) && user.withdrawn_at.is_none()));
        }
        self.accounts.find_by_email(email).await
    }

    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError> {
        if self.is(Bug::FindsWithdrawn) {
            return Ok(self.seen(|user| user.identity == *identity));
        }
        self.accounts.find_by_identity(&self.folded(identity)).await
    }

    async fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError> {
        let known = Users::find(&self.accounts, id).await?;
        let account = known.clone().filter(|user| user.withdrawn_at.is_none());
        let listed = Sessions::list(&self.sessions, id).await?;
        match self.bug {
            Some(
                Bug::RacesToWithdraw
                | Bug::EndsTheGenerationThatItListed
                | Bug::EndsOnlyWhatItListed
                | Bug::AnswersWithWhatItListed
                | Bug::RecordsWhatItListed,
            ) => others_first().await,
            Some(Bug::EndsTheSessionsFirst) if account.is_some() => {
                let ended = self.end(id, revocation, &listed).await?;
                others_first().await;
                return Ok(self.accounts.withdraw(id, revocation).await?.map(|_| ended));
            }
            _ => {}
        }
        let keeps = self.is(Bug::KeepsTheAccount);
        let is_done = if keeps { account.is_some() } else { self.accounts.withdraw(id, revocation).await?.is_some() };
        let is_done = match self.bug {
            Some(Bug::RacesToWithdraw) => account.is_some(),
            Some(Bug::WithdrawsAgain) => known.is_some(),
            Some(Bug::WithdrawsNobody) => is_done || known.is_none(),
            _ => is_done,
        };
        if !is_done {
            return Ok(None);
        }
        self.left.lock().unwrap().extend(account);
        if self.is(Bug::EndsTheAccountFirst) {
            others_first().await;
        }
        self.end(id, revocation, &listed).await.map(Some)
    }

    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError> {
        if self.is(Bug::NeverClearsLanguage) && language.is_none() {
            return Ok(true);
        }
        let is_set = self.accounts.set_language(id, language).await?;
        let known = Users::find(&self.accounts, id).await?;
        Ok(match self.bug {
            Some(Bug::SetsLanguageOfNobody) => is_set || known.is_none(),
            Some(Bug::SetsLanguageOfThoseWhoLeft) => is_set || known.is_some(),
            _ => is_set,
        })
    }
}

#[test]
fn every_law_of_users_catches_a_broken_variant() {
    check("users", LAWS, BUGS, |law, bug| {
        let (accounts, sessions) = (MemoryStore::new(), MemoryStore::new());
        let (seen, left) = (Mutex::default(), Mutex::default());
        run(law(&Broken { accounts, sessions: sessions.clone(), bug, seen, left }, &sessions, &sessions));
    });
}
