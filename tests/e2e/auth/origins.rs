//! Which pages may do something in a browser's name, and how the cookies keep other pages out.

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use super::{CLIENT_ORIGIN, sent};
use crate::support::{Anon, Server, User, data, refused};

const FOREIGN: [&str; 6] = [
    "https://evil.example",
    "null",
    "http://localhost:5174",
    "https://localhost:5173",
    "http://localhost:5173.evil.example",
    "http://127.0.0.1",
];

#[tokio::test]
async fn a_page_of_a_foreign_origin_does_nothing_by_a_browsers_cookie() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let unsafe_requests = || -> Vec<RequestBuilder> {
        let body = json!({ "language": "ko", "recipientEmail": "bob@example.com" });
        let session = format!("/api/v1/sessions/{}", alice.sid());
        let bare = |method: Method, path: &str| alice.anon.request(method, path).header(COOKIE, &alice.cookie);
        let with_token = |method: Method, path: &str| alice.request(method, path).header(COOKIE, &alice.cookie);
        vec![
            bare(Method::POST, "/api/v1/auth/logout"),
            bare(Method::POST, "/api/v1/auth/logout?everywhere=true"),
            with_token(Method::POST, "/api/v1/auth/logout"),
            with_token(Method::POST, "/api/v1/auth/ws-ticket"),
            with_token(Method::DELETE, "/api/v1/auth/withdraw"),
            with_token(Method::DELETE, &session),
            with_token(Method::POST, "/api/v1/chatRooms").json(&body),
        ]
    };
    for origin in FOREIGN {
        for request in unsafe_requests() {
            refused(sent(request.header("origin", origin)).await, 403, "ORIGIN_NOT_ALLOWED").await;
        }
    }
    // The browser says itself that it is another site's page.
    for request in unsafe_requests() {
        let request = request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
        refused(sent(request).await, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    nothing_happened(&alice).await;
}

#[tokio::test]
async fn a_cookie_alone_without_an_origin_ends_nothing() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    for path in ["/api/v1/auth/logout", "/api/v1/auth/logout?everywhere=true"] {
        for site in [None, Some("cross-site"), Some("same-site"), Some("none")] {
            let mut request = alice.anon.request(Method::POST, path).header(COOKIE, &alice.cookie);
            if let Some(site) = site {
                request = request.header("sec-fetch-site", site);
            }
            refused(sent(request).await, 403, "ORIGIN_NOT_ALLOWED").await;
        }
    }
    nothing_happened(&alice).await;
}

#[tokio::test]
async fn the_servers_own_and_the_configured_origin_may() {
    let server = Server::start(&[("HTTP__CORS_ORIGINS", "https://chat.example, http://localhost:5173")]).await;
    for origin in [server.base.as_str(), "https://chat.example", CLIENT_ORIGIN] {
        let alice = server.sign_in("alice").await;
        let request = alice.anon.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, &alice.cookie);
        data(sent(request.header("origin", origin)).await).await;
        super::dead(&alice).await;
        let alice = server.sign_in("alice").await;
        let request = alice.request(Method::DELETE, &format!("/api/v1/sessions/{}", alice.sid()));
        data(sent(request.header(COOKIE, &alice.cookie).header("origin", origin)).await).await;
        super::dead(&alice).await;
    }
    // A client that is no browser has no cookie, and so no origin to prove.
    let bob = server.sign_in("bob").await;
    data(bob.post("/api/v1/auth/logout").await).await;
}

#[tokio::test]
async fn a_refresh_from_another_site_needs_an_allowed_origin() {
    let server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    let refresh = |alice: &User, headers: &[(&str, &str)]| {
        let mut request = alice.anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, &alice.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sent(request)
    };
    refused(refresh(&alice, &[("sec-fetch-site", "cross-site")]).await, 403, "ORIGIN_NOT_ALLOWED").await;
    for origin in FOREIGN {
        let headers = [("sec-fetch-site", "cross-site"), ("origin", origin)];
        refused(refresh(&alice, &headers).await, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    assert_eq!(super::trail(&alice).await.len(), 1, "nothing happened but the sign-in");
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", CLIENT_ORIGIN)][..],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin"), ("origin", &server.base)],
        &[("sec-fetch-site", "same-site"), ("origin", CLIENT_ORIGIN)],
        &[("sec-fetch-site", "none")],
        &[],
    ] {
        let answer = refresh(&alice, headers).await;
        assert_eq!(answer.status(), 200, "{headers:?}");
        (alice.cookie, alice.token) = crate::support::refreshed(answer).await;
    }
}

#[tokio::test]
async fn cookies_have_the_attributes_of_the_configured_site_to_the_letter() {
    for (same_site, attributes) in [
        (None, "Secure; HttpOnly; SameSite=None; Partitioned"),
        (Some("none"), "Secure; HttpOnly; SameSite=None; Partitioned"),
        (Some("lax"), "Secure; HttpOnly; SameSite=Lax"),
    ] {
        let configured: Vec<(&str, &str)> = same_site.iter().map(|site| ("AUTH__COOKIE_SAME_SITE", *site)).collect();
        let server = Server::start(&configured).await;
        let anon = Anon::new(&server);
        let begun = anon.get("/api/v1/auth").await;
        let line = only(&set_cookie_lines(&begun));
        let (sign_in, rest) = line.split_once("; ").expect("attributes");
        assert_eq!(rest, format!("Max-Age=600; Path=/api/v1/auth; {attributes}"));
        let page = data(begun).await.as_str().expect("an address").to_owned();

        let answer = anon.complete(&anon.come_back(&page, "alice").await, sign_in).await;
        let lines = set_cookie_lines(&answer);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (refresh, rest) = lines[0].split_once("; ").expect("attributes");
        assert!(refresh.starts_with("refreshToken="), "{refresh}");
        assert_eq!(rest, format!("Max-Age=604800; Path=/; {attributes}"));
        // The sign-in is done, and its cookie gone, with the attributes by which the browser knows it.
        assert_eq!(lines[1], format!("signIn=; Max-Age=0; Path=/api/v1/auth; {attributes}"));

        let answer = anon.refresh(refresh).await;
        let line = only(&set_cookie_lines(&answer));
        let (refresh, rest) = line.split_once("; ").expect("attributes");
        assert_eq!(rest, format!("Max-Age=604800; Path=/; {attributes}"));
        let request = anon.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, refresh);
        let answer = sent(request.header("origin", &server.base)).await;
        assert_eq!(only(&set_cookie_lines(&answer)), format!("refreshToken=; Max-Age=0; Path=/; {attributes}"));
        data(answer).await;
    }
}

#[tokio::test]
async fn a_refresh_cookie_lasts_as_long_as_its_token_and_no_longer_than_its_session() {
    for (env, expected) in [
        (&[("AUTH__REFRESH_TTL", "1h")][..], 3_600),
        (&[("AUTH__REFRESH_TTL", "7d"), ("AUTH__REFRESH_ABSOLUTE_TTL", "2h")], 7_200),
    ] {
        let server = Server::start(env).await;
        let alice = server.sign_in("alice").await;
        let answer = alice.anon.refresh(&alice.cookie).await;
        let line = only(&set_cookie_lines(&answer));
        let age = line.split("; ").find_map(|attribute| attribute.strip_prefix("Max-Age=")).expect("an age");
        let age: u64 = age.parse().expect("seconds");
        assert!((expected - 20..=expected).contains(&age), "{age} of {expected}");
    }
}

/// The session lives, and nothing was opened.
async fn nothing_happened(alice: &User) {
    data(alice.get("/api/v1/me").await).await;
    let rooms = data(alice.get("/api/v1/chatRooms?page=0&name=").await).await;
    assert_eq!(rooms["totalElements"], 0);
    data(alice.anon.refresh(&alice.cookie).await).await;
}

fn set_cookie_lines(answer: &Response) -> Vec<String> {
    assert_eq!(answer.status(), 200, "{}", answer.url());
    answer.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().expect("text").to_owned()).collect()
}

fn only(lines: &[String]) -> String {
    let [line] = lines else { panic!("one is expected: {lines:?}") };
    line.clone()
}
