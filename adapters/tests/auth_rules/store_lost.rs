//! What is answered while the store of sessions cannot answer: nobody is let in, nobody is sent away too early.

use transtalk_core::app::{issue_ticket, list_sessions, log_out, redeem_ticket};
use transtalk_core::auth::AuditRecord;
use transtalk_core::ports::{Clock, Revocation, Sessions};
use transtalk_core::stomp::CloseCode;
use transtalk_core::{ErrorCode, Monotonic};

use crate::socket::{Socket, pass, send_frame};
use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, World, code, secs};

const FOR_EVER: Span = Span::Calls(u32::MAX);

/// Ends a session in the store, so that no bus tells of it.
fn end_in_silence(world: &World, person: &Person) {
    let at = world.now();
    let audit = AuditRecord { at, ..world.trail(person)[0].clone() };
    assert!(world.run(world.store.revoke(person.session, &Revocation { at, audit })).unwrap());
}

#[test]
fn t6_a_look_every_30_seconds_finds_a_session_that_ended_behind_the_buss_back() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let mut hers = Socket::leased(&world, &node, &alice);
    let mut his = Socket::leased(&world, &node, &bob);
    pass(&world, &mut [&mut hers, &mut his], secs(31));
    let ended_at = world.runtime.time.monotonic();
    end_in_silence(&world, &alice);
    pass(&world, &mut [&mut hers, &mut his], secs(28));
    assert_eq!(hers.close_code(), None, "nobody has looked yet");
    pass(&world, &mut [&mut hers, &mut his], secs(2));
    let (closed_at, code) = hers.closed.unwrap();
    assert_eq!(code, CloseCode::SessionEnded);
    assert!(closed_at.since(ended_at) <= secs(30));
    pass(&world, &mut [&mut his], secs(60));
    assert_eq!(his.seen(), [""; 0]);
}

#[test]
fn five_minutes_without_the_store_close_every_socket_and_not_a_moment_less() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let room = {
        world.sign_in(&node, "bob");
        world.room(&node, &alice, "bob")
    };
    let mut leased = Socket::leased(&world, &node, &alice);
    let mut bound = Socket::connected(&world, &node, &alice);
    // The last answer is that of the 30th second.
    pass(&world, &mut [&mut leased, &mut bound], secs(31));
    node.trouble.fail("sessions.", When::Before, FOR_EVER);
    pass(&world, &mut [&mut leased, &mut bound], secs(298));
    for socket in [&mut leased, &mut bound] {
        socket.say(&send_frame(room, "still here", &alice.access, "r"));
        assert_eq!(socket.seen(), ["RECEIPT r"]);
    }
    pass(&world, &mut [&mut leased, &mut bound], secs(2));
    for socket in [&mut leased, &mut bound] {
        assert_eq!(socket.closed, Some((Monotonic::from_millis(330_000), CloseCode::Unavailable)));
        assert_eq!(socket.seen(), ["close 4004"]);
    }
}

#[test]
fn the_five_minutes_begin_anew_with_every_answer() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut socket = Socket::leased(&world, &node, &alice);
    for _ in 0..3 {
        node.trouble.fail("sessions.", When::Before, FOR_EVER);
        socket.pass(secs(4 * 60 + 31));
        node.trouble.heal();
        socket.pass(secs(29));
    }
    assert_eq!(socket.seen(), [""; 0]);
    // What ended meanwhile is found when the store is back.
    node.trouble.fail("sessions.", When::Before, FOR_EVER);
    end_in_silence(&world, &alice);
    socket.pass(secs(4 * 60));
    assert_eq!(socket.seen(), [""; 0]);
    node.trouble.heal();
    socket.pass(secs(30));
    assert_eq!(socket.seen(), ["close 4001"]);
}

#[test]
fn a_server_that_never_had_an_answer_counts_from_its_start() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut socket = Socket::leased(&world, &node, &alice);
    node.trouble.fail("sessions.", When::Before, FOR_EVER);
    socket.pass(secs(299));
    assert_eq!(socket.seen(), [""; 0]);
    socket.pass(secs(1));
    assert_eq!(socket.seen(), ["close 4004"]);
}

#[test]
fn while_the_store_is_lost_nobody_is_let_in_and_nobody_is_told_to_sign_in_again() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let principal = world.authenticate(&node, &alice.access).unwrap();
    let ticket = issue_ticket(&node.services, &principal);
    node.trouble.fail("sessions.", When::Before, FOR_EVER);
    assert_eq!(world.authenticate(&node, &alice.access), Err(ErrorCode::Unavailable));
    assert_eq!(code(world.run(redeem_ticket(&node.services, &ticket))), ErrorCode::Unavailable);
    assert_eq!(code(world.run(list_sessions(&node.services, &principal))), ErrorCode::Unavailable);
    assert_eq!(code(log_out_of(&world, &node, &alice)), ErrorCode::Unavailable);
    for cookie in [None, Some(alice.refresh.as_str())] {
        let mut socket = Socket::connect(&world, &node, &alice.access, cookie);
        assert_eq!(socket.seen(), ["close 4004"]);
    }
    // What is not authentic is refused without any store.
    assert_eq!(world.authenticate(&node, "x"), Err(ErrorCode::Unauthorized));
    node.trouble.heal();
    assert_eq!(world.authenticate(&node, &alice.access), Ok(principal));
}

fn log_out_of(world: &World, node: &Node, person: &Person) -> Result<(), transtalk_core::Failure> {
    world.run(log_out(&node.services, Some(&person.access), None, ADDRESS))
}

#[test]
fn a_ticket_whose_use_cannot_be_remembered_is_not_taken() {
    for when in [When::Before, When::After] {
        let world = World::new();
        let node = world.node();
        let alice = world.sign_in(&node, "alice");
        let principal = world.authenticate(&node, &alice.access).unwrap();
        let ticket = issue_ticket(&node.services, &principal);
        node.trouble.fail("single_use.consume", when, Span::Calls(1));
        assert_eq!(code(world.run(redeem_ticket(&node.services, &ticket))), ErrorCode::Unavailable);
        let again = world.run(redeem_ticket(&node.services, &ticket)).map_err(|failure| failure.code());
        let expect = if when == When::Before { Ok(principal) } else { Err(ErrorCode::Unauthorized) };
        assert_eq!(again, expect, "{when:?}");
    }
}

#[test]
fn a_generation_that_cannot_be_acknowledged_is_not_used() {
    // Or its predecessor would be taken for a lost response for as long as the thief likes.
    let world = World::new();
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    let fresh = world.refreshed(&node, &alice);
    node.trouble.fail("sessions.acknowledge", When::Before, Span::Calls(1));
    assert_eq!(world.authenticate(&node, &fresh.access), Err(ErrorCode::Unavailable));
    assert!(world.authenticate(&node, &fresh.access).is_ok());
    assert_eq!(world.row(alice.session).acknowledged.0, 2);
}
