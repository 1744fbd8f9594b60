//! The sessions that a user sees and ends.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::Value;

use super::{dead, lines_of, listed, sent, ticket, trail, unauthorized, upgrade};
use crate::support::{Anon, Options, Server, Stomp, User, data, refused};

const UNKNOWN: &str = "00112233445566778899aabbccddeeff";

#[tokio::test]
async fn each_session_is_listed_with_its_device_address_and_times() {
    let server = Server::start(&[]).await;
    let phone = User::sign_in_from(Anon::with_agent(&server, "Phone/1.0"), "alice").await;
    let mut laptop = User::sign_in_from(Anon::with_agent(&server, "Laptop/2.0"), "alice").await;
    server.sign_in("bob").await;
    let sessions = sessions_of(&laptop).await;
    let names: Vec<&str> = sessions.iter().filter_map(|session| session["id"].as_str()).collect();
    assert_eq!(names, [laptop.sid(), phone.sid()], "one's own alone, the newest first");
    let devices: Vec<&Value> = sessions.iter().map(|session| &session["device"]).collect();
    assert_eq!(devices, ["Laptop/2.0", "Phone/1.0"]);
    let current: Vec<&Value> = sessions.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [true, false]);
    for session in &sessions {
        let keys: Vec<&String> = session.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["address", "createdAt", "current", "device", "expiresAt", "id", "lastUsedAt"]);
        assert_eq!(session["address"], "127.0.0.1");
        let [created, used, expires] = times(session);
        assert!(created <= used && used < expires, "{session}");
    }
    let before = times(&sessions[0]);
    laptop.refresh().await;
    let sessions = sessions_of(&phone).await;
    let after = times(&sessions[0]);
    assert_eq!(before[0], after[0], "it was made when it was made");
    assert!(after[1] > before[1] && after[2] > before[2], "{before:?} {after:?}");
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn a_device_name_is_cut_where_a_letter_ends() {
    let server = Server::start(&[]).await;
    let agent = "x".repeat(1_000);
    let alice = User::sign_in_from(Anon::with_agent(&server, &agent), "alice").await;
    let device = sessions_of(&alice).await[0]["device"].as_str().expect("a text").to_owned();
    assert_eq!(device, "x".repeat(256));
}

#[tokio::test]
async fn t6_a_session_that_is_ended_loses_its_tokens_and_its_sockets_at_once_and_the_others_stay() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let (mut lost, kept) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let bought = ticket(&lost).await;
    let first = lost.clone();
    lost.refresh().await;
    let (mut by_token, mut by_session) = (Stomp::connect(&server, &lost).await, Stomp::lease(&server, &lost).await);
    let mut staying = Stomp::connect(&server, &kept).await;
    let end = format!("/api/v1/sessions/{}", lost.sid());
    assert_eq!(data(kept.delete(&end).await).await, Value::Null);
    // The answer was the end: nothing of it is waited for.
    dead(&lost).await;
    dead(&first).await;
    unauthorized(upgrade(&server, &format!("/ws-connect?ticket={bought}"), &[]).await, "SESSION_ENDED").await;
    let mut late = Stomp::open(&server, &[("cookie", &lost.cookie), ("origin", &server.base)]).await.expect("open");
    late.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", lost.jwt())).await;
    late.refused("SESSION_ENDED").await;
    by_token.closed(4001).await;
    by_session.closed(4001).await;
    assert_eq!(listed(&kept).await, BTreeSet::from([kept.sid()]));
    let room = kept.open_room("ko", "bob@example.com").await;
    staying.say(room, "Hello", None).await;
    // Twice is once.
    data(kept.delete(&end).await).await;
    let trail = trail(&kept).await;
    let ended = lines_of(&trail, &lost.sid(), "LOGGED_OUT");
    assert_eq!(ended.len(), 1, "T14: {trail:?}");
    assert!(ended[0].detail.contains(&kept.sid()), "by which session: {ended:?}");
}

#[tokio::test]
async fn one_may_end_the_session_that_one_is_in() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    data(alice.delete(&format!("/api/v1/sessions/{}", alice.sid())).await).await;
    dead(&alice).await;
}

#[tokio::test]
async fn somebody_elses_session_is_as_unknown_as_none() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let upper = alice.sid().to_uppercase();
    for id in [&bob.sid(), UNKNOWN, "7", "x", "%00", &upper, &alice.sid()[1..], &format!("{}0", alice.sid())] {
        // A session's name has one spelling, and one without letters is its own.
        if id == alice.sid() {
            continue;
        }
        let answer = alice.delete(&format!("/api/v1/sessions/{id}")).await;
        refused(answer, 404, "SESSION_NOT_FOUND").await;
    }
    data(bob.get("/api/v1/me").await).await;
    data(alice.get("/api/v1/me").await).await;
}

#[tokio::test]
async fn t13_t14_log_out_everywhere_ends_all_sessions_of_the_user_and_of_nobody_else() {
    let env = [("GATEWAY__ERROR_DELAY", "0")];
    let server = Server::start(&env).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(server.sign_in("alice").await);
    }
    let bob = server.sign_in("bob").await;
    let mut sockets = Vec::new();
    for alice in &sessions {
        sockets.push(Stomp::connect(&server, alice).await);
        sockets.push(Stomp::lease(&server, alice).await);
    }
    let mut of_bob = Stomp::connect(&server, &bob).await;
    let request = sessions[1].request(Method::POST, "/api/v1/auth/logout?everywhere=true");
    let answer = sent(request.header(COOKIE, &sessions[1].cookie).header("origin", &server.base)).await;
    let cleared = answer.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cleared.starts_with("refreshToken=; Max-Age=0;"), "{cleared}");
    data(answer).await;
    for alice in &sessions {
        dead(alice).await;
    }
    for socket in &mut sockets {
        socket.closed(4001).await;
    }
    let room = bob.open_room("ko", "carla@example.com").await;
    of_bob.say(room, "Hello", None).await;

    let data = server.kill().await;
    let server = Server::start_with(Options { env: &env, data: Some(data), ..Options::default() }).await;
    let again = server.sign_in("alice").await;
    let trail = trail(&again).await;
    for alice in &mut sessions {
        alice.follow(&server);
        dead(alice).await;
        assert_eq!(lines_of(&trail, &alice.sid(), "LOGGED_OUT").len(), 1, "T14: {trail:?}");
    }
    assert_eq!(listed(&again).await, BTreeSet::from([again.sid()]));
}

#[tokio::test]
async fn t14_log_out_at_once_and_again_is_one_line_of_the_trail() {
    let server = Server::start(&[]).await;
    let (alice, reader) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let outs = (0..8).map(|_| super::log_out(&alice));
    for answer in futures_util::future::join_all(outs).await {
        data(answer).await;
    }
    data(super::log_out(&alice).await).await;
    let again = format!("/api/v1/sessions/{}", alice.sid());
    data(reader.delete(&again).await).await;
    assert_eq!(lines_of(&trail(&reader).await, &alice.sid(), "LOGGED_OUT").len(), 1);
}

#[tokio::test]
async fn an_ended_session_cannot_end_the_others() {
    let server = Server::start(&[]).await;
    let (old, alice) = (server.sign_in("alice").await, server.sign_in("alice").await);
    data(super::log_out(&old).await).await;
    let answer = old.post("/api/v1/auth/logout?everywhere=true").await;
    refused(answer, 401, "SESSION_ENDED").await;
    unauthorized(old.delete(&format!("/api/v1/sessions/{}", alice.sid())).await, "SESSION_ENDED").await;
    data(alice.get("/api/v1/me").await).await;
}

async fn sessions_of(user: &User) -> Vec<Value> {
    let body = data(user.get("/api/v1/sessions").await).await;
    assert_eq!(body.as_object().expect("an object").len(), 1, "{body}");
    body["sessions"].as_array().expect("a list").clone()
}

/// Made, last used, over. Texts of one zone and length sort as their times do.
fn times(session: &Value) -> [String; 3] {
    ["createdAt", "lastUsedAt", "expiresAt"].map(|key| {
        let text = session[key].as_str().expect("a time");
        assert!(text.ends_with('Z') && text.len() == "2026-11-23T03:34:05.000Z".len(), "{text}");
        text.to_owned()
    })
}
