//! Live answers of every route, success and error, against the OpenAPI document.

use std::collections::BTreeSet;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::Document;
use crate::support::{Anon, Server, Stomp, User, within};

/// Sends requests, holds each answer against the document, and remembers what was seen.
struct Reader {
    document: Document,
    seen: BTreeSet<(String, u16)>,
    codes: BTreeSet<String>,
}

impl Reader {
    fn new() -> Self {
        Self { document: Document::read(), seen: BTreeSet::new(), codes: BTreeSet::new() }
    }

    /// The answer's body, which is what the document says of this operation and status.
    async fn read(&mut self, operation: &str, request: RequestBuilder, status: u16) -> Value {
        let (method, path) = operation.split_once(' ').expect("METHOD /path");
        let answer = within(operation, request.send()).await.expect("an answer");
        assert_eq!(answer.status(), status, "{operation}");
        let media_type = answer.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
        let body: Value = within("a body", answer.json()).await.expect("JSON");
        let (documented, schema) = self.document.answer(&method.to_lowercase(), path, status);
        assert_eq!(media_type, documented, "{operation}");
        self.document.validate(schema, &body);
        if let Some(code) = body["errorCode"].as_str() {
            assert!(self.document.error_codes().contains(&code), "{code} is not in the document");
            self.codes.insert(code.to_owned());
        }
        self.seen.insert((operation.to_owned(), status));
        body
    }
}

#[tokio::test]
async fn every_route_answers_as_the_document_says() {
    let server = Server::start(&[]).await;
    let mut reader = Reader::new();
    let anon = Anon::new(&server);
    let alice = signs_in(&mut reader, &server).await;
    let (bob, carla) = (server.sign_in("bob").await, server.sign_in("carla").await);
    refreshes(&mut reader, &server, &alice).await;
    rooms(&mut reader, &alice, &bob, &carla).await;
    history(&mut reader, &server, &alice, &carla).await;
    sessions(&mut reader, &alice, &bob).await;
    for operation in [
        "GET /me",
        "GET /chatRooms",
        "POST /chatRooms",
        "GET /chatRooms/{id}/chats",
        "GET /sessions",
        "GET /sessions/audit",
        "DELETE /sessions/{id}",
        "POST /auth/ws-ticket",
        "DELETE /auth/withdraw",
    ] {
        let (method, path) = operation.split_once(' ').expect("METHOD /path");
        let method: Method = method.parse().expect("a method");
        let path = format!("/api/v1{}", path.replace("{id}", "7"));
        let body = || json!({ "language": "ko", "recipientEmail": "bob@example.com" });
        reader.read(operation, anon.request(method.clone(), &path).json(&body()), 401).await;
        let wrong = anon.request(method, &path).header(AUTHORIZATION, "Bearer wrong").json(&body());
        reader.read(operation, wrong, 401).await;
    }
    reader.read("GET /me", alice.request(Method::GET, "/api/v1/me"), 200).await;
    too_large(&mut reader, &alice).await;
    let by_cookie = anon.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, &alice.cookie);
    reader.read("POST /auth/logout", by_cookie, 403).await;
    let log_out = || alice.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, &alice.cookie);
    reader.read("POST /auth/logout", log_out(), 200).await;
    let withdraw = carla.request(Method::DELETE, "/api/v1/auth/withdraw");
    assert!(reader.read("DELETE /auth/withdraw", withdraw, 200).await["data"].is_null(), "row 6 of the wire contract");
    reader.read("POST /auth/logout", anon.request(Method::POST, "/api/v1/auth/logout"), 401).await;
    reader.read("GET /me", alice.request(Method::GET, "/api/v1/me"), 401).await;
    let ended = anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, &alice.cookie);
    reader.read("GET /auth/refresh", ended, 403).await;
    all_were_seen(&reader);
}

/// Nothing in the document is left without a live answer but what cannot be provoked from outside.
fn all_were_seen(reader: &Reader) {
    for (path, operations) in reader.document.0["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            assert!(reader.seen.contains(&(name.clone(), 200)), "{name} was not seen to succeed");
            assert!(reader.seen.contains(&(name.clone(), 413)), "{name} was not seen to fail");
            assert!(operation["responses"]["503"].is_object(), "{name}");
            let may_be_401 = operation["responses"]["401"].is_object();
            assert_eq!(may_be_401, path != "/auth/refresh", "trap 1 of the wire contract");
        }
    }
    let provoked = [
        "BAD_JSON",
        "BAD_REQUEST",
        "CODE_REFUSED",
        "NOT_A_MEMBER",
        "ORIGIN_NOT_ALLOWED",
        "RECIPIENT_NOT_FOUND",
        "REFRESH_TOKEN_INVALID",
        "REFRESH_TOKEN_MISSING",
        "REFRESH_TOKEN_REUSED",
        "ROOM_NOT_FOUND",
        "ROOM_WITH_ONESELF",
        "SESSION_ENDED",
        "SESSION_NOT_FOUND",
        "SIGN_IN_NOT_BEGUN",
        "TOO_LARGE",
        "UNAUTHORIZED",
        "UNKNOWN_LANGUAGE",
        "UNKNOWN_PROVIDER",
        "UNSUPPORTED_MEDIA_TYPE",
    ];
    assert_eq!(reader.codes.iter().map(String::as_str).collect::<Vec<_>>(), provoked);
}

async fn signs_in(reader: &mut Reader, server: &Server) -> User {
    let anon = Anon::new(server);
    reader.read("GET /auth", anon.request(Method::GET, "/api/v1/auth"), 200).await;
    reader.read("GET /auth", anon.request(Method::GET, "/api/v1/auth?provider=dev"), 200).await;
    reader.read("GET /auth", anon.request(Method::GET, "/api/v1/auth?provider=nobody"), 404).await;
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    let token =
        |query: &str| anon.request(Method::GET, &format!("/api/v1/auth/token?{query}")).header(COOKIE, &browser);
    let operation = "GET /auth/token";
    reader.read(operation, anon.request(Method::GET, "/api/v1/auth/token?code=x"), 400).await;
    reader.read(operation, token("state=x"), 400).await;
    reader.read(operation, token(&query), 200).await;
    reader.read(operation, token(&query), 400).await;
    server.sign_in("alice").await
}

async fn refreshes(reader: &mut Reader, server: &Server, alice: &User) {
    let refresh = |cookie: &str| alice.anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, cookie);
    reader.read("GET /auth/refresh", refresh(&alice.cookie), 200).await;
    reader.read("GET /auth/refresh", refresh("refreshToken=garbage"), 400).await;
    reader.read("GET /auth/refresh", refresh(""), 400).await;
    let cross_site = refresh(&alice.cookie).header("sec-fetch-site", "cross-site");
    reader.read("GET /auth/refresh", cross_site, 403).await;
    let mut robbed = server.sign_in("alice").await;
    let stolen = robbed.cookie.clone();
    robbed.refresh().await;
    robbed.refresh().await;
    reader.read("GET /auth/refresh", refresh(&stolen), 403).await;
}

async fn sessions(reader: &mut Reader, alice: &User, bob: &User) {
    reader.read("POST /auth/ws-ticket", alice.request(Method::POST, "/api/v1/auth/ws-ticket"), 200).await;
    reader.read("GET /sessions", alice.request(Method::GET, "/api/v1/sessions"), 200).await;
    reader.read("GET /sessions/audit", alice.request(Method::GET, "/api/v1/sessions/audit"), 200).await;
    for (session, status) in [(bob.sid(), 404), ("x".to_owned(), 404)] {
        let request = alice.request(Method::DELETE, &format!("/api/v1/sessions/{session}"));
        reader.read("DELETE /sessions/{id}", request, status).await;
    }
    let listed = reader.read("GET /sessions", alice.request(Method::GET, "/api/v1/sessions"), 200).await;
    let sessions = listed["data"]["sessions"].as_array().expect("a list");
    let other = sessions.iter().find(|session| session["current"] == false).expect("the first sign-in of this test");
    let path = format!("/api/v1/sessions/{}", other["id"].as_str().expect("a name"));
    reader.read("DELETE /sessions/{id}", alice.request(Method::DELETE, &path), 200).await;
}

async fn rooms(reader: &mut Reader, alice: &User, bob: &User, carla: &User) {
    let open = |language: &str, email: &str| {
        let body = json!({ "language": language, "recipientEmail": email });
        alice.request(Method::POST, "/api/v1/chatRooms").json(&body)
    };
    let operation = "POST /chatRooms";
    reader.read(operation, open("ko", &bob.email), 200).await;
    reader.read(operation, open("es", &carla.email), 200).await;
    reader.read(operation, open("tlh", &bob.email), 400).await;
    reader.read(operation, open("ko", &alice.email), 400).await;
    reader.read(operation, open("ko", "nobody@example.com"), 404).await;
    let raw = || alice.request(Method::POST, "/api/v1/chatRooms");
    reader.read(operation, raw().header(CONTENT_TYPE, "application/json").body("hello"), 400).await;
    reader.read(operation, raw().header(CONTENT_TYPE, "text/plain").body("hello"), 415).await;
    let list = |query: &str| alice.request(Method::GET, &format!("/api/v1/chatRooms?{query}"));
    reader.read("GET /chatRooms", list("page=0&name="), 200).await;
    reader.read("GET /chatRooms", list("page=abc"), 400).await;
}

async fn history(reader: &mut Reader, server: &Server, alice: &User, carla: &User) {
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut socket = Stomp::connect(server, alice).await;
    socket.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    socket.post(room, "Hello", None, "r").await;
    // RECEIPT and MESSAGE, in either order.
    socket.came().await;
    socket.came().await;
    let operation = "GET /chatRooms/{id}/chats";
    let path = format!("/api/v1/chatRooms/{room}/chats");
    for query in ["", "?page=1", "?page=0&pending=true"] {
        reader.read(operation, alice.request(Method::GET, &format!("{path}{query}")), 200).await;
    }
    reader.read(operation, alice.request(Method::GET, &format!("{path}?page=abc")), 400).await;
    reader.read(operation, carla.request(Method::GET, &path), 403).await;
    reader.read(operation, alice.request(Method::GET, "/api/v1/chatRooms/7/chats"), 404).await;
    let listed = reader.read("GET /chatRooms", alice.request(Method::GET, "/api/v1/chatRooms?name="), 200).await;
    assert_eq!(listed["data"]["rooms"][0]["originalRecentMessage"], "Hello");
}

/// A body beyond the limit is refused everywhere, also where none is looked at.
async fn too_large(reader: &mut Reader, alice: &User) {
    let operations: Vec<(String, String)> = reader.document.0["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().expect("operations").keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    for (method, path) in operations {
        let url = format!("/api/v1{}", path.replace("{id}", "7"));
        let request = alice.request(method.parse().expect("a method"), &url);
        let request = request.header(CONTENT_TYPE, "application/json").body(" ".repeat(70_000));
        reader.read(&format!("{method} {path}"), request, 413).await;
    }
}

#[tokio::test]
async fn the_first_servers_200_for_refusals_is_in_the_document_too() {
    let server = Server::start(&[("COMPAT__LEGACY_200_ERRORS", "true")]).await;
    let mut reader = Reader::new();
    let alice = server.sign_in("alice").await;
    let body = json!({ "language": "ko", "recipientEmail": "nobody@example.com" });
    reader.read("POST /chatRooms", alice.request(Method::POST, "/api/v1/chatRooms").json(&body), 200).await;
    reader.read("GET /auth/refresh", alice.anon.request(Method::GET, "/api/v1/auth/refresh"), 200).await;
    assert_eq!(reader.codes.len(), 2, "{:?}", reader.codes);
}

#[tokio::test]
async fn refusals_outside_the_routes_have_the_documents_shape() {
    let server = Server::start(&[]).await;
    let document = Document::read();
    let anon = Anon::new(&server);
    let refusal = json!({ "$ref": "#/components/schemas/Refusal" });
    for (method, path, status) in [
        (Method::GET, "/api/v1/nothing", 404),
        (Method::GET, "/nothing", 404),
        (Method::PUT, "/api/v1/me", 405),
        (Method::POST, "/openapi.json", 405),
        (Method::GET, "/ws-connect", 400),
        (Method::GET, "/dev/authorize", 400),
        (Method::GET, "/page/nothing.js", 404),
    ] {
        let answer = within(path, anon.request(method, path).send()).await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
        document.validate(&refusal, &within("a body", answer.json()).await.expect("JSON"));
    }
}
