//! Any `OpenID` provider: what becomes of a person, of the secret, and of the grant.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::Identity;
use transtalk_core::ports::{IdentityError, Profile, ProviderToken};
use transtalk_core::translate::Language;

use crate::support::{ACCESS, CLIENT_ID, REFRESH, RSA, SECRET, World, check_trouble, kept, merged, ok, pair, status};

#[tokio::test]
async fn a_full_id_token_makes_a_full_profile_without_another_question() {
    let world = World::new(Kind::Oidc).await;
    world.openid(full()).await;
    let expect = Profile {
        identity: Identity { issuer: world.server.uri(), subject: "248289761001".to_owned() },
        email: Some("janedoe@example.com".to_owned()),
        email_verified: true,
        name: Some("Jane Doe".to_owned()),
        picture: Some("https://example.com/janedoe/me.jpg".to_owned()),
        language: Some(Language::new("ko-kr").unwrap()),
    };
    let authorized = world.exchange().await.unwrap();
    assert_eq!(authorized.profile, expect);
    assert!(world.asked("/me").await.is_empty());
}

#[tokio::test]
async fn what_the_id_token_leaves_out_is_asked_for() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({ "name": "From the token" })).await;
    world.answer("GET", "/me", ok(&merged(full(), json!({ "sub": "248289761001" })))).await;
    let profile = world.profile().await;
    assert_eq!(profile.name.as_deref(), Some("From the token"));
    assert_eq!((profile.email.as_deref(), profile.email_verified), (Some("janedoe@example.com"), true));
    assert_eq!(profile.picture.as_deref(), Some("https://example.com/janedoe/me.jpg"));
    assert_eq!(world.asked("/me").await[0].headers["authorization"], format!("Bearer {ACCESS}").as_str());
}

#[tokio::test]
async fn the_least_profile_is_a_subject() {
    for userinfo in [true, false] {
        let world = World::new(Kind::Oidc).await;
        world.openid(json!({})).await;
        world.answer("GET", "/me", ok(&json!({ "sub": "248289761001" }))).await;
        if !userinfo {
            world.metadata(json!({ "userinfo_endpoint": null })).await;
        }
        let expect = Profile {
            identity: Identity { issuer: world.server.uri(), subject: "248289761001".to_owned() },
            email: None,
            email_verified: false,
            name: None,
            picture: None,
            language: None,
        };
        assert_eq!(world.profile().await, expect);
        assert_eq!(world.asked("/me").await.len(), usize::from(userinfo));
    }
}

#[tokio::test]
async fn user_info_about_somebody_else_is_refused() {
    for sub in [json!("248289761002"), json!(null), json!(248_289_761_001_u64), json!("")] {
        let world = World::new(Kind::Oidc).await;
        world.openid(json!({})).await;
        world.answer("GET", "/me", ok(&merged(full(), json!({ "sub": sub })))).await;
        world.check_refused("sub").await;
    }
}

#[tokio::test]
async fn an_address_is_verified_only_if_its_own_source_says_so() {
    let mail = |email: &str, verified: Value| json!({ "email": email, "email_verified": verified });
    for (token, info, expect) in [
        (mail("a@example.com", json!(true)), json!({}), Some(("a@example.com", true))),
        (mail("a@example.com", json!("true")), json!({}), Some(("a@example.com", true))),
        (mail("a@example.com", json!(false)), json!({}), Some(("a@example.com", false))),
        (mail("a@example.com", json!("yes")), json!({}), Some(("a@example.com", false))),
        (mail("a@example.com", json!(1)), json!({}), Some(("a@example.com", false))),
        (json!({ "email": "a@example.com" }), json!({}), Some(("a@example.com", false))),
        // What one says of an address is not said of the other's.
        (mail("a@example.com", json!(false)), mail("b@example.com", json!(true)), Some(("a@example.com", false))),
        (json!({ "email_verified": true }), json!({ "email": "b@example.com" }), Some(("b@example.com", false))),
        (json!({ "email": "a@example.com" }), mail("b@example.com", json!(true)), Some(("b@example.com", true))),
        (json!({ "email": "a@example.com" }), json!({ "email_verified": true }), Some(("a@example.com", false))),
        (mail("no address", json!(true)), json!({}), None),
    ] {
        let world = World::new(Kind::Oidc).await;
        world.openid(token.clone()).await;
        world.answer("GET", "/me", ok(&merged(info, json!({ "sub": "248289761001" })))).await;
        let profile = world.profile().await;
        assert_eq!(profile.email.as_deref(), expect.map(|(email, _)| email), "{token}");
        assert_eq!(profile.email_verified, expect.is_some_and(|(_, verified)| verified), "{token}");
    }
}

#[tokio::test]
async fn user_info_that_is_denied_is_no_answer() {
    // OpenID Connect Core section 5.3.3 (https://openid.net/specs/openid-connect-core-1_0.html#UserInfoError).
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    let body = json!({ "error": "invalid_token", "error_description": "The Access Token expired" });
    world.answer("GET", "/me", status(401, &body)).await;
    world.check_unavailable("status 401").await;
    // A signed one (section 5.3.2) is only sent to clients that have registered for it.
    let signed = wiremock::ResponseTemplate::new(200).set_body_raw("eyJhbGciOiJub25lIn0.e30.", "application/jwt");
    world.answer("GET", "/me", signed).await;
    world.check_unavailable("not of a JSON type").await;
}

#[tokio::test]
async fn a_secret_is_shown_as_the_provider_wants_it() {
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{SECRET}")));
    for (methods, in_header) in [
        (json!(null), true),
        (json!(["client_secret_basic"]), true),
        (json!(["client_secret_post", "client_secret_basic"]), true),
        (json!(["client_secret_post"]), false),
        (json!(["private_key_jwt"]), true),
    ] {
        let world = World::new(Kind::Oidc).await;
        world.openid(full()).await;
        world.metadata(json!({ "token_endpoint_auth_methods_supported": methods })).await;
        world.exchange().await.unwrap();
        let asked = world.asked("/token").await.pop().unwrap();
        let header = asked.headers.get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!(header, in_header.then_some(basic.as_str()), "{methods}");
        let form = world.form("/token").await;
        assert_eq!(form.contains(&pair("client_secret", SECRET)), !in_header, "{methods}");
        assert_eq!(form.contains(&pair("client_id", CLIENT_ID)), !in_header, "{methods}");
    }
}

#[tokio::test]
async fn a_client_that_is_not_recognized_one_way_tries_the_other() {
    // RFC 6749 section 5.2 (https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
    let unknown = status(401, &json!({ "error": "invalid_client" }));
    let world = World::new(Kind::Oidc).await;
    world.openid(full()).await;
    world
        .metadata(json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"] }))
        .await;
    let in_header = wiremock::Mock::given(wiremock::matchers::path("/token"))
        .and(wiremock::matchers::header_exists("authorization"))
        .respond_with(unknown.clone())
        .with_priority(1);
    in_header.mount(&world.server).await;
    world.exchange().await.unwrap();
    assert_eq!(world.asked("/token").await.len(), 2);
    assert!(world.form("/token").await.contains(&pair("client_secret", SECRET)));
    // If it is not recognized either way, the operator is told.
    let world = World::new(Kind::Oidc).await;
    world.openid(full()).await;
    world
        .metadata(json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"] }))
        .await;
    world.answer("POST", "/token", unknown).await;
    world.check_unavailable("it refused this server with invalid_client").await;
    assert_eq!(world.asked("/token").await.len(), 2);
}

#[tokio::test]
async fn a_public_client_shows_no_secret() {
    let world = World::with(Kind::Oidc, |settings| settings.client_secret.clear()).await;
    world.openid(full()).await;
    world.exchange().await.unwrap();
    let asked = world.asked("/token").await.pop().unwrap();
    assert!(!asked.headers.contains_key("authorization"));
    let form = world.form("/token").await;
    assert!(form.contains(&pair("client_id", CLIENT_ID)));
    assert!(!form.iter().any(|(name, _)| name == "client_secret"));
}

#[tokio::test]
async fn a_secret_with_odd_characters_arrives_whole() {
    let odd = "a:b c&d=é%".replace('é', "~");
    let world = World::with(Kind::Oidc, |settings| settings.client_secret = odd.clone()).await;
    world.openid(full()).await;
    world.exchange().await.unwrap();
    let asked = world.asked("/token").await.pop().unwrap();
    let header = asked.headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
    let pair = String::from_utf8(STANDARD.decode(header).unwrap()).unwrap();
    let (_, secret) = pair.split_once(':').unwrap();
    let decoded = url::form_urlencoded::parse(format!("s={secret}").as_bytes()).next().unwrap().1.into_owned();
    assert_eq!(decoded, odd);
}

#[tokio::test]
async fn a_code_that_is_not_good_is_refused() {
    // RFC 6749 section 5.2 (https://www.rfc-editor.org/rfc/rfc6749#section-5.2): "The provided authorization grant [...] is invalid,
    // expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client."
    for code in [400, 401, 200] {
        let world = World::new(Kind::Oidc).await;
        world.openid(full()).await;
        world.answer("POST", "/token", status(code, &json!({ "error": "invalid_grant" }))).await;
        world.check_refused("invalid_grant").await;
    }
    for error in ["invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"] {
        let world = World::new(Kind::Oidc).await;
        world.openid(full()).await;
        world.answer("POST", "/token", status(400, &json!({ "error": error }))).await;
        world.check_unavailable(&format!("with {error}")).await;
    }
}

#[tokio::test]
async fn a_grant_is_given_back_with_the_token_that_lives_longest() {
    for (refresh, token, hint) in [(json!(REFRESH), REFRESH, "refresh_token"), (json!(null), ACCESS, "access_token")] {
        let world = signed_in().await;
        let body = json!({ "access_token": ACCESS, "refresh_token": refresh, "id_token": RSA.sign(&merged(world.claims(), full())) });
        world.answer("POST", "/token", ok(&body)).await;
        let grant = world.exchange().await.unwrap().grant.unwrap();
        assert!(grant.0.contains(token) && !grant.0.contains(if token == ACCESS { REFRESH } else { ACCESS }));
        world.answer("POST", "/revoke", wiremock::ResponseTemplate::new(200)).await;
        world.provider.revoke(&grant).await.unwrap();
        assert_eq!(world.form("/revoke").await, [pair("token", token), pair("token_type_hint", hint)]);
        let asked = world.asked("/revoke").await.pop().unwrap();
        assert!(asked.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    }
}

#[tokio::test]
async fn a_grant_that_cannot_be_given_back_stays_or_is_worthless() {
    // RFC 7009 section 2.2 (https://www.rfc-editor.org/rfc/rfc7009#section-2.2): "invalid tokens do not cause an error response".
    let grant = || kept(&format!("{{\"refresh\":\"{REFRESH}\"}}"));
    for (code, error, worthless) in [
        (400, "unsupported_token_type", true),
        (400, "invalid_token", true),
        (401, "invalid_client", false),
        (400, "invalid_request", false),
        (403, "", false),
    ] {
        let world = signed_in().await;
        world.answer("POST", "/revoke", status(code, &json!({ "error": error, "error_description": REFRESH }))).await;
        match world.provider.revoke(&grant()).await {
            Err(IdentityError::Refused { .. }) => assert!(worthless, "{error}"),
            other => {
                assert!(!worthless, "{error}");
                check_trouble(other, "");
            }
        }
    }
    // Section 2.2.1: "the server must respond with HTTP status code 503 [...] the client must assume the token still exists".
    let world = signed_in().await;
    world.answer("POST", "/revoke", wiremock::ResponseTemplate::new(503).insert_header("retry-after", "60")).await;
    check_trouble(world.provider.revoke(&grant()).await, "asked again in 60 s");
}

#[tokio::test]
async fn where_nothing_can_be_given_back_nothing_is_kept() {
    let world = signed_in().await;
    world.metadata(json!({ "revocation_endpoint": null })).await;
    assert_eq!(world.exchange().await.unwrap().grant, None);
    world.provider.revoke(&ProviderToken("{\"access\":\"a\"}".to_owned())).await.unwrap();
    assert!(world.asked("/revoke").await.is_empty());
}

async fn signed_in() -> World {
    let world = World::new(Kind::Oidc).await;
    world.openid(full()).await;
    world
}

/// OpenID Connect Core section 5.3.2's example, and a language.
fn full() -> Value {
    json!({
        "name": "Jane Doe", "given_name": "Jane", "family_name": "Doe", "preferred_username": "j.doe",
        "email": "janedoe@example.com", "email_verified": true, "picture": "https://example.com/janedoe/me.jpg", "locale": "ko_KR",
    })
}
