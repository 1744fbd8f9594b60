//! ERROR is held back, so that the first client, which answers it by connecting again at once, cannot loop; and what it shows is found
//! in the server's log.

use std::time::Duration;

use tokio::time::Instant;

use super::{greeted, log_out};
use crate::support::{Came, Frame, Server, Stomp, eventually};

const DELAY: Duration = Duration::from_millis(1_500);
const DELAYED: [(&str, &str); 2] = [("GATEWAY__ERROR_DELAY", "1500ms"), ("TRANSLATION__HOLD", "50ms")];
/// Nobody may use this destination.
const FORBIDDEN: &str = "SEND\ndestination:/topic/chat/1\n\nx\0";

#[tokio::test]
async fn the_second_error_within_a_minute_is_held_back_and_the_connection_is_silent_meanwhile() {
    let server = Server::start(&DELAYED).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut his = Stomp::connect(&server, &bob).await;

    let mut first = Stomp::connect(&server, &alice).await;
    let begun = Instant::now();
    first.send(FORBIDDEN).await;
    first.refused("DESTINATION_REFUSED").await;
    let at_once = begun.elapsed();

    let mut second = Stomp::connect(&server, &alice).await;
    second.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    let begun = Instant::now();
    second.send(FORBIDDEN).await;
    // What is asked behind it is not done, and what is said meanwhile is not delivered (S4).
    second.post(room, "Behind a refused frame", None, "behind").await;
    his.say(room, "While she waits for it", None).await;
    second.next("ERROR").await;
    let held = begun.elapsed();
    second.closed(4007).await;
    assert!(held >= DELAY && held >= at_once + DELAY / 2, "{at_once:?}, then {held:?}");
    assert!(at_once < DELAY, "the first one leaves at once: {at_once:?}");
    let stored = bob.whole_history(room).await;
    assert_eq!(stored.len(), 1, "{stored:?}");

    // Another session of hers has not been refused yet.
    let mut other = Stomp::connect(&server, &server.sign_in("alice").await).await;
    let begun = Instant::now();
    other.send(FORBIDDEN).await;
    other.refused("DESTINATION_REFUSED").await;
    assert!(begun.elapsed() < DELAY, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_error_to_a_refused_connect_is_always_held_back() {
    let server = Server::start(&DELAYED).await;
    let alice = server.sign_in("alice").await;
    log_out(&alice).await;
    for (token, code) in [(None, "UNAUTHORIZED"), (Some("x.y.z"), "UNAUTHORIZED"), (Some(alice.jwt()), "SESSION_ENDED")]
    {
        let begun = Instant::now();
        greeted(&server, &[], token).await.refused(code).await;
        assert!(begun.elapsed() >= DELAY, "{code}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_a_client_is_shown_of_a_connection_is_found_in_the_log() {
    // As much as is logged without any configuration.
    let server = Server::start(&[("LOG__FILTER", "info"), ("GATEWAY__ERROR_DELAY", "100ms")]).await;
    let alice = server.sign_in("alice").await;

    let (mut refused, name) = connected(&server, alice.jwt()).await;
    refused.send(FORBIDDEN).await;
    let error = refused.next("ERROR").await;
    assert_eq!(error.header("connection"), Some(name.as_str()), "{error:?}");
    assert_eq!(reason(&mut refused, 4007).await, name);
    found(&server, &name).await;

    let mut stranger = greeted(&server, &[], Some("x.y.z")).await;
    let error = stranger.next("ERROR").await;
    let name = error.header("connection").expect("a name").to_owned();
    assert_eq!(reason(&mut stranger, 4007).await, name);
    found(&server, &name).await;

    let (mut ended, name) = connected(&server, alice.jwt()).await;
    log_out(&alice).await;
    assert_eq!(reason(&mut ended, 4001).await, name);
    found(&server, &name).await;
}

async fn connected(server: &Server, token: &str) -> (Stomp, String) {
    let mut socket = greeted(server, &[], Some(token)).await;
    let connected: Frame = socket.next("CONNECTED").await;
    let name = connected.header("session").expect("a name").to_owned();
    (socket, name)
}

/// The name at the end of the close's reason.
async fn reason(socket: &mut Stomp, code: u16) -> String {
    match socket.came().await {
        Came::Closed(found, reason) if found == code => {
            let (words, name) = reason.rsplit_once(" [").expect("words and a name");
            assert!(!words.is_empty());
            name.strip_suffix(']').expect("a bracket").to_owned()
        }
        other => panic!("a close with {code} was expected, and {other:?} came"),
    }
}

async fn found(server: &Server, name: &str) {
    assert!(name.len() >= 8, "{name}");
    eventually("a line of the log", async || server.logged(name).pop()).await;
}
