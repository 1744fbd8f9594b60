//! Any `OpenID` provider, found by its issuer. Google and Kakao are such, with peculiarities.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, Clock, CodeExchange, IdentityError, IdentityProvider, ProviderToken,
};

use super::authorization::authorization_url;
use super::discovery::{Discovery, Documented, Metadata};
use super::http::{Failure, Http, Trouble};
use super::id_token::{self, Claims, Expected};
use super::profile::Person;
use super::settings::{Checked, Credentials, SettingsError};
use super::token_endpoint::{Grant, IsAboutTheCode, Scheme, TokenEndpoint, Tokens, invalid_grant, revoke};

/// A provider that needs nothing but its issuer.
pub(super) struct Oidc {
    pub(super) flow: OpenIdFlow,
    /// Parameters of its own in the link.
    pub(super) more: &'static [(&'static str, &'static str)],
    /// A refresh token comes with the first consent only: a later sign-in must not put an access token in the place of that one.
    pub(super) refresh_comes_once: bool,
}

impl Oidc {
    /// The provider that is at the configured issuer.
    pub(super) fn new(settings: Checked, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let character = Character {
            issuers: settings.issuer.iter().cloned().collect(),
            documented: None,
            scopes: &["openid", "profile", "email"],
            is_about_the_code: invalid_grant,
        };
        Ok(Self { flow: OpenIdFlow::new(settings, character, clock)?, more: &[], refresh_comes_once: false })
    }

    async fn exchanged(&self, exchange: &CodeExchange) -> Result<Authorized, Failure> {
        let (metadata, tokens, claims) = self.flow.exchange(exchange).await?;
        let more = match &metadata.userinfo {
            Some(url) if claims.person.lacks_something() => {
                let info: Value = self.flow.http.read(url, Some(&tokens.access)).await?;
                // OpenID Connect Core section 5.3.2: "The sub Claim in the UserInfo Response MUST be verified to exactly match the sub
                // Claim in the ID Token; if they do not match, the UserInfo Response values MUST NOT be used."
                if info["sub"] != claims.subject.as_str() {
                    return Err(Failure::Refused("its UserInfo is about somebody else".to_owned()));
                }
                serde_json::from_value(info).map_err(|_| Trouble::Malformed)?
            }
            _ => Person::default(),
        };
        let profile = claims.person.told(&more).profile(&self.flow.issuer, &claims.subject);
        let profile = profile.ok_or(Trouble::Malformed)?;
        // Without an address to give it back to, it would be kept for nothing.
        let is_kept = metadata.revoke.is_some() && (tokens.refresh.is_some() || !self.refresh_comes_once);
        let grant = is_kept.then(|| Grant::lasting(tokens)).and_then(|grant| grant.sealed());
        Ok(Authorized { profile, grant })
    }

    async fn revoked(&self, token: &ProviderToken) -> Result<(), Failure> {
        let grant = Grant::opened(token)?;
        let metadata = self.flow.discovery.metadata(&self.flow.http).await?;
        let Some(url) = &metadata.revoke else { return Ok(()) };
        self.flow
            .with_scheme(&metadata, |scheme| revoke(&self.flow.http, url, &self.flow.credentials, scheme, &grant))
            .await
    }
}

#[async_trait]
impl IdentityProvider for Oidc {
    fn name(&self) -> &str {
        &self.flow.name
    }

    fn issuer(&self) -> Option<String> {
        Some(self.flow.issuer.clone())
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        self.flow.authorization_url(request, self.more).await
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        let exchanged = self.flow.http.within(self.exchanged(exchange)).await;
        exchanged.map_err(|failure| failure.of(&self.flow.name))
    }

    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        self.flow.http.within(self.revoked(token)).await.map_err(|failure| failure.of(&self.flow.name))
    }
}

/// What tells one `OpenID` provider from another.
pub(super) struct Character {
    /// The issuer as ID tokens name it; the first is its name everywhere else.
    pub(super) issuers: Vec<String>,
    pub(super) documented: Option<&'static Documented>,
    /// What a profile needs.
    pub(super) scopes: &'static [&'static str],
    pub(super) is_about_the_code: IsAboutTheCode,
}

/// The authorization code flow of `OpenID` Connect, as far as the verified ID token.
pub(super) struct OpenIdFlow {
    pub(super) name: String,
    /// The namespace of its subjects.
    pub(super) issuer: String,
    pub(super) http: Http,
    pub(super) credentials: Credentials,
    pub(super) discovery: Discovery,
    issuers: Vec<String>,
    scopes: String,
    is_about_the_code: IsAboutTheCode,
    clock: Arc<dyn Clock>,
}

impl OpenIdFlow {
    /// The flow with these settings.
    pub(super) fn new(settings: Checked, character: Character, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let http = settings.http()?;
        let mut scopes = settings.scopes_or(character.scopes);
        // Without this one there is no ID token.
        if !scopes.split(' ').any(|scope| scope == "openid") {
            scopes.insert_str(0, "openid ");
        }
        let missing = || SettingsError::Missing { key: format!("auth.providers.{}.issuer", settings.name) };
        // Whoever configures another issuer means another provider: what is documented does not hold for it.
        let (issuers, documented) = match &settings.issuer {
            Some(issuer) if character.issuers.first() != Some(issuer) => (vec![issuer.clone()], None),
            _ => (character.issuers, character.documented),
        };
        let issuer = issuers.first().cloned().ok_or_else(missing)?;
        let discovery = Discovery::new(&issuer, settings.endpoints, documented, &clock).ok_or_else(missing)?;
        Ok(Self {
            name: settings.name,
            issuer,
            http,
            credentials: settings.credentials,
            discovery,
            issuers,
            scopes,
            is_about_the_code: character.is_about_the_code,
            clock,
        })
    }

    /// The link, with the nonce.
    pub(super) async fn authorization_url(
        &self,
        request: &AuthorizationRequest,
        more: &[(&str, &str)],
    ) -> Result<String, IdentityError> {
        let metadata = self.http.within(self.discovery.metadata(&self.http)).await;
        let metadata = metadata.map_err(|failure| failure.of(&self.name))?;
        let mut pairs = vec![("nonce", request.nonce.as_str())];
        pairs.extend_from_slice(more);
        let client_id = &self.credentials.client_id;
        Ok(authorization_url(&metadata.authorize, client_id, &self.scopes, request, &pairs))
    }

    /// Exchanges a code for tokens and believes the ID token among them, if it is right.
    pub(super) async fn exchange(&self, exchange: &CodeExchange) -> Result<(Arc<Metadata>, Tokens, Claims), Failure> {
        let metadata = self.discovery.metadata(&self.http).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", exchange.code.as_str()),
            ("redirect_uri", exchange.redirect_uri.as_str()),
            ("code_verifier", exchange.code_verifier.as_str()),
        ];
        let endpoint = self.token_endpoint(&metadata);
        let tokens = self.with_scheme(&metadata, |scheme| endpoint.ask(scheme, &form)).await?;
        let id_token = tokens.id_token.as_deref().ok_or(Trouble::Lacks("ID token"))?;
        let claims = self.verified(&metadata, id_token, &tokens.access, &exchange.nonce).await?;
        Ok((metadata, tokens, claims))
    }

    /// Its token endpoint.
    pub(super) fn token_endpoint<'a>(&'a self, metadata: &'a Metadata) -> TokenEndpoint<'a> {
        TokenEndpoint {
            http: &self.http,
            url: &metadata.token,
            credentials: &self.credentials,
            is_about_the_code: self.is_about_the_code,
        }
    }

    /// Shows the secret in the first way that the provider says it accepts; in the second, if the first is not the one that this
    /// client is registered with. A client that was not recognized has not used up its code (RFC 6749 section 5.2).
    pub(super) async fn with_scheme<T, F>(&self, metadata: &Metadata, ask: impl Fn(Scheme) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let first = metadata.schemes.first().copied().unwrap_or(Scheme::Basic);
        match (ask(first).await, metadata.schemes.get(1)) {
            (Err(Failure::Unavailable(Trouble::Code(code))), Some(second))
                if code == "invalid_client" && !self.credentials.secret.is_empty() =>
            {
                ask(*second).await
            }
            (answer, _) => answer,
        }
    }

    async fn verified(
        &self,
        metadata: &Arc<Metadata>,
        id_token: &str,
        access_token: &str,
        nonce: &str,
    ) -> Result<Claims, Failure> {
        let expected = Expected {
            issuers: &self.issuers,
            client_id: &self.credentials.client_id,
            nonce,
            access_token,
            algorithms: &metadata.algorithms,
            now: self.clock.now(),
        };
        let keys = self.discovery.keys(&self.http, metadata).await?;
        let verified = match id_token::verify(id_token, &keys, &expected) {
            Err(flaw) if flaw.may_be_rotation(id_token) => {
                match self.discovery.newer_keys(&self.http, metadata, &keys).await? {
                    Some(newer) => id_token::verify(id_token, &newer, &expected),
                    None => Err(flaw),
                }
            }
            verified => verified,
        };
        verified.map_err(|flaw| Failure::Refused(flaw.to_string()))
    }
}
