//! Logging out of several sessions at once: who may ask for it, by what, and whom it reaches.

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, Response};

use super::{dead, lines_of, listed, sent, trail, unauthorized};
use crate::support::{Server, Stomp, User, data, eventually};

const LOG_OUT: &str = "/api/v1/auth/logout";
const EVERYWHERE: &str = "/api/v1/auth/logout?everywhere=true";

#[tokio::test]
async fn two_accounts_of_one_browser_are_logged_out_each_as_far_as_it_was_asked() {
    let server = Server::start(&[]).await;
    let (alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let (bob, at_home) = (server.sign_in("bob").await, server.sign_in("bob").await);
    let (mut hers, mut his) = (Stomp::connect(&server, &elsewhere).await, Stomp::lease(&server, &bob).await);
    let mut staying = Stomp::lease(&server, &at_home).await;
    let answer = post(&alice, EVERYWHERE, Some(&bob)).await;
    cookie_is_deleted(&answer);
    data(answer).await;
    for gone in [&alice, &elsewhere, &bob] {
        dead(gone).await;
    }
    hers.closed(4001).await;
    his.closed(4001).await;
    assert_eq!(listed(&at_home).await, [at_home.sid()].into(), "nobody asked for his others");
    let room = at_home.open_room("ko", "carla@example.com").await;
    staying.say(room, "Still at home", None).await;
    assert_eq!(lines_of(&trail(&at_home).await, &bob.sid(), "LOGGED_OUT").len(), 1, "T14");
    let hers = trail(&server.sign_in("alice").await).await;
    for session in [&alice, &elsewhere] {
        assert_eq!(lines_of(&hers, &session.sid(), "LOGGED_OUT").len(), 1, "T14: {hers:?}");
    }
}

#[tokio::test]
async fn an_expired_token_ends_its_own_session_and_no_other() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s")]).await;
    let (mut alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    for user in [&alice, &elsewhere] {
        expired(user).await;
    }
    unauthorized(post(&alice, EVERYWHERE, None).await, "TOKEN_EXPIRED").await;
    // Nothing has ended: both are refreshed, and so is what the other one says below.
    let mut again = elsewhere.clone();
    for user in [&mut alice, &mut again] {
        user.refresh().await;
        expired(user).await;
    }
    // To leave late is to leave.
    cookie_is_deleted(&post(&alice, LOG_OUT, None).await);
    crate::support::refused(alice.anon.refresh(&alice.cookie).await, 403, "SESSION_ENDED").await;
    again.refresh().await;
}

#[tokio::test]
async fn an_expired_token_with_its_live_cookie_logs_out_everywhere() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s")]).await;
    let (alice, elsewhere, bob) =
        (server.sign_in("alice").await, server.sign_in("alice").await, server.sign_in("bob").await);
    expired(&alice).await;
    let answer = post(&alice, EVERYWHERE, Some(&alice)).await;
    cookie_is_deleted(&answer);
    data(answer).await;
    for user in [&alice, &elsewhere] {
        crate::support::refused(user.anon.refresh(&user.cookie).await, 403, "SESSION_ENDED").await;
    }
    data(bob.anon.refresh(&bob.cookie).await).await;
    // The cookie is no better than its session: a second time it asks for nothing.
    unauthorized(post(&alice, EVERYWHERE, Some(&alice)).await, "SESSION_ENDED").await;
}

#[tokio::test]
async fn to_end_the_session_that_one_is_in_deletes_its_cookie_and_to_end_another_does_not() {
    let server = Server::start(&[]).await;
    let (alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let end = async |session: &User| {
        let request = alice.request(Method::DELETE, &format!("/api/v1/sessions/{}", session.sid()));
        sent(request.header(COOKIE, &alice.cookie).header("origin", &server.base)).await
    };
    let answer = end(&elsewhere).await;
    assert!(!answer.headers().contains_key(SET_COOKIE), "{:?}", answer.headers());
    data(answer).await;
    let answer = end(&alice).await;
    cookie_is_deleted(&answer);
    data(answer).await;
    for gone in [&alice, &elsewhere] {
        dead(gone).await;
    }
}

/// Posts with this user's token and, from the server's own page, with somebody's cookie.
async fn post(user: &User, path: &str, cookie: Option<&User>) -> Response {
    let mut request = user.request(Method::POST, path);
    if let Some(owner) = cookie {
        request = request.header(COOKIE, &owner.cookie).header("origin", &user.anon.base);
    }
    sent(request).await
}

fn cookie_is_deleted(answer: &Response) {
    assert_eq!(answer.status(), 200, "{}", answer.url());
    let line = answer.headers()[SET_COOKIE].to_str().expect("text");
    assert!(line.starts_with("refreshToken=; Max-Age=0; Path=/;"), "{line}");
}

/// Waits until this access token has expired.
async fn expired(user: &User) {
    eventually("the end of the token", async || (user.get("/api/v1/me").await.status() == 401).then_some(())).await;
    unauthorized(user.get("/api/v1/me").await, "TOKEN_EXPIRED").await;
}
