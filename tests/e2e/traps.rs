//! The traps of the wire contract: what the first client cannot bear. Each is named by its number.

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Anon, Came, Server, Stomp, data, envelope, refused, set_cookies, within};

#[tokio::test]
async fn trap_1_a_refresh_that_fails_never_answers_401() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let anon = &alice.anon;
    refused(anon.get("/api/v1/auth/refresh").await, 400, "REFRESH_TOKEN_MISSING").await;
    refused(anon.refresh("refreshToken=").await, 400, "REFRESH_TOKEN_MISSING").await;
    let (sign_in, _) = anon.begin().await;
    let sign_in = sign_in.trim_start_matches("signIn=");
    let long = "x".repeat(5_000);
    let token = alice.cookie.trim_start_matches("refreshToken=");
    let shorter = &token[..token.len() - 1];
    let next_generation = token.replacen(".1.", ".2.", 1);
    let spelled_otherwise = token.replacen(".1.", ".01.", 1);
    let other_session = format!("{:032x}{}", 0, &token[32..]);
    for wrong in
        ["garbage", "..", sign_in, alice.jwt(), &long, shorter, &next_generation, &spelled_otherwise, &other_session]
    {
        refused(anon.refresh(&format!("refreshToken={wrong}")).await, 400, "REFRESH_TOKEN_INVALID").await;
    }
    // An access token helps nothing, whatever it is.
    let request = anon.request(Method::GET, "/api/v1/auth/refresh").header(AUTHORIZATION, "Bearer x.y.z");
    refused(within("refresh", request.send()).await.expect("an answer"), 400, "REFRESH_TOKEN_MISSING").await;
    // None of this did any harm.
    data(anon.refresh(&alice.cookie).await).await;
}

#[tokio::test]
async fn trap_1_a_refresh_after_log_out_is_refused_without_401() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let request = alice.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, &alice.cookie);
    data(within("log-out", request.send()).await.expect("an answer")).await;
    refused(alice.anon.refresh(&alice.cookie).await, 403, "SESSION_ENDED").await;
}

#[tokio::test]
async fn trap_1_a_refresh_with_an_expired_token_is_refused_without_401() {
    let server = Server::start(&[("AUTH__REFRESH_TTL", "1s")]).await;
    let alice = server.sign_in("alice").await;
    // Within its grace it is answered like a second tab's, which does not prolong the session.
    let expired = within("the end of the refresh token", async {
        loop {
            let answer = alice.anon.refresh(&alice.cookie).await;
            if answer.status() != 200 {
                break answer;
            }
        }
    });
    refused(expired.await, 403, "SESSION_ENDED").await;
    refused(alice.get("/api/v1/me").await, 401, "SESSION_ENDED").await;
}

#[tokio::test]
async fn trap_1_a_reused_token_ends_the_session_without_401() {
    let server = Server::start(&[("AUTH__REFRESH_GRACE", "0s")]).await;
    let alice = server.sign_in("alice").await;
    let answer = alice.anon.refresh(&alice.cookie).await;
    let cookie = set_cookies(&answer).remove(0);
    let token = data(answer).await["accessToken"].as_str().expect("a token").to_owned();
    // The first use of the new access token tells that the answer has arrived.
    data(with_token(&alice.anon, &token).await).await;
    refused(alice.anon.refresh(&alice.cookie).await, 403, "REFRESH_TOKEN_REUSED").await;
    refused(alice.anon.refresh(&cookie).await, 403, "SESSION_ENDED").await;
    refused(with_token(&alice.anon, &token).await, 401, "SESSION_ENDED").await;
}

#[tokio::test]
async fn trap_2_an_access_token_that_is_not_good_is_401() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s")]).await;
    let alice = server.sign_in("alice").await;
    let anon = &alice.anon;
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
    let refresh = alice.cookie.trim_start_matches("refreshToken=");
    let (head, signature) = alice.token.rsplit_once('.').expect("a token has three parts");
    let tampered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let long = "x".repeat(5_000);
    for wrong in ["", "Bearer", "Bearer ", "Basic YTpi", "garbage", unsigned, refresh, &tampered, &long] {
        let answer = with_token(anon, wrong).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        refused(answer, 401, "UNAUTHORIZED").await;
    }
    refused(anon.get("/api/v1/me").await, 401, "UNAUTHORIZED").await;
    within("the end of the token", async { while with_token(anon, &alice.token).await.status() == 200 {} }).await;
    refused(with_token(anon, &alice.token).await, 401, "TOKEN_EXPIRED").await;
}

#[tokio::test]
async fn trap_2_no_business_error_is_401() {
    let server = Server::start(&[]).await;
    let (alice, carla) = (server.sign_in("alice").await, server.sign_in("carla").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let chats = format!("/api/v1/chatRooms/{room}/chats");
    refused(carla.get(&chats).await, 403, "NOT_A_MEMBER").await;
    refused(carla.get("/api/v1/chatRooms/7/chats").await, 404, "ROOM_NOT_FOUND").await;
    refused(carla.get("/api/v1/chatRooms?page=x").await, 400, "BAD_REQUEST").await;
    for (language, email, status, code) in [
        ("ko", "nobody@example.com", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "carla@example.com", 400, "ROOM_WITH_ONESELF"),
        ("tlh", "bob@example.com", 400, "UNKNOWN_LANGUAGE"),
    ] {
        let body = json!({ "language": language, "recipientEmail": email });
        let request = carla.request(Method::POST, "/api/v1/chatRooms").json(&body);
        refused(within("open", request.send()).await.expect("an answer"), status, code).await;
    }
    let (browser, _) = carla.anon.begin().await;
    refused(carla.anon.complete("code=wrong", &browser).await, 400, "CODE_REFUSED").await;
    refused(carla.anon.complete("code=wrong", "").await, 400, "SIGN_IN_NOT_BEGUN").await;
    refused(carla.anon.complete("state=x", &browser).await, 400, "BAD_REQUEST").await;
}

#[tokio::test]
async fn trap_4_a_token_is_taken_with_and_without_bearer_over_http() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    assert!(alice.token.starts_with("Bearer "));
    for token in [alice.token.clone(), alice.jwt().to_owned(), format!("bearer {}", alice.jwt())] {
        assert_eq!(data(with_token(&alice.anon, &token).await).await["id"], alice.id);
    }
}

#[tokio::test]
async fn trap_4_a_token_is_taken_with_and_without_bearer_over_stomp_and_on_the_upgrade() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let own = format!("/topic/users/{}/chatRoom", alice.id);
    for token in [alice.token.as_str(), alice.jwt()] {
        let mut by_frame = Stomp::open(&server, &[]).await.expect("an upgrade");
        by_frame.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0")).await;
        by_frame.next("CONNECTED").await;
        by_frame.subscribe("sub-0", &own, &[]).await;
        let mut by_upgrade = Stomp::open(&server, &[("authorization", token)]).await.expect("an upgrade");
        by_upgrade.send("CONNECT\naccept-version:1.2\n\n\0").await;
        by_upgrade.next("CONNECTED").await;
        by_upgrade.subscribe("sub-0", &own, &[]).await;
    }
}

#[tokio::test]
async fn trap_5_keys_are_spelled_as_the_first_client_spells_them() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let (browser, page) = alice.anon.begin().await;
    let query = alice.anon.come_back(&page, "alice").await;
    let signed_in = data(alice.anon.complete(&query, &browser).await).await;
    assert!(signed_in["tokenresponse"].is_object() && signed_in["userResponse"].is_object(), "{signed_in}");
    let mut list = Stomp::connect(&server, &bob).await;
    list.subscribe("sub-0", &format!("/topic/users/{}/chatRoom", bob.id), &[]).await;
    let body = json!({ "language": "ko", "recipientEmail": "bob@example.com" });
    let request = alice.request(Method::POST, "/api/v1/chatRooms").json(&body);
    let created = data(within("open", request.send()).await.expect("an answer")).await;
    assert!(created["chatRoomId"].is_u64(), "capital R: {created}");
    let rooms = data(bob.get("/api/v1/chatRooms?page=0&name=").await).await;
    assert_eq!(rooms["rooms"][0]["chatroomId"], created["chatRoomId"], "lower r");
    assert_eq!(list.next("MESSAGE").await.json()["chatroomId"], created["chatRoomId"], "lower r");
}

/// What is not seen here: that the cookie is too old after ten minutes. Nobody waits that long.
#[tokio::test]
async fn trap_7_a_code_and_the_cookie_of_its_browser_belong_together() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    refused(anon.get(&format!("/api/v1/auth/token?{query}")).await, 400, "SIGN_IN_NOT_BEGUN").await;
    for cookie in ["signIn=", "signIn=garbage", "signIn=a.b.c.d.e.6.f"] {
        refused(anon.complete(&query, cookie).await, 400, "SIGN_IN_NOT_BEGUN").await;
    }
    // The cookie's parts are under one seal.
    let tampered = browser.replacen('.', ".A", 1);
    refused(anon.complete(&query, &tampered).await, 400, "SIGN_IN_NOT_BEGUN").await;
    // None of this used up the code.
    data(anon.complete(&query, &browser).await).await;
}

#[tokio::test]
async fn trap_7_another_browsers_code_is_refused() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (_, alices_page) = anon.begin().await;
    let (bobs_browser, bobs_page) = anon.begin().await;
    let alices = anon.come_back(&alices_page, "alice").await;
    let alices_code = alices.split('&').find(|pair| pair.starts_with("code=")).expect("a code");
    // A client that returns the state is told sooner; one that does not is saved by PKCE.
    refused(anon.complete(&alices, &bobs_browser).await, 400, "SIGN_IN_NOT_BEGUN").await;
    refused(anon.complete(alices_code, &bobs_browser).await, 400, "CODE_REFUSED").await;
    // An attempt is an attempt: both sign-ins have to begin again.
    let bobs = anon.come_back(&bobs_page, "bob").await;
    refused(anon.complete(&bobs, &bobs_browser).await, 400, "CODE_REFUSED").await;
}

#[tokio::test]
async fn trap_7_the_state_may_be_left_out_but_not_wrong() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    let code = query.split('&').find(|pair| pair.starts_with("code=")).expect("a code");
    for state in ["state=", "state=wrong"] {
        refused(anon.complete(&format!("{code}&{state}"), &browser).await, 400, "SIGN_IN_NOT_BEGUN").await;
    }
    data(anon.complete(code, &browser).await).await;
}

#[tokio::test]
async fn a_token_on_the_upgrade_that_is_not_good_is_401_before_the_upgrade() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    refused(upgrade(&server, &[("authorization", "Bearer garbage")]).await, 401, "UNAUTHORIZED").await;
    assert_eq!(upgrade(&server, &[("authorization", &alice.token)]).await.status(), 101);
    let request = alice.request(Method::POST, "/api/v1/auth/logout");
    data(within("log-out", request.send()).await.expect("an answer")).await;
    refused(upgrade(&server, &[("authorization", &alice.token)]).await, 401, "SESSION_ENDED").await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_open_a_socket() {
    let server = Server::start(&[]).await;
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:5173.evil.example"] {
        refused(upgrade(&server, &[("origin", origin)]).await, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    for origin in [server.base.as_str(), "http://localhost:5173"] {
        assert_eq!(upgrade(&server, &[("origin", origin)]).await.status(), 101, "{origin}");
    }
    assert_eq!(upgrade(&server, &[]).await.status(), 101, "a client that is no browser");
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_so() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    refused(anon.get("/ws-connect").await, 400, "BAD_REQUEST").await;
    let answer = upgrade(&server, &[("sec-websocket-version", "8")]).await;
    assert_eq!(answer.headers()["sec-websocket-version"], "13");
    refused(answer, 426, "BAD_REQUEST").await;
}

#[tokio::test]
async fn the_first_servers_200_for_refusals_can_be_had() {
    let server = Server::start(&[("COMPAT__LEGACY_200_ERRORS", "true")]).await;
    let alice = server.sign_in("alice").await;
    let body = json!({ "language": "ko", "recipientEmail": "nobody@example.com" });
    let request = alice.request(Method::POST, "/api/v1/chatRooms").json(&body);
    let opened = legacy(within("open", request.send()).await.expect("an answer")).await;
    assert_eq!(opened["errorCode"], "RECIPIENT_NOT_FOUND");
    let refreshed = legacy(alice.anon.refresh("refreshToken=garbage").await).await;
    assert_eq!(refreshed["errorCode"], "REFRESH_TOKEN_INVALID");
    refused(alice.anon.get("/api/v1/me").await, 401, "UNAUTHORIZED").await;
}

#[tokio::test]
async fn a_connection_ends_with_its_access_token() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "4s")]).await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::connect(&server, &alice).await;
    match socket.came().await {
        Came::Closed(code, _) => assert_eq!(code, 4002),
        Came::Frame(frame) => panic!("{frame:?}"),
    }
}

async fn legacy(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    let body = envelope(answer).await;
    assert_eq!(body["success"], false);
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()) && body["data"].is_null(), "{body}");
    body
}

/// An upgrade request. What answers may well be something else than 101.
async fn upgrade(server: &Server, headers: &[(&str, &str)]) -> Response {
    let mut request = Anon::new(server)
        .request(Method::GET, "/ws-connect")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if !headers.iter().any(|(name, _)| *name == "sec-websocket-version") {
        request = request.header("sec-websocket-version", "13");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    within("the upgrade", request.send()).await.expect("an answer")
}

async fn with_token(anon: &Anon, token: &str) -> Response {
    let request = anon.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, token);
    within("me", request.send()).await.expect("an answer")
}
