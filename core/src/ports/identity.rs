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
    /// The same as in the request. Some providers want to see it again.
    pub state: String,
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

/// What a provider granted with a code: a token of its own, kept for one use only, to be given back ([`IdentityProvider::revoke`]).
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderToken(pub String);

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderToken")
    }
}

/// What a code was good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Who.
    pub profile: Profile,
    /// What to give back when the user leaves, if the provider takes it back.
    pub grant: Option<ProviderToken>,
}

/// Why a provider did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The code is wrong, used, expired, or belongs to another browser, address or client; or the answer's issuer, audience or nonce is
    /// not the one of this sign-in. Of a token to be revoked: it is worthless already.
    #[error("{provider} refused")]
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

    /// The identifier with which it may answer in `iss` (RFC 9207 section 2), once it is known.
    fn issuer(&self) -> Option<String>;

    /// Whether the client must return `state`, because the provider holds a code to neither PKCE nor a nonce.
    fn needs_state(&self) -> bool {
        false
    }

    /// Where the browser goes to sign in.
    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError>;

    /// The profile behind a code. A code is good once.
    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError>;

    /// Gives a grant back (RFC 7009 where the provider knows it): the provider forgets that the user ever allowed this server anything.
    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError>;
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
