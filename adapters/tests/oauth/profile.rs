//! Whatever a provider puts into a profile, nothing of it does harm.

use serde_json::{Value, json};
use transtalk_adapters::oauth::Kind;
use transtalk_core::ports::Profile;
use transtalk_core::translate::Language;

use crate::support::{World, ok};

#[tokio::test]
async fn a_name_is_one_line_of_bearable_length() {
    let long = "가".repeat(3_500);
    let spaced = format!("{}x", " ".repeat(10_000));
    for (told, expect) in [
        (json!("  Jane   Doe\n"), Some("Jane Doe")),
        (json!("김\u{3000}철수"), Some("김 철수")),
        (json!("a\u{0}b\u{7}c\u{1b}[31m\r\nd"), Some("a b c [31m d")),
        // It would turn the line around in which it is shown.
        (json!("Ann\u{202e}nimda\u{202c}"), Some("Annnimda")),
        (json!("\u{2067}A\u{2069}\u{200e}\u{200f}\u{61c}\u{feff}\u{200b}"), Some("A")),
        (json!("a\u{2028}b\u{2029}c"), Some("a b c")),
        // Joiners are part of emoji and of some scripts.
        (json!("👩\u{200d}👧"), Some("👩\u{200d}👧")),
        (json!("می\u{200c}خواهم"), Some("می\u{200c}خواهم")),
        (json!("<script>alert(1)</script>"), Some("<script>alert(1)</script>")),
        (json!(&long), Some(&long[.."가".len() * 100])),
        (json!(format!("{}  {}", "a".repeat(99), "b".repeat(50))), Some(&"a".repeat(99))),
        (json!(spaced), None),
        (json!(""), None),
        (json!("   \t\n"), None),
        (json!("\u{200d}\u{3164}\u{2800} \u{ad}"), None),
        (json!("\u{202e}"), None),
        (json!(null), None),
        (json!(7), None),
        (json!({ "first": "Jane" }), None),
        (json!(["Jane"]), None),
    ] {
        let profile = told_by_oidc(json!({ "name": told })).await;
        assert_eq!(profile.name.as_deref(), expect, "{told}");
    }
}

#[tokio::test]
async fn a_person_without_a_name_goes_by_another() {
    for (told, expect) in [
        (json!({ "name": " ", "nickname": "Janie", "preferred_username": "j.doe" }), Some("Janie")),
        (json!({ "preferred_username": "j.doe" }), Some("j.doe")),
        (json!({ "name": "Jane", "nickname": "Janie" }), Some("Jane")),
        (json!({ "given_name": "Jane" }), None),
    ] {
        assert_eq!(told_by_oidc(told.clone()).await.name.as_deref(), expect, "{told}");
    }
}

#[tokio::test]
async fn a_picture_is_https() {
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    for (told, expect) in [
        (json!("https://example.com/a.png?s=96&v=4"), Some("https://example.com/a.png?s=96&v=4")),
        (json!(" HTTPS://EXAMPLE.com/a.png "), Some("https://example.com/a.png")),
        (json!("https://example.com/\" onerror=\"alert(1)"), Some("https://example.com/%22%20onerror=%22alert(1)")),
        (json!("http://example.com/a.png"), None),
        (json!("javascript:alert(1)"), None),
        (json!("JaVaScRiPt:alert(1)//https://"), None),
        (json!("data:image/svg+xml,<svg onload=alert(1)>"), None),
        (json!("//example.com/a.png"), None),
        (json!("/a.png"), None),
        (json!("https://user:word@example.com/a.png"), None),
        (json!("https://"), None),
        (json!(""), None),
        (json!(long), None),
        (json!({ "data": { "url": "https://example.com/a.png" } }), None),
    ] {
        let profile = told_by_oidc(json!({ "picture": told })).await;
        assert_eq!(profile.picture.as_deref(), expect, "{told}");
    }
}

#[tokio::test]
async fn an_address_is_one_or_none() {
    let long = format!("{}@example.com", "a".repeat(250));
    for (told, expect) in [
        (json!(" Bob@Example.COM "), Some("bob@example.com")),
        (json!("bob"), None),
        (json!("bob@exa\nmple.com"), None),
        (json!("bob@example.com\u{0}"), None),
        (json!("bob\u{202e}@example.com"), None),
        (json!("b\u{200b}ob@example.com"), None),
        (json!(""), None),
        (json!(long), None),
        (json!(["bob@example.com"]), None),
    ] {
        let profile = told_by_oidc(json!({ "email": told, "email_verified": true })).await;
        assert_eq!(profile.email.as_deref(), expect, "{told}");
        assert_eq!(profile.email_verified, expect.is_some(), "{told}");
    }
}

#[tokio::test]
async fn a_language_is_a_tag_or_none() {
    for (told, expect) in [
        (json!("ko"), Some("ko")),
        (json!("en_US"), Some("en-us")),
        (json!(" pt-BR "), Some("pt-br")),
        (json!("Korean!"), None),
        (json!("x".repeat(10_000)), None),
        (json!(""), None),
        (json!(1_033), None),
    ] {
        let profile = told_by_oidc(json!({ "locale": told })).await;
        assert_eq!(profile.language.as_ref().map(Language::as_str), expect, "{told}");
    }
}

#[tokio::test]
async fn hostile_profiles_of_the_others_are_harmless_too() {
    let name = "Ann\u{202e}\u{0}nimda";
    let picture = "javascript:alert(1)";
    let email = "bob\u{202e}@example.com";
    let naver = World::new(Kind::Naver).await;
    naver.tokens(None).await;
    let response = json!({ "id": "1", "name": name, "profile_image": picture, "email": email });
    naver.answer("GET", "/me", ok(&json!({ "resultcode": "00", "message": "success", "response": response }))).await;
    let kakao = World::new(Kind::Kakao).await;
    kakao.openid(json!({ "sub": "1", "nickname": name, "picture": picture, "email": email })).await;
    let account = json!({
        "profile": { "nickname": name, "profile_image_url": picture },
        "email": email, "is_email_valid": true, "is_email_verified": true,
    });
    kakao.answer("GET", "/me", ok(&json!({ "id": 1, "kakao_account": account }))).await;
    let github = World::new(Kind::Github).await;
    github.tokens(None).await;
    github.answer("GET", "/me", ok(&json!({ "id": 1, "login": "a", "name": name, "avatar_url": picture }))).await;
    github.answer("GET", "/me/emails", ok(&json!([{ "email": email, "primary": true, "verified": true }]))).await;
    for world in [naver, kakao, github] {
        let profile = world.profile().await;
        assert_eq!(profile.name.as_deref(), Some("Ann nimda"));
        assert_eq!((profile.picture, profile.email, profile.email_verified), (None, None, false));
    }
}

#[tokio::test]
async fn an_account_of_nobody_is_no_answer() {
    for id in [json!(""), json!("x".repeat(256)), json!("a\u{0}b"), json!(7), json!(null)] {
        let naver = World::new(Kind::Naver).await;
        naver.tokens(None).await;
        let answer = json!({ "resultcode": "00", "message": "success", "response": { "id": id } });
        naver.answer("GET", "/me", ok(&answer)).await;
        naver.check_unavailable("").await;
    }
    for id in [json!("1"), json!(-1), json!(1.5), json!(null)] {
        let github = World::new(Kind::Github).await;
        github.tokens(None).await;
        github.answer("GET", "/me", ok(&json!({ "id": id, "login": "a" }))).await;
        github.check_unavailable("not the JSON that is expected").await;
    }
}

/// The profile of somebody whose ID token says this.
async fn told_by_oidc(claims: Value) -> Profile {
    let world = World::new(Kind::Oidc).await;
    world.openid(claims).await;
    world.metadata(json!({ "userinfo_endpoint": null })).await;
    world.profile().await
}
