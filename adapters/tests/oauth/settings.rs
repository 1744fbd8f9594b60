//! What is wrong with a configuration is said in words that name its key.

use std::sync::Arc;

use transtalk_adapters::oauth::{Kind, ProviderSettings, SettingsError, provider};
use transtalk_core::ports::IdentityProvider;

use crate::support::{CLIENT_ID, SECRET, TestClock, request};

#[tokio::test]
async fn the_five_providers_need_no_address_but_an_issuer() {
    for (kind, begins) in [
        (Kind::Naver, "https://nid.naver.com/oauth2.0/authorize?response_type=code&client_id=client-1234&"),
        (Kind::Github, "https://github.com/login/oauth/authorize?response_type=code&client_id=client-1234&"),
    ] {
        let made = made(&ProviderSettings::new(kind, CLIENT_ID, SECRET)).unwrap();
        let link = made.authorization_url(&request()).await.unwrap();
        assert!(link.starts_with(begins), "{link}");
    }
    for (kind, issuer) in [(Kind::Google, "https://accounts.google.com"), (Kind::Kakao, "https://kauth.kakao.com")] {
        let made = made(&ProviderSettings::new(kind, CLIENT_ID, SECRET)).unwrap();
        assert_eq!(made.issuer().as_deref(), Some(issuer));
    }
    let mut settings = ProviderSettings::new(Kind::Oidc, CLIENT_ID, "");
    settings.issuer = Some("https://id.example/realms/chat".to_owned());
    assert_eq!(made(&settings).unwrap().issuer().as_deref(), Some("https://id.example/realms/chat"));
}

#[tokio::test]
async fn one_configured_address_makes_the_others_those_of_the_documentation() {
    for (kind, begins) in [
        (Kind::Google, "https://accounts.google.com/o/oauth2/v2/auth?response_type=code&"),
        (Kind::Kakao, "https://kauth.kakao.com/oauth/authorize?response_type=code&"),
    ] {
        let mut settings = ProviderSettings::new(kind, CLIENT_ID, SECRET);
        settings.token_url = Some("http://127.0.0.1:9/token".to_owned());
        let link = made(&settings).unwrap().authorization_url(&request()).await.unwrap();
        assert!(link.starts_with(begins), "{link}");
    }
}

#[test]
fn what_is_missing_is_named() {
    check(Kind::Oidc, |_| {}, "auth.providers.work.issuer is missing");
    check(Kind::Oidc, |settings| settings.issuer = Some(" ".to_owned()), "auth.providers.work.issuer is missing");
    for kind in Kind::ALL {
        check(kind, |settings| settings.client_id = " ".to_owned(), "auth.providers.work.client_id is missing");
    }
    for kind in [Kind::Google, Kind::Naver, Kind::Github] {
        check(kind, |settings| settings.client_secret.clear(), "auth.providers.work.client_secret is missing");
    }
}

#[test]
fn an_address_for_secrets_is_https_or_on_this_machine() {
    for address in [
        "http://id.example",
        "ftp://id.example",
        "javascript:alert(1)",
        "id.example",
        "https://user@id.example",
        "https://user:word@id.example",
        "https://id.example/#top",
        "http://127.0.0.1.id.example",
        "http://localhost.id.example",
    ] {
        let wrong = Some(address.to_owned());
        for (name, change) in FIELDS {
            let mut settings = ProviderSettings::new(Kind::Google, CLIENT_ID, SECRET);
            change(&mut settings, wrong.clone());
            let words = format!("auth.providers.work.{name} must be an https address");
            assert!(problem(&settings).starts_with(&words), "{address} {name}");
        }
    }
    for address in
        ["https://id.example/a?b=c", "http://127.0.0.1:8080/a", "http://localhost:1/", "http://[::1]:8080/", ""]
    {
        for (name, change) in FIELDS.iter().filter(|(name, _)| *name != "issuer") {
            let mut settings = ProviderSettings::new(Kind::Google, CLIENT_ID, SECRET);
            change(&mut settings, Some(address.to_owned()));
            assert!(made(&settings).is_ok(), "{address} {name}");
        }
    }
    let with_query = |settings: &mut ProviderSettings| settings.issuer = Some("https://id.example/?a=b".to_owned());
    check(Kind::Oidc, with_query, "auth.providers.work.issuer must be an https address without query");
}

#[test]
fn a_secret_has_no_lines() {
    check(
        Kind::Google,
        |settings| settings.client_secret = "a\r\nb".to_owned(),
        "auth.providers.work.client_secret has characters",
    );
    check(
        Kind::Google,
        |settings| settings.client_id = "a\nb".to_owned(),
        "auth.providers.work.client_id has characters",
    );
}

#[test]
fn settings_do_not_show_the_secret() {
    let settings = ProviderSettings::new(Kind::Github, CLIENT_ID, SECRET);
    let shown = format!("{settings:?}");
    assert!(shown.contains(CLIENT_ID) && !shown.contains(SECRET), "{shown}");
}

#[test]
fn kinds_have_names() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(Kind::from_name("dev"), None);
    assert_eq!(Kind::from_name("Google"), None);
}

#[track_caller]
fn check(kind: Kind, change: impl FnOnce(&mut ProviderSettings), words: &str) {
    let mut settings = ProviderSettings::new(kind, CLIENT_ID, SECRET);
    if kind == Kind::Oidc && !words.contains("issuer") {
        settings.issuer = Some("https://id.example".to_owned());
    }
    change(&mut settings);
    let problem = problem(&settings);
    assert!(problem.starts_with(words), "{problem}");
    assert!(!problem.contains(SECRET));
}

fn problem(settings: &ProviderSettings) -> String {
    made(settings).map(|_| ()).unwrap_err().to_string()
}

fn made(settings: &ProviderSettings) -> Result<Arc<dyn IdentityProvider>, SettingsError> {
    provider("work", settings, Arc::new(TestClock::default()))
}

type Change = fn(&mut ProviderSettings, Option<String>);
const FIELDS: [(&str, Change); 6] = [
    ("issuer", |settings, address| settings.issuer = address),
    ("authorize_url", |settings, address| settings.authorize_url = address),
    ("token_url", |settings, address| settings.token_url = address),
    ("userinfo_url", |settings, address| settings.userinfo_url = address),
    ("jwks_url", |settings, address| settings.jwks_url = address),
    ("revoke_url", |settings, address| settings.revoke_url = address),
];
