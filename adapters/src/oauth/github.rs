//! GitHub (<https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>), which is OAuth 2.0 with PKCE and
//! no `OpenID` Connect.

use async_trait::async_trait;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, CodeExchange, IdentityError, IdentityProvider, ProviderToken,
};
use url::Url;

use super::authorization::authorization_url;
use super::http::{Answer, Failure, Http, Trouble};
use super::profile::Told;
use super::settings::{Checked, Credentials, SettingsError, own};
use super::token_endpoint::{Grant, Refusal, Scheme, TokenEndpoint, status};

/// GitHub, or a server of one's own that runs it.
pub(super) struct Github {
    name: String,
    /// The namespace of its subjects.
    issuer: String,
    http: Http,
    credentials: Credentials,
    scopes: String,
    authorize: Url,
    token: Url,
    user: Url,
    emails: Url,
    grant: Url,
}

impl Github {
    /// GitHub with these settings.
    pub(super) fn new(settings: Checked) -> Result<Self, SettingsError> {
        let user = settings.endpoints.userinfo.clone().unwrap_or_else(|| own("https://api.github.com/user"));
        let grant = settings.endpoints.revoke.clone().unwrap_or_else(|| {
            under(&own("https://api.github.com/applications"), &[&settings.credentials.client_id, "grant"])
        });
        Ok(Self {
            http: settings.http()?,
            // A public profile needs no scope.
            scopes: settings.scopes_or(&["user:email"]),
            issuer: settings.issuer.unwrap_or_else(|| "https://github.com".to_owned()),
            authorize: settings.endpoints.authorize.unwrap_or_else(|| own("https://github.com/login/oauth/authorize")),
            token: settings.endpoints.token.unwrap_or_else(|| own("https://github.com/login/oauth/access_token")),
            emails: under(&user, &["emails"]),
            user,
            grant,
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
            ("redirect_uri", exchange.redirect_uri.as_str()),
            ("code_verifier", exchange.code_verifier.as_str()),
        ];
        let tokens = endpoint.ask(Scheme::Post, &form).await?;
        let user: GithubUser = self.ask(&self.user, &tokens.access).await?.ok()?;
        let email = self.email(&tokens.access).await?;
        let told = Told {
            email: email.as_ref().and_then(|email| email.email.as_str()),
            email_verified: email.as_ref().is_some_and(|email| email.verified == true),
            names: [user.name.as_str(), user.login.as_str(), None],
            picture: user.avatar_url.as_str(),
            language: None,
        };
        let profile = told.profile(&self.issuer, &user.id.to_string()).ok_or(Trouble::Malformed)?;
        let grant = Grant { access: Some(tokens.access), refresh: None };
        Ok(Authorized { profile, grant: grant.sealed() })
    }

    /// The primary address. A user may refuse the scope, and then there is none.
    async fn email(&self, access: &str) -> Result<Option<GithubEmail>, Failure> {
        let answer = self.ask(&self.emails, access).await?;
        if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        let emails: Vec<GithubEmail> = answer.ok()?;
        Ok(emails.into_iter().find(|email| email.primary == true))
    }

    async fn ask(&self, url: &Url, access: &str) -> Result<Answer, Failure> {
        self.http.send(versioned(self.http.get(url, MEDIA_TYPE)).bearer_auth(access)).await
    }

    async fn revoked(&self, token: &ProviderToken) -> Result<(), Failure> {
        let Some(access) = Grant::opened(token)?.access else { return Ok(()) };
        let body = json!({ "access_token": access }).to_string();
        let request = versioned(self.http.delete(&self.grant, MEDIA_TYPE, body));
        let request = request.basic_auth(&self.credentials.client_id, Some(&self.credentials.secret));
        let answer = self.http.send(request).await?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(()),
            // No such token (any more).
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Failure::Refused(format!("status {}", answer.status.as_u16())))
            }
            _ => Err(status(&answer)),
        }
    }
}

#[async_trait]
impl IdentityProvider for Github {
    fn name(&self) -> &str {
        &self.name
    }

    fn issuer(&self) -> Option<String> {
        None
    }

    /// It takes a challenge and does not demand one, and its documentation does not say that a code without one is refused when a
    /// verifier comes (RFC 9700 section 4.8.2, PKCE downgrade); there is no nonce.
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

/// `unverified_user_email` is for the user to mend.
fn is_about_the_code(refusal: &Refusal) -> bool {
    matches!(refusal.error.as_str(), "bad_verification_code" | "invalid_grant" | "unverified_user_email")
}

fn versioned(request: RequestBuilder) -> RequestBuilder {
    request.header("x-github-api-version", "2022-11-28")
}

/// The address with these segments after its own.
fn under(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    // An http address always has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[derive(Deserialize)]
struct GithubUser {
    id: u64,
    #[serde(default)]
    login: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    avatar_url: Value,
}

#[derive(Deserialize)]
struct GithubEmail {
    #[serde(default)]
    email: Value,
    #[serde(default)]
    primary: Value,
    #[serde(default)]
    verified: Value,
}

/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#accept>
const MEDIA_TYPE: &str = "application/vnd.github+json";
