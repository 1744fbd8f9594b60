//! The refresh never answers 401, everything that needs an access token always does.

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{CLIENT_ORIGIN, log_out, me, sent, ticket, unauthorized, upgrade};
use crate::support::{Anon, Server, Stomp, User, claims, data, json as body, refused, within};

#[tokio::test]
async fn a_refresh_that_fails_says_why_and_never_401() {
    let server = Server::start(&[("LIMITS__REFRESH", "0")]).await;
    let foreign = Server::start(&[]).await.sign_in("alice").await;
    let alice = server.sign_in("alice").await;
    let refresh = |cookie: &str| alice.anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, cookie);

    let ended = server.sign_in("alice").await;
    data(log_out(&ended).await).await;
    let mut reused = server.sign_in("alice").await;
    let old = reused.cookie.clone();
    reused.refresh().await;
    reused.refresh().await;
    let withdrawn = server.sign_in("carla").await;
    data(withdrawn.delete("/api/v1/auth/withdraw").await).await;
    let (sign_in, _) = alice.anon.begin().await;

    let value = |cookie: &str| cookie.split_once('=').map(|(_, value)| value.to_owned()).expect("a value");
    let good = value(&alice.cookie);
    let (named, code) = good.rsplit_once('.').expect("two parts");
    let turned: String = code.chars().rev().collect();
    let bought = ticket(&alice).await;
    for wrong in [
        "garbage",
        ".",
        "..",
        "a.b.c",
        "%00",
        named,
        &format!("{named}."),
        &format!("{named}.{turned}"),
        &format!("{good}x"),
        &value(&foreign.cookie),
        &value(&sign_in),
        alice.jwt(),
        &bought,
        &"x".repeat(4_097),
    ] {
        refused(sent(refresh(&format!("refreshToken={wrong}"))).await, 400, "REFRESH_TOKEN_INVALID").await;
    }
    for missing in ["refreshToken=", "other=1", &format!("refreshtoken={good}"), &format!("xrefreshToken={good}")] {
        refused(sent(refresh(missing)).await, 400, "REFRESH_TOKEN_MISSING").await;
    }
    let bare = |token: &str| {
        sent(alice.anon.request(Method::GET, "/api/v1/auth/refresh").header(AUTHORIZATION, token.to_owned()))
    };
    for token in ["", "Bearer x.y.z", &alice.token, &ended.token, &good] {
        refused(bare(token).await, 400, "REFRESH_TOKEN_MISSING").await;
    }
    refused(sent(refresh(&ended.cookie)).await, 403, "SESSION_ENDED").await;
    refused(sent(refresh(&withdrawn.cookie)).await, 403, "SESSION_ENDED").await;
    refused(sent(refresh(&old)).await, 403, "REFRESH_TOKEN_REUSED").await;
    refused(sent(refresh(&reused.cookie)).await, 403, "SESSION_ENDED").await;
    let cross_site = |origin: &str| {
        refresh(&alice.cookie).header("sec-fetch-site", "cross-site").header("origin", origin.to_owned())
    };
    refused(sent(cross_site("https://evil.example")).await, 403, "ORIGIN_NOT_ALLOWED").await;
    // All of that did no harm.
    data(sent(cross_site(CLIENT_ORIGIN)).await).await;
}

#[tokio::test]
async fn t9_a_session_that_is_over_by_time_is_refused_without_401() {
    // One server for each of the two ends: that of a refresh token, and that of the whole session.
    for key in ["AUTH__REFRESH_TTL", "AUTH__REFRESH_ABSOLUTE_TTL"] {
        let server = Server::start(&[(key, "1s"), ("LIMITS__REFRESH", "0")]).await;
        let mut alice = server.sign_in("alice").await;
        if key == "AUTH__REFRESH_ABSOLUTE_TTL" {
            // However often it is refreshed, its end does not move.
            let refused_at_last = within("the end of the session", async {
                loop {
                    let answer = alice.anon.refresh(&alice.cookie).await;
                    if answer.status() != 200 {
                        break answer;
                    }
                    (alice.cookie, alice.token) = crate::support::refreshed(answer).await;
                }
            });
            refused(refused_at_last.await, 403, "SESSION_ENDED").await;
            // No access token outlives it, whatever its own time.
            let exp = claims(&alice.token)["exp"].as_u64().expect("a time");
            let iat = claims(&alice.token)["iat"].as_u64().expect("a time");
            assert!(exp - iat <= 1, "{iat} {exp}");
        } else {
            within("the end of the session", async { while alice.get("/api/v1/me").await.status() == 200 {} }).await;
            unauthorized(alice.get("/api/v1/me").await, "SESSION_ENDED").await;
            refused(alice.anon.refresh(&alice.cookie).await, 403, "SESSION_ENDED").await;
        }
    }
}

/// Every route of the document that asks for an access token, as a request without one.
async fn routes(anon: &Anon) -> Vec<(String, RequestBuilder)> {
    let document = body(anon.get("/openapi.json").await).await;
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if operation["security"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let id = if path.starts_with("/sessions") { "0".repeat(32) } else { "7".to_owned() };
            let method: Method = method.to_uppercase().parse().expect("a method");
            let mut request = anon.request(method.clone(), &format!("/api/v1{}", path.replace("{id}", &id)));
            if method == Method::POST {
                request = request.json(&json!({ "language": "ko", "recipientEmail": "bob@example.com" }));
            }
            found.push((format!("{method} {path}"), request));
        }
    }
    found
}

#[tokio::test]
async fn t8_a_missing_broken_foreign_or_expired_access_token_is_401_on_every_route() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "2s")]).await;
    let foreign = Server::start(&[]).await.sign_in("alice").await;
    let expired = server.sign_in("alice").await;
    within("the end of the token", async { while expired.get("/api/v1/me").await.status() == 200 {} }).await;
    let fresh = server.sign_in("alice").await;
    let bought = ticket(&fresh).await;
    let good = fresh.jwt();
    let parts: Vec<&str> = good.split('.').collect();
    let turned: String = parts[2].chars().rev().collect();
    // {"alg":"none"}, {"alg":"HS256"}.
    let (none, hs256) = ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9");

    let routes = routes(&fresh.anon).await;
    let names: Vec<&str> = routes.iter().map(|(name, _)| name.as_str()).collect();
    for expected in [
        "DELETE /auth/withdraw",
        "DELETE /sessions/{id}",
        "GET /chatRooms",
        "GET /chatRooms/{id}/chats",
        "GET /me",
        "GET /sessions",
        "GET /sessions/audit",
        "POST /auth/ws-ticket",
        "POST /chatRooms",
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    for (name, request) in routes {
        let request = || request.try_clone().expect("no stream");
        unauthorized(sent(request()).await, "UNAUTHORIZED").await;
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "garbage",
            "a.b.c",
            &format!("{}.{}.{turned}", parts[0], parts[1]),
            &format!("{}.{}.", parts[0], parts[1]),
            &format!("{none}.{}.", parts[1]),
            &format!("{none}.{}.{}", parts[1], parts[2]),
            &format!("{hs256}.{}.{}", parts[1], parts[2]),
            &format!("{good}.{}", parts[2]),
            &"x".repeat(5_000),
            foreign.jwt(),
            fresh.cookie.trim_start_matches("refreshToken="),
            &bought,
        ] {
            let answer = sent(request().header(AUTHORIZATION, wrong)).await;
            assert_eq!(answer.status(), 401, "{name} {wrong}");
            unauthorized(answer, "UNAUTHORIZED").await;
        }
        unauthorized(sent(request().header(AUTHORIZATION, &expired.token)).await, "TOKEN_EXPIRED").await;
        // The cookie beside it changes nothing.
        let beside = request().header(COOKIE, &fresh.cookie).header("origin", &server.base);
        unauthorized(sent(beside).await, "UNAUTHORIZED").await;
    }
}

fn is_over(user: &User) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    claims(&user.token)["exp"].as_u64().is_some_and(|exp| exp <= now)
}

#[tokio::test]
async fn a_revoked_access_token_is_401_on_every_route_and_on_the_upgrade() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let bought = ticket(&alice).await;
    data(log_out(&alice).await).await;
    for (_, request) in routes(&alice.anon).await {
        unauthorized(sent(request.header(AUTHORIZATION, &alice.token)).await, "SESSION_ENDED").await;
    }
    unauthorized(upgrade(&server, "/ws-connect", &[("authorization", &alice.token)]).await, "SESSION_ENDED").await;
    let path = format!("/ws-connect?ticket={bought}");
    unauthorized(upgrade(&server, &path, &[]).await, "SESSION_ENDED").await;
}

#[tokio::test]
async fn t8_an_access_token_is_dead_at_the_second_of_its_end_everywhere() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s"), ("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    within("the end of the token", async {
        loop {
            let over_before = is_over(&alice);
            let status = me(&alice.anon, &alice.token).await.status();
            assert!(!(over_before && status == 200), "accepted after its end");
            if status == 401 {
                assert!(is_over(&alice), "refused before its end");
                break;
            }
        }
    })
    .await;
    unauthorized(upgrade(&server, "/ws-connect", &[("authorization", &alice.token)]).await, "TOKEN_EXPIRED").await;
    let mut socket = Stomp::open(&server, &[]).await.expect("an upgrade");
    socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", alice.jwt())).await;
    socket.refused("TOKEN_EXPIRED").await;
}
