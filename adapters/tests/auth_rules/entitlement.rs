//! What a connection goes on by: the access token, or the session under a lease (DESIGN.md section 3, trap 6 of the wire contract).

use transtalk_core::app::log_out;
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::TokenKind;
use transtalk_core::stomp::CloseCode;

use crate::socket::{Socket, connect_frame, handshake, pass, send_frame};
use crate::world::{ADDRESS, Node, Person, World, secs};

/// Somebody in the third generation of a session, whose first access token has expired; and that token.
fn with_a_dead_token(world: &World, node: &Node) -> (Person, String) {
    let first = world.sign_in(node, "alice");
    world.pass(secs(31 * 60));
    let person = world.refreshed(node, &world.refreshed(node, &first));
    (person, first.access)
}

/// Somebody as far as [`with_a_dead_token`] comes, so that nothing but whose it is keeps their cookie apart.
fn in_the_third_generation(world: &World, node: &Node, subject: &str) -> Person {
    world.refreshed(node, &world.refreshed(node, &world.sign_in(node, subject)))
}

#[test]
fn an_expired_token_connects_with_a_cookie_that_could_be_exchanged_now_and_with_no_other() {
    // (the cookie, whether the newest generation was used, how long after its rotation)
    for (cookie, is_used, wait, expect) in [
        ("current", false, 0, "CONNECTED"),
        ("current", true, 3_600, "CONNECTED"),
        ("predecessor", true, 0, "CONNECTED"),
        ("predecessor", true, 10, "CONNECTED"),
        ("predecessor", true, 11, "ERROR TOKEN_EXPIRED"),
        ("predecessor", false, 11, "CONNECTED"),
        ("predecessor", false, 86_400, "CONNECTED"),
        ("old", false, 0, "ERROR TOKEN_EXPIRED"),
        ("old", true, 3_600, "ERROR TOKEN_EXPIRED"),
        ("future", false, 0, "ERROR TOKEN_EXPIRED"),
        ("another session's", false, 0, "ERROR TOKEN_EXPIRED"),
        ("another user's", false, 0, "ERROR TOKEN_EXPIRED"),
        ("forged", false, 0, "ERROR TOKEN_EXPIRED"),
        ("empty", false, 0, "ERROR TOKEN_EXPIRED"),
        ("none", false, 0, "ERROR TOKEN_EXPIRED"),
        // The session itself is over.
        ("current", false, 8 * 86_400, "ERROR SESSION_ENDED"),
    ] {
        let what = format!("{cookie}, used: {is_used}, after {wait} s");
        let world = World::new();
        let node = world.node();
        let (person, dead) = with_a_dead_token(&world, &node);
        if is_used {
            world.authenticate(&node, &person.access).unwrap();
        }
        world.pass(secs(wait));
        let value = match cookie {
            "current" => person.refresh.clone(),
            "predecessor" => world.refresh_token(person.session, 2),
            "old" => world.refresh_token(person.session, 1),
            "future" => world.refresh_token(person.session, 4),
            "another session's" => in_the_third_generation(&world, &node, "alice").refresh,
            "another user's" => in_the_third_generation(&world, &node, "bob").refresh,
            "forged" => format!("{}x", &person.refresh[..person.refresh.len() - 1]),
            _ => String::new(),
        };
        let row = world.row(person.session);
        let trail = world.trail(&person);
        node.trouble.take_writes();
        let mut socket = Socket::connect(&world, &node, &dead, Some(&value).filter(|_| cookie != "none").map(|v| &**v));
        socket.pass(secs(3));
        assert_eq!(socket.seen()[0], expect, "{what}");
        // To look at a cookie changes nothing: it rotates nothing, acknowledges nothing and reports nothing.
        assert_eq!(world.row(person.session), row, "{what}");
        assert_eq!(world.trail(&person), trail, "{what}");
        assert_eq!(node.trouble.take_writes(), [""; 0], "{what}");
    }
}

#[test]
fn a_live_token_beside_a_cookie_that_is_not_live_is_bound_to_itself() {
    for cookie in ["old", "another session's", "forged"] {
        let world = World::new();
        let node = world.node();
        let (person, _) = with_a_dead_token(&world, &node);
        let value = match cookie {
            "old" => world.refresh_token(person.session, 1),
            "forged" => format!("{}.", person.refresh),
            _ => in_the_third_generation(&world, &node, "alice").refresh,
        };
        let mut socket = Socket::connect(&world, &node, &person.access, Some(&value));
        assert_eq!(socket.seen(), ["CONNECTED"]);
        socket.pass(secs(30 * 60));
        assert_eq!(socket.seen(), ["close 4002"], "{cookie}");
        assert!(world.row(person.session).revoked_at.is_none(), "{cookie}: nobody was reported");
    }
}

#[test]
fn a_lease_survives_dead_tokens_on_every_frame() {
    let world = World::with(|settings| settings.lifetimes.access = secs(5));
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let room = world.room(&node, &alice, "bob");
    world.pass(secs(6));
    let mut hers = Socket::leased(&world, &node, &alice);
    let mut his = Socket::leased(&world, &node, &bob);
    for (socket, dead) in [(&mut hers, &alice.access), (&mut his, &bob.access)] {
        let subscribe = format!("SUBSCRIBE\nid:s\ndestination:/topic/chat/{room}\nAuthorization:{dead}\n\n\0");
        socket.say(&subscribe);
    }
    for minute in 0..60 {
        hers.say(&send_frame(room, &format!("n{minute}"), &alice.access, &format!("r{minute}")));
        pass(&world, &mut [&mut hers, &mut his], secs(60));
        assert_eq!(his.seen(), [format!("MESSAGE s n{minute}")]);
        assert_eq!(hers.seen(), [format!("RECEIPT r{minute}"), format!("MESSAGE s n{minute}")]);
    }
    assert_eq!(world.stored(room).len(), 60);
    // Until somebody logs out.
    world.run(log_out(&node.services, None, Some(&alice.refresh), ADDRESS)).unwrap();
    hers.say(&send_frame(room, "late", &alice.access, "late"));
    pass(&world, &mut [&mut hers, &mut his], secs(1));
    assert_eq!(hers.seen(), ["close 4001"]);
    let mut again = Socket::connect(&world, &node, &alice.access, Some(&alice.refresh));
    again.pass(secs(3));
    assert_eq!(again.seen(), ["ERROR SESSION_ENDED", "close 4007"]);
}

#[test]
fn the_same_connection_without_a_cookie_ends_at_expiry_and_cannot_come_back() {
    let world = World::with(|settings| settings.lifetimes.access = secs(5));
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut socket = Socket::connected(&world, &node, &alice);
    socket.pass(secs(5));
    assert_eq!(socket.seen(), ["close 4002"]);
    let mut again = Socket::connect(&world, &node, &alice.access, None);
    again.pass(secs(3));
    assert_eq!(again.seen(), ["ERROR TOKEN_EXPIRED", "close 4007"]);
}

#[test]
fn a_lease_ends_with_its_session_by_time_too() {
    let world = World::with(|settings| settings.lifetimes.refresh = secs(100));
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut idle = Socket::leased(&world, &node, &alice);
    idle.pass(secs(99));
    assert_eq!(idle.seen(), [""; 0]);
    idle.pass(secs(31));
    assert_eq!(idle.close_code(), Some(CloseCode::SessionEnded));
    // One whose session is refreshed beside it goes on, with the cookie of its handshake long replaced.
    let mut alice = world.sign_in(&node, "alice");
    let mut busy = Socket::leased(&world, &node, &alice);
    for _ in 0..20 {
        busy.pass(secs(60));
        alice = world.refreshed(&node, &alice);
        world.authenticate(&node, &alice.access).unwrap();
    }
    assert_eq!(busy.seen(), [""; 0]);
}

#[test]
fn a_lease_ends_when_somebody_else_brings_back_its_old_cookie() {
    let world = World::new();
    let node = world.server();
    let first = world.sign_in(&node, "alice");
    let mut socket = Socket::leased(&world, &node, &first);
    let second = world.refreshed(&node, &first);
    world.authenticate(&node, &second.access).unwrap();
    socket.pass(secs(11));
    assert_eq!(socket.seen(), [""; 0]);
    assert!(world.refresh(&node, &first.refresh).is_err());
    socket.settle();
    assert_eq!(socket.seen(), ["close 4001"]);
    assert!(world.events(&first).contains(&AuditEvent::Reuse));
}

#[test]
fn who_was_known_at_the_upgrade_has_a_lease_too_and_is_asked_again_at_connect() {
    let world = World::with(|settings| settings.lifetimes.access = secs(5));
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let principal = world.authenticate(&node, &alice.access).unwrap();
    let connect = "CONNECT\naccept-version:1.2\n\n\0";
    let mut leased = Socket::open(&world, &node, handshake(Some(principal), Some(&alice.refresh), ADDRESS));
    leased.say(connect);
    let mut bound = Socket::open(&world, &node, handshake(Some(principal), None, ADDRESS));
    bound.say(connect);
    let mut late = Socket::open(&world, &node, handshake(Some(principal), None, ADDRESS));
    let mut late_leased = Socket::open(&world, &node, handshake(Some(principal), Some(&alice.refresh), ADDRESS));
    pass(&world, &mut [&mut leased, &mut bound, &mut late, &mut late_leased], secs(6));
    assert_eq!(
        (leased.seen(), bound.seen()),
        (vec!["CONNECTED".into()], vec!["CONNECTED".into(), "close 4002".into()])
    );
    // Their tokens ended between upgrade and CONNECT.
    late.say(connect);
    late_leased.say(connect);
    pass(&world, &mut [&mut late, &mut late_leased], secs(3));
    assert_eq!(late.seen(), ["ERROR TOKEN_EXPIRED", "close 4007"]);
    assert_eq!(late_leased.seen(), ["CONNECTED"]);
}

#[test]
fn of_two_tokens_of_one_user_that_of_the_upgrade_counts() {
    let world = World::new();
    let node = world.server();
    let (upgrade, connect) = (world.sign_in(&node, "alice"), world.sign_in(&node, "alice"));
    let principal = world.authenticate(&node, &upgrade.access).unwrap();
    let mut socket = Socket::open(&world, &node, handshake(Some(principal), Some(&connect.refresh), ADDRESS));
    socket.say(&connect_frame(&connect.access));
    assert_eq!(socket.seen(), ["CONNECTED"]);
    world.run(log_out(&node.services, Some(&connect.access), None, ADDRESS)).unwrap();
    socket.pass(secs(60));
    assert_eq!(socket.seen(), [""; 0]);
    world.run(log_out(&node.services, Some(&upgrade.access), None, ADDRESS)).unwrap();
    socket.settle();
    assert_eq!(socket.seen(), ["close 4001"]);
}

#[test]
fn s6_another_users_token_at_connect_than_at_the_upgrade_connects_nobody() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let principal = world.authenticate(&node, &alice.access).unwrap();
    for is_dead in [false, true] {
        for cookie in [None, Some(alice.refresh.as_str()), Some(bob.refresh.as_str())] {
            if is_dead {
                world.pass(secs(60 * 60));
            }
            let mut socket = Socket::open(&world, &node, handshake(Some(principal), cookie, ADDRESS));
            socket.say(&connect_frame(&bob.access));
            assert_eq!(socket.seen(), ["close 4008"]);
            assert_eq!(node.services.hub.counters().connections, 0);
        }
    }
}

#[test]
fn no_cookie_alone_makes_a_connection() {
    let world = World::new();
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    for frame in ["CONNECT\naccept-version:1.2\n\n\0".to_owned(), connect_frame(&alice.refresh)] {
        let mut socket = Socket::open(&world, &node, handshake(None, Some(&alice.refresh), ADDRESS));
        socket.say(&frame);
        socket.pass(secs(3));
        assert_eq!(socket.seen(), ["ERROR UNAUTHORIZED", "close 4007"]);
    }
}

#[test]
fn a_token_bound_connection_acknowledges_its_generation_and_a_dead_one_under_a_lease_does_not() {
    let world = World::new();
    let node = world.node();
    let first = world.sign_in(&node, "alice");
    let second = world.refreshed(&node, &first);
    Socket::connected(&world, &node, &second);
    assert_eq!(world.row(first.session).acknowledged.0, 2);
    let third = world.refreshed(&node, &second);
    Socket::connected(&world, &node, &second);
    assert_eq!(world.row(first.session).acknowledged.0, 2);
    let until = world.claims(TokenKind::Access, &third.access).expires_at;
    world.pass(until.since(world.now()));
    Socket::leased(&world, &node, &third);
    assert_eq!(world.row(first.session).acknowledged.0, 2);
}
