//! Where a provider's endpoints and keys are (OpenID Connect Discovery 1.0, RFC 8414), and what it signs with.

use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use serde_json::Value;
use transtalk_core::ports::Clock;
use url::Url;

use super::fresh::Fresh;
use super::http::{Failure, Http, Trouble};
use super::settings::{Endpoints, endpoint, is_loopback, own};
use super::token_endpoint::Scheme;
use crate::signer::jws::JwsAlgorithm;

/// What is known of a provider.
#[derive(Clone)]
pub(super) struct Metadata {
    pub(super) authorize: Url,
    pub(super) token: Url,
    pub(super) userinfo: Option<Url>,
    pub(super) jwks: Url,
    pub(super) revoke: Option<Url>,
    /// What it may sign ID tokens with.
    pub(super) algorithms: Vec<JwsAlgorithm>,
    /// How it may be shown the secret; the first that it accepts.
    pub(super) schemes: Vec<Scheme>,
}

/// The endpoints that a well-known provider documents.
pub(super) struct Documented {
    pub(super) authorize: &'static str,
    pub(super) token: &'static str,
    pub(super) userinfo: Option<&'static str>,
    pub(super) jwks: &'static str,
    pub(super) revoke: Option<&'static str>,
}

impl Documented {
    /// With these in place of the documented ones.
    fn with(&self, endpoints: Endpoints) -> Metadata {
        Metadata {
            authorize: endpoints.authorize.unwrap_or_else(|| own(self.authorize)),
            token: endpoints.token.unwrap_or_else(|| own(self.token)),
            userinfo: endpoints.userinfo.or_else(|| self.userinfo.map(own)),
            jwks: endpoints.jwks.unwrap_or_else(|| own(self.jwks)),
            revoke: endpoints.revoke.or_else(|| self.revoke.map(own)),
            algorithms: vec![JwsAlgorithm::Rs256],
            schemes: vec![Scheme::Post],
        }
    }
}

/// A provider's metadata and keys, asked for when they are needed.
pub(super) struct Discovery {
    issuer: String,
    source: Source,
    metadata: Fresh<Metadata>,
    keys: Fresh<JwkSet>,
}

enum Source {
    /// Nothing is asked: all that is needed is configured or documented.
    Known(Box<Metadata>),
    /// The provider is asked, and these hold in place of what it says.
    Asked { url: Box<Url>, endpoints: Box<Endpoints> },
}

impl Discovery {
    /// Discovery at an issuer, unless the configuration makes it needless.
    pub(super) fn new(
        issuer: &str,
        endpoints: Endpoints,
        documented: Option<&Documented>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let source = match (documented, endpoints) {
            (Some(documented), endpoints) if endpoints.any() => Source::Known(documented.with(endpoints).into()),
            (_, Endpoints { authorize: Some(authorize), token: Some(token), jwks: Some(jwks), userinfo, revoke }) => {
                let algorithms = ACCEPTED.to_vec();
                let schemes = vec![Scheme::Basic, Scheme::Post];
                Source::Known(Metadata { authorize, token, userinfo, jwks, revoke, algorithms, schemes }.into())
            }
            // OpenID Connect Discovery section 4: "Concatenating the string /.well-known/openid-configuration to the Issuer", without
            // the slash that it may end in.
            (_, endpoints) => {
                let url = endpoint(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
                Source::Asked { url: url.into(), endpoints: endpoints.into() }
            }
        };
        let (metadata, keys) = (Fresh::new(issuer, clock.clone()), Fresh::new(issuer, clock.clone()));
        Some(Self { issuer: issuer.to_owned(), source, metadata, keys })
    }

    /// What is known of the provider, at most an hour old while it answers.
    pub(super) async fn metadata(&self, http: &Http) -> Result<Arc<Metadata>, Failure> {
        self.metadata.get(self.ask(http)).await
    }

    /// Its keys, at most an hour old while it answers.
    pub(super) async fn keys(&self, http: &Http, metadata: &Metadata) -> Result<Arc<JwkSet>, Failure> {
        self.keys.get(fetch_keys(http, &metadata.jwks)).await
    }

    /// Newer keys than these, because a token names one that is not among them.
    pub(super) async fn newer_keys(
        &self,
        http: &Http,
        metadata: &Arc<Metadata>,
        seen: &Arc<JwkSet>,
    ) -> Result<Option<Arc<JwkSet>>, Failure> {
        let fetch = async {
            let newer = self.metadata.again(metadata, self.ask(http)).await?;
            fetch_keys(http, &newer.as_ref().unwrap_or(metadata).jwks).await
        };
        self.keys.again(seen, fetch).await
    }

    async fn ask(&self, http: &Http) -> Result<Metadata, Failure> {
        match &self.source {
            Source::Known(metadata) => Ok(metadata.as_ref().clone()),
            Source::Asked { url, endpoints } => {
                let document: Document = http.read(url, None).await?;
                document.metadata(&self.issuer, endpoints.as_ref().clone()).map_err(Failure::from)
            }
        }
    }
}

/// A set's usable keys. One that we cannot read is not one that a token may be signed with.
async fn fetch_keys(http: &Http, url: &Url) -> Result<JwkSet, Failure> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = http.read(url, None).await?;
    let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).collect();
    Ok(JwkSet { keys })
}

/// What we read of the metadata (OpenID Connect Discovery section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Document {
    fn metadata(self, issuer: &str, endpoints: Endpoints) -> Result<Metadata, Trouble> {
        // Section 4.3: "The issuer value returned MUST be identical to the Issuer URL that was directly used". Otherwise one provider
        // could pass its users off as another's (RFC 9700 section 4.4).
        if self.issuer != issuer {
            return Err(Trouble::OtherIssuer);
        }
        let loopback = Url::parse(issuer).is_ok_and(|url| is_loopback(&url) && url.scheme() == "http");
        let checked = |told: Option<String>, field| {
            let Some(text) = told else { return Ok(None) };
            match endpoint(&text).filter(|url| url.scheme() == "https" || loopback) {
                Some(url) => Ok(Some(url)),
                None => Err(Trouble::Insecure(field)),
            }
        };
        let authorize = checked(self.authorization_endpoint, "authorization_endpoint")?;
        let token = checked(self.token_endpoint, "token_endpoint")?;
        let jwks = checked(self.jwks_uri, "jwks_uri")?;
        let userinfo = checked(self.userinfo_endpoint, "userinfo_endpoint")?;
        let revoke = checked(self.revocation_endpoint, "revocation_endpoint")?;
        Ok(Metadata {
            authorize: endpoints.authorize.or(authorize).ok_or(Trouble::Lacks("authorization_endpoint"))?,
            token: endpoints.token.or(token).ok_or(Trouble::Lacks("token_endpoint"))?,
            jwks: endpoints.jwks.or(jwks).ok_or(Trouble::Lacks("jwks_uri"))?,
            userinfo: endpoints.userinfo.or(userinfo),
            revoke: endpoints.revoke.or(revoke),
            algorithms: algorithms(self.id_token_signing_alg_values_supported.as_deref())?,
            schemes: schemes(self.token_endpoint_auth_methods_supported.as_deref()),
        })
    }
}

fn algorithms(told: Option<&[String]>) -> Result<Vec<JwsAlgorithm>, Trouble> {
    // "The algorithm RS256 MUST be included", so whoever says nothing means this one.
    let Some(told) = told else { return Ok(vec![JwsAlgorithm::Rs256]) };
    let common = ACCEPTED.into_iter().filter(|algorithm| told.iter().any(|name| name == algorithm.name()));
    let common: Vec<_> = common.collect();
    if common.is_empty() { Err(Trouble::NoAlgorithm) } else { Ok(common) }
}

fn schemes(told: Option<&[String]>) -> Vec<Scheme> {
    // "If omitted, the default is client_secret_basic".
    let Some(told) = told else { return vec![Scheme::Basic] };
    let names = |name: &str| told.iter().any(|told| told == name);
    let mut schemes = Vec::new();
    if names("client_secret_basic") {
        schemes.push(Scheme::Basic);
    }
    if names("client_secret_post") {
        schemes.push(Scheme::Post);
    }
    if schemes.is_empty() { vec![Scheme::Basic] } else { schemes }
}

/// Never a symmetric one: the client secret is known to too many to be a key.
const ACCEPTED: [JwsAlgorithm; 4] =
    [JwsAlgorithm::Rs256, JwsAlgorithm::Ps256, JwsAlgorithm::Es256, JwsAlgorithm::EdDsa];
const KEYS_MAX: usize = 100;
