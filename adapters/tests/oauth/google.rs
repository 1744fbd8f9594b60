//! Google as its documentation has it: <https://developers.google.com/identity/openid-connect/openid-connect>.

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::Identity;
use transtalk_core::ports::{IdentityError, Profile};
use url::Url;

use crate::support::{CLIENT_ID, REFRESH, RSA, SECRET, World, check_trouble, kept, merged, pair, request, status};

#[tokio::test]
async fn both_spellings_of_the_issuer_are_one() {
    for iss in ["https://accounts.google.com", "accounts.google.com"] {
        let world = google().await;
        world.tokens(Some(RSA.sign(&claims(&world, json!({ "iss": iss }))))).await;
        let expect = Profile {
            identity: Identity {
                issuer: "https://accounts.google.com".to_owned(),
                subject: "10769150350006150715113082367".to_owned(),
            },
            email: Some("jsmith@example.com".to_owned()),
            email_verified: true,
            name: Some("John Smith".to_owned()),
            picture: Some("https://lh3.googleusercontent.com/a/photo=s96-c".to_owned()),
            language: None,
        };
        assert_eq!(world.profile().await, expect);
        assert!(world.asked("/me").await.is_empty());
    }
    for iss in [
        "http://accounts.google.com",
        "https://accounts.google.com/",
        "https://accounts.google.com.example",
        "google.com",
    ] {
        let world = google().await;
        world.tokens(Some(RSA.sign(&claims(&world, json!({ "iss": iss }))))).await;
        world.check_refused(iss).await;
    }
}

#[tokio::test]
async fn the_least_profile_has_a_subject() {
    let world = google().await;
    let bare = json!({ "email": null, "email_verified": null, "name": null, "picture": null });
    world.tokens(Some(RSA.sign(&claims(&world, bare)))).await;
    world.answer("GET", "/me", crate::support::ok(&json!({ "sub": "10769150350006150715113082367" }))).await;
    let profile = world.profile().await;
    assert_eq!((profile.name, profile.email, profile.picture, profile.email_verified), (None, None, None, false));
}

#[tokio::test]
async fn a_token_that_google_made_for_another_client_is_refused() {
    let world = google().await;
    world.tokens(Some(RSA.sign(&claims(&world, json!({ "aud": "another.apps.googleusercontent.com" }))))).await;
    world.check_refused("aud").await;
    world.tokens(Some(RSA.sign(&claims(&world, json!({ "nonce": "another" }))))).await;
    world.check_refused("nonce").await;
}

#[tokio::test]
async fn a_grant_that_lasts_is_asked_for() {
    let world = google().await;
    let link = world.provider.authorization_url(&request()).await.unwrap();
    let url = Url::parse(&link).unwrap();
    assert!(url.query_pairs().any(|(name, value)| name == "access_type" && value == "offline"), "{link}");
    assert_eq!(world.provider.issuer().as_deref(), Some("https://accounts.google.com"));
}

#[tokio::test]
async fn documented_errors_are_told_apart() {
    // https://developers.google.com/identity/protocols/oauth2/web-server#exchange-errors-invalid-grant and
    // https://developers.google.com/identity/protocols/oauth2/web-server#authorization-errors
    for (code, body, refused) in [
        (400, json!({ "error": "invalid_grant", "error_description": "Bad Request" }), true),
        (400, json!({ "error": "invalid_grant", "error_description": "Malformed auth code." }), true),
        (400, json!({ "error": "redirect_uri_mismatch", "error_description": "Bad Request" }), false),
        (401, json!({ "error": "invalid_client", "error_description": "The OAuth client was not found." }), false),
        (401, json!({ "error": "unauthorized_client", "error_description": "Unauthorized" }), false),
        (400, json!({ "error": "invalid_request", "error_description": "client_secret is missing." }), false),
    ] {
        let world = google().await;
        let error = body["error"].as_str().unwrap().to_owned();
        world.answer("POST", "/token", status(code, &body)).await;
        world.check_told(refused, &error).await;
    }
}

#[tokio::test]
async fn a_grant_is_given_back() {
    // https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke: "If the revocation is successfully processed,
    // then the HTTP status code of the response is 200. For error conditions, an HTTP status code 400 is returned".
    let world = google().await;
    world.answer("POST", "/revoke", status(200, &json!({}))).await;
    let grant = world.exchange().await.unwrap().grant.unwrap();
    world.provider.revoke(&grant).await.unwrap();
    let form = world.form("/revoke").await;
    assert!(
        form.contains(&pair("token", REFRESH)) && form.contains(&pair("token_type_hint", "refresh_token")),
        "{form:?}"
    );
    let gone = json!({ "error": "invalid_token", "error_description": "Token expired or revoked" });
    world.answer("POST", "/revoke", status(400, &gone)).await;
    let refused = world.provider.revoke(&grant).await;
    assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{refused:?}");
    let wrong = json!({ "error": "invalid_request", "error_description": "Bad Request" });
    world.answer("POST", "/revoke", status(400, &wrong)).await;
    check_trouble(world.provider.revoke(&kept("{\"access\":\"a\"}")).await, "with invalid_request");
}

#[tokio::test]
async fn the_secret_goes_into_the_form() {
    let world = google().await;
    world.exchange().await.unwrap();
    let form = world.form("/token").await;
    assert!(form.contains(&pair("client_id", CLIENT_ID)) && form.contains(&pair("client_secret", SECRET)));
}

/// Google with its own name, at this test's address.
async fn google() -> World {
    let world = World::with(Kind::Google, |settings| settings.issuer = None).await;
    world.keys(&[&RSA]).await;
    world.tokens(Some(RSA.sign(&claims(&world, json!({}))))).await;
    world
}

/// The claims of <https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload>, and a profile.
fn claims(world: &World, change: Value) -> Value {
    let documented = json!({
        "iss": "https://accounts.google.com", "azp": CLIENT_ID, "sub": "10769150350006150715113082367", "hd": "example.com",
        "email": "jsmith@example.com", "email_verified": true, "name": "John Smith",
        "picture": "https://lh3.googleusercontent.com/a/photo=s96-c", "given_name": "John", "family_name": "Smith",
    });
    merged(merged(world.claims(), documented), change)
}
