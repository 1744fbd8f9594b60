//! A lease: the session itself carries the connection, and the token on its frames may be long dead.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::{PAGE, expired, greeted, log_out, send, subscribe, until, upgrade};
use crate::support::{Came, Server, Stomp, User, refused};

/// So long a connection goes on with a token that lives for five seconds.
const WHOLE: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_millis(250);

#[tokio::test]
async fn a_lease_sends_and_receives_for_a_minute_with_its_dead_token_and_ends_with_its_session() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "5s"), ("TRANSLATION__HOLD", "50ms")]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let begun = Instant::now();
    let (mut hers, mut his) = (leased(&server, &alice, room).await, leased(&server, &bob, room).await);
    let (mut her_seq, mut his_seq, mut said) = (0, 0, 0);
    let mut ticks = interval(EVERY);
    while begun.elapsed() < WHOLE {
        ticks.tick().await;
        said += 2;
        let receipt = format!("r-{said}");
        hers.send(&send(room, alice.jwt(), &receipt, &format!("Her line {said}"))).await;
        until(&mut hers, Some(&receipt), &mut her_seq, said - 1).await;
        his.send(&send(room, bob.jwt(), &receipt, &format!("His line {said}"))).await;
        until(&mut his, Some(&receipt), &mut his_seq, said).await;
        until(&mut hers, None, &mut her_seq, said).await;
    }
    refused(alice.get("/api/v1/me").await, 401, "TOKEN_EXPIRED").await;
    let stored = server.sign_in("alice").await.whole_history(room).await;
    assert_eq!(stored.len() as u64, said, "each is stored once");

    // A page that is loaded now connects with the dead token, and enters a room with it.
    let mut late = leased(&server, &alice, room).await;
    log_out(&alice).await;
    let ended = Instant::now();
    hers.closed(4001).await;
    late.closed(4001).await;
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());

    let tried = Instant::now();
    greeted(&server, &browser(&alice), Some(alice.jwt())).await.refused("SESSION_ENDED").await;
    assert!(tried.elapsed() >= Duration::from_secs(3), "held back: {:?}", tried.elapsed());
    // Nobody else's session has ended.
    his.send(&send(room, bob.jwt(), "r-last", "Is anybody there?")).await;
    until(&mut his, Some("r-last"), &mut his_seq, said + 1).await;
}

#[tokio::test]
async fn without_the_cookie_a_connection_ends_with_its_token() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "3s"), ("GATEWAY__ERROR_DELAY", "100ms")]).await;
    let alice = server.sign_in("alice").await;
    let begun = Instant::now();
    let mut socket = greeted(&server, &[("origin", PAGE)], Some(alice.jwt())).await;
    socket.next("CONNECTED").await;
    socket.closed(4002).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    refused(alice.get("/api/v1/me").await, 401, "TOKEN_EXPIRED").await;
    greeted(&server, &[("origin", PAGE)], Some(alice.jwt())).await.refused("TOKEN_EXPIRED").await;
}

#[tokio::test]
async fn only_a_page_of_an_allowed_origin_gets_a_lease() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s"), ("GATEWAY__ERROR_DELAY", "100ms")]).await;
    let alice = server.sign_in("alice").await;
    expired(&alice).await;
    let cookie = ("cookie", alice.cookie.as_str());
    for origin in ["https://evil.example", "null", "http://localhost:5173.evil.example", "http://localhost"] {
        refused(upgrade(&server, "/ws-connect", &[cookie, ("origin", origin)]).await, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    // Some requests of a page carry no origin, and any site can make a browser send one.
    for fetched in [None, Some("cross-site"), Some("same-site"), Some("none"), Some("same-origin, cross-site")] {
        let site = fetched.map(|fetched| ("sec-fetch-site", fetched));
        let headers: Vec<_> = [cookie].into_iter().chain(site).collect();
        greeted(&server, &headers, Some(alice.jwt())).await.refused("TOKEN_EXPIRED").await;
    }
    for allowed in [("origin", PAGE), ("origin", &server.base), ("sec-fetch-site", "same-origin")] {
        greeted(&server, &[cookie, allowed], Some(alice.jwt())).await.next("CONNECTED").await;
    }
}

#[tokio::test]
async fn only_the_sessions_own_live_cookie_is_a_lease() {
    let env = [("AUTH__ACCESS_TTL", "1s"), ("AUTH__REFRESH_GRACE", "1s"), ("GATEWAY__ERROR_DELAY", "100ms")];
    let server = Server::start(&env).await;
    let (mut alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let (first, dead) = (alice.cookie.clone(), alice.jwt().to_owned());
    alice.refresh().await;
    alice.refresh().await;
    expired(&alice).await;
    let forged = format!("{}x", &alice.cookie[..alice.cookie.len() - 1]);
    let again = server.sign_in("alice").await;
    for wrong in ["refreshToken=", "refreshToken=garbage", &forged, &bob.cookie, &again.cookie, &first] {
        let headers = [("cookie", wrong), ("origin", PAGE)];
        greeted(&server, &headers, Some(&dead)).await.refused("TOKEN_EXPIRED").await;
    }
    // The cookie alone says nothing about who connects.
    greeted(&server, &browser(&alice), None).await.refused("UNAUTHORIZED").await;
    greeted(&server, &browser(&alice), Some("eyJ.eyJ.x")).await.refused("UNAUTHORIZED").await;
    // Nobody was signed out by any of it, and an older token of the same session does as well.
    for token in [alice.jwt(), &dead] {
        greeted(&server, &browser(&alice), Some(token)).await.next("CONNECTED").await;
    }
    alice.refresh().await;
}

#[tokio::test]
async fn another_users_token_on_a_frame_ends_the_connection_and_does_nothing() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "2s")]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let destination = format!("/topic/chat/{room}");
    let (mut live, mut leased) = (Stomp::connect(&server, &alice).await, Stomp::lease(&server, &alice).await);
    // In one message, so that no answer is between them.
    let both = [send(room, alice.jwt(), "hers", "This is hers"), send(room, bob.jwt(), "his", "Under whose name?")];
    live.send(&both.concat()).await;
    assert_eq!(live.next("RECEIPT").await.header("receipt-id"), Some("hers"));
    live.closed(4008).await;

    // A dead token says as well who has signed in meanwhile, and to enter a room under it is no better.
    expired(&bob).await;
    for frame in [send(room, bob.jwt(), "his", "Under whose name?"), subscribe("sub-0", &destination, bob.jwt())] {
        leased.send(&[send(room, alice.jwt(), "hers", "This is hers, too"), frame].concat()).await;
        assert_eq!(leased.next("RECEIPT").await.header("receipt-id"), Some("hers"));
        leased.closed(4008).await;
        leased = Stomp::lease(&server, &alice).await;
    }
    let stored = server.sign_in("alice").await.whole_history(room).await;
    let texts: Vec<_> = stored.iter().map(|chat| chat["originalMessage"].as_str().expect("text")).collect();
    assert_eq!(texts, ["This is hers", "This is hers, too", "This is hers, too"]);
}

/// Somebody's page in this room, under a lease.
async fn leased(server: &Server, user: &User, room: u64) -> Stomp {
    let mut socket = greeted(server, &browser(user), Some(user.jwt())).await;
    socket.next("CONNECTED").await;
    socket.send(&subscribe("sub-0", &format!("/topic/chat/{room}"), user.jwt())).await;
    // What was missed may come first, and says nothing here.
    loop {
        match socket.came().await {
            Came::Frame(frame) if frame.header("receipt-id") == Some("sub-0") => return socket,
            Came::Frame(frame) if frame.command == "MESSAGE" => {}
            other => panic!("RECEIPT was expected, and {other:?} came"),
        }
    }
}

/// What the user's browser sends along.
fn browser(user: &User) -> [(&str, &str); 2] {
    [("cookie", &user.cookie), ("origin", PAGE)]
}
