//! Tokens on the frames of a live connection: invariants S1, S2 and S6, and the warning before the end.

use std::time::Duration;

use transtalk_core::app::Tokens;
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::{Clock, TokenKind};
use transtalk_core::stomp::CloseCode;
use transtalk_core::{Monotonic, RoomId};

use crate::socket::{Socket, pass, send_frame, subscribe_frame};
use crate::world::{Node, Person, World, secs};

const NOTHING: [&str; 0] = [];
const MILLI: Duration = Duration::from_millis(1);

/// A server with Alice, Bob and their room.
fn two_people(world: &World) -> (Node, Person, Person, RoomId) {
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let room = world.room(&node, &alice, "bob");
    (node, alice, bob, room)
}

/// How long this access token lasts.
fn left(world: &World, token: &str) -> Duration {
    world.claims(TokenKind::Access, token).expires_at.since(world.now())
}

/// So long before its end.
fn short_of(world: &World, token: &str, by: Duration) -> Duration {
    left(world, token).checked_sub(by).unwrap()
}

fn end(world: &World, token: &str) -> Monotonic {
    world.runtime.time.monotonic().plus(left(world, token))
}

#[test]
fn s1_a_token_bound_connection_ends_exactly_at_the_exp_of_its_token() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut socket = Socket::connected(&world, &node, &alice);
    let end = end(&world, &alice.access);
    socket.pass(short_of(&world, &alice.access, MILLI));
    socket.say(&send_frame(room, "in time", &alice.access, "r1"));
    assert_eq!(socket.seen(), ["RECEIPT r1"]);
    socket.pass(secs(5));
    assert_eq!(socket.closed, Some((end, CloseCode::TokenExpired)));
    assert_eq!(socket.seen(), ["close 4002"]);
}

#[test]
fn s1_nothing_is_taken_in_from_exp_on_whatever_the_shell_does_first() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut socket = Socket::connected(&world, &node, &alice);
    world.pass(left(&world, &alice.access));
    // Bytes before the tick that is due, with whatever token.
    let fresh = world.refreshed(&node, &alice);
    socket.connection.receive(send_frame(room, "late", &alice.access, "r1").as_bytes());
    socket.connection.receive(send_frame(room, "later", &fresh.access, "r2").as_bytes());
    assert!(socket.work().is_none());
    socket.settle();
    assert_eq!(socket.seen(), ["close 4002"]);
    assert!(world.stored(room).is_empty());
}

#[test]
fn s1_what_waits_to_be_done_at_exp_is_not_done() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut socket = Socket::connected(&world, &node, &alice);
    world.pass(short_of(&world, &alice.access, MILLI));
    let first = send_frame(room, "first", "", "r1");
    let typing = format!("SEND\ndestination:/app/chat/{room}/typing\n\n\0");
    let second = send_frame(room, "second", "", "r2");
    socket.connection.receive(format!("{first}{typing}{second}").as_bytes());
    // The first is under way in time; its answer comes too late.
    let work = socket.work().unwrap();
    let done = world.run(work);
    world.pass(MILLI);
    socket.connection.complete(done);
    socket.settle();
    assert_eq!(socket.seen(), ["close 4002"]);
    assert_eq!(world.stored(room), ["first"]);
}

#[test]
fn s1_a_connect_that_is_answered_after_exp_connects_nobody() {
    let world = World::new();
    let (node, alice, _, _) = two_people(&world);
    world.pass(short_of(&world, &alice.access, MILLI));
    let mut socket = Socket::open(&world, &node, crate::socket::handshake(None, None, "a"));
    socket.connection.receive(crate::socket::connect_frame(&alice.access).as_bytes());
    let work = socket.work().unwrap();
    let done = world.run(work);
    world.pass(MILLI);
    socket.connection.complete(done);
    socket.settle();
    assert_eq!(socket.seen(), ["close 4002"]);
}

#[test]
fn s1_nothing_is_delivered_from_exp_on_not_even_what_was_queued() {
    let world = World::new();
    let (node, alice, bob, room) = two_people(&world);
    let mut hers = Socket::connected(&world, &node, &alice);
    hers.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
    let mut his = Socket::leased(&world, &node, &bob);
    world.pass(short_of(&world, &alice.access, MILLI));
    his.say(&send_frame(room, "queued", "", "r1"));
    world.pass(MILLI);
    his.say(&send_frame(room, "late", "", "r2"));
    hers.settle();
    assert_eq!(hers.seen(), ["close 4002"]);
    assert_eq!(world.stored(room), ["queued", "late"]);
    assert_eq!(node.services.hub.counters().connections, 1);
}

#[test]
fn s1_a_shell_that_is_busy_writing_is_stopped_too() {
    let world = World::new();
    let (node, alice, bob, room) = two_people(&world);
    let mut hers = Socket::connected(&world, &node, &alice);
    hers.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
    let mut his = Socket::leased(&world, &node, &bob);
    world.pass(short_of(&world, &alice.access, MILLI));
    // Something is under way that does not end, so that nothing else is begun.
    hers.connection.receive(send_frame(room, "slow", "", "r").as_bytes());
    let work = hers.work();
    world.pass(MILLI);
    his.say(&send_frame(room, "taken by the shell before it looked at the time", "", "r1"));
    hers.write();
    his.say(&send_frame(room, "late", "", "r2"));
    hers.write();
    assert_eq!(hers.seen().last().map(String::as_str), Some("close 4002"));
    drop(work);
}

#[test]
fn s2_a_newer_token_on_any_frame_keeps_the_connection_and_its_subscriptions() {
    let frames: [fn(RoomId, &str) -> String; 4] = [
        |room, token| send_frame(room, "mine", token, "r"),
        |room, token| {
            format!("SUBSCRIBE\nid:more\nreceipt:r\ndestination:/topic/chat/{room}/events\nauthorization:{token}\n\n\0")
        },
        |_, token| format!("UNSUBSCRIBE\nid:spare\nreceipt:r\nAuthorization:Bearer {token}\n\n\0"),
        |room, token| {
            format!("SEND\ndestination:/app/chat/{room}/read\nreceipt:r\nAuthorization:{token}\n\n{{\"seq\":0}}\0")
        },
    ];
    for frame in frames {
        let world = World::new();
        let (node, alice, bob, room) = two_people(&world);
        let mut hers = Socket::connected(&world, &node, &alice);
        hers.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
        hers.say(&subscribe_frame("spare", "/user/queue/errors"));
        let mut his = Socket::leased(&world, &node, &bob);
        let before = short_of(&world, &alice.access, secs(10));
        pass(&world, &mut [&mut hers, &mut his], before);
        let fresh = world.refreshed(&node, &alice);
        assert_eq!(world.row(alice.session).acknowledged.0, 1);
        hers.say(&frame(room, &fresh.access));
        assert_eq!(hers.seen()[0], "RECEIPT r");
        // It was seen in use: its refresh was answered.
        assert_eq!(world.row(alice.session).acknowledged.0, 2);
        for second in 0..20 {
            his.say(&send_frame(room, &format!("n{second}"), "", "r"));
            pass(&world, &mut [&mut hers, &mut his], secs(1));
            assert_eq!(hers.seen().last(), Some(&format!("MESSAGE s n{second}")));
        }
        let rest = short_of(&world, &fresh.access, MILLI);
        pass(&world, &mut [&mut hers, &mut his], rest);
        assert_eq!(hers.seen(), NOTHING);
        hers.pass(MILLI);
        assert_eq!(hers.seen(), ["close 4002"]);
    }
}

#[test]
fn a_token_that_is_no_newer_or_not_of_this_session_renews_nothing() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut old = world.refreshed(&node, &alice);
    world.pass(secs(60));
    // Of the same session, and made a minute later than the last that is tried here.
    let current = world.refreshed(&node, &old);
    old.session = alice.session;
    let mut socket = Socket::connected(&world, &node, &current);
    let end = end(&world, &current.access);
    world.pass(secs(60));
    let another = world.sign_in(&node, "alice");
    let foreign = format!("{}x", another.access);
    for (number, token) in [&alice.access, &old.access, &current.access, &another.access, &foreign, "", "x", "Bearer"]
        .into_iter()
        .enumerate()
    {
        socket.say(&send_frame(room, "still here", token, &format!("r{number}")));
        assert_eq!(socket.seen(), [format!("RECEIPT r{number}")]);
    }
    socket.pass(secs(60 * 60));
    assert_eq!(socket.closed, Some((end, CloseCode::TokenExpired)));
}

#[test]
fn s6_another_users_token_ends_the_connection_and_stores_nothing() {
    // (whether the connection has a lease, whether the other's token has expired)
    for (is_leased, is_dead) in [(false, false), (true, false), (false, true), (true, true)] {
        let what = format!("leased: {is_leased}, dead: {is_dead}");
        let world = World::new();
        let (node, mut alice, bob, room) = two_people(&world);
        if is_dead {
            world.pass(secs(20 * 60));
            alice = world.refreshed(&node, &alice);
            world.pass(secs(15 * 60));
        }
        let mut socket =
            if is_leased { Socket::leased(&world, &node, &alice) } else { Socket::connected(&world, &node, &alice) };
        let frames = [
            send_frame(room, "one", &alice.access, "r1"),
            send_frame(room, "two", "", "r2"),
            send_frame(room, "three", &bob.access, "r3"),
            send_frame(room, "four", &alice.access, "r4"),
            subscribe_frame("s", &format!("/topic/chat/{room}")),
        ];
        socket.say(&frames.concat());
        assert_eq!(socket.seen(), ["RECEIPT r1", "RECEIPT r2", "close 4008"], "{what}");
        assert_eq!(world.stored(room), ["one", "two"], "{what}");
        socket.say(&send_frame(room, "five", &alice.access, "r5"));
        socket.pass(secs(60));
        assert_eq!(world.stored(room), ["one", "two"], "{what}");
        let denied: Vec<_> =
            world.trail(&alice).into_iter().filter(|record| record.event == AuditEvent::Denied).collect();
        assert_eq!(denied.len(), 1, "{what}");
        assert!(denied[0].detail.contains("another user's token"), "{}", denied[0].detail);
        // Neither session has ended by it.
        assert!(world.refresh(&node, &alice.refresh).is_ok() && world.refresh(&node, &bob.refresh).is_ok());
    }
}

#[test]
fn s6_another_users_token_on_any_frame_ends_the_connection() {
    let frames: [fn(RoomId, &str) -> String; 4] = [
        |room, token| {
            format!("SUBSCRIBE\nid:s\nreceipt:r\ndestination:/topic/chat/{room}\nAuthorization:{token}\n\n\0")
        },
        |_, token| format!("UNSUBSCRIBE\nid:spare\nreceipt:r\nAuthorization:{token}\n\n\0"),
        |room, token| format!("SEND\ndestination:/app/chat/{room}/typing\nreceipt:r\nAuthorization:{token}\n\n\0"),
        |_, token| format!("DISCONNECT\nreceipt:r\nAuthorization:{token}\n\n\0"),
    ];
    for frame in frames {
        let world = World::new();
        let (node, alice, bob, room) = two_people(&world);
        let mut socket = Socket::connected(&world, &node, &alice);
        socket.say(&subscribe_frame("spare", "/user/queue/errors"));
        socket.say(&frame(room, &bob.access));
        assert_eq!(socket.seen(), ["close 4008"], "{}", frame(room, "..."));
    }
}

#[test]
fn s6_a_switch_while_something_is_under_way_lets_that_finish() {
    let world = World::new();
    let (node, alice, bob, room) = two_people(&world);
    let mut socket = Socket::connected(&world, &node, &alice);
    socket.connection.receive(send_frame(room, "one", "", "r1").as_bytes());
    let work = socket.work().unwrap();
    socket.connection.receive(send_frame(room, "two", &bob.access, "r2").as_bytes());
    assert!(socket.work().is_none());
    socket.finish(work);
    socket.settle();
    assert_eq!(socket.seen(), ["RECEIPT r1", "close 4008"]);
    assert_eq!(world.stored(room), ["one"]);
}

#[test]
fn the_client_is_told_60_seconds_before_its_token_ends_and_again_after_a_renewal() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut socket = Socket::connected(&world, &node, &alice);
    socket.say(&subscribe_frame("w", "/user/queue/session"));
    socket.pass(short_of(&world, &alice.access, secs(60) + MILLI));
    assert_eq!(socket.seen(), NOTHING);
    socket.pass(MILLI);
    assert_eq!(socket.seen(), ["MESSAGE w expiring 60"]);
    socket.pass(secs(30));
    let Tokens { access, refresh, .. } = world.refresh(&node, &alice.refresh).unwrap();
    socket.say(&send_frame(room, "renewed", &access, "r1"));
    let seen = socket.seen();
    assert_eq!(seen[..2], ["MESSAGE w renewed 1800", "RECEIPT r1"]);
    // The same token again says nothing again.
    socket.say(&send_frame(room, "again", &access, "r2"));
    assert_eq!(socket.seen(), ["RECEIPT r2"]);
    socket.pass(short_of(&world, &access, secs(60) + MILLI));
    assert_eq!(socket.seen(), NOTHING);
    socket.pass(MILLI);
    assert_eq!(socket.seen(), ["MESSAGE w expiring 60"]);
    // And a second time.
    let again = Person { access: access.clone(), refresh, ..alice };
    let third = world.refreshed(&node, &again);
    socket.say(&send_frame(room, "renewed", &third.access, "r3"));
    socket.pass(short_of(&world, &third.access, secs(60)));
    socket.pass(secs(60));
    assert_eq!(
        socket.seen(),
        ["MESSAGE w renewed 1800", "RECEIPT r3", "MESSAGE w expiring 60", "close 4002"],
        "and then the end"
    );
}

#[test]
fn who_subscribes_in_the_last_minute_is_told_at_once_and_once() {
    for (wait, expect) in
        [(secs(61), None), (secs(59), Some("MESSAGE w expiring 59")), (secs(1), Some("MESSAGE w expiring 1"))]
    {
        let world = World::new();
        let (node, alice, _, _) = two_people(&world);
        let mut socket = Socket::connected(&world, &node, &alice);
        socket.pass(short_of(&world, &alice.access, wait));
        socket.say(&subscribe_frame("w", "/user/queue/session"));
        socket.say(&subscribe_frame("e", "/user/queue/errors"));
        assert_eq!(socket.seen(), Vec::from_iter(expect.map(str::to_owned)), "{wait:?}");
        socket.pass(wait);
        let warned = if expect.is_none() { vec!["MESSAGE w expiring 60", "close 4002"] } else { vec!["close 4002"] };
        assert_eq!(socket.seen(), warned, "{wait:?}");
    }
}

#[test]
fn a_token_that_lasts_less_than_a_minute_warns_at_the_subscription() {
    let world = World::with(|settings| settings.lifetimes.access = secs(5));
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut socket = Socket::connected(&world, &node, &alice);
    socket.say(&subscribe_frame("w", "/user/queue/session"));
    assert_eq!(socket.seen(), ["MESSAGE w expiring 5"]);
    socket.pass(secs(5));
    assert_eq!(socket.seen(), ["close 4002"]);
}

#[test]
fn nobody_is_warned_under_a_lease_nor_on_the_connections_of_others() {
    let world = World::new();
    let (node, alice, bob, room) = two_people(&world);
    let mut leased = Socket::leased(&world, &node, &alice);
    let mut bound = Socket::connected(&world, &node, &alice);
    let mut other = Socket::leased(&world, &node, &bob);
    for socket in [&mut leased, &mut bound, &mut other] {
        socket.say(&subscribe_frame("w", "/user/queue/session"));
    }
    // A lease stays a lease, with a newer token too.
    let fresh = world.refreshed(&node, &alice);
    leased.say(&send_frame(room, "fresh", &fresh.access, "r"));
    assert_eq!(leased.seen(), ["RECEIPT r"]);
    pass(&world, &mut [&mut leased, &mut bound, &mut other], secs(31 * 60));
    assert_eq!(bound.seen(), ["MESSAGE w expiring 60", "close 4002"]);
    assert_eq!((leased.seen(), other.seen()), (vec![], vec![]));
}

#[test]
fn under_a_lease_a_newer_token_acknowledges_its_generation_all_the_same() {
    let world = World::new();
    let (node, alice, _, room) = two_people(&world);
    let mut socket = Socket::leased(&world, &node, &alice);
    let fresh = world.refreshed(&node, &alice);
    socket.say(&send_frame(room, "fresh", &fresh.access, "r"));
    assert_eq!(world.row(alice.session).acknowledged.0, 2);
    world.pass(secs(11));
    assert!(world.refresh(&node, &alice.refresh).is_err(), "so its predecessor is no lost response");
}
