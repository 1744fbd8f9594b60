//! What lies outside of the server: an identity provider and a translation engine, both simulated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use transtalk_core::Identity;
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, CodeExchange, IdentityError, IdentityProvider, Profile, ProviderToken,
    Translated, TranslationRequest, Translator, TranslatorError,
};
use transtalk_core::translate::Language;

use crate::faults::Faults;
use crate::model::address;

/// A provider where everybody may sign in under any name. Its codes are good once, and only with the right verifier.
pub(crate) struct SimulatedProvider {
    faults: Arc<Faults>,
    state: Mutex<Codes>,
}

#[derive(Default)]
struct Codes {
    given: u64,
    open: BTreeMap<String, (String, String)>,
    granted: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

impl SimulatedProvider {
    /// A provider that has given no code.
    pub(crate) fn new(faults: Arc<Faults>) -> Self {
        Self { faults, state: Mutex::default() }
    }

    /// What the browser brings back after somebody of this name has signed in at this address: code and state.
    pub(crate) fn authorize(&self, url: &str, name: &str) -> (String, String) {
        let mut parts = url.split(' ').map(str::to_owned);
        let (challenge, state) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut codes = self.lock();
        codes.given += 1;
        let code = format!("code-{}", codes.given);
        codes.open.insert(code.clone(), (challenge, name.to_owned()));
        (code, state)
    }

    /// How many grants were given back.
    pub(crate) fn revoked(&self) -> usize {
        self.lock().revoked.len()
    }

    fn redeem(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        let mut codes = self.lock();
        let (_, name) = codes
            .open
            .remove(&exchange.code)
            .filter(|(challenge, _)| *challenge == code_challenge(&exchange.code_verifier))
            .ok_or_else(refused)?;
        let grant = format!("grant of {}", exchange.code);
        codes.granted.insert(grant.clone());
        let language = [("alice", "en-us"), ("bob", "ko"), ("carla", "es")]
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, tag)| Language::new(tag).ok());
        let profile = Profile {
            identity: Identity { issuer: NAME.to_owned(), subject: name.clone() },
            email: Some(address(&name)),
            email_verified: true,
            name: Some(name),
            picture: None,
            language,
        };
        Ok(Authorized { profile, grant: Some(ProviderToken(grant)) })
    }

    fn take_back(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        let mut codes = self.lock();
        let was_granted = codes.granted.contains(&token.0);
        (was_granted && codes.revoked.insert(token.0.clone())).then_some(()).ok_or_else(refused)
    }

    fn lock(&self) -> MutexGuard<'_, Codes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused() -> IdentityError {
    IdentityError::Refused { provider: NAME.to_owned() }
}

#[async_trait]
impl IdentityProvider for SimulatedProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn issuer(&self) -> Option<String> {
        Some(NAME.to_owned())
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        Ok(format!("{} {}", request.code_challenge, request.state))
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        self.faults.call(NAME, "IdentityProvider::exchange", async { self.redeem(exchange) }).await
    }

    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        self.faults.call(NAME, "IdentityProvider::revoke", async { self.take_back(token) }).await
    }
}

/// An engine that marks the text with its language.
pub(crate) struct SimulatedTranslator(pub(crate) Arc<Faults>);

#[async_trait]
impl Translator for SimulatedTranslator {
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError> {
        if self.0.translate().await {
            Ok(Translated {
                text: format!("[{}] {}", request.target, request.text),
                source: request.source.clone(),
                engine: NAME.to_owned(),
                cached: false,
            })
        } else {
            let source = "a simulated time-out".into();
            Err(TranslatorError::Retryable { engine: NAME.to_owned(), retry_after: None, source })
        }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

const NAME: &str = "simulated";
