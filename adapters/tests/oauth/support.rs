//! A provider on this machine that answers what a test tells it to, and a client of it with a frozen clock.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use transtalk_adapters::oauth::{Kind, ProviderSettings, provider};
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    AuthorizationRequest, Authorized, Clock, CodeExchange, IdentityError, IdentityProvider, Profile, ProviderToken,
};
use transtalk_core::{Monotonic, Timestamp};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const CLIENT_ID: &str = "client-1234";
pub(crate) const SECRET: &str = "the-secret-of-the-client";
pub(crate) const CODE: &str = "the-code-of-this-sign-in";
pub(crate) const STATE: &str = "the state & more";
pub(crate) const NONCE: &str = "the-nonce-of-this-sign-in";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const REDIRECT: &str = "https://chat.example/oauth/callback?from=x%20y";
pub(crate) const ACCESS: &str = "the-access-token";
pub(crate) const REFRESH: &str = "the-refresh-token";

/// A provider that is this test's, and the client of it.
pub(crate) struct World {
    pub(crate) server: MockServer,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) provider: Arc<dyn IdentityProvider>,
    priority: AtomicU8,
}

impl World {
    /// A client of this kind whose every endpoint is this test's. An `oidc` one finds them at its issuer.
    pub(crate) async fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {}).await
    }

    /// The same, with other settings.
    pub(crate) async fn with(kind: Kind, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let server = MockServer::start().await;
        let mut settings = settings(kind, &server.uri());
        change(&mut settings);
        let clock = Arc::new(TestClock::default());
        let provider = provider("work", &settings, clock.clone()).unwrap();
        Self { server, clock, provider, priority: AtomicU8::new(u8::MAX) }
    }

    /// What stands at an address from now on, before anything that stood there.
    pub(crate) async fn answer(&self, verb: &str, at: &str, answer: ResponseTemplate) {
        // The server asks its answers in the order of their priority: the later one goes first.
        let priority = self.priority.fetch_sub(1, Ordering::Relaxed);
        Mock::given(method(verb)).and(path(at)).respond_with(answer).with_priority(priority).mount(&self.server).await;
    }

    /// The metadata, with these changes.
    pub(crate) async fn metadata(&self, change: Value) {
        let uri = self.server.uri();
        let metadata = json!({
            "issuer": uri,
            "authorization_endpoint": format!("{uri}/authorize"),
            "token_endpoint": format!("{uri}/token"),
            "userinfo_endpoint": format!("{uri}/me"),
            "jwks_uri": format!("{uri}/keys"),
            "revocation_endpoint": format!("{uri}/revoke"),
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "HS256", "none"],
        });
        self.answer("GET", "/.well-known/openid-configuration", ok(&merged(metadata, change))).await;
    }

    /// The key set.
    pub(crate) async fn keys(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        self.answer("GET", "/keys", ok(&json!({ "keys": keys }))).await;
    }

    /// What a code is good for, with this ID token.
    pub(crate) async fn tokens(&self, id_token: Option<String>) {
        let body = json!({
            "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3_599, "refresh_token": REFRESH, "id_token": id_token,
        });
        self.answer("POST", "/token", ok(&body)).await;
    }

    /// Everything that an `OpenID` provider has, for somebody whose ID token says this.
    pub(crate) async fn openid(&self, claims: Value) {
        self.metadata(json!({})).await;
        self.keys(&[&RSA]).await;
        self.tokens(Some(RSA.sign(&merged(self.claims(), claims)))).await;
    }

    /// The claims of a good ID token.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.server.uri(), "sub": "248289761001", "aud": CLIENT_ID, "iat": NOW, "exp": NOW + 3_600, "nonce": NONCE,
        })
    }

    pub(crate) async fn exchange(&self) -> Result<Authorized, IdentityError> {
        self.provider.exchange(&exchange()).await
    }

    /// The profile of a sign-in that goes well.
    pub(crate) async fn profile(&self) -> Profile {
        self.exchange().await.unwrap().profile
    }

    /// The sign-in is refused, and nothing else.
    pub(crate) async fn check_refused(&self, what: &str) {
        let refused = self.exchange().await;
        assert!(
            matches!(&refused, Err(IdentityError::Refused { provider }) if provider == "work"),
            "{what}: {refused:?}"
        );
    }

    /// There was no usable answer, and this was why.
    pub(crate) async fn check_unavailable(&self, words: &str) {
        check_trouble(self.exchange().await.map(drop), words);
    }

    /// Refused, or not available with these words.
    pub(crate) async fn check_told(&self, refused: bool, words: &str) {
        if refused {
            self.check_refused(words).await;
        } else {
            self.check_unavailable(&format!("it refused this server with {words}")).await;
        }
    }

    /// The requests that came to an address.
    pub(crate) async fn asked(&self, at: &str) -> Vec<Request> {
        let requests = self.server.received_requests().await.unwrap();
        requests.into_iter().filter(|request| request.url.path() == at).collect()
    }

    /// The fields of the form that came to an address last.
    pub(crate) async fn form(&self, at: &str) -> Vec<(String, String)> {
        let last = self.asked(at).await.pop().unwrap();
        url::form_urlencoded::parse(&last.body).into_owned().collect()
    }
}

/// The error is one of availability, says this, and holds no secret.
#[track_caller]
pub(crate) fn check_trouble(result: Result<(), IdentityError>, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, IdentityError::Unavailable { .. }), "{error:?}");
    let first: Option<&dyn Error> = Some(&error);
    let causes = std::iter::successors(first, |&error| error.source());
    let told: Vec<String> = causes.map(|error| format!("{error} {error:?}")).collect();
    let told = told.join(" ");
    assert!(told.contains(words), "{words:?} is not in {told}");
    for secret in [SECRET, CODE, STATE, NONCE, VERIFIER, ACCESS, REFRESH] {
        assert!(!told.contains(secret), "{secret:?} is in {told}");
    }
}

/// Settings whose every address is at this server.
pub(crate) fn settings(kind: Kind, uri: &str) -> ProviderSettings {
    let mut settings = ProviderSettings::new(kind, CLIENT_ID, SECRET);
    settings.issuer = Some(uri.to_owned());
    if kind != Kind::Oidc {
        settings.authorize_url = Some(format!("{uri}/authorize"));
        settings.token_url = Some(format!("{uri}/token"));
        settings.userinfo_url = Some(format!("{uri}/me"));
        settings.jwks_url = Some(format!("{uri}/keys"));
        settings.revoke_url = Some(format!("{uri}/revoke"));
    }
    settings
}

pub(crate) fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        redirect_uri: REDIRECT.to_owned(),
        state: STATE.to_owned(),
        nonce: NONCE.to_owned(),
        code_challenge: code_challenge(VERIFIER),
    }
}

pub(crate) fn exchange() -> CodeExchange {
    CodeExchange {
        code: CODE.to_owned(),
        state: STATE.to_owned(),
        redirect_uri: REDIRECT.to_owned(),
        code_verifier: VERIFIER.to_owned(),
        nonce: NONCE.to_owned(),
    }
}

pub(crate) fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub(crate) fn status(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

/// The first object with the members of the second in place of its own; `null` removes one.
pub(crate) fn merged(mut object: Value, change: Value) -> Value {
    let Value::Object(change) = change else { panic!("not an object") };
    for (name, value) in change {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(&name);
        } else {
            object[name] = value;
        }
    }
    object
}

pub(crate) fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A grant as it is kept.
pub(crate) fn kept(text: &str) -> ProviderToken {
    ProviderToken(text.to_owned())
}

/// A key that signs ID tokens.
pub(crate) struct Key {
    pub(crate) kid: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) pem: &'static str,
}

impl Key {
    fn private(&self) -> EncodingKey {
        let pem = self.pem.as_bytes();
        match self.algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem).unwrap(),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).unwrap(),
            _ => EncodingKey::from_rsa_pem(pem).unwrap(),
        }
    }

    /// As it stands in a key set.
    pub(crate) fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private(), self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        self.sign_with(&header, claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private()).unwrap()
    }
}

pub(crate) static RSA: Key = Key { kid: "rsa-1", algorithm: Algorithm::RS256, pem: include_str!("keys/rsa.pem") };
pub(crate) static RSA_PSS: Key = Key { kid: "rsa-pss", algorithm: Algorithm::PS256, pem: include_str!("keys/rsa.pem") };
pub(crate) static OTHER: Key =
    Key { kid: "rsa-2", algorithm: Algorithm::RS256, pem: include_str!("keys/rsa_other.pem") };
pub(crate) static EC: Key = Key { kid: "ec-1", algorithm: Algorithm::ES256, pem: include_str!("keys/ec.pem") };
pub(crate) static ED: Key = Key { kid: "ed-1", algorithm: Algorithm::EdDSA, pem: include_str!("keys/ed.pem") };

#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW * 1_000 + self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_millis(self.0.load(Ordering::Relaxed))
    }
}
