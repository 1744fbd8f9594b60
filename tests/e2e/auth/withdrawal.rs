//! Leaving for good: row 6 of the wire contract's table of routes.

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{dead, listed, sent};
use crate::support::{Anon, Options, Server, Stomp, User, data, refused, within};

/// The name of whoever has left.
const LEFT: &str = "(left)";

#[tokio::test]
async fn t13_who_withdraws_loses_all_sessions_and_the_others_keep_the_room_under_a_neutral_name() {
    let server = Server::start(&[]).await;
    let (alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let bob = server.sign_in("bob").await;
    let room = alice.open_room("ko", "bob@example.com").await;
    let (mut here, mut there) = (Stomp::connect(&server, &alice).await, Stomp::lease(&server, &elsewhere).await);
    here.say(room, "Hello", None).await;
    let mut of_bob = Stomp::connect(&server, &bob).await;

    let answer = withdraw(&alice).await;
    let cleared = answer.headers()[SET_COOKIE].to_str().expect("text");
    assert_eq!(cleared, "refreshToken=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None; Partitioned");
    assert_eq!(data(answer).await, Value::Null);
    dead(&alice).await;
    dead(&elsewhere).await;
    here.closed(4001).await;
    there.closed(4001).await;

    let listed = room_of(&bob, room).await.expect("it stays in the list");
    assert_eq!((&listed["recipientName"], &listed["recipientPicture"]), (&json!(LEFT), &Value::Null));
    assert_eq!(listed["originalRecentMessage"], "Hello");
    // A SEND there is accepted like any other.
    of_bob.say(room, "Goodbye", None).await;
    let history = bob.history(room).await;
    assert_eq!(history["recipient"]["recipientName"], LEFT);
    assert_eq!(history["recipient"]["recipientEmail"], placeholder(&alice));
    let said: Vec<Value> = bob.whole_history(room).await;
    let senders: Vec<&Value> = said.iter().map(|chat| &chat["senderEmail"]).collect();
    assert_eq!(senders, [&json!(placeholder(&alice)), &json!("bob@example.com")]);
    assert_eq!(said[0]["originalMessage"], "Hello");
    for filter in ["alice", "Alice"] {
        let found = data(bob.get(&format!("/api/v1/chatRooms?page=0&name={filter}")).await).await;
        assert_eq!(found["totalElements"], 0, "nobody is found by a name that is gone");
    }
}

#[tokio::test]
async fn the_same_person_comes_again_as_somebody_new_with_the_same_address() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    data(withdraw(&alice).await).await;
    // Nobody has the address now, under either of its names.
    for email in [&alice.email, &placeholder(&alice)] {
        refused(open(&bob, email).await, 404, "RECIPIENT_NOT_FOUND").await;
    }
    let again = server.sign_in("alice").await;
    assert_ne!(again.id, alice.id);
    assert_eq!(again.email, "alice@example.com");
    dead(&alice).await;
    let rooms = data(again.get("/api/v1/chatRooms?page=0&name=").await).await;
    assert_eq!(rooms["totalElements"], 0, "nothing of the old account is hers");
    refused(again.get(&format!("/api/v1/chatRooms/{room}/chats")).await, 403, "NOT_A_MEMBER").await;
    assert_eq!(listed(&again).await.len(), 1);
    assert!(super::trail(&again).await.iter().all(|line| line.session == Some(again.sid())));
    let new_room = bob.open_room("ko", "alice@example.com").await;
    assert_ne!(new_room, room);
    assert_eq!(room_of(&bob, room).await.expect("the old one")["recipientName"], LEFT);
    assert_eq!(room_of(&bob, new_room).await.expect("the new one")["recipientName"], "Alice");
    // And she may go again.
    data(withdraw(&again).await).await;
    assert_eq!(room_of(&bob, new_room).await.expect("it stays")["recipientName"], LEFT);
}

#[tokio::test]
async fn t4_t12_a_server_that_is_killed_during_a_withdrawal_has_done_it_whole_or_not_at_all() {
    let mut server = Server::start(&[]).await;
    let mut bob = server.sign_in("bob").await;
    let mut counts = [0, 0];
    for round in 0..10 {
        let mut leaver = server.sign_in(&format!("leaver-{round}")).await;
        let mut elsewhere = server.sign_in(&format!("leaver-{round}")).await;
        let room = leaver.open_room("ko", "bob@example.com").await;
        let (killed, answered) = if round == 0 {
            // The answer is a promise.
            data(withdraw(&leaver).await).await;
            (server.kill().await, true)
        } else {
            let asking = leaver.clone();
            let asked = tokio::spawn(async move {
                let request = asking.request(Method::DELETE, "/api/v1/auth/withdraw");
                request.send().await.is_ok_and(|answer| answer.status() == 200)
            });
            // A little later in each round.
            for _ in 1..round {
                bob.anon.get("/livez").await;
            }
            let killed = server.kill().await;
            (killed, asked.await.expect("no panic"))
        };
        server = Server::start_with(Options { data: Some(killed), ..Options::default() }).await;
        bob.follow(&server);
        leaver.follow(&server);
        elsewhere.follow(&server);
        let name = room_of(&bob, room).await.expect("the room stays")["recipientName"].clone();
        let left = name == LEFT;
        assert!(left || !answered, "it was answered, and is not done");
        if left {
            dead(&leaver).await;
            dead(&elsewhere).await;
            assert_ne!(server.sign_in(&format!("leaver-{round}")).await.id, leaver.id);
        } else {
            assert_eq!(name, format!("Leaver-{round}"));
            for user in [&mut leaver, &mut elsewhere] {
                data(user.get("/api/v1/me").await).await;
                user.refresh().await;
            }
        }
        counts[usize::from(left)] += 1;
    }
    eprintln!("not done {}, done {}", counts[0], counts[1]);
}

#[tokio::test]
async fn who_signs_in_and_withdraws_at_once_is_gone_or_somebody_new() {
    let server = Server::start(&[]).await;
    for _ in 0..10 {
        let alice = server.sign_in("alice").await;
        let (gone, other) = tokio::join!(withdraw(&alice), sign_in(&server, "alice"));
        data(gone).await;
        dead(&alice).await;
        if let Some(other) = other {
            match other.get("/api/v1/me").await {
                // The new account came after the old one was gone.
                answer if answer.status() == 200 => {
                    assert_ne!(other.id, alice.id);
                    data(withdraw(&other).await).await;
                }
                // Or the session went with it.
                answer => refused(answer, 401, "SESSION_ENDED").await,
            }
        }
    }
}

/// A sign-in that may be refused because the account has just gone.
async fn sign_in(server: &Server, name: &str) -> Option<User> {
    let anon = Anon::new(server);
    let (browser, page) = anon.begin().await;
    let query = anon.come_back(&page, name).await;
    let answer = anon.complete(&query, &browser).await;
    if answer.status() != 200 {
        refused(answer, 400, "CODE_REFUSED").await;
        return None;
    }
    Some(User::signed_in(anon, answer).await)
}

/// As the first client does, with both its credentials.
async fn withdraw(user: &User) -> Response {
    let request = user.request(Method::DELETE, "/api/v1/auth/withdraw");
    sent(request.header(COOKIE, &user.cookie).header("origin", &user.anon.base)).await
}

async fn open(user: &User, email: &str) -> Response {
    let body = json!({ "language": "ko", "recipientEmail": email });
    within("open", user.request(Method::POST, "/api/v1/chatRooms").json(&body).send()).await.expect("an answer")
}

async fn room_of(user: &User, room: u64) -> Option<Value> {
    let list = data(user.get("/api/v1/chatRooms?page=0&name=&size=100").await).await;
    list["rooms"].as_array().expect("a list").iter().find(|line| line["chatroomId"] == room).cloned()
}

fn placeholder(user: &User) -> String {
    format!("user-{}@users.invalid", user.id)
}
