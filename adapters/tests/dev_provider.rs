//! The development provider: a whole authorization-code round trip, and everything that breaks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use transtalk_adapters::oauth::DevProvider;
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::{
    AuthorizationEndpoint, AuthorizationRefused, AuthorizationRequest, Clock, CodeExchange, Entropy, IdentityError,
    IdentityProvider, Profile, ProviderToken,
};
use transtalk_core::translate::Language;
use transtalk_core::{Identity, Monotonic, Timestamp};
use url::Url;

#[tokio::test]
async fn a_listed_user_signs_in() {
    let world = World::new();
    let profile = world.sign_in("bob").await.unwrap();
    let expect = Profile {
        identity: Identity { issuer: "dev".to_owned(), subject: "bob".to_owned() },
        email: Some("bob@example.com".to_owned()),
        email_verified: true,
        name: Some("Bob".to_owned()),
        picture: None,
        language: Some(Language::new("ko").unwrap()),
    };
    assert_eq!(profile, expect);
    assert_eq!(world.provider.name(), "dev");
}

#[tokio::test]
async fn the_page_lists_five_users_and_each_reads_their_language() {
    let world = World::new();
    let accounts = world.provider.accounts();
    let listed: Vec<_> = accounts.iter().map(|a| (a.name.as_str(), a.language.as_ref().unwrap().as_str())).collect();
    assert_eq!(listed, [("alice", "en-us"), ("bob", "ko"), ("carla", "es"), ("daiki", "ja"), ("mei", "zh")]);
    for account in accounts {
        assert_eq!(world.sign_in(&account.name).await.unwrap().language, account.language);
    }
}

#[tokio::test]
async fn any_other_name_is_a_new_user_without_a_language() {
    let world = World::new();
    let longest = "x".repeat(40);
    for (name, subject) in
        [("Zoe", "zoe"), (" zoe_2.B-c ", "zoe_2.b-c"), ("7", "7"), ("ALICE2", "alice2"), (&longest, &longest)]
    {
        let profile = world.sign_in(name).await.unwrap();
        assert_eq!(profile.identity.subject, subject);
        assert_eq!(profile.email.unwrap(), format!("{subject}@example.com"));
        assert_eq!(profile.language, None);
    }
    assert_eq!(world.sign_in("ALICE").await.unwrap().identity.subject, "alice");
}

#[test]
fn a_name_that_is_none_is_refused_in_plain_words() {
    let world = World::new();
    let long = "x".repeat(41);
    for name in ["", "  ", "a b", "a@b", "a/b", "zoë", "앨리스", "a\nb", "<b>", &long] {
        match world.provider.authorize(&request(), name) {
            Err(AuthorizationRefused::Invalid(words)) => assert!(words.contains("name"), "{words}"),
            other => panic!("{name:?} {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_authorization_url_carries_every_parameter() {
    let world = World::new();
    let url = Url::parse(&world.provider.authorization_url(&request()).await.unwrap()).unwrap();
    assert_eq!(url.as_str().split('?').next(), Some(PAGE));
    let pairs: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let expect = [
        ("response_type", "code"),
        ("client_id", "transtalk"),
        ("redirect_uri", REDIRECT),
        ("state", "a state & more"),
        ("nonce", "a nonce"),
        ("code_challenge", &code_challenge(VERIFIER)),
        ("code_challenge_method", "S256"),
    ];
    assert_eq!(pairs, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn the_page_may_be_a_path() {
    let world = World::new();
    let provider = DevProvider::new("/dev/authorize".to_owned(), vec![], world.clock.clone(), Arc::new(TestEntropy));
    let url = provider.authorization_url(&request()).await.unwrap();
    assert!(
        url.starts_with("/dev/authorize?response_type=code&client_id=transtalk&redirect_uri=http%3A%2F%2F"),
        "{url}"
    );
    assert!(url.ends_with("&code_challenge_method=S256"), "{url}");
}

#[test]
fn the_browser_is_sent_back_with_code_and_state() {
    let world = World::new();
    for (redirect_uri, begins) in [
        (REDIRECT, "http://localhost:5173/oauth/callback?code="),
        (REDIRECT_WITH_QUERY, "http://localhost:5173/in?from=dev&x=%20y&code="),
        (REDIRECT_BARE, "http://localhost:5173?code="),
    ] {
        let back = world.provider.authorize(&to(redirect_uri), "alice").unwrap();
        assert!(back.starts_with(begins), "{back}");
        let pairs: BTreeMap<String, String> = Url::parse(&back).unwrap().query_pairs().into_owned().collect();
        assert_eq!(pairs["state"], "a state & more");
        assert_eq!(pairs["code"].len(), 43);
    }
}

#[test]
fn nobody_is_sent_to_an_address_that_is_not_ours() {
    let world = World::new();
    for uri in [
        "",
        "http://localhost:5173/oauth/callback/",
        "http://evil.example/",
        "/oauth/callback",
        "HTTP://localhost:5173",
    ] {
        check_refused(&world, &to(uri), "redirect_uri");
    }
}

#[test]
fn a_challenge_must_be_one_of_s256() {
    let world = World::new();
    let good = request().code_challenge;
    let (short, long) = (&good[1..], format!("{good}A"));
    for challenge in ["", VERIFIER_ELSEWHERE, short, &long, &good.replace(&good[..1], "+"), &"=".repeat(43)] {
        check_refused(
            &world,
            &AuthorizationRequest { code_challenge: challenge.to_owned(), ..request() },
            "code_challenge",
        );
    }
}

#[test]
fn state_and_nonce_have_limits() {
    let world = World::new();
    for text in [String::new(), "x".repeat(2_049)] {
        check_refused(&world, &AuthorizationRequest { state: text.clone(), ..request() }, "state");
        check_refused(&world, &AuthorizationRequest { nonce: text, ..request() }, "nonce");
    }
    let most = "x".repeat(2_048);
    assert_eq!(world.provider.check(&AuthorizationRequest { state: most.clone(), nonce: most, ..request() }), Ok(()));
}

#[tokio::test]
async fn a_code_is_good_once() {
    let world = World::new();
    let exchange = world.authorize("alice");
    assert!(world.provider.exchange(&exchange).await.is_ok());
    world.check_dead(&exchange).await;
}

#[tokio::test]
async fn a_code_is_used_up_even_by_a_wrong_exchange() {
    let world = World::new();
    let good = || world.authorize("alice");
    let long = "x".repeat(129);
    for (what, wrong) in [
        ("redirect_uri", CodeExchange { redirect_uri: REDIRECT_BARE.to_owned(), ..good() }),
        ("verifier", CodeExchange { code_verifier: VERIFIER_ELSEWHERE.to_owned(), ..good() }),
        ("empty verifier", CodeExchange { code_verifier: String::new(), ..good() }),
        ("long verifier", CodeExchange { code_verifier: long, ..good() }),
        ("challenge as verifier", CodeExchange { code_verifier: code_challenge(VERIFIER), ..good() }),
        ("nonce", CodeExchange { nonce: "another".to_owned(), ..good() }),
    ] {
        let refused = world.provider.exchange(&wrong).await;
        assert!(matches!(refused, Err(IdentityError::Refused { provider }) if provider == "dev"), "{what}");
        let mended = CodeExchange {
            redirect_uri: REDIRECT.to_owned(),
            code_verifier: VERIFIER.to_owned(),
            nonce: "a nonce".to_owned(),
            ..wrong
        };
        world.check_dead(&mended).await;
    }
}

#[tokio::test]
async fn an_unknown_code_is_refused() {
    let world = World::new();
    let exchange = world.authorize("alice");
    for code in ["", "x", &exchange.code[1..]] {
        world.check_dead(&CodeExchange { code: code.to_owned(), ..exchange.clone() }).await;
    }
    // That was another code, so this one lives.
    assert!(world.provider.exchange(&exchange).await.is_ok());
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let world = World::new();
    let (early, late) = (world.authorize("alice"), world.authorize("alice"));
    world.clock.advance(Duration::from_millis(59_999));
    assert!(world.provider.exchange(&early).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    world.check_dead(&late).await;
}

#[tokio::test]
async fn sign_ins_under_way_are_bounded_and_expired_ones_make_room() {
    let world = World::new();
    let first = world.authorize("alice");
    for _ in 1..10_000 {
        world.authorize("alice");
    }
    assert_eq!(world.provider.authorize(&request(), "alice"), Err(AuthorizationRefused::Busy));
    assert!(world.provider.exchange(&first).await.is_ok());
    world.authorize("alice");
    assert_eq!(world.provider.authorize(&request(), "alice"), Err(AuthorizationRefused::Busy));
    world.clock.advance(Duration::from_mins(1));
    assert!(world.sign_in("alice").await.is_ok());
}

#[tokio::test]
async fn nothing_is_granted_that_could_be_given_back() {
    let world = World::new();
    assert_eq!(world.provider.exchange(&world.authorize("alice")).await.unwrap().grant, None);
    assert!(world.provider.revoke(&ProviderToken("anything".to_owned())).await.is_ok());
    assert_eq!(world.provider.issuer(), None);
    assert!(!world.provider.needs_state());
}

#[test]
fn two_codes_differ() {
    let world = World::new();
    assert_ne!(world.authorize("alice").code, world.authorize("alice").code);
}

#[track_caller]
fn check_refused(world: &World, request: &AuthorizationRequest, words: &str) {
    let refused = world.provider.check(request);
    assert!(matches!(refused, Err(AuthorizationRefused::Invalid(told)) if told.starts_with(words)), "{refused:?}");
    assert_eq!(world.provider.authorize(request, "alice").map(|_| ()), refused);
}

struct World {
    provider: DevProvider,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        let redirect_uris = [REDIRECT, REDIRECT_WITH_QUERY, REDIRECT_BARE].map(str::to_owned).to_vec();
        let provider = DevProvider::new(PAGE.to_owned(), redirect_uris, clock.clone(), Arc::new(TestEntropy));
        Self { provider, clock }
    }

    /// As far as the return to the client.
    fn authorize(&self, name: &str) -> CodeExchange {
        let back = Url::parse(&self.provider.authorize(&request(), name).unwrap()).unwrap();
        let (_, code) = back.query_pairs().find(|(key, _)| key == "code").unwrap();
        CodeExchange {
            code: code.into_owned(),
            state: "a state & more".to_owned(),
            redirect_uri: REDIRECT.to_owned(),
            code_verifier: VERIFIER.to_owned(),
            nonce: "a nonce".to_owned(),
        }
    }

    async fn sign_in(&self, name: &str) -> Result<Profile, IdentityError> {
        Ok(self.provider.exchange(&self.authorize(name)).await?.profile)
    }

    async fn check_dead(&self, exchange: &CodeExchange) {
        assert!(matches!(self.provider.exchange(exchange).await, Err(IdentityError::Refused { .. })));
    }
}

fn request() -> AuthorizationRequest {
    to(REDIRECT)
}

fn to(redirect_uri: &str) -> AuthorizationRequest {
    AuthorizationRequest {
        redirect_uri: redirect_uri.to_owned(),
        state: "a state & more".to_owned(),
        nonce: "a nonce".to_owned(),
        code_challenge: code_challenge(VERIFIER),
    }
}

#[derive(Default)]
struct TestClock(AtomicU64);

impl TestClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct TestEntropy;

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let digest = Sha256::digest(CALLS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let length = bytes.len();
        bytes.copy_from_slice(&digest[..length]);
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);
const PAGE: &str = "http://127.0.0.1:8080/dev/authorize";
const REDIRECT: &str = "http://localhost:5173/oauth/callback";
const REDIRECT_WITH_QUERY: &str = "http://localhost:5173/in?from=dev&x=%20y";
const REDIRECT_BARE: &str = "http://localhost:5173";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// One character differs; and as a challenge it is no SHA-256 either, since the last character has bits too many.
const VERIFIER_ELSEWHERE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl";
