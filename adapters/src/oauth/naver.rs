//! Naver (<https://developers.naver.com/docs/login/api/api.md>), by its OAuth 2.0 and not by its newer `OpenID` Connect.
//!
//! It holds a code neither to PKCE nor to a nonce, so the client must return `state`: its documentation of these endpoints knows
//! neither parameter. A challenge is sent all the same, for the day that it does.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, CodeExchange, IdentityError, IdentityProvider, ProviderToken,
};
use url::Url;

use super::authorization::authorization_url;
use super::http::{Failure, Http, Trouble};
use super::profile::Told;
use super::settings::{Checked, Credentials, SettingsError, own};
use super::token_endpoint::{Grant, Refusal, Scheme, TokenEndpoint, revoke};

/// Naver.
pub(super) struct Naver {
    name: String,
    /// The namespace of its subjects.
    issuer: String,
    http: Http,
    credentials: Credentials,
    scopes: String,
    authorize: Url,
    token: Url,
    profile: Url,
    revoke: Url,
}

impl Naver {
    /// Naver with these settings.
    pub(super) fn new(settings: Checked) -> Result<Self, SettingsError> {
        Ok(Self {
            http: settings.http()?,
            // "scope: need not be sent": what an application gets is chosen in Naver's console.
            scopes: settings.scopes_or(&[]),
            issuer: settings.issuer.unwrap_or_else(|| "https://nid.naver.com".to_owned()),
            authorize: settings.endpoints.authorize.unwrap_or_else(|| own("https://nid.naver.com/oauth2.0/authorize")),
            token: settings.endpoints.token.unwrap_or_else(|| own("https://nid.naver.com/oauth2.0/token")),
            profile: settings.endpoints.userinfo.unwrap_or_else(|| own("https://openapi.naver.com/v1/nid/me")),
            revoke: settings.endpoints.revoke.unwrap_or_else(|| own("https://nid.naver.com/oauth2.0/revoke")),
            name: settings.name,
            credentials: settings.credentials,
        })
    }

    async fn exchanged(&self, exchange: &CodeExchange) -> Result<Authorized, Failure> {
        let endpoint =
            TokenEndpoint { http: &self.http, url: &self.token, credentials: &self.credentials, is_about_the_code };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", exchange.code.as_str()),
            ("state", exchange.state.as_str()),
            ("redirect_uri", exchange.redirect_uri.as_str()),
            ("code_verifier", exchange.code_verifier.as_str()),
        ];
        let tokens = endpoint.ask(Scheme::Post, &form).await?;
        let told: NaverAnswer = self.http.read(&self.profile, Some(&tokens.access)).await?;
        if told.resultcode != "00" {
            return Err(Trouble::Lacks("result code 00").into());
        }
        let user = told.response.ok_or(Trouble::Lacks("response"))?;
        let subject = user.id.as_str().ok_or(Trouble::Lacks("id"))?;
        let told = Told {
            email: user.email.as_str(),
            // Naver does not say whether it has verified the address, which the user may change to any other.
            email_verified: false,
            names: [user.name.as_str(), user.nickname.as_str(), None],
            picture: user.profile_image.as_str(),
            language: None,
        };
        let profile = told.profile(&self.issuer, subject).ok_or(Trouble::Malformed)?;
        Ok(Authorized { profile, grant: Grant::lasting(tokens).sealed() })
    }

    async fn revoked(&self, token: &ProviderToken) -> Result<(), Failure> {
        revoke(&self.http, &self.revoke, &self.credentials, Scheme::Post, &Grant::opened(token)?).await
    }
}

#[async_trait]
impl IdentityProvider for Naver {
    fn name(&self) -> &str {
        &self.name
    }

    fn issuer(&self) -> Option<String> {
        None
    }

    fn needs_state(&self) -> bool {
        true
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        Ok(authorization_url(&self.authorize, &self.credentials.client_id, &self.scopes, request, &[]))
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        self.http.within(self.exchanged(exchange)).await.map_err(|failure| failure.of(&self.name))
    }

    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        self.http.within(self.revoked(token)).await.map_err(|failure| failure.of(&self.name))
    }
}

/// `unauthorized_client` is documented as a code that was not authorized. A code that was used or never was comes as `invalid_request`
/// with these words.
fn is_about_the_code(refusal: &Refusal) -> bool {
    let no_data = refusal.error_description.as_deref().is_some_and(|text| text.contains("no valid data in session"));
    match refusal.error.as_str() {
        "invalid_grant" | "unauthorized_client" => true,
        "invalid_request" => no_data,
        _ => false,
    }
}

#[derive(Deserialize)]
struct NaverAnswer {
    resultcode: String,
    #[serde(default)]
    response: Option<NaverUser>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NaverUser {
    id: Value,
    name: Value,
    nickname: Value,
    email: Value,
    profile_image: Value,
}
