//! Naver as its documentation has it: <https://developers.naver.com/docs/login/api/api.md>.

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::Identity;
use transtalk_core::ports::{IdentityError, Profile};
use wiremock::ResponseTemplate;

use crate::support::{ACCESS, CLIENT_ID, REFRESH, SECRET, World, check_trouble, kept, ok, pair, status};

#[tokio::test]
async fn a_full_profile() {
    let world = naver().await;
    let expect = Profile {
        identity: Identity { issuer: "https://nid.naver.com".to_owned(), subject: "32742776".to_owned() },
        email: Some("openapi@naver.com".to_owned()),
        // Naver does not vouch for it.
        email_verified: false,
        name: Some("오픈 API".to_owned()),
        picture: Some("https://ssl.pstatic.net/static/pwe/address/nodata_33x33.gif".to_owned()),
        language: None,
    };
    assert_eq!(world.profile().await, expect);
    let asked = world.asked("/me").await.pop().unwrap();
    assert_eq!(asked.headers["authorization"], format!("Bearer {ACCESS}").as_str());
    let form = world.form("/token").await;
    assert!(form.contains(&pair("client_id", CLIENT_ID)) && form.contains(&pair("client_secret", SECRET)));
}

#[tokio::test]
async fn a_user_may_refuse_everything_but_the_id() {
    // https://developers.naver.com/docs/login/devguide/devguide.md, 3.3.1: all but the identifier may be missing.
    let world = naver().await;
    world.answer("GET", "/me", ok(&answer(&json!({ "id": "abcdefgABCDEFG1234567" })))).await;
    let profile = world.profile().await;
    assert_eq!(profile.identity.subject, "abcdefgABCDEFG1234567");
    assert_eq!((profile.name, profile.email, profile.picture), (None, None, None));
    world.answer("GET", "/me", ok(&answer(&json!({ "id": "1", "nickname": "ope***" })))).await;
    assert_eq!(world.profile().await.name.as_deref(), Some("ope***"));
}

#[tokio::test]
async fn documented_errors_are_told_apart() {
    // https://developers.naver.com/docs/login/api/api.md, 5: they come with status 200, and in JSON.
    for (error, description, refused) in [
        ("invalid_request", "no valid data in session", true),
        ("unauthorized_client", "인증받지 않은 인증 코드(authorization code)로 요청했습니다.", true),
        ("invalid_request", "파라미터가 잘못되었거나 요청문이 잘못되었습니다.", false),
        ("invalid_request", "wrong client id / client secret pair", false),
        ("unsupported_response_type", "정의되지 않은 반환 형식으로 요청했습니다.", false),
        ("server_error", "네이버 인증 서버의 오류로 요청을 처리하지 못했습니다.", false),
    ] {
        for code in [200, 400] {
            let world = naver().await;
            world
                .answer("POST", "/token", status(code, &json!({ "error": error, "error_description": description })))
                .await;
            world.check_told(refused, error).await;
        }
    }
}

#[tokio::test]
async fn a_profile_that_is_denied_is_no_answer() {
    // https://developers.naver.com/docs/login/profile/profile.md, 6.
    for (code, body, words) in [
        (401, json!({ "resultcode": "024", "message": "Authentication failed" }), "status 401"),
        (401, json!({ "resultcode": "028", "message": "Authentication header not exists" }), "status 401"),
        (403, json!({ "resultcode": "403", "message": "Forbidden" }), "status 403"),
        (404, json!({ "resultcode": "404", "message": "Not Found" }), "status 404"),
        (500, json!({ "resultcode": "500", "message": "Internal Server Error" }), "status 500"),
        // And with status 200.
        (200, json!({ "resultcode": "024", "message": "Authentication failed" }), "no result code 00"),
        (200, json!({ "resultcode": "00", "message": "success" }), "no response"),
        (200, json!({ "resultcode": "00", "message": "success", "response": null }), "no response"),
        (200, json!({ "resultcode": "00", "message": "success", "response": {} }), "no id"),
        (200, json!({ "message": "success", "response": { "id": "1" } }), "not the JSON that is expected"),
    ] {
        let world = naver().await;
        world.answer("GET", "/me", status(code, &body)).await;
        world.check_unavailable(words).await;
    }
}

#[tokio::test]
async fn a_grant_is_given_back() {
    // https://developers.naver.com/docs/login/devguide/devguide.md, 4.3: it is done if the status is 200, which has no body.
    let world = naver().await;
    let grant = world.exchange().await.unwrap().grant.unwrap();
    world.answer("POST", "/revoke", ResponseTemplate::new(200)).await;
    world.provider.revoke(&grant).await.unwrap();
    let expect = [
        pair("token", REFRESH),
        pair("token_type_hint", "refresh_token"),
        pair("client_id", CLIENT_ID),
        pair("client_secret", SECRET),
    ];
    assert_eq!(world.form("/revoke").await, expect);
}

#[tokio::test]
async fn a_grant_that_cannot_be_given_back_now_stays() {
    let unauthorized = json!({ "error": "unauthorized_client", "error_description": "Client authentication failed." });
    for (code, body, words) in [
        (401, unauthorized, "with unauthorized_client"),
        (400, json!({ "error": "invalid_request" }), "with invalid_request"),
        (503, json!({ "error": "temporarily_unavailable" }), "status 503"),
    ] {
        let world = naver().await;
        world.answer("POST", "/revoke", status(code, &body)).await;
        check_trouble(world.provider.revoke(&kept("{\"refresh\":\"r\"}")).await, words);
    }
    let refused = naver().await.provider.revoke(&kept("7")).await;
    assert!(matches!(refused, Err(IdentityError::Refused { .. })), "{refused:?}");
}

/// Naver with its own name, at this test's address, where a sign-in goes well.
async fn naver() -> World {
    let world = World::with(Kind::Naver, |settings| settings.issuer = None).await;
    // https://developers.naver.com/docs/login/api/api.md, 6.2.2: the number is a string.
    let body =
        json!({ "access_token": ACCESS, "refresh_token": REFRESH, "token_type": "bearer", "expires_in": "3600" });
    world.answer("POST", "/token", ok(&body)).await;
    // https://developers.naver.com/docs/login/profile/profile.md, 7.
    let user = json!({
        "email": "openapi@naver.com", "nickname": "OpenAPI",
        "profile_image": "https://ssl.pstatic.net/static/pwe/address/nodata_33x33.gif", "age": "40-49", "gender": "F",
        "id": "32742776", "name": "오픈 API", "birthday": "10-01", "birthyear": "1900", "mobile": "010-0000-0000",
    });
    world.answer("GET", "/me", ok(&answer(&user))).await;
    world
}

fn answer(user: &Value) -> Value {
    json!({ "resultcode": "00", "message": "success", "response": user })
}
