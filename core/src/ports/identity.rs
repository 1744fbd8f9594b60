//! Who people are, according to others: OAuth 2.0 (RFC 6749) with PKCE (RFC 7636), and OpenID Connect.

use std::fmt;

use async_trait::async_trait;

use super::BoxError;
use crate::translate::Language;
use crate::user::Identity;

/// What the browser is sent to the provider with.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Where the provider sends the browser back.
    pub redirect_uri: String,
    /// Comes back unchanged, where the client returns it (RFC 6749 section 4.1.1).
    pub state: String,
    /// Comes back inside an ID token.
    pub nonce: String,
    /// BASE64URL(SHA-256(verifier)), method S256 (RFC 7636 section 4.2).
    pub code_challenge: String,
}

/// What a returned code is exchanged with.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeExchange {
    /// The authorization code.
    pub code: String,
    /// The same as in the request.
    pub redirect_uri: String,
    /// The secret behind the challenge (RFC 7636 section 4.5).
    pub code_verifier: String,
    /// The same as in the request.
    pub nonce: String,
}

impl fmt::Debug for CodeExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeExchange")
    }
}

/// Somebody, as every provider's answer is normalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The key of the account.
    pub identity: Identity,
    /// The address, if any.
    pub email: Option<String>,
    /// Whether the provider vouches for it.
    pub email_verified: bool,
    /// The name, if any.
    pub name: Option<String>,
    /// The picture's address, if any.
    pub picture: Option<String>,
    /// The language that the provider knows the user to read.
    pub language: Option<Language>,
}

/// Why a code was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The code is wrong, used, expired, or belongs to another browser, address or client.
    #[error("{provider} refused the code")]
    Refused {
        /// Which provider.
        provider: String,
    },
    /// No usable answer.
    #[error("{provider} could not answer")]
    Unavailable {
        /// Which provider.
        provider: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// A provider, as its client sees it.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// The name, as the configuration spells it.
    fn name(&self) -> &str;

    /// Where the browser goes to sign in.
    fn authorization_url(&self, request: &AuthorizationRequest) -> String;

    /// The profile behind a code. A code is good once.
    async fn exchange(&self, exchange: &CodeExchange) -> Result<Profile, IdentityError>;
}

/// An account that a built-in provider offers on its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name to sign in with.
    pub name: String,
    /// The language that this user reads.
    pub language: Option<Language>,
}

/// Why a built-in provider sends nobody back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationRefused {
    /// A parameter is missing or wrong. Nobody is redirected to an address that is not ours (RFC 9700 section 4.1).
    #[error("{0}")]
    Invalid(&'static str),
    /// Too many sign-ins are under way.
    #[error("too many sign-ins are under way")]
    Busy,
}

/// The other side: a provider that this server itself plays, so that a newcomer needs none.
pub trait AuthorizationEndpoint: Send + Sync {
    /// Who can be chosen.
    fn accounts(&self) -> Vec<Account>;

    /// The same people as an exchanged code would show them.
    fn profiles(&self) -> Vec<Profile>;

    /// Checks what the browser brought, before any name is chosen.
    fn check(&self, request: &AuthorizationRequest) -> Result<(), AuthorizationRefused>;

    /// Signs in as this name and answers with the address to send the browser to: the redirect URI with `code` and `state`.
    fn authorize(&self, request: &AuthorizationRequest, name: &str) -> Result<String, AuthorizationRefused>;
}
