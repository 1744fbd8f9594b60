//! Kakao as its documentation has it: <https://developers.kakao.com/docs/latest/en/kakaologin/rest-api>.

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::Identity;
use transtalk_core::ports::{IdentityError, Profile};
use wiremock::matchers::{header, path};
use wiremock::{Mock, ResponseTemplate};

use crate::support::{
    ACCESS, CLIENT_ID, CODE, REFRESH, RSA, SECRET, World, check_trouble, kept, merged, ok, pair, status,
};

#[tokio::test]
async fn a_full_profile() {
    let world = kakao().await;
    let expect = Profile {
        identity: Identity { issuer: "https://kauth.kakao.com".to_owned(), subject: "123456789".to_owned() },
        email: Some("sample@sample.com".to_owned()),
        email_verified: true,
        name: Some("Hong Gil-dong".to_owned()),
        picture: Some("https://k.kakaocdn.net/dn/img_640x640.jpg".to_owned()),
        language: None,
    };
    assert_eq!(world.profile().await, expect);
    let asked = world.asked("/me").await.pop().unwrap();
    assert_eq!(asked.url.query(), Some("secure_resource=true"));
    assert_eq!(asked.headers["authorization"], format!("Bearer {ACCESS}").as_str());
    let form = world.form("/token").await;
    assert!(form.contains(&pair("client_id", CLIENT_ID)) && form.contains(&pair("client_secret", SECRET)));
}

#[tokio::test]
async fn the_least_profile_has_an_id() {
    for body in [
        json!({ "id": 123_456_789 }),
        json!({ "id": 123_456_789, "kakao_account": null }),
        json!({ "id": 123_456_789, "kakao_account": {} }),
        json!({ "id": 123_456_789, "kakao_account": { "profile": null, "email_needs_agreement": true } }),
        json!({ "id": 123_456_789, "kakao_account": { "profile": { "nickname": null, "profile_image_url": 7 } } }),
    ] {
        let world = kakao().await;
        world.answer("GET", "/me", ok(&body)).await;
        let profile = world.profile().await;
        assert_eq!(profile.identity.subject, "123456789");
        assert_eq!((profile.name, profile.email, profile.picture), (None, None, None), "{body}");
        assert!(!profile.email_verified);
    }
}

#[tokio::test]
async fn an_address_must_be_valid_and_verified() {
    // https://developers.kakao.com/docs/latest/en/kakaologin/rest-api#kakaoaccount
    for (valid, verified, expect) in [
        (json!(true), json!(true), Some(true)),
        (json!(true), json!(false), Some(false)),
        (json!(true), json!(null), Some(false)),
        (json!(false), json!(true), None),
        (json!(null), json!(true), None),
        (json!("true"), json!("true"), None),
    ] {
        let world = kakao().await;
        let account = json!({ "email": "sample@sample.com", "is_email_valid": valid, "is_email_verified": verified });
        world.answer("GET", "/me", ok(&json!({ "id": 123_456_789, "kakao_account": account }))).await;
        let profile = world.profile().await;
        assert_eq!(profile.email.is_some(), expect.is_some(), "{account}");
        assert_eq!(profile.email_verified, expect == Some(true), "{account}");
    }
}

#[tokio::test]
async fn everybodys_picture_is_nobodys() {
    let world = kakao().await;
    let profile =
        json!({ "nickname": "n", "profile_image_url": "https://k.kakaocdn.net/default.jpg", "is_default_image": true });
    world.answer("GET", "/me", ok(&json!({ "id": 123_456_789, "kakao_account": { "profile": profile } }))).await;
    assert_eq!(world.profile().await.picture, None);
}

#[tokio::test]
async fn a_profile_of_somebody_else_is_refused() {
    let world = kakao().await;
    world.answer("GET", "/me", ok(&json!({ "id": 123_456_780 }))).await;
    world.check_refused("id").await;
}

#[tokio::test]
async fn a_token_of_another_sign_in_client_or_issuer_is_refused() {
    for change in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another" }),
        json!({ "iss": "https://accounts.google.com" }),
        json!({ "exp": 1 }),
    ] {
        let world = kakao().await;
        world.tokens(Some(RSA.sign(&claims(&world, change.clone())))).await;
        world.check_refused(&change.to_string()).await;
    }
}

#[tokio::test]
async fn without_openid_connect_the_operator_is_told() {
    // https://developers.kakao.com/docs/latest/en/kakaologin/prerequisite: it must be switched on in the console.
    let world = kakao().await;
    world.tokens(None).await;
    world.check_unavailable("its answer has no ID token").await;
}

#[tokio::test]
async fn documented_errors_are_told_apart() {
    // https://developers.kakao.com/docs/latest/en/kakaologin/trouble-shooting
    for (code, error, description, number, refused) in [
        (400, "invalid_grant", format!("authorization code not found for code={CODE}"), "KOE320", true),
        (400, "invalid_grant", "Redirect URI mismatch.".to_owned(), "KOE303", false),
        (401, "invalid_client", "Bad client credentials".to_owned(), "KOE010", false),
        (401, "invalid_client", "Not exist client_id [client-1234]".to_owned(), "KOE101", false),
        (400, "misconfigured", "invalid android_key_hash or ios_bundle_id or web_site_url".to_owned(), "KOE009", false),
        (400, "invalid_request", "Rate limit exceeded".to_owned(), "KOE237", false),
    ] {
        let world = kakao().await;
        let body = json!({ "error": error, "error_description": description, "error_code": number });
        world.answer("POST", "/token", status(code, &body)).await;
        world.check_told(refused, &format!("{error} ({number})")).await;
    }
}

#[tokio::test]
async fn a_profile_that_is_denied_is_no_answer() {
    // https://developers.kakao.com/docs/latest/en/rest-api/reference#error-code
    for (code, body) in [
        (401, json!({ "msg": "this access token does not exist", "code": -401 })),
        (403, json!({ "msg": "insufficient scopes.", "code": -402, "required_scopes": ["account_email"] })),
        (400, json!({ "msg": "given account is not connected to any talk user.", "code": -101 })),
    ] {
        let world = kakao().await;
        world.answer("GET", "/me", status(code, &body)).await;
        world.check_unavailable(&format!("status {code}")).await;
    }
}

#[tokio::test]
async fn a_user_is_unlinked() {
    // https://developers.kakao.com/docs/latest/en/kakaologin/rest-api#unlink
    let world = kakao().await;
    let grant = world.exchange().await.unwrap().grant.unwrap();
    world.answer("POST", "/revoke", ok(&json!({ "id": 123_456_789 }))).await;
    world.provider.revoke(&grant).await.unwrap();
    let asked = world.asked("/revoke").await.pop().unwrap();
    assert_eq!(asked.headers["authorization"], format!("Bearer {ACCESS}").as_str());
    assert!(!String::from_utf8_lossy(&asked.body).contains(SECRET));
}

#[tokio::test]
async fn a_user_is_unlinked_with_a_new_access_token_when_the_old_one_has_expired() {
    let world = kakao().await;
    let grant = world.exchange().await.unwrap().grant.unwrap();
    world.answer("POST", "/revoke", expired()).await;
    let new = Mock::given(path("/revoke"))
        .and(header("authorization", "Bearer a-new-one"))
        .respond_with(ok(&json!({ "id": 123_456_789 })))
        .with_priority(1);
    new.mount(&world.server).await;
    world
        .answer(
            "POST",
            "/token",
            ok(&json!({ "access_token": "a-new-one", "token_type": "bearer", "expires_in": 21_599 })),
        )
        .await;
    world.provider.revoke(&grant).await.unwrap();
    let form = world.form("/token").await;
    assert!(
        form.contains(&pair("grant_type", "refresh_token")) && form.contains(&pair("refresh_token", REFRESH)),
        "{form:?}"
    );
    assert!(form.contains(&pair("client_id", CLIENT_ID)) && form.contains(&pair("client_secret", SECRET)));
}

#[tokio::test]
async fn a_user_who_is_not_linked_any_more_has_nothing_to_give_back() {
    let not_linked = json!({ "msg": "NotRegisteredUserException", "code": -101 });
    for (answer, grant) in
        [(status(400, &not_linked), "{\"access\":\"a\"}"), (expired(), "{\"access\":\"a\"}"), (expired(), "{}")]
    {
        let world = kakao().await;
        world.answer("POST", "/revoke", answer).await;
        let refused = world.provider.revoke(&kept(grant)).await;
        assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{refused:?}");
    }
    // The refresh token has expired as well (https://developers.kakao.com/docs/latest/en/kakaologin/trouble-shooting).
    let world = kakao().await;
    world.answer("POST", "/revoke", expired()).await;
    let gone = json!({ "error": "invalid_grant", "error_description": "expired_or_invalid_refresh_token", "error_code": "KOE322" });
    world.answer("POST", "/token", status(400, &gone)).await;
    let refused = world.provider.revoke(&kept("{\"access\":\"a\",\"refresh\":\"r\"}")).await;
    assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_user_who_cannot_be_unlinked_now_stays_to_be_unlinked() {
    for (answer, words) in [
        (ResponseTemplate::new(500), "status 500"),
        (status(400, &json!({ "msg": "internal", "code": -1 })), "status 400"),
        (ResponseTemplate::new(404), "status 404"),
    ] {
        let world = kakao().await;
        world.answer("POST", "/revoke", answer).await;
        check_trouble(world.provider.revoke(&kept("{\"access\":\"a\",\"refresh\":\"r\"}")).await, words);
    }
}

fn expired() -> ResponseTemplate {
    // https://developers.kakao.com/docs/latest/en/rest-api/reference#error-code
    status(401, &json!({ "msg": "this access token does not exist", "code": -401 }))
}

/// Kakao with its own name, at this test's address, where a sign-in goes well.
async fn kakao() -> World {
    let world = World::with(Kind::Kakao, |settings| settings.issuer = None).await;
    world.keys(&[&RSA]).await;
    world.tokens(Some(RSA.sign(&claims(&world, json!({}))))).await;
    world.answer("GET", "/me", ok(&user())).await;
    world
}

/// <https://developers.kakao.com/docs/latest/en/kakaologin/utilize#oidc-id-token>
fn claims(world: &World, change: Value) -> Value {
    let documented = json!({
        "iss": "https://kauth.kakao.com", "sub": "123456789", "auth_time": 1_699_999_990, "nickname": "JordyTest",
        "picture": "http://yyy.kakao.com/.../img_110x110.jpg", "email": "sample@sample.com",
    });
    merged(merged(world.claims(), documented), change)
}

/// <https://developers.kakao.com/docs/latest/en/kakaologin/rest-api#req-user-info>
fn user() -> Value {
    json!({
        "id": 123_456_789,
        "connected_at": "2022-04-11T01:45:28Z",
        "kakao_account": {
            "profile_nickname_needs_agreement": false,
            "profile": {
                "nickname": "Hong Gil-dong",
                "thumbnail_image_url": "https://k.kakaocdn.net/dn/img_110x110.jpg",
                "profile_image_url": "https://k.kakaocdn.net/dn/img_640x640.jpg",
                "is_default_image": false,
            },
            "email_needs_agreement": false,
            "is_email_valid": true,
            "is_email_verified": true,
            "email": "sample@sample.com",
        },
    })
}
