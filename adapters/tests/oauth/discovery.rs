//! Metadata and keys: found, kept, renewed, and not taken from somebody else.

use std::time::Duration;

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use wiremock::ResponseTemplate;

use crate::support::{EC, NOW, OTHER, RSA, World, check_trouble, merged, ok, request};

#[tokio::test]
async fn metadata_and_keys_are_asked_for_once_an_hour() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    for _ in 0..3 {
        world.provider.authorization_url(&request()).await.unwrap();
        world.profile().await;
    }
    assert_eq!(asked(&world).await, (1, 1));
    world.clock.advance(Duration::from_millis(3_599_999));
    world.profile().await;
    assert_eq!(asked(&world).await, (1, 1));
    world.clock.advance(Duration::from_millis(1));
    complete(&world).await;
    world.profile().await;
    assert_eq!(asked(&world).await, (2, 2));
}

#[tokio::test]
async fn many_who_sign_in_at_once_ask_once() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    let signed_in = futures_util::future::join_all((0..20).map(|_| world.exchange())).await;
    assert!(signed_in.iter().all(Result::is_ok));
    assert_eq!(asked(&world).await, (1, 1));
}

#[tokio::test]
async fn an_unknown_key_makes_the_keys_be_asked_for_again() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    world.profile().await;
    // The provider has a new key, at a new address.
    world.metadata(json!({ "jwks_uri": format!("{}/new-keys", world.server.uri()) })).await;
    world.answer("GET", "/new-keys", ok(&json!({ "keys": [OTHER.public()] }))).await;
    world.tokens(Some(OTHER.sign(&claims(&world)))).await;
    world.profile().await;
    assert_eq!(asked(&world).await, (2, 1));
    assert_eq!(world.asked("/new-keys").await.len(), 1);
    // What the old one signed is not believed any more.
    world.tokens(Some(RSA.sign(&claims(&world)))).await;
    world.check_refused("the old key").await;
}

#[tokio::test]
async fn nobody_makes_the_keys_be_asked_for_again_and_again() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    world.profile().await;
    world.tokens(Some(OTHER.sign(&claims(&world)))).await;
    for _ in 0..5 {
        world.check_refused("an unknown key").await;
    }
    assert_eq!(asked(&world).await, (2, 2));
    world.clock.advance(Duration::from_secs(10));
    world.check_refused("an unknown key").await;
    assert_eq!(asked(&world).await, (3, 3));
    // The key is there at last.
    world.keys(&[&RSA, &OTHER]).await;
    world.check_refused("too early").await;
    world.clock.advance(Duration::from_secs(10));
    world.profile().await;
}

#[tokio::test]
async fn a_key_without_a_name_may_change_as_well() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    world.tokens(Some(RSA.sign_with(&header, &claims(&world)))).await;
    world.profile().await;
    world.keys(&[&OTHER]).await;
    world.tokens(Some(OTHER.sign_with(&header, &claims(&world)))).await;
    world.profile().await;
}

#[tokio::test]
async fn keys_that_we_cannot_read_do_no_harm() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    let odd = [
        json!({ "kty": "quantum", "kid": "q" }),
        json!("a string"),
        json!(null),
        json!({}),
        merged(RSA.public(), json!({ "use": "enc" })),
        merged(RSA.public(), json!({ "alg": "RSA-OAEP-256" })),
        merged(RSA.public(), json!({ "alg": "NEW512" })),
        merged(RSA.public(), json!({ "n": "AQAB" })),
        json!({ "kty": "EC", "crv": "P-256", "kid": RSA.kid, "x": "", "y": "" }),
        RSA.public(),
        EC.public(),
    ];
    world.answer("GET", "/keys", ok(&json!({ "keys": odd }))).await;
    world.profile().await;
}

#[tokio::test]
async fn keys_that_are_none_are_no_answer() {
    for (answer, words) in [
        (ok(&json!({ "keys": 7 })), "not the JSON that is expected"),
        (ok(&json!({})), "not the JSON that is expected"),
        (ResponseTemplate::new(404), "status 404"),
        (ResponseTemplate::new(500), "status 500"),
    ] {
        let world = World::new(Kind::Oidc).await;
        complete(&world).await;
        world.answer("GET", "/keys", answer).await;
        world.check_unavailable(words).await;
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_are_not_taken() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    let uri = world.server.uri();
    for issuer in ["https://accounts.google.com".to_owned(), format!("{uri}/"), format!("{uri}/other")] {
        world.metadata(json!({ "issuer": issuer })).await;
        let words = "its metadata are those of another issuer";
        check_trouble(world.provider.authorization_url(&request()).await.map(drop), words);
        world.check_unavailable(words).await;
    }
    assert!(world.asked("/token").await.is_empty());
}

#[tokio::test]
async fn an_issuer_that_ends_in_a_slash_is_found_and_compared_as_it_is() {
    let world = World::with(Kind::Oidc, |settings| settings.issuer.as_mut().unwrap().push('/')).await;
    let issuer = format!("{}/", world.server.uri());
    complete(&world).await;
    world.check_unavailable("another issuer").await;
    world.metadata(json!({ "issuer": issuer })).await;
    world.tokens(Some(RSA.sign(&merged(claims(&world), json!({ "iss": issuer }))))).await;
    assert_eq!(world.profile().await.identity.issuer, issuer);
}

#[tokio::test]
async fn endpoints_are_https_or_on_this_machine() {
    for field in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint"] {
        for address in
            ["http://id.example/", "ftp://id.example/", "javascript:alert(1)", "/token", "https://a:b@id.example/"]
        {
            let world = World::new(Kind::Oidc).await;
            world.metadata(json!({ field: address })).await;
            let words = format!("its metadata name a {field} that is neither https nor on this machine");
            check_trouble(world.provider.authorization_url(&request()).await.map(drop), &words);
        }
    }
}

#[tokio::test]
async fn metadata_must_be_complete() {
    for field in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let world = World::new(Kind::Oidc).await;
        world.metadata(json!({ field: null })).await;
        check_trouble(world.provider.authorization_url(&request()).await.map(drop), &format!("has no {field}"));
    }
    for change in [json!({ "issuer": null }), json!({ "issuer": 7 }), json!({ "token_endpoint": {} })] {
        let world = World::new(Kind::Oidc).await;
        world.metadata(change).await;
        check_trouble(world.provider.authorization_url(&request()).await.map(drop), "not the JSON that is expected");
    }
    let world = World::new(Kind::Oidc).await;
    world.metadata(json!({ "id_token_signing_alg_values_supported": ["HS256", "none", "RS512"] })).await;
    check_trouble(world.provider.authorization_url(&request()).await.map(drop), "no algorithm that is accepted here");
}

#[tokio::test]
async fn without_a_word_about_algorithms_rs256_is_meant() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    world.metadata(json!({ "id_token_signing_alg_values_supported": null })).await;
    world.profile().await;
    world.keys(&[&EC]).await;
    world.tokens(Some(EC.sign(&claims(&world)))).await;
    world.check_refused("ES256").await;
}

#[tokio::test]
async fn what_a_provider_said_holds_for_a_day_while_it_cannot_be_asked() {
    let world = World::new(Kind::Oidc).await;
    complete(&world).await;
    world.profile().await;
    world.answer("GET", "/.well-known/openid-configuration", ResponseTemplate::new(500)).await;
    world.answer("GET", "/keys", ResponseTemplate::new(500)).await;
    world.clock.advance(Duration::from_hours(23));
    complete_token(&world, 23 * 3_600).await;
    for _ in 0..3 {
        world.profile().await;
    }
    // It is asked again, and not by everybody.
    assert_eq!(asked(&world).await, (2, 2));
    world.clock.advance(Duration::from_hours(1));
    world.check_unavailable("status 500").await;
    // It is well again.
    complete(&world).await;
    complete_token(&world, 24 * 3_600).await;
    world.profile().await;
}

#[tokio::test]
async fn a_configured_address_holds_in_place_of_the_one_found() {
    let world = World::with(Kind::Oidc, |settings| {
        let uri = settings.issuer.clone().unwrap();
        settings.jwks_url = Some(format!("{uri}/other-keys"));
    });
    let world = world.await;
    complete(&world).await;
    world.answer("GET", "/other-keys", ok(&json!({ "keys": [OTHER.public()] }))).await;
    world.check_refused("the key that was found").await;
    world.tokens(Some(OTHER.sign(&claims(&world)))).await;
    world.profile().await;
    assert!(world.asked("/keys").await.is_empty());
}

#[tokio::test]
async fn with_every_address_configured_nothing_is_looked_for() {
    let world = World::with(Kind::Oidc, |settings| {
        let uri = settings.issuer.clone().unwrap();
        settings.authorize_url = Some(format!("{uri}/authorize"));
        settings.token_url = Some(format!("{uri}/token"));
        settings.jwks_url = Some(format!("{uri}/keys"));
    });
    let world = world.await;
    complete(&world).await;
    let authorized = world.exchange().await.unwrap();
    assert_eq!(authorized.grant, None, "there is nowhere to give it back to");
    assert!(world.asked("/.well-known/openid-configuration").await.is_empty());
}

async fn asked(world: &World) -> (usize, usize) {
    (world.asked("/.well-known/openid-configuration").await.len(), world.asked("/keys").await.len())
}

/// A provider where a sign-in goes well and asks nothing more.
async fn complete(world: &World) {
    world.openid(claims(world)).await;
}

/// The same when this many seconds have passed.
async fn complete_token(world: &World, passed: u64) {
    let later = json!({ "iat": NOW + passed, "exp": NOW + passed + 3_600 });
    world.tokens(Some(RSA.sign(&merged(claims(world), later)))).await;
}

fn claims(world: &World) -> Value {
    let person = json!({ "name": "Alice", "email": "alice@example.com", "picture": "https://example.com/a.png" });
    merged(world.claims(), merged(person, json!({ "exp": NOW + 7_200 })))
}
