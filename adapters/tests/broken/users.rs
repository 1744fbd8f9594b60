//! Broken users.

use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::contract::{run, users::LAWS};
use transtalk_core::ports::{StoreError, Users};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, User, UserId};

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
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    seen: Mutex<Vec<User>>,
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn seen(&self, matches: impl Fn(&User) -> bool) -> Option<User> {
        self.seen.lock().unwrap().iter().find(|user| matches(user)).cloned()
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
        let known = self.store.find_by_identity(&user.identity).await?;
        let holder = match &user.email {
            Some(email) => self.store.find_by_email(email).await?,
            None => None,
        };
        if self.is(Bug::RacesToRegister) || self.is(Bug::RacesToVerify) {
            others_first().await;
        }
        let stored = self.store.register(&given).await?;
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
        let found = self.store.find(id).await?;
        Ok(match self.bug {
            Some(Bug::Forgets) => None,
            Some(Bug::FindsAnybody) => found.or_else(|| self.seen(|_| true)),
            Some(Bug::HidesWithdrawn) => found.filter(|user| user.withdrawn_at.is_none()),
            _ => found,
        })
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let found = self.store.find_many(ids).await?;
        Ok(if self.is(Bug::UnknownEmptiesMany) && found.len() < ids.len() { Vec::new() } else { found })
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        if self.is(Bug::FindsUnverified) {
            return Ok(self.seen(|user| user.email.as_ref() == Some(email) && user.withdrawn_at.is_none()));
        }
        self.store.find_by_email(email).await
    }

    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError> {
        if self.is(Bug::FindsWithdrawn) {
            return Ok(self.seen(|user| user.identity == *identity));
        }
        self.store.find_by_identity(&self.folded(identity)).await
    }

    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError> {
        if self.is(Bug::NeverClearsLanguage) && language.is_none() {
            return Ok(true);
        }
        Ok(self.store.set_language(id, language).await? || self.is(Bug::SetsLanguageOfNobody))
    }
}

#[test]
fn every_law_of_users_catches_a_broken_variant() {
    check("users", LAWS, BUGS, |law, bug| {
        run(law(&Broken { store: MemoryStore::new(), bug, seen: Mutex::default() }));
    });
}
