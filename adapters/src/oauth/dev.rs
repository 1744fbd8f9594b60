//! A provider that this server plays itself, so that a newcomer needs none: whoever names a user is that user.
//!
//! The round trip is a whole authorization-code grant with PKCE, as with a real provider. Who may reach its page
//! (loopback only, unless configured otherwise) is for the page to say, not for this file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    Account, AuthorizationEndpoint, AuthorizationRefused, AuthorizationRequest, Authorized, Clock, CodeExchange,
    Entropy, IdentityError, IdentityProvider, Profile, ProviderToken,
};
use transtalk_core::translate::Language;
use transtalk_core::{Identity, Monotonic, limits};
use url::form_urlencoded;

/// Both sides of the development provider. Its codes live in memory for a minute.
pub struct DevProvider {
    name: String,
    authorize_url: String,
    redirect_uris: Vec<String>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    codes: Mutex<BTreeMap<String, Granted>>,
}

/// What a code stands for.
struct Granted {
    name: String,
    redirect_uri: String,
    nonce: String,
    code_challenge: String,
    expires_at: Monotonic,
}

impl DevProvider {
    /// A provider whose page is at `authorize_url` (absolute, or a path), and which sends browsers to `redirect_uris` only.
    pub fn new(
        authorize_url: String,
        redirect_uris: Vec<String>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { name: NAME.to_owned(), authorize_url, redirect_uris, clock, entropy, codes: Mutex::default() }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    fn mint_code(&self) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The code's grant, which is gone from now on, whatever becomes of it (RFC 6749 section 4.1.2).
    fn take(&self, code: &str) -> Option<Granted> {
        // A panic elsewhere leaves the map whole: each change of it is one call.
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(code)
    }
}

#[async_trait]
impl IdentityProvider for DevProvider {
    fn name(&self) -> &str {
        &self.name
    }

    /// Nobody else answers for it, so it needs no name in an answer.
    fn issuer(&self) -> Option<String> {
        None
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        Ok(with_query(
            &self.authorize_url,
            &[
                ("response_type", "code"),
                ("client_id", CLIENT_ID),
                ("redirect_uri", &request.redirect_uri),
                ("state", &request.state),
                ("nonce", &request.nonce),
                ("code_challenge", &request.code_challenge),
                ("code_challenge_method", "S256"),
            ],
        ))
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        let refused = || IdentityError::Refused { provider: NAME.to_owned() };
        let granted = self.take(&exchange.code).ok_or_else(refused)?;
        let good = self.clock.monotonic() < granted.expires_at
            && exchange.redirect_uri == granted.redirect_uri
            && exchange.nonce == granted.nonce
            && (VERIFIER_CHARS_MIN..=VERIFIER_CHARS_MAX).contains(&exchange.code_verifier.len())
            && code_challenge(&exchange.code_verifier) == granted.code_challenge;
        if good { Ok(Authorized { profile: profile(granted.name), grant: None }) } else { Err(refused()) }
    }

    /// It grants nothing, so there is nothing to give back.
    async fn revoke(&self, _token: &ProviderToken) -> Result<(), IdentityError> {
        Ok(())
    }
}

impl AuthorizationEndpoint for DevProvider {
    fn accounts(&self) -> Vec<Account> {
        ACCOUNTS.iter().map(|(name, _)| Account { name: (*name).to_owned(), language: language(name) }).collect()
    }

    fn profiles(&self) -> Vec<Profile> {
        ACCOUNTS.iter().map(|(name, _)| profile((*name).to_owned())).collect()
    }

    fn check(&self, request: &AuthorizationRequest) -> Result<(), AuthorizationRefused> {
        // RFC 9700 section 2.1: the exact string, or anybody's page could be sent the code.
        if !self.redirect_uris.contains(&request.redirect_uri) {
            return Err(AuthorizationRefused::Invalid("redirect_uri is not one that this server knows"));
        }
        if !is_challenge(&request.code_challenge) {
            return Err(AuthorizationRefused::Invalid("code_challenge must be 43 characters of base64url, by S256"));
        }
        if !is_parameter(&request.state) {
            return Err(AuthorizationRefused::Invalid("state is missing or too long"));
        }
        if !is_parameter(&request.nonce) {
            return Err(AuthorizationRefused::Invalid("nonce is missing or too long"));
        }
        Ok(())
    }

    fn authorize(&self, request: &AuthorizationRequest, name: &str) -> Result<String, AuthorizationRefused> {
        self.check(request)?;
        let name = user_name(name)?;
        let now = self.clock.monotonic();
        let code = self.mint_code();
        let granted = Granted {
            name,
            redirect_uri: request.redirect_uri.clone(),
            nonce: request.nonce.clone(),
            code_challenge: request.code_challenge.clone(),
            expires_at: now.plus(CODE_LIFETIME),
        };
        {
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            // An expired code is worthless wherever it lies: it is swept up when the room is needed.
            if codes.len() >= CODES_MAX {
                codes.retain(|_, granted| now < granted.expires_at);
            }
            if codes.len() >= CODES_MAX {
                return Err(AuthorizationRefused::Busy);
            }
            codes.insert(code.clone(), granted);
        }
        Ok(with_query(&request.redirect_uri, &[("code", &code), ("state", &request.state)]))
    }
}

fn user_name(text: &str) -> Result<String, AuthorizationRefused> {
    let name = text.trim().to_lowercase();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(AuthorizationRefused::Invalid("a name has 1 to 40 letters a to z, digits, dots, hyphens or underscores"))
    }
}

fn profile(name: String) -> Profile {
    // A name is ASCII, so its first byte is its first letter.
    let shown = format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..]);
    Profile {
        email: Some(format!("{name}@example.com")),
        email_verified: true,
        name: Some(shown),
        picture: None,
        language: language(&name),
        identity: Identity { issuer: NAME.to_owned(), subject: name },
    }
}

fn language(name: &str) -> Option<Language> {
    let (_, tag) = ACCOUNTS.iter().find(|(listed, _)| *listed == name)?;
    Language::new(tag).ok()
}

fn is_challenge(text: &str) -> bool {
    // SHA-256 is 32 bytes: 43 characters.
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|digest| digest.len() == 32)
}

fn is_parameter(text: &str) -> bool {
    (1..=limits::OAUTH_PARAMETER_BYTES_MAX).contains(&text.len())
}

/// The address with these parameters after its own (RFC 6749 section 3.1.2: a query of the redirect URI is kept).
fn with_query(uri: &str, pairs: &[(&str, &str)]) -> String {
    let (page, fragment) = uri.find('#').map_or((uri, ""), |at| uri.split_at(at));
    let mut target = page.to_owned();
    let query_start = target.find('?').unwrap_or(target.len()) + 1;
    if query_start > target.len() {
        target.push('?');
    }
    let mut target = form_urlencoded::Serializer::for_suffix(target, query_start).extend_pairs(pairs).finish();
    target.push_str(fragment);
    target
}

const NAME: &str = "dev";
const CLIENT_ID: &str = "transtalk";
/// The users on the page, and what each reads.
const ACCOUNTS: [(&str, &str); 5] =
    [("alice", "en-us"), ("bob", "ko"), ("carla", "es"), ("daiki", "ja"), ("mei", "zh")];
const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// Sign-ins under way, at most.
const CODES_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 40;
/// RFC 7636 section 4.1.
const VERIFIER_CHARS_MIN: usize = 43;
const VERIFIER_CHARS_MAX: usize = 128;
