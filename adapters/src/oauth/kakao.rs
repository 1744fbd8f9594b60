//! Kakao (<https://developers.kakao.com/docs/latest/en/kakaologin/rest-api>). `OpenID` Connect must be switched on in its console.
//!
//! Its ID token says nothing about whether an address is verified, so its own profile is always read.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Number, Value};
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, Clock, CodeExchange, IdentityError, IdentityProvider, ProviderToken,
};
use url::Url;

use super::discovery::Documented;
use super::http::{Failure, Trouble};
use super::oidc::{Character, OpenIdFlow};
use super::profile::Told;
use super::settings::{Checked, SettingsError, own};
use super::token_endpoint::{Grant, Refusal, Scheme, status};

/// Kakao.
pub(super) struct Kakao {
    flow: OpenIdFlow,
    profile_url: Url,
    unlink_url: Url,
}

impl Kakao {
    /// Kakao with these settings.
    pub(super) fn new(settings: Checked, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let mut profile_url = settings.endpoints.userinfo.clone().unwrap_or_else(|| own(PROFILE_URL));
        // "Whether to use HTTPS for the image URL"; without it pictures come by http, and are dropped.
        profile_url.query_pairs_mut().append_pair("secure_resource", "true");
        let unlink_url = settings.endpoints.revoke.clone().unwrap_or_else(|| own(UNLINK_URL));
        let character = Character {
            issuers: vec![ISSUER.to_owned()],
            documented: Some(&DOCUMENTED),
            scopes: &["openid", "account_email", "profile_nickname", "profile_image"],
            is_about_the_code,
        };
        Ok(Self { flow: OpenIdFlow::new(settings, character, clock)?, profile_url, unlink_url })
    }

    async fn exchanged(&self, exchange: &CodeExchange) -> Result<Authorized, Failure> {
        let (_, tokens, claims) = self.flow.exchange(exchange).await?;
        let user: KakaoUser = self.flow.http.read(&self.profile_url, Some(&tokens.access)).await?;
        if user.id.to_string() != claims.subject {
            return Err(Failure::Refused("its profile is about somebody else".to_owned()));
        }
        let account = user.kakao_account.unwrap_or_default();
        let profile = account.profile.as_ref();
        // "is_email_valid: false: Email is expired because the email is used for another Kakao Account".
        let is_valid = account.is_email_valid == true;
        let told = Told {
            email: account.email.as_str().filter(|_| is_valid),
            email_verified: account.is_email_verified == true,
            names: [profile.and_then(|profile| profile.nickname.as_str()), account.name.as_str(), None],
            picture: profile
                .filter(|profile| profile.is_default_image != true)
                .and_then(|profile| profile.profile_image_url.as_str()),
            language: None,
        };
        let profile = told.profile(&self.flow.issuer, &claims.subject).ok_or(Trouble::Malformed)?;
        let grant = Grant { access: Some(tokens.access), refresh: tokens.refresh };
        Ok(Authorized { profile, grant: grant.sealed() })
    }

    /// Unlinks with the access token, or with a new one if it has expired meanwhile.
    async fn unlinked(&self, token: &ProviderToken) -> Result<(), Failure> {
        let grant = Grant::opened(token)?;
        let first = match &grant.access {
            Some(access) => self.unlink(access).await,
            None => Err(Failure::Refused("a grant without an access token".to_owned())),
        };
        match (first, &grant.refresh) {
            (Err(Failure::Refused(_)), Some(refresh)) => {
                let metadata = self.flow.discovery.metadata(&self.flow.http).await?;
                let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
                let tokens = self.flow.token_endpoint(&metadata).ask(Scheme::Post, &form).await?;
                self.unlink(&tokens.access).await
            }
            (first, _) => first,
        }
    }

    async fn unlink(&self, access: &str) -> Result<(), Failure> {
        let http = &self.flow.http;
        let answer = http.send(http.post(&self.unlink_url, &[]).bearer_auth(access)).await?;
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        let code = answer.json::<ApiRefusal>().map(|refusal| refusal.code).unwrap_or_default();
        // -401 is an access token that has expired or never was, -101 a user who is not linked (any more).
        if answer.status == StatusCode::UNAUTHORIZED || code == NOT_LINKED {
            return Err(Failure::Refused(format!("code {code}")));
        }
        Err(status(&answer))
    }
}

#[async_trait]
impl IdentityProvider for Kakao {
    fn name(&self) -> &str {
        &self.flow.name
    }

    fn issuer(&self) -> Option<String> {
        Some(self.flow.issuer.clone())
    }

    async fn authorization_url(&self, request: &AuthorizationRequest) -> Result<String, IdentityError> {
        self.flow.authorization_url(request, &[]).await
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Authorized, IdentityError> {
        let exchanged = self.flow.http.within(self.exchanged(exchange)).await;
        exchanged.map_err(|failure| failure.of(&self.flow.name))
    }

    async fn revoke(&self, token: &ProviderToken) -> Result<(), IdentityError> {
        self.flow.http.within(self.unlinked(token)).await.map_err(|failure| failure.of(&self.flow.name))
    }
}

/// `KOE303` comes as `invalid_grant` too, but it is a redirect URI that differs, and that is not the user's doing.
fn is_about_the_code(refusal: &Refusal) -> bool {
    refusal.error == "invalid_grant" && refusal.error_code.as_deref() != Some("KOE303")
}

#[derive(Deserialize)]
struct KakaoUser {
    id: Number,
    #[serde(default)]
    kakao_account: Option<Account>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    profile: Option<Shown>,
    name: Value,
    email: Value,
    is_email_valid: Value,
    is_email_verified: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    nickname: Value,
    profile_image_url: Value,
    is_default_image: Value,
}

#[derive(Deserialize)]
struct ApiRefusal {
    code: i64,
}

const ISSUER: &str = "https://kauth.kakao.com";
const PROFILE_URL: &str = "https://kapi.kakao.com/v2/user/me";
const UNLINK_URL: &str = "https://kapi.kakao.com/v1/user/unlink";
const NOT_LINKED: i64 = -101;
/// What <https://kauth.kakao.com/.well-known/openid-configuration> says. It is asked for, unless an endpoint is configured.
const DOCUMENTED: Documented = Documented {
    authorize: "https://kauth.kakao.com/oauth/authorize",
    token: "https://kauth.kakao.com/oauth/token",
    userinfo: None,
    jwks: "https://kauth.kakao.com/.well-known/jwks.json",
    revoke: None,
};
