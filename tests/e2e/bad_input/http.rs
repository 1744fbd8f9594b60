//! Requests that are refused: tokens, rooms, bodies, parameters, the development sign-in.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, Response, Url};
use serde_json::{Value, json};

use crate::support::{Anon, Server, User, data, refused, within};

/// 2^53: the first number that JavaScript does not count exactly.
const TOO_GREAT: &str = "9007199254740992";

#[tokio::test]
async fn a_wrong_missing_or_expired_token_opens_nothing() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s")]).await;
    let alice = server.sign_in("alice").await;
    within("the end of the token", async { while alice.get("/api/v1/me").await.status() == 200 {} }).await;
    for (method, path) in [
        (Method::GET, "/api/v1/me"),
        (Method::GET, "/api/v1/chatRooms?page=0&name="),
        (Method::POST, "/api/v1/chatRooms"),
        (Method::GET, "/api/v1/chatRooms/7/chats?page=0"),
    ] {
        for (token, code) in
            [(None, "UNAUTHORIZED"), (Some("Bearer wrong"), "UNAUTHORIZED"), (Some(&*alice.token), "TOKEN_EXPIRED")]
        {
            let mut request = alice.anon.request(method.clone(), path);
            if method == Method::POST {
                request = request.json(&json!({ "language": "ko", "recipientEmail": "bob@example.com" }));
            }
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            refused(within(path, request.send()).await.expect("an answer"), 401, code).await;
        }
    }
    let log_out = alice.anon.request(Method::POST, "/api/v1/auth/logout").header("authorization", "Bearer wrong");
    refused(within("log-out", log_out.send()).await.expect("an answer"), 401, "UNAUTHORIZED").await;
}

#[tokio::test]
async fn a_room_that_is_unknown_or_of_others_shows_nothing() {
    let server = Server::start(&[]).await;
    let (alice, carla) = (server.sign_in("alice").await, server.sign_in("carla").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    refused(carla.get(&format!("/api/v1/chatRooms/{room}/chats")).await, 403, "NOT_A_MEMBER").await;
    for id in ["7", "", "0", "01", "+1", "-1", "abc", "1.0", "%20", "1e3", TOO_GREAT, "99999999999999999999999"] {
        refused(alice.get(&format!("/api/v1/chatRooms/{id}/chats")).await, 404, "ROOM_NOT_FOUND").await;
    }
    assert_eq!(data(carla.get("/api/v1/chatRooms").await).await["rooms"], json!([]));
}

#[tokio::test]
async fn a_body_that_is_not_what_is_expected_opens_no_room() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let good = r#"{"language":"ko","recipientEmail":"bob@example.com"}"#;
    let json_type = Some("application/json");
    for (body, media_type, status, code) in [
        ("", json_type, 400, "BAD_JSON"),
        ("hello", json_type, 400, "BAD_JSON"),
        ("{\"language\":\"ko\"", json_type, 400, "BAD_JSON"),
        ("[]", json_type, 400, "BAD_JSON"),
        ("null", json_type, 400, "BAD_JSON"),
        ("{}", json_type, 400, "BAD_JSON"),
        (r#"{"language":"ko"}"#, json_type, 400, "BAD_JSON"),
        (r#"{"language":"ko","recipientEmail":null}"#, json_type, 400, "BAD_JSON"),
        (r#"{"language":7,"recipientEmail":"bob@example.com"}"#, json_type, 400, "UNKNOWN_LANGUAGE"),
        (good, Some("text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (good, Some("nonsense"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (good, None, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let mut request = alice.request(Method::POST, "/api/v1/chatRooms").body(body);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        refused(within("open", request.send()).await.expect("an answer"), status, code).await;
    }
    let not_utf8 = alice.request(Method::POST, "/api/v1/chatRooms").header("content-type", "application/json");
    let not_utf8 = not_utf8.body(&b"{\"language\":\"\xff\",\"recipientEmail\":\"bob@example.com\"}"[..]);
    refused(within("open", not_utf8.send()).await.expect("an answer"), 400, "BAD_JSON").await;
    nothing_was_opened(&alice).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_or_without_its_length() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let email = format!("{}@example.com", "x".repeat(70_000));
    let large = json!({ "language": "ko", "recipientEmail": email }).to_string();
    for _ in 0..5 {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            large.as_bytes().chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        for body in [Body::from(large.clone()), Body::wrap_stream(stream::iter(pieces))] {
            let request = alice.request(Method::POST, "/api/v1/chatRooms").header("content-type", "application/json");
            refused(within("open", request.body(body).send()).await.expect("an answer"), 413, "TOO_LARGE").await;
        }
    }
    // At the limit it is read, and something else is wrong with it.
    let padding = " ".repeat(64 * 1024 - 2);
    let request = alice.request(Method::POST, "/api/v1/chatRooms").header("content-type", "application/json");
    let answer = within("open", request.body(format!("{{{padding}}}")).send()).await.expect("an answer");
    refused(answer, 400, "BAD_JSON").await;
    nothing_was_opened(&alice).await;
}

#[tokio::test]
async fn a_room_needs_a_known_language_and_somebody_else() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let long = format!("{}@example.com", "x".repeat(300));
    for (language, email, status, code) in [
        ("tlh", "bob@example.com", 400, "UNKNOWN_LANGUAGE"),
        ("", "bob@example.com", 400, "UNKNOWN_LANGUAGE"),
        ("ko; drop table rooms", "bob@example.com", 400, "UNKNOWN_LANGUAGE"),
        ("ko", "nobody@example.com", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "bob", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "@example.com", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "bob@", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "b ob@example.com", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "%@example.com", 404, "RECIPIENT_NOT_FOUND"),
        ("ko", &long, 404, "RECIPIENT_NOT_FOUND"),
        ("ko", "alice@example.com", 400, "ROOM_WITH_ONESELF"),
        ("ko", " ALICE@example.com ", 400, "ROOM_WITH_ONESELF"),
    ] {
        refused(open(&alice, language, email).await, status, code).await;
    }
    nothing_was_opened(&alice).await;
}

#[tokio::test]
async fn page_and_size_are_numbers_within_their_limits() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let room = alice.open_room("ko", "bob@example.com").await;
    for (path, size_max) in [("/api/v1/chatRooms".to_owned(), 100), (format!("/api/v1/chatRooms/{room}/chats"), 200)] {
        for query in [
            "page=-1",
            "page=abc",
            "page=1.5",
            "page=",
            "page=1000001",
            "page=4294967296",
            "page=99999999999999999999",
            "size=-1",
            "size=abc",
            "page=0&size=99999999999999999999",
        ] {
            refused(alice.get(&format!("{path}?{query}")).await, 400, "BAD_REQUEST").await;
        }
        for (query, size) in [("size=0", 1), ("size=1", 1), ("size=99999", size_max)] {
            let page = data(alice.get(&format!("{path}?{query}")).await).await;
            assert_eq!(page["pageSize"], size, "{path}?{query}");
        }
        let last = data(alice.get(&format!("{path}?page=1000000")).await).await;
        assert_eq!((&last["hasNext"], &last["isLast"]), (&json!(false), &json!(true)));
    }
    let long = "x".repeat(401);
    refused(alice.get(&format!("/api/v1/chatRooms?page=0&name={long}")).await, 400, "BAD_REQUEST").await;
    let chats = format!("/api/v1/chatRooms/{room}/chats?pending=perhaps");
    refused(alice.get(&chats).await, 400, "BAD_REQUEST").await;
}

#[tokio::test]
async fn a_code_that_is_missing_empty_or_too_long_signs_nobody_in() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, _) = anon.begin().await;
    let long = "x".repeat(2_049);
    let queries = [format!("code={long}"), format!("code=x&state={long}"), format!("code=x&iss={long}")];
    for query in ["", "code=", "code"].into_iter().chain(queries.iter().map(String::as_str)) {
        refused(anon.complete(query, &browser).await, 400, "BAD_REQUEST").await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_configured_begins_no_sign_in() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    for name in ["nobody", "Dev", "google", "%20dev", "dev%00", &"x".repeat(5_000)] {
        let answer = anon.get(&format!("/api/v1/auth?provider={name}")).await;
        assert!(answer.headers().get("set-cookie").is_none(), "{name}");
        refused(answer, 404, "UNKNOWN_PROVIDER").await;
    }
    data(anon.get("/api/v1/auth?provider=dev").await).await;
    data(anon.get("/api/v1/auth?provider=").await).await;
}

#[tokio::test]
async fn a_log_out_that_is_not_understood_ends_nothing() {
    let server = Server::start(&[]).await;
    let (alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    for everywhere in ["perhaps", "1", "", "TRUE", "true,true"] {
        let answer = alice.post(&format!("/api/v1/auth/logout?everywhere={everywhere}")).await;
        refused(answer, 400, "BAD_REQUEST").await;
    }
    for user in [&alice, &elsewhere] {
        data(user.get("/api/v1/me").await).await;
    }
    // Said in so many words, it is this session alone.
    data(alice.post("/api/v1/auth/logout?everywhere=false").await).await;
    data(elsewhere.get("/api/v1/me").await).await;
}

#[tokio::test]
async fn the_development_sign_in_serves_this_machine_only() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (_, page) = anon.begin().await;
    let page = format!("{page}&login_hint=alice");
    for (name, value) in [
        ("host", "chat.example.com"),
        ("host", "localhost.example.com"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        refused(with_header(&anon, &page, name, value).await, 403, "DEV_SIGN_IN_CLOSED").await;
    }
    assert_eq!(with_header(&anon, &page, "host", "localhost").await.status(), 302);
    let open = Server::start(&[("AUTH__PROVIDERS__DEV__ALLOW_REMOTE", "true")]).await;
    let anon = Anon::new(&open);
    let (_, page) = anon.begin().await;
    let page = format!("{page}&login_hint=alice");
    assert_eq!(with_header(&anon, &page, "host", "chat.example.com").await.status(), 302);
    assert_eq!(with_header(&anon, &page, "x-forwarded-for", "10.0.0.7").await.status(), 302);
}

#[tokio::test]
async fn the_development_sign_in_sends_codes_to_known_pages_and_wants_pkce() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (_, page) = anon.begin().await;
    let own = format!("{}/", server.base);
    for (name, value) in [
        ("redirect_uri", Some(format!("{own}x"))),
        ("redirect_uri", Some(server.base.clone())),
        ("redirect_uri", Some(format!("{own}?x"))),
        ("redirect_uri", Some("https://evil.example/".to_owned())),
        ("redirect_uri", Some(String::new())),
        ("redirect_uri", None),
        ("code_challenge", Some("short".to_owned())),
        ("code_challenge", None),
        ("code_challenge_method", Some("plain".to_owned())),
        ("code_challenge_method", None),
        ("response_type", Some("token".to_owned())),
        ("response_type", None),
        ("state", None),
        ("nonce", None),
        ("login_hint", Some(String::new())),
        ("login_hint", Some("<script>".to_owned())),
        ("login_hint", Some("x".repeat(41))),
    ] {
        let changed = with_parameter(&format!("{page}&login_hint=alice"), name, value.as_deref());
        refused(anon.get(&changed).await, 400, "BAD_REQUEST").await;
    }
    assert_eq!(anon.get(&page).await.status(), 200, "without a hint there is a page to choose on");
}

async fn open(user: &User, language: &str, email: &str) -> Response {
    let body = json!({ "language": language, "recipientEmail": email });
    within("open", user.request(Method::POST, "/api/v1/chatRooms").json(&body).send()).await.expect("an answer")
}

async fn nothing_was_opened(user: &User) {
    let list = data(user.get("/api/v1/chatRooms?page=0&name=").await).await;
    assert_eq!((&list["rooms"], &list["totalElements"]), (&json!([]), &Value::from(0)));
}

async fn with_header(anon: &Anon, url: &str, name: &str, value: &str) -> Response {
    within(url, anon.request(Method::GET, url).header(name, value).send()).await.expect("an answer")
}

fn with_parameter(url: &str, name: &str, value: Option<&str>) -> String {
    let mut url = Url::parse(url).expect("an address");
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.to_string()
}
