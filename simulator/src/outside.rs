//! What lies outside of the server: an identity provider and a translation engine, both simulated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use transtalk_core::Identity;
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    AuthorizationRequest, CodeExchange, IdentityError, IdentityProvider, Profile, Translated, TranslationRequest,
    Translator, TranslatorError,
};
use transtalk_core::translate::Language;

use crate::faults::Faults;

/// A provider where everybody may sign in under any name. Its codes are good once, and only with the right verifier.
pub(crate) struct SimulatedProvider {
    faults: Arc<Faults>,
    state: Mutex<Codes>,
}

#[derive(Default)]
struct Codes {
    given: u64,
    open: BTreeMap<String, (String, String)>,
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
        let mut codes = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        codes.given += 1;
        let code = format!("code-{}", codes.given);
        codes.open.insert(code.clone(), (challenge, name.to_owned()));
        (code, state)
    }

    fn redeem(&self, exchange: &CodeExchange) -> Result<Profile, IdentityError> {
        let taken = self.state.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&exchange.code);
        let (_, name) = taken
            .filter(|(challenge, _)| *challenge == code_challenge(&exchange.code_verifier))
            .ok_or_else(|| IdentityError::Refused { provider: NAME.to_owned() })?;
        let language = [("alice", "en-us"), ("bob", "ko"), ("carla", "es")]
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, tag)| Language::new(tag).ok());
        Ok(Profile {
            identity: Identity { issuer: NAME.to_owned(), subject: name.clone() },
            email: Some(format!("{name}@example.com")),
            email_verified: true,
            name: Some(name),
            picture: None,
            language,
        })
    }
}

#[async_trait]
impl IdentityProvider for SimulatedProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn authorization_url(&self, request: &AuthorizationRequest) -> String {
        format!("{} {}", request.code_challenge, request.state)
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Profile, IdentityError> {
        self.faults.call(NAME, "IdentityProvider::exchange", async { self.redeem(exchange) }).await
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
