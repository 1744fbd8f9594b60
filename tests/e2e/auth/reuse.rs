//! A stolen refresh token.

use reqwest::header::COOKIE;
use reqwest::{Method, Response};

use super::{dead, lines_of, me, trail, unauthorized};
use crate::support::{Anon, Options, Server, Stomp, User, refreshed, refused, within};

#[tokio::test]
async fn t3_a_stolen_token_outside_grace_kills_the_session_for_the_thief_and_the_victim_and_after_a_restart() {
    let env = [("AUTH__REFRESH_GRACE", "1s"), ("LIMITS__REFRESH", "0")];
    let server = Server::start(&env).await;
    let mut alice = server.sign_in("alice").await;
    let stolen = alice.clone();
    alice.refresh().await;
    // The victim has the new token and uses it: no answer was lost.
    assert_eq!(alice.get("/api/v1/me").await.status(), 200);
    let mut by_token = Stomp::connect(&server, &alice).await;
    let mut by_session = Stomp::lease(&server, &alice).await;

    // Within grace the thief passes for a second tab, and is given the same tokens as the victim, not others.
    let thief = Anon::new(&server);
    let mut given = Vec::new();
    let caught = within("the end of the grace", async {
        loop {
            let answer = thief.refresh(&stolen.cookie).await;
            if answer.status() != 200 {
                break answer;
            }
            let (cookie, token) = refreshed(answer).await;
            assert_eq!(cookie, alice.cookie, "T1: one leaf");
            given.push(token);
        }
    });
    refused(caught.await, 403, "REFRESH_TOKEN_REUSED").await;
    by_token.closed(4001).await;
    by_session.closed(4001).await;
    nothing_is_left(&thief, &stolen, &alice, &given).await;

    let data = server.kill().await;
    let server = Server::start_with(Options { env: &env, data: Some(data), ..Options::default() }).await;
    alice.follow(&server);
    let thief = Anon::new(&server);
    nothing_is_left(&thief, &stolen, &alice, &given).await;

    // The owner signs in again and reads what happened, once.
    let again = server.sign_in("alice").await;
    let trail = trail(&again).await;
    let reuse = lines_of(&trail, &alice.sid(), "REUSE");
    assert_eq!(reuse.len(), 1, "T14: {trail:?}");
    assert_eq!(reuse[0].address, "127.0.0.1");
    assert!(lines_of(&trail, &alice.sid(), "LOGGED_OUT").is_empty(), "T14: ended once");
}

#[tokio::test]
async fn t3_a_token_two_generations_old_is_reuse_within_grace_too() {
    let server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    let stolen = alice.clone();
    alice.refresh().await;
    alice.refresh().await;
    refused(Anon::new(&server).refresh(&stolen.cookie).await, 403, "REFRESH_TOKEN_REUSED").await;
    dead(&alice).await;
}

#[tokio::test]
async fn t3_of_many_thieves_at_once_each_is_refused_and_the_trail_has_one_end() {
    let server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    let stolen = alice.clone();
    alice.refresh().await;
    alice.refresh().await;
    let thieves = (0..16).map(|_| stolen.anon.refresh(&stolen.cookie));
    for answer in futures_util::future::join_all(thieves).await {
        assert_eq!(answer.status(), 403);
    }
    dead(&alice).await;
    let again = server.sign_in("alice").await;
    assert_eq!(lines_of(&trail(&again).await, &alice.sid(), "REUSE").len(), 1, "T14");
}

/// Nobody gets anywhere: not with the stolen cookie, not with the victim's, not with an access token of either.
async fn nothing_is_left(thief: &Anon, stolen: &User, victim: &User, given: &[String]) {
    refused(refresh_beside(thief, &stolen.cookie, &stolen.token).await, 403, "SESSION_ENDED").await;
    refused(refresh_beside(thief, &victim.cookie, &victim.token).await, 403, "SESSION_ENDED").await;
    for token in [&stolen.token, &victim.token].into_iter().chain(given.first()).chain(given.last()) {
        unauthorized(me(thief, token).await, "SESSION_ENDED").await;
    }
    dead(victim).await;
}

/// A refresh with an access token beside the cookie, which helps nothing.
async fn refresh_beside(anon: &Anon, cookie: &str, token: &str) -> Response {
    let request = anon.request(Method::GET, "/api/v1/auth/refresh").header("authorization", token);
    within("refresh", request.header(COOKIE, cookie).send()).await.expect("an answer")
}
