//! The trail that a user can read.

use std::collections::BTreeSet;

use super::{Line, lines_of, log_out, trail};
use crate::support::{Options, Server, Stomp, data, eventually, refused, within};

#[tokio::test]
async fn the_trail_tells_each_kind_of_event_to_its_owner_alone_the_newest_first() {
    let env = [("AUTH__REFRESH_GRACE", "1s"), ("LIMITS__REFRESH", "0")];
    let server = Server::start(&env).await;
    let (reader, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = bob.open_room("ko", "carla@example.com").await;

    // Signed in, a socket opened and closed by the client, one that asks for what is not its own.
    let mut alice = server.sign_in("alice").await;
    let session = alice.sid();
    let mut socket = Stomp::connect(&server, &alice).await;
    socket.send("DISCONNECT\n\n\0").await;
    socket.closed(1000).await;
    drop(Stomp::connect(&server, &alice).await);
    let mut socket = Stomp::connect(&server, &alice).await;
    socket.send(&format!("SUBSCRIBE\nid:s\ndestination:/topic/chat/{room}\n\n\0")).await;
    socket.refused("NOT_A_MEMBER").await;
    let seen = eventually("the ends of three sockets", async || {
        let trail = trail(&reader).await;
        (lines_of(&trail, &session, "SOCKET_CLOSED").len() == 3).then_some(trail)
    });
    let seen = seen.await;
    sorted(&seen);
    assert_eq!(lines_of(&seen, &session, "SIGNED_IN").len(), 1);
    let denied = lines_of(&seen, &session, "DENIED");
    assert!(denied.len() == 1 && denied[0].detail.ends_with(", NOT_A_MEMBER"), "{denied:?}");
    let opened: BTreeSet<&str> =
        lines_of(&seen, &session, "SOCKET_OPENED").iter().map(|line| connection(line)).collect();
    let closed = lines_of(&seen, &session, "SOCKET_CLOSED");
    assert_eq!(opened.len(), 3, "{seen:?}");
    assert_eq!(closed.iter().map(|line| connection(line)).collect::<BTreeSet<_>>(), opened, "each has its end");
    for cause in [", 1000 ", ", 4007 ", ", by the client"] {
        assert_eq!(closed.iter().filter(|line| line.detail.contains(cause)).count(), 1, "{cause}: {closed:?}");
    }

    // Refreshed, concurrent, and, after the grace, with the new token never used, a lost response.
    let old = alice.clone();
    alice.refresh().await;
    let mut kinds = BTreeSet::new();
    within("a lost response", async {
        while !kinds.contains("LOST_RESPONSE") {
            data(old.anon.refresh(&old.cookie).await).await;
            let trail = trail(&reader).await;
            sorted(&trail);
            kinds.extend(trail.into_iter().filter(|line| line.session == Some(session.clone())).map(|line| line.event));
        }
    })
    .await;
    assert!(kinds.contains("CONCURRENT") && kinds.contains("REFRESHED"), "{kinds:?}");

    // A socket that a log-out ends, and one that reuse ends.
    let other = server.sign_in("alice").await;
    let mut socket = Stomp::connect(&server, &other).await;
    data(log_out(&other).await).await;
    socket.closed(4001).await;
    assert_eq!(alice.get("/api/v1/me").await.status(), 200);
    let mut socket = Stomp::connect(&server, &alice).await;
    alice.refresh().await;
    refused(alice.anon.refresh(&old.cookie).await, 403, "REFRESH_TOKEN_REUSED").await;
    socket.closed(4001).await;
    let ends = eventually("the ends of two sockets", async || {
        let trail = trail(&reader).await;
        let ended =
            trail.iter().filter(|line| line.event == "SOCKET_CLOSED" && line.detail.contains(", 4001 ")).count();
        (ended == 2).then_some(trail)
    });
    let ends = ends.await;
    sorted(&ends);
    assert_eq!(lines_of(&ends, &session, "REUSE").len(), 1, "T14");
    assert_eq!(lines_of(&ends, &other.sid(), "LOGGED_OUT").len(), 1, "T14");
    assert!(ends.iter().all(|line| line.address == "127.0.0.1"), "{ends:?}");

    // Bob has his own.
    let of_bob = trail(&bob).await;
    assert!(of_bob.iter().all(|line| line.session == Some(bob.sid())), "{of_bob:?}");
    assert_eq!(of_bob.iter().map(|line| line.event.as_str()).collect::<Vec<_>>(), ["SIGNED_IN"]);

    // It survives the server, to the letter.
    let before = trail(&reader).await;
    let data = server.kill().await;
    let server = Server::start_with(Options { env: &env, data: Some(data), ..Options::default() }).await;
    let mut reader = reader;
    reader.follow(&server);
    assert_eq!(trail(&reader).await, before);
}

#[tokio::test]
async fn whoever_wants_what_is_not_theirs_finds_it_in_their_trail_whatever_the_frame() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = bob.open_room("ko", "carla@example.com").await;
    let own = alice.open_room("ko", "carla@example.com").await;
    let body = r#"{"content":"Let me in"}"#;
    let frames = [
        (format!("SEND\ndestination:/app/chat/{room}\n\n{body}\0"), "NOT_A_MEMBER"),
        (format!("SUBSCRIBE\nid:s\ndestination:/topic/chat/{room}\n\n\0"), "NOT_A_MEMBER"),
        ("SUBSCRIBE\nid:s\ndestination:/topic/elsewhere\n\n\0".to_owned(), "DESTINATION_REFUSED"),
        // A mistake is no attempt.
        (format!("SEND\ndestination:/app/chat/{own}\n\nno JSON\0"), ""),
    ];
    let mut expected = Vec::new();
    for (frame, code) in &frames {
        let mut socket = Stomp::connect(&server, &alice).await;
        socket.send(frame).await;
        if code.is_empty() {
            socket.closed(4007).await;
        } else {
            let error = socket.refused(code).await;
            let name = error.header("connection").expect("its name").to_owned();
            expected.insert(0, format!("connection {name}, {code}"));
        }
    }
    let seen = eventually("the ends of the sockets", async || {
        let trail = trail(&alice).await;
        (lines_of(&trail, &alice.sid(), "SOCKET_CLOSED").len() == frames.len()).then_some(trail)
    });
    let seen = seen.await;
    let denied = lines_of(&seen, &alice.sid(), "DENIED");
    assert_eq!(denied.iter().map(|line| line.detail.as_str()).collect::<Vec<_>>(), expected, "{seen:?}");
    assert_eq!(bob.history(room).await["chats"].as_array().map(Vec::len), Some(0));
    assert!(trail(&bob).await.iter().all(|line| line.event == "SIGNED_IN"), "it is hers alone");
}

#[tokio::test]
async fn the_trail_is_two_hundred_lines_at_most_and_those_are_the_newest() {
    let server = Server::start(&[("STORAGE__URL", "memory:"), ("LIMITS__REFRESH", "0")]).await;
    let mut alice = server.sign_in("alice").await;
    for _ in 0..210 {
        alice.refresh().await;
    }
    let trail = trail(&alice).await;
    assert_eq!(trail.len(), 200);
    assert!(trail.iter().all(|line| line.event == "REFRESHED"), "the sign-in was earlier");
    sorted(&trail);
}

fn sorted(trail: &[Line]) {
    assert!(trail.is_sorted_by(|newer, older| newer.at >= older.at), "the newest first: {trail:?}");
}

/// The connection that a line is about: sixteen hexadecimal digits.
fn connection(line: &Line) -> &str {
    let name = line.detail.strip_prefix("connection ").and_then(|rest| rest.get(..16));
    let name = name.unwrap_or_else(|| panic!("no connection in {line:?}"));
    assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line:?}");
    name
}
