//! What holds for every provider: the link, the limits, and answers that are none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::auth::code_challenge;
use transtalk_core::ports::IdentityError;
use url::Url;
use wiremock::ResponseTemplate;

use crate::support::{
    CLIENT_ID, CODE, NONCE, REDIRECT, RSA, SECRET, STATE, VERIFIER, World, check_trouble, exchange, kept, merged, ok,
    request, status,
};

#[tokio::test]
async fn every_link_carries_what_it_must_and_no_secret() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        let link = world.provider.authorization_url(&request()).await.unwrap();
        let url = Url::parse(&link).unwrap();
        assert_eq!(url.path(), "/authorize", "{kind:?}");
        let listed: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let pairs: BTreeMap<String, String> = listed.iter().cloned().collect();
        assert_eq!(pairs.len(), listed.len(), "{kind:?} says something twice");
        assert_eq!(pairs["response_type"], "code", "{kind:?}");
        assert_eq!(pairs["client_id"], CLIENT_ID, "{kind:?}");
        assert_eq!(pairs["redirect_uri"], REDIRECT, "{kind:?}");
        assert_eq!(pairs["state"], STATE, "{kind:?}");
        assert_eq!(pairs["code_challenge"], code_challenge(VERIFIER), "{kind:?}");
        assert_eq!(pairs["code_challenge_method"], "S256", "{kind:?}");
        assert!(!link.contains(SECRET) && !link.contains(VERIFIER), "{kind:?}");
        let takes_nonce = matches!(kind, Kind::Google | Kind::Kakao | Kind::Oidc);
        assert_eq!(pairs.get("nonce").map(String::as_str), takes_nonce.then_some(NONCE), "{kind:?}");
        let scope = match kind {
            Kind::Google => Some("openid email profile"),
            Kind::Kakao => Some("openid account_email profile_nickname profile_image"),
            Kind::Naver => None,
            Kind::Github => Some("user:email"),
            Kind::Oidc => Some("openid profile email"),
        };
        assert_eq!(pairs.get("scope").map(String::as_str), scope, "{kind:?}");
    }
}

#[tokio::test]
async fn a_link_keeps_the_query_of_its_address_and_takes_other_scopes() {
    let world = World::with(Kind::Github, |settings| {
        let address = settings.authorize_url.as_mut().unwrap();
        address.push_str("?allow_signup=false");
        settings.scopes = vec!["read:user".to_owned(), "user:email".to_owned()];
    });
    let link = world.await.provider.authorization_url(&request()).await.unwrap();
    assert!(link.contains("/authorize?allow_signup=false&response_type=code&"), "{link}");
    assert!(link.contains("&scope=read%3Auser+user%3Aemail&"), "{link}");
    for (scopes, expect) in
        [(vec!["email"], "&scope=openid+email&"), (vec!["groups", "openid"], "&scope=groups+openid&")]
    {
        let world =
            World::with(Kind::Oidc, |settings| settings.scopes = scopes.iter().map(ToString::to_string).collect())
                .await;
        world.metadata(json!({})).await;
        let link = world.provider.authorization_url(&request()).await.unwrap();
        assert!(link.contains(expect), "{link}");
    }
}

#[tokio::test]
async fn only_a_provider_that_holds_a_code_to_nothing_needs_state() {
    for kind in Kind::ALL {
        let world = World::new(kind).await;
        let needs_state = matches!(kind, Kind::Naver | Kind::Github);
        assert_eq!(world.provider.needs_state(), needs_state, "{kind:?}");
        let names_itself = matches!(kind, Kind::Google | Kind::Kakao | Kind::Oidc);
        assert_eq!(world.provider.issuer(), names_itself.then(|| world.server.uri()), "{kind:?}");
        assert_eq!(world.provider.name(), "work");
    }
}

#[tokio::test]
async fn every_provider_is_told_all_that_binds_a_code() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        world.exchange().await.unwrap();
        let form: BTreeMap<String, String> = world.form("/token").await.into_iter().collect();
        assert_eq!(form["grant_type"], "authorization_code", "{kind:?}");
        assert_eq!(form["code"], CODE, "{kind:?}");
        assert_eq!(form["redirect_uri"], REDIRECT, "{kind:?}");
        assert_eq!(form["code_verifier"], VERIFIER, "{kind:?}");
        assert_eq!(form.get("state").map(String::as_str), (kind == Kind::Naver).then_some(STATE), "{kind:?}");
        let asked = world.asked("/token").await.pop().unwrap();
        assert_eq!(asked.headers["accept"], "application/json", "{kind:?}");
        assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("TransTalk/"), "{kind:?}");
        assert!(asked.url.query().is_none(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_too_slow_costs_nobody_more_than_the_limit() {
    for kind in Kind::ALL {
        for at in ["/token", "/me"] {
            let world = ready_within(kind, Duration::from_millis(300)).await;
            let slow = ok(&json!({})).set_delay(Duration::from_mins(1));
            world.answer(if at == "/me" { "GET" } else { "POST" }, at, slow).await;
            world.check_unavailable("it did not answer within 300ms").await;
        }
    }
}

#[tokio::test]
async fn the_limit_is_one_for_all_requests_of_a_sign_in() {
    for kind in Kind::ALL {
        let world = ready_within(kind, Duration::from_millis(900)).await;
        let late = |body: Value| ok(&body).set_delay(Duration::from_millis(600));
        world.answer("POST", "/token", late(tokens(kind, &world))).await;
        world.answer("GET", "/me", late(me(kind))).await;
        world.check_unavailable("it did not answer within 900ms").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_none() {
    let html = || ResponseTemplate::new(200).set_body_raw("<html>sign in first</html>", "text/html; charset=utf-8");
    let broken = || ResponseTemplate::new(200).set_body_raw("{\"access_token\": \"the-access-", "application/json");
    let other = || ok(&json!(["the-access-token"]));
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for (verb, at) in [("GET", "/me"), ("POST", "/token")] {
            for (answer, words) in [(html(), "not of a JSON type"), (broken(), "not the JSON"), (other(), "")] {
                world.answer(verb, at, answer).await;
                match world.exchange().await {
                    // Whoever's profile is no object has none that says who it is.
                    Err(IdentityError::Refused { .. }) if words.is_empty() => {}
                    answered => check_trouble(answered.map(drop), words),
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_access_token_is_none() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for token in [json!(null), json!(""), json!("two\r\nlines"), json!("a b"), json!("x".repeat(16 * 1_024 + 1))] {
            let body = merged(tokens(kind, &world), json!({ "access_token": null }));
            world.answer("POST", "/token", ok(&merged(body, json!({ "access_token": token })))).await;
            world.check_unavailable("no access token").await;
        }
    }
}

#[tokio::test]
async fn ten_megabytes_are_not_read() {
    let large = || ResponseTemplate::new(200).set_body_raw(vec![b' '; 10 * 1_024 * 1_024], "application/json");
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for (verb, at) in [("GET", "/me"), ("POST", "/token")] {
            world.answer(verb, at, large()).await;
            world.check_unavailable("larger than 1048576 bytes").await;
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_ill_or_busy_is_not_available() {
    let ill = |code| status(code, &json!({ "error": "server_error", "error_description": CODE }));
    for kind in Kind::ALL {
        // The later question first, because the earlier one stays broken.
        let world = ready(kind).await;
        for (verb, at) in [("GET", "/me"), ("POST", "/token")] {
            for (answer, words) in [
                (ill(500), "status 500"),
                (ill(502), "status 502"),
                (ill(503).insert_header("retry-after", "30"), "status 503, and may be asked again in 30 s"),
                (ill(503).insert_header("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), "status 503"),
                (ill(429).insert_header("retry-after", "7"), "status 429, and may be asked again in 7 s"),
            ] {
                world.answer(verb, at, answer).await;
                world.check_unavailable(words).await;
            }
        }
    }
}

#[tokio::test]
async fn a_code_is_not_sent_to_where_an_answer_points() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for (verb, at) in [("GET", "/me"), ("POST", "/token")] {
            for code in [301, 302, 303, 307, 308] {
                let elsewhere = ResponseTemplate::new(code).insert_header("location", "/elsewhere");
                world.answer(verb, at, elsewhere).await;
                world.check_unavailable(&format!("status {code}")).await;
                assert!(world.asked("/elsewhere").await.is_empty(), "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_the_operator_did_wrong_is_not_the_users_fault() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for error in
            ["invalid_client", "redirect_uri_mismatch", "unsupported_grant_type", "invalid_scope", "invalid_request"]
        {
            for code in [200, 400, 401] {
                let body = json!({ "error": error, "error_description": format!("{CODE} {SECRET}") });
                world.answer("POST", "/token", status(code, &body)).await;
                world.check_unavailable(&format!("it refused this server with {error}")).await;
            }
        }
    }
}

#[tokio::test]
async fn an_error_code_that_is_none_is_not_repeated() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        for error in [CODE, "", "no\nsuch code", &"x".repeat(41)] {
            world.answer("POST", "/token", status(400, &json!({ "error": error, "error_code": CODE }))).await;
            world.check_unavailable("with an error code that is none").await;
        }
    }
}

#[tokio::test]
async fn nobody_is_there() {
    for kind in Kind::ALL {
        let world = World::with(kind, |settings| {
            // Nothing listens on the discard port.
            let nowhere = Some("http://127.0.0.1:9".to_owned());
            if kind == Kind::Oidc {
                settings.issuer = nowhere;
            } else {
                settings.token_url = nowhere;
            }
        });
        check_trouble(world.await.provider.exchange(&exchange()).await.map(drop), "could not be reached");
    }
}

#[tokio::test]
async fn a_kept_grant_that_is_none_is_worthless() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        let refused = world.provider.revoke(&kept("not a grant")).await;
        assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{kind:?} {refused:?}");
        assert!(world.asked("/revoke").await.is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_grant_shows_nothing_when_it_is_printed() {
    for kind in Kind::ALL {
        let world = ready(kind).await;
        let authorized = world.exchange().await.unwrap();
        assert!(authorized.grant.is_some(), "{kind:?}");
        assert!(!format!("{authorized:?}").contains("token-"), "{kind:?}");
    }
}

/// A provider where a sign-in goes well.
async fn ready(kind: Kind) -> World {
    ready_within(kind, Duration::from_secs(10)).await
}

async fn ready_within(kind: Kind, timeout: Duration) -> World {
    let world = World::with(kind, |settings| settings.timeout = timeout).await;
    world.metadata(json!({})).await;
    world.keys(&[&RSA]).await;
    world.answer("POST", "/token", ok(&tokens(kind, &world))).await;
    world.answer("GET", "/me", ok(&me(kind))).await;
    world.answer("GET", "/me/emails", ok(&json!([]))).await;
    world
}

fn tokens(kind: Kind, world: &World) -> Value {
    let tokens = json!({ "access_token": "token-a", "refresh_token": "token-r", "token_type": "bearer" });
    match kind {
        Kind::Naver | Kind::Github => tokens,
        _ => merged(tokens, json!({ "id_token": RSA.sign(&world.claims()) })),
    }
}

fn me(kind: Kind) -> Value {
    match kind {
        Kind::Naver => json!({ "resultcode": "00", "message": "success", "response": { "id": "32742776" } }),
        Kind::Kakao | Kind::Github => json!({ "id": 248_289_761_001_u64 }),
        Kind::Google | Kind::Oidc => json!({ "sub": "248289761001" }),
    }
}
