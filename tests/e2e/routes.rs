//! Every row of the wire contract's table of routes, to the letter. Row 6 is in `auth/withdrawal.rs`.

mod site;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use reqwest::{Method, Response, Url};
use serde_json::{Value, json};

use crate::support::{Anon, Came, Server, Stomp, User, data, refused, set_cookies, within};

/// What follows a new refresh token's value.
const REFRESH_ATTRIBUTES: &str = "; Max-Age=604800; Path=/; Secure; HttpOnly; SameSite=None; Partitioned";

#[tokio::test]
async fn row_1_get_auth_answers_with_an_address() {
    let server = Server::start(&[]).await;
    let answer = Anon::new(&server).get("/api/v1/auth").await;
    let cookie = cookie_line(&answer, "signIn");
    let attributes = "; Max-Age=600; Path=/api/v1/auth; Secure; HttpOnly; SameSite=None; Partitioned";
    assert!(cookie.ends_with(attributes), "{cookie}");
    let address = data(answer).await;
    let address = Url::parse(address.as_str().expect("a text")).expect("an absolute address");
    let query: Vec<(String, String)> = address.query_pairs().into_owned().collect();
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(value("response_type"), Some("code"));
    assert_eq!(value("code_challenge_method"), Some("S256"));
    assert_eq!(value("code_challenge").map(str::len), Some(43));
    assert_eq!(value("redirect_uri"), Some(format!("{}/", server.base).as_str()));
}

#[tokio::test]
async fn row_1_the_browser_comes_back_to_the_configured_page() {
    let page = "http://localhost:5173/oauth/callback";
    let server = Server::start(&[("AUTH__REDIRECT_URI", page)]).await;
    let anon = Anon::new(&server);
    let (browser, address) = anon.begin().await;
    let back = anon.get(&format!("{address}&login_hint=alice")).await;
    let location = back.headers()["location"].to_str().expect("text");
    let query = location.strip_prefix(&format!("{page}?")).expect("the configured page");
    data(anon.complete(query, &browser).await).await;
}

#[tokio::test]
async fn row_2_get_auth_token_answers_with_the_user_and_the_tokens() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    let answer = anon.complete(&query, &browser).await;
    let cookie = cookie_line(&answer, "refreshToken");
    assert!(cookie.ends_with(REFRESH_ATTRIBUTES), "{cookie}");
    assert!(value_of(&cookie).len() > 20, "{cookie}");
    let body = data(answer).await;
    assert_eq!(keys(&body), ["tokenresponse", "userResponse"]);
    let tokens = &body["tokenresponse"];
    assert_eq!(keys(tokens), ["accessToken", "refreshToken"]);
    assert!(tokens["accessToken"].as_str().is_some_and(|token| token.starts_with("Bearer ")), "{tokens}");
    assert!(tokens["refreshToken"].is_null());
    check_user(&body["userResponse"]);
}

#[tokio::test]
async fn row_2_a_code_comes_as_it_was_or_percent_encoded_and_may_hold_a_slash() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code=")).expect("a code");
    let encoded: Vec<String> = code.bytes().map(|byte| format!("%{byte:02X}")).collect();
    data(anon.complete(&format!("code={}", encoded.concat()), &browser).await).await;
    // A real provider's codes hold slashes; this one's do not, so such a code gets as far as the provider's no.
    for code in ["4/0AbCdEf", "4%2F0AbCdEf"] {
        let (browser, _) = anon.begin().await;
        refused(anon.complete(&format!("code={code}"), &browser).await, 400, "CODE_REFUSED").await;
    }
}

#[tokio::test]
async fn row_2_a_code_works_once() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, "alice").await;
    let answers = join_all((0..4).map(|_| anon.complete(&query, &browser))).await;
    let good = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(good, 1, "one of four that come at once");
    refused(anon.complete(&query, &browser).await, 400, "CODE_REFUSED").await;
}

#[tokio::test]
async fn row_3_get_auth_refresh_rotates_by_the_cookie_alone() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    refused(alice.get("/api/v1/auth/refresh").await, 400, "REFRESH_TOKEN_MISSING").await;
    let answer = alice.anon.refresh(&alice.cookie).await;
    let cookie = cookie_line(&answer, "refreshToken");
    assert!(cookie.ends_with(REFRESH_ATTRIBUTES), "{cookie}");
    assert!(!cookie.starts_with(&alice.cookie), "the token is a new one");
    let body = data(answer).await;
    assert_eq!(keys(&body), ["accessToken", "refreshToken"]);
    assert!(body["refreshToken"].is_null());
    let token = body["accessToken"].as_str().expect("a token");
    assert!(token.starts_with("Bearer "), "{token}");
    assert_eq!(data(me(&alice.anon, token).await).await["email"], "alice@example.com");
    let next = alice.anon.refresh(&first_pair(&cookie)).await;
    assert!(!cookie_line(&next, "refreshToken").starts_with(&first_pair(&cookie)), "and the next one too");
}

#[tokio::test]
async fn row_3_refreshes_at_once_are_all_given_the_same_cookie() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let answers = join_all((0..8).map(|_| alice.anon.refresh(&alice.cookie))).await;
    let mut cookies = BTreeSet::new();
    for answer in answers {
        cookies.insert(first_pair(&cookie_line(&answer, "refreshToken")));
        let token = data(answer).await["accessToken"].as_str().expect("a token").to_owned();
        data(me(&alice.anon, &token).await).await;
    }
    assert_eq!(cookies.len(), 1);
    assert!(!cookies.contains(&alice.cookie));
}

#[tokio::test]
async fn row_4_get_me_tells_who_one_is() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let body = data(alice.get("/api/v1/me").await).await;
    check_user(&body);
    assert_eq!(body["id"], alice.id);
}

#[tokio::test]
async fn row_5_post_auth_logout_kills_every_token_at_once_and_closes_the_socket() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let elsewhere = server.sign_in("alice").await;
    let mut socket = Stomp::connect(&server, &alice).await;
    let answer = log_out(&alice.anon, Some(&alice.token), Some(&alice.cookie)).await;
    assert_eq!(
        cookie_line(&answer, "refreshToken"),
        "refreshToken=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
    );
    data(answer).await;
    refused(alice.get("/api/v1/me").await, 401, "SESSION_ENDED").await;
    refused(alice.anon.refresh(&alice.cookie).await, 403, "SESSION_ENDED").await;
    socket.closed(4001).await;
    data(elsewhere.get("/api/v1/me").await).await;
}

#[tokio::test]
async fn row_5_a_socket_that_was_opened_before_the_log_out_cannot_connect_after_it() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::open(&server, &[("authorization", &alice.token)]).await.expect("an upgrade");
    let request = alice.request(Method::POST, "/api/v1/auth/logout");
    assert_eq!(within("log out", request.send()).await.expect("an answer").status(), 200);
    socket.send("CONNECT\naccept-version:1.2\n\n\0").await;
    // CONNECT meets the end of its session, or the end meets the connection that CONNECT has just made known.
    match socket.came().await {
        Came::Frame(frame) => {
            assert_eq!((frame.command.as_str(), frame.header("code")), ("ERROR", Some("SESSION_ENDED")));
            socket.closed(4007).await;
        }
        Came::Closed(code, reason) => assert_eq!(code, 4001, "{reason}"),
    }
}

#[tokio::test]
async fn row_5_an_expired_access_token_or_the_cookie_alone_is_enough() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s")]).await;
    let alice = server.sign_in("alice").await;
    until_expired(&alice).await;
    data(log_out(&alice.anon, Some(&alice.token), None).await).await;
    refused(alice.anon.refresh(&alice.cookie).await, 403, "SESSION_ENDED").await;
    let bob = server.sign_in("bob").await;
    data(log_out(&bob.anon, None, Some(&bob.cookie)).await).await;
    refused(bob.anon.refresh(&bob.cookie).await, 403, "SESSION_ENDED").await;
    // Twice is once.
    data(log_out(&bob.anon, None, Some(&bob.cookie)).await).await;
}

#[tokio::test]
async fn row_7_get_chat_rooms_lists_each_room_once_with_the_latest_activity_first() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let mut rooms = Vec::new();
    for (language, email) in [("ko", "bob@example.com"), ("es", "carla@example.com"), ("ja", "daiki@example.com")] {
        rooms.push(alice.open_room(language, email).await);
    }
    let fresh = data(alice.get("/api/v1/chatRooms?page=0&name=").await).await;
    assert_eq!(keys(&fresh), ["hasNext", "isLast", "pageNumber", "pageSize", "rooms", "totalElements"]);
    assert_eq!(ids(&fresh), [rooms[2], rooms[1], rooms[0]]);
    check_page(&fresh, 0, 20, false, 3);
    check_room(&fresh["rooms"][0]);
    assert_eq!(fresh["rooms"][0]["originalRecentMessage"], "");
    assert_eq!(fresh["rooms"][0]["translatedRecentMessage"], "");
    assert!(fresh["rooms"][0]["recentMessageTime"].is_null());
    for (index, order) in [(0, [0, 2, 1]), (1, [1, 0, 2])] {
        say(&server, &alice, rooms[index], &["Hello"]).await;
        let list = data(alice.get("/api/v1/chatRooms?page=0&name=").await).await;
        assert_eq!(ids(&list), order.map(|at| rooms[at]));
        check_room(&list["rooms"][0]);
        assert_eq!(list["rooms"][0]["originalRecentMessage"], "Hello");
        assert!(list["rooms"][0]["recentMessageTime"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
    let first = data(alice.get("/api/v1/chatRooms?page=0&name=&size=2").await).await;
    assert_eq!(ids(&first), [rooms[1], rooms[0]]);
    check_page(&first, 0, 2, true, 3);
    let second = data(alice.get("/api/v1/chatRooms?page=1&name=&size=2").await).await;
    assert_eq!(ids(&second), [rooms[2]]);
    check_page(&second, 1, 2, false, 3);
}

#[tokio::test]
async fn row_7_the_filter_is_part_of_the_others_name_in_any_case() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let carla = alice.open_room("es", "carla@example.com").await;
    let bob = [alice.open_room("ko", "bob@example.com").await, alice.open_room("ja", "bob@example.com").await];
    for (name, expect) in [
        ("", vec![bob[1], bob[0], carla]),
        ("bob", vec![bob[1], bob[0]]),
        ("AR", vec![carla]),
        ("ali", vec![]),
        ("b_b", vec![]),
        ("%25", vec![]),
        ("nobody", vec![]),
    ] {
        let list = data(alice.get(&format!("/api/v1/chatRooms?page=0&name={name}")).await).await;
        assert_eq!(ids(&list), expect, "{name:?}");
        assert_eq!(list["totalElements"], expect.len(), "{name:?}");
    }
}

#[tokio::test]
async fn row_7_what_is_unread_is_counted_until_the_room_is_read() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    say(&server, &alice, room, &["Hello", "Thank you"]).await;
    let unread = async |user: &User| {
        let list = data(user.get("/api/v1/chatRooms?page=0&name=").await).await;
        assert_eq!(list["rooms"][0]["originalRecentMessage"], "Thank you");
        assert_eq!(list["rooms"][0]["translatedRecentMessage"], "감사합니다");
        list["rooms"][0]["unreadMessageCount"].clone()
    };
    assert_eq!((unread(&alice).await, unread(&bob).await), (json!(0), json!(2)));
    bob.history(room).await;
    assert_eq!(unread(&bob).await, 0);
}

#[tokio::test]
async fn row_8_post_chat_rooms_gives_one_room_to_each_pair_and_language() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let mut rooms = BTreeSet::new();
    for language in ["ko", "en-us", "ja", "zh", "es"] {
        let body = json!({ "language": language, "recipientEmail": "bob@example.com" });
        let request = alice.request(Method::POST, "/api/v1/chatRooms").json(&body);
        let answer = data(within("open", request.send()).await.expect("an answer")).await;
        assert_eq!(keys(&answer), ["chatRoomId"]);
        let room = answer["chatRoomId"].as_u64().expect("a number");
        assert!((1..1 << 53).contains(&room));
        assert_eq!(alice.open_room(language, "bob@example.com").await, room);
        assert_eq!(bob.open_room(language, "Alice@Example.com").await, room);
        rooms.insert(room);
    }
    assert_eq!(rooms.len(), 5);
    let other = alice.open_room("ko", "carla@example.com").await;
    assert!(!rooms.contains(&other), "another pair has another room");
}

#[tokio::test]
async fn row_8_the_other_hears_of_a_new_room_at_once() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let mut list = Stomp::connect(&server, &bob).await;
    list.subscribe("sub-0", &format!("/topic/users/{}/chatRoom", bob.id), &[]).await;
    let room = alice.open_room("ko", "bob@example.com").await;
    let line = list.next("MESSAGE").await.json();
    check_room(&line);
    assert_eq!((&line["chatroomId"], &line["recipientName"]), (&json!(room), &json!("Alice")));
    assert_eq!(line["selectedLanguage"], "ko");
}

#[tokio::test]
async fn row_9_get_chats_is_newest_first_in_pages_of_forty_that_do_not_shift() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let texts: Vec<String> = (1..=105).map(|number| format!("Message {number}")).collect();
    say(&server, &alice, room, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let page = async |number: u32| data(bob.get(&format!("/api/v1/chatRooms/{room}/chats?page={number}")).await).await;
    let first = page(0).await;
    assert_eq!(keys(&first), ["chats", "hasNext", "isLast", "pageNumber", "pageSize", "recipient", "totalElements"]);
    assert_eq!(keys(&first["recipient"]), ["recipientEmail", "recipientName", "recipientPicture"]);
    assert_eq!(first["recipient"]["recipientEmail"], "alice@example.com");
    assert_eq!(first["recipient"]["recipientName"], "Alice");
    check_page(&first, 0, 40, true, 105);
    say(&server, &alice, room, &["Hello", "Hello", "Hello"]).await;
    let (second, third) = (page(1).await, page(2).await);
    check_page(&second, 1, 40, true, 105);
    check_page(&third, 2, 40, false, 105);
    let chats: Vec<&Value> =
        [&first, &second, &third].iter().flat_map(|page| page["chats"].as_array().expect("a list")).collect();
    let seqs: Vec<u64> = chats.iter().filter_map(|chat| chat["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=105).rev().collect::<Vec<_>>());
    for chat in chats {
        check_chat(chat);
        assert_eq!(chat["originalMessage"], format!("Message {}", chat["seq"]));
    }
    assert_eq!(page(0).await["totalElements"], 108, "page 0 begins anew");
    assert_eq!(page(9).await["chats"], json!([]));
}

#[tokio::test]
async fn row_9_a_message_is_read_when_the_other_was_served_page_0() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    say(&server, &alice, room, &["Hello"]).await;
    assert_eq!(alice.history(room).await["chats"][0]["isRead"], false, "one's own page reads nothing");
    data(bob.get(&format!("/api/v1/chatRooms/{room}/chats?page=1")).await).await;
    assert_eq!(alice.history(room).await["chats"][0]["isRead"], false, "a later page reads nothing");
    bob.history(room).await;
    assert_eq!(alice.history(room).await["chats"][0]["isRead"], true);
}

fn check_user(user: &Value) {
    assert_eq!(keys(user), ["email", "id", "language", "name", "picture"]);
    assert!(user["id"].as_u64().is_some_and(|id| (1..1 << 53).contains(&id)), "{user}");
    assert_eq!((&user["email"], &user["name"]), (&json!("alice@example.com"), &json!("Alice")));
    assert!(user["picture"].is_null());
}

fn check_page(page: &Value, number: u32, size: u32, has_next: bool, total: u32) {
    assert_eq!((&page["pageNumber"], &page["pageSize"]), (&json!(number), &json!(size)));
    assert_eq!((&page["hasNext"], &page["isLast"]), (&json!(has_next), &json!(!has_next)));
    assert_eq!(page["totalElements"], total);
}

fn check_room(room: &Value) {
    assert_eq!(
        keys(room),
        [
            "chatroomId",
            "originalRecentMessage",
            "recentMessageTime",
            "recipientName",
            "recipientPicture",
            "selectedLanguage",
            "seq",
            "translatedRecentMessage",
            "unreadMessageCount"
        ]
    );
}

fn check_chat(chat: &Value) {
    assert_eq!(
        keys(chat),
        [
            "chatId",
            "isRead",
            "originalMessage",
            "revision",
            "sendAt",
            "senderEmail",
            "seq",
            "status",
            "translatedMessage",
            "translations"
        ]
    );
    let id = chat["chatId"].as_str().expect("a text");
    assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert!(chat["sendAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{chat}");
    assert_eq!((&chat["senderEmail"], &chat["status"]), (&json!("alice@example.com"), &json!("COMPLETED")));
    assert!(chat["translatedMessage"].is_string(), "{chat}");
}

/// Says these, and waits until all of them are published.
async fn say(server: &Server, user: &User, room: u64, texts: &[&str]) {
    let mut socket = Stomp::connect(server, user).await;
    socket.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    for (number, text) in texts.iter().enumerate() {
        socket.post(room, text, None, &format!("p-{number}")).await;
    }
    let mut open = texts.len() * 2;
    while open > 0 {
        match socket.came().await {
            Came::Frame(frame) if frame.command != "ERROR" => open -= 1,
            other => panic!("{other:?}"),
        }
    }
}

async fn me(anon: &Anon, token: &str) -> Response {
    let request = anon.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, token);
    within("me", request.send()).await.expect("an answer")
}

async fn log_out(anon: &Anon, token: Option<&str>, cookie: Option<&str>) -> Response {
    let mut request = anon.request(Method::POST, "/api/v1/auth/logout");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    if let Some(cookie) = cookie {
        // A browser's page says where it is.
        request = request.header(COOKIE, cookie).header("origin", &anon.base);
    }
    within("log-out", request.send()).await.expect("an answer")
}

async fn until_expired(user: &User) {
    within("the end of the access token", async { while user.get("/api/v1/me").await.status() == 200 {} }).await;
    refused(user.get("/api/v1/me").await, 401, "TOKEN_EXPIRED").await;
}

/// The whole `Set-Cookie` of this name; the only one.
fn cookie_line(answer: &Response, name: &str) -> String {
    let lines: Vec<&str> = answer.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()).collect();
    let found: Vec<&&str> = lines.iter().filter(|line| line.starts_with(&format!("{name}="))).collect();
    assert_eq!(found.len(), 1, "{lines:?}");
    assert!(!set_cookies(answer).is_empty());
    (*found[0]).to_owned()
}

fn first_pair(line: &str) -> String {
    line.split(';').next().unwrap_or_default().to_owned()
}

fn value_of(line: &str) -> String {
    first_pair(line).split_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn ids(list: &Value) -> Vec<u64> {
    list["rooms"].as_array().expect("a list").iter().filter_map(|room| room["chatroomId"].as_u64()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}
