//! GitHub as its documentation has it: <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::Identity;
use transtalk_core::ports::{IdentityError, Profile};
use wiremock::ResponseTemplate;

use crate::support::{ACCESS, CLIENT_ID, SECRET, World, check_trouble, kept, ok, pair, status};

#[tokio::test]
async fn a_full_profile() {
    let world = github().await;
    let expect = Profile {
        identity: Identity { issuer: "https://github.com".to_owned(), subject: "583231".to_owned() },
        email: Some("octocat@github.com".to_owned()),
        email_verified: true,
        name: Some("monalisa octocat".to_owned()),
        picture: Some("https://avatars.githubusercontent.com/u/583231?v=4".to_owned()),
        language: None,
    };
    assert_eq!(world.profile().await, expect);
    for at in ["/me", "/me/emails"] {
        let asked = world.asked(at).await.pop().unwrap();
        assert_eq!(asked.headers["authorization"], format!("Bearer {ACCESS}").as_str());
        assert_eq!(asked.headers["x-github-api-version"], "2022-11-28");
        let accepts: Vec<_> = asked.headers.get_all("accept").iter().collect();
        assert_eq!(accepts, ["application/vnd.github+json"]);
        assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("TransTalk/"));
    }
    let form = world.form("/token").await;
    assert!(form.contains(&pair("client_id", CLIENT_ID)) && form.contains(&pair("client_secret", SECRET)));
}

#[tokio::test]
async fn whoever_has_no_name_goes_by_their_login() {
    for name in [json!(null), json!(""), json!(" ")] {
        let world = github().await;
        world.answer("GET", "/me", ok(&json!({ "id": 583_231, "login": "octocat", "name": name }))).await;
        let profile = world.profile().await;
        assert_eq!((profile.name.as_deref(), profile.picture), (Some("octocat"), None));
    }
}

#[tokio::test]
async fn the_address_is_the_primary_one_and_the_public_one_is_not_looked_at() {
    let email = |email: &str, primary: bool, verified: bool| json!({ "email": email, "primary": primary, "verified": verified });
    for (emails, expect) in [
        (
            json!([email("a@example.com", false, true), email("b@example.com", true, true)]),
            Some(("b@example.com", true)),
        ),
        (
            json!([email("a@example.com", false, true), email("b@example.com", true, false)]),
            Some(("b@example.com", false)),
        ),
        (json!([email("a@example.com", false, true)]), None),
        (json!([{ "email": null, "primary": true, "verified": true }]), None),
        (json!([{ "email": "a@example.com", "primary": "true", "verified": true }]), None),
        (json!([]), None),
    ] {
        let world = github().await;
        world.answer("GET", "/me/emails", ok(&emails)).await;
        let profile = world.profile().await;
        assert_eq!(profile.email.as_deref(), expect.map(|(email, _)| email), "{emails}");
        assert_eq!(profile.email_verified, expect.is_some_and(|(_, verified)| verified), "{emails}");
    }
}

#[tokio::test]
async fn whoever_does_not_show_their_addresses_has_none() {
    // https://docs.github.com/en/rest/users/emails#list-email-addresses-for-the-authenticated-user
    for (code, message) in [(404, "Not Found"), (403, "Resource not accessible by integration")] {
        let world = github().await;
        let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": code.to_string() });
        world.answer("GET", "/me/emails", status(code, &body)).await;
        let profile = world.profile().await;
        assert_eq!((profile.email, profile.email_verified), (None, false));
    }
}

#[tokio::test]
async fn asking_too_often_is_not_the_same_as_not_being_allowed() {
    // https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    let body = json!({ "message": "API rate limit exceeded for user ID 1.", "documentation_url": "https://docs.github.com/rest" });
    for (name, value) in [("x-ratelimit-remaining", "0"), ("retry-after", "60")] {
        for at in ["/me", "/me/emails"] {
            let world = github().await;
            world.answer("GET", at, status(403, &body).insert_header(name, value)).await;
            world.check_unavailable("status 403").await;
        }
    }
}

#[tokio::test]
async fn documented_errors_are_told_apart() {
    // https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
    for (error, description, refused) in [
        ("bad_verification_code", "The code passed is incorrect or expired.", true),
        ("unverified_user_email", "The user must have a verified primary email.", true),
        ("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.", false),
        (
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
            false,
        ),
    ] {
        let world = github().await;
        let body = json!({
            "error": error, "error_description": description,
            "error_uri": "/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/",
        });
        world.answer("POST", "/token", ok(&body)).await;
        world.check_told(refused, error).await;
    }
}

#[tokio::test]
async fn a_profile_that_is_denied_is_no_answer() {
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
    let world = github().await;
    let body =
        json!({ "message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401" });
    world.answer("GET", "/me", status(401, &body)).await;
    world.check_unavailable("status 401").await;
    let world = github().await;
    world.answer("GET", "/me/emails", status(401, &body)).await;
    world.check_unavailable("status 401").await;
}

#[tokio::test]
async fn a_grant_is_given_back() {
    // https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-authorization
    let world = github().await;
    let grant = world.exchange().await.unwrap().grant.unwrap();
    world.answer("DELETE", "/revoke", ResponseTemplate::new(204)).await;
    world.provider.revoke(&grant).await.unwrap();
    let asked = world.asked("/revoke").await.pop().unwrap();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{SECRET}")));
    assert_eq!(asked.headers["authorization"], basic.as_str());
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Value>(&asked.body).unwrap(), json!({ "access_token": ACCESS }));
}

#[tokio::test]
async fn a_grant_that_is_gone_is_worthless_and_one_that_cannot_be_given_back_now_stays() {
    let grant = || kept("{\"access\":\"a\"}");
    for code in [404, 422] {
        let world = github().await;
        world.answer("DELETE", "/revoke", status(code, &json!({ "message": "Validation Failed" }))).await;
        let refused = world.provider.revoke(&grant()).await;
        assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{refused:?}");
    }
    for (code, words) in [(401, "status 401"), (200, "status 200"), (500, "status 500"), (429, "status 429")] {
        let world = github().await;
        world.answer("DELETE", "/revoke", status(code, &json!({ "message": "Bad credentials" }))).await;
        check_trouble(world.provider.revoke(&grant()).await, words);
    }
}

/// GitHub with its own name, at this test's address, where a sign-in goes well.
async fn github() -> World {
    let world = World::with(Kind::Github, |settings| settings.issuer = None).await;
    let body = json!({ "access_token": ACCESS, "scope": "user:email", "token_type": "bearer" });
    world.answer("POST", "/token", ok(&body)).await;
    // https://docs.github.com/en/rest/users/users#get-the-authenticated-user
    let user = json!({
        "login": "octocat", "id": 583_231, "avatar_url": "https://avatars.githubusercontent.com/u/583231?v=4",
        "name": "monalisa octocat", "email": "public@github.com", "type": "User",
    });
    world.answer("GET", "/me", ok(&user)).await;
    // https://docs.github.com/en/rest/users/emails#list-email-addresses-for-the-authenticated-user
    let emails = json!([{ "email": "octocat@github.com", "verified": true, "primary": true, "visibility": "public" }]);
    world.answer("GET", "/me/emails", ok(&emails)).await;
    world
}
