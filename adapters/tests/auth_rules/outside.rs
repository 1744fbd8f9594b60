//! The world outside of the store: chance, a bus that can be cut, a translator, an identity provider, the allowances.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use transtalk_adapters::memory::{MemoryBus, MemoryRateLimits};
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    Allowance, AuthorizationRequest, Authorized, Bus, BusError, CodeExchange, Entropy, Event, Events, IdentityError,
    IdentityProvider, Profile, ProviderToken, RateLimitError, RateLimits, Taken, Translated, TranslationRequest,
    Translator, TranslatorError,
};
use transtalk_core::{Identity, Timestamp};

/// Bytes that look like chance: the hash of a seed and a counter.
pub(crate) struct Chance {
    seed: u64,
    count: AtomicU64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(32) {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let hash = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(count.to_le_bytes()).finalize();
            part.copy_from_slice(&hash[..part.len()]);
        }
    }
}

/// The bus of all nodes of a world.
#[derive(Default)]
pub(crate) struct Wire {
    bus: MemoryBus,
    is_cut: AtomicBool,
}

impl Wire {
    /// Nothing that is published from now on arrives.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Bus for Wire {
    async fn publish(&self, event: Event) -> Result<(), BusError> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(BusError::Unavailable { bus: "wire", source: "cut".into() });
        }
        self.bus.publish(event).await
    }

    fn listen(&self) -> Box<dyn Events> {
        self.bus.listen()
    }
}

/// Knows no language, so that every message is shown at once.
pub(crate) struct NoTranslator;

#[async_trait]
impl Translator for NoTranslator {
    async fn translate(&self, _: &TranslationRequest) -> Result<Translated, TranslatorError> {
        Err(TranslatorError::Unsupported { engine: "none".to_owned() })
    }

    fn name(&self) -> &'static str {
        "none"
    }
}

/// The allowances of all nodes, which may be out of reach.
#[derive(Default)]
pub(crate) struct Allowances {
    limits: MemoryRateLimits,
    is_lost: AtomicBool,
}

impl Allowances {
    /// Nobody can be asked any more.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl RateLimits for Allowances {
    async fn take(&self, key: &str, allowance: Allowance, now: Timestamp) -> Result<Taken, RateLimitError> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(RateLimitError::Unavailable { store: "allowances", source: "lost".into() });
        }
        self.limits.take(key, allowance, now).await
    }
}

/// A provider as strict as the good ones: a code is good once, for the address, the verifier and the nonce that it was asked with.
pub(crate) struct Provider {
    name: &'static str,
    issuer: Option<&'static str>,
    needs_state: bool,
    state: Mutex<ProviderState>,
}

#[derive(Default)]
struct ProviderState {
    /// By address, what the browser was sent with.
    asked: BTreeMap<String, AuthorizationRequest>,
    codes: BTreeMap<String, (String, AuthorizationRequest)>,
    count: u64,
    is_down: bool,
    refuses_revocation: bool,
    revoked: Vec<String>,
}

impl Provider {
    pub(crate) fn new(name: &'static str, issuer: Option<&'static str>, needs_state: bool) -> Arc<Self> {
        Arc::new(Self { name, issuer, needs_state, state: Mutex::default() })
    }

    /// Somebody follows the link and consents: the code that the browser is sent back with, and the state.
    pub(crate) fn consent(&self, url: &str, subject: &str) -> (String, String) {
        let mut state = self.lock();
        let request = state.asked[url].clone();
        state.count += 1;
        let code = format!("code-{}-{}", self.name, state.count);
        state.codes.insert(code.clone(), (subject.to_owned(), request.clone()));
        (code, request.state)
    }

    /// Whether it answers at all.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// What is to be revoked is worthless already.
    pub(crate) fn refuse_revocation(&self) {
        self.lock().refuses_revocation = true;
    }

    /// The tokens that were given back.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.lock().revoked.clone()
    }

    fn refused(&self) -> IdentityError {
        IdentityError::Refused { provider: self.name.to_owned() }
    }

    fn unavailable(&self) -> IdentityError {
        IdentityError::Unavailable { provider: self.name.to_owned(), source: "down".into() }
    }

    fn lock(&self) -> MutexGuard<'_, ProviderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl IdentityProvider for Provider {
    fn name(&self) -> &str {
        self.name
    }

    fn issuer(&self) -> Option<String> {
        self.issuer.map(str::to_owned)
    }

    fn needs_state(&self) -> bool {
        self.needs_state
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        let mut state = self.lock();
        if state.is_down {
            return Err(self.unavailable());
        }
        state.count += 1;
        let url = format!("https://{}.example/authorize?{}", self.name, state.count);
        state.asked.insert(url.clone(), request.clone());
        Ok(url)
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        let mut state = self.lock();
        if state.is_down {
            return Err(self.unavailable());
        }
        let (subject, request) = state.codes.remove(&exchange.code).ok_or_else(|| self.refused())?;
        let matches = exchange.redirect_uri == request.redirect_uri
            && code_challenge(&exchange.code_verifier) == request.code_challenge
            && exchange.nonce == request.nonce
            && exchange.state == request.state;
        if !matches {
            return Err(self.refused());
        }
        Ok(Authorized {
            profile: Profile {
                identity: Identity { issuer: self.name.to_owned(), subject: subject.clone() },
                email: Some(format!("{subject}@{}.example", self.name)),
                email_verified: true,
                name: Some(subject.clone()),
                picture: None,
                language: None,
            },
            grant: Some(ProviderToken(format!("grant of {subject}"))),
        })
    }

    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        let mut state = self.lock();
        if state.is_down {
            return Err(self.unavailable());
        }
        if state.refuses_revocation {
            return Err(self.refused());
        }
        state.revoked.push(token.0.clone());
        Ok(())
    }
}
