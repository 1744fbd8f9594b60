//! Who comes too often: allowances, ERRORs that are held back, and what the trail keeps of sockets.

use transtalk_core::ErrorCode;
use transtalk_core::app::{Begun, Limited, Limits, Payer, Returned, begin_sign_in, complete_sign_in, refresh, spend};
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::Sessions;
use transtalk_core::stomp::CloseCode;

use crate::socket::{Socket, connect_frame, handshake, send_frame, subscribe_frame};
use crate::world::{ADDRESS, Node, Person, REDIRECT_URI, World, code, device, secs};

use AuditEvent::{Denied, SignedIn, SocketClosed, SocketOpened};

/// A connection from this address.
fn connected_from<'a>(world: &'a World, node: &Node, person: &Person, address: &str) -> Socket<'a> {
    let mut socket = Socket::open(world, node, handshake(None, Some(&person.refresh), address));
    socket.say(&connect_frame(&person.access));
    assert_eq!(socket.seen(), ["CONNECTED"]);
    socket
}

/// Says something that is refused; answers whether the ERROR came at once. Otherwise it came three seconds later.
#[track_caller]
fn error_is_immediate(mut socket: Socket<'_>) -> bool {
    socket.say("SEND\ndestination:/queue/x\n\n{}\0");
    let error = ["ERROR DESTINATION_REFUSED", "close 4007"];
    if socket.closed.is_some() {
        assert_eq!(socket.seen(), error);
        return true;
    }
    socket.pass(std::time::Duration::from_millis(2_999));
    assert_eq!(socket.seen(), [""; 0], "it is silent until then");
    socket.pass(std::time::Duration::from_millis(1));
    assert_eq!(socket.seen(), error);
    false
}

#[test]
fn the_first_error_of_a_minute_to_an_address_and_session_leaves_at_once_and_later_ones_are_held_back() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let error = |person, address| error_is_immediate(connected_from(&world, &node, person, address));
    assert!(error(&alice, "a"));
    assert!(!error(&alice, "a"));
    assert!(error(&bob, "a"), "another session");
    assert!(error(&alice, "b"), "another address");
    assert!(!error(&alice, "a"));
    assert!(!error(&alice, "b"));
    world.pass(secs(56));
    assert!(!error(&alice, "b"), "a minute from the last of them, not from the first");
    world.pass(secs(61));
    assert!(error(&alice, "a"));
}

#[test]
fn while_an_error_is_held_back_nothing_is_done_and_nothing_delivered() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let room = world.room(&node, &alice, "bob");
    assert!(error_is_immediate(connected_from(&world, &node, &alice, "a")));
    let mut hers = connected_from(&world, &node, &alice, "a");
    hers.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
    let mut his = connected_from(&world, &node, &bob, "b");
    let wrong = "SEND\ndestination:/queue/x\nreceipt:x\n\n{}\0";
    let one = send_frame(room, "one", "", "r1");
    hers.say(&format!("{one}{wrong}{}", send_frame(room, "two", "", "r2")));
    his.say(&send_frame(room, "three", "", "r3"));
    hers.say(&send_frame(room, "four", "", "r4"));
    hers.pass(secs(3));
    let mut seen = hers.seen();
    // Whether one's own message came before the end is a matter of luck.
    seen.retain(|frame| frame != "MESSAGE s one");
    assert_eq!(seen, ["RECEIPT r1", "ERROR DESTINATION_REFUSED", "close 4007"]);
    assert_eq!(world.stored(room), ["one", "three"]);
}

#[test]
fn a_refused_connect_is_always_held_back() {
    let world = World::new();
    let node = world.server();
    for _ in 0..2 {
        let mut socket = Socket::connect(&world, &node, "x", None);
        socket.pass(std::time::Duration::from_millis(2_999));
        assert_eq!(socket.seen(), [""; 0]);
        socket.pass(std::time::Duration::from_millis(1));
        assert_eq!(socket.seen(), ["ERROR UNAUTHORIZED", "close 4007"]);
    }
}

#[test]
fn an_account_has_so_many_connections_a_minute() {
    let world = World::with(|settings| settings.limits.connect = 3);
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let other = world.sign_in(&node, "alice");
    for person in [&alice, &alice, &other] {
        Socket::leased(&world, &node, person);
    }
    let mut socket = Socket::connect(&world, &node, &other.access, Some(&other.refresh));
    socket.pass(secs(3));
    assert_eq!(socket.seen(), ["ERROR TOO_MANY_REQUESTS", "close 4007"]);
    Socket::leased(&world, &node, &bob);
    // They come back evenly over the minute.
    world.pass(secs(17));
    Socket::leased(&world, &node, &alice);
    // One that was counted at the upgrade is not counted again.
    let principal = world.authenticate(&node, &alice.access).unwrap();
    let mut counted = Socket::open(&world, &node, handshake(Some(principal), None, ADDRESS));
    counted.say("CONNECT\naccept-version:1.2\n\n\0");
    assert_eq!(counted.seen(), ["CONNECTED"]);
}

#[test]
fn a_token_that_is_not_authentic_spends_nobodys_allowance() {
    let world = World::with(|settings| settings.limits.connect = 1);
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    for _ in 0..5 {
        let mut socket = Socket::connect(&world, &node, &format!("{}x", alice.access), None);
        socket.pass(secs(3));
        assert_eq!(socket.seen()[0], "ERROR UNAUTHORIZED");
    }
    Socket::connected(&world, &node, &alice);
}

#[test]
fn sign_ins_are_counted_by_address_and_by_account() {
    let world = World::with(|settings| settings.limits.sign_in = 2);
    let node = world.node();
    let begin = |address: &str| world.run(begin_sign_in(&node.services, None, REDIRECT_URI, address));
    let complete = |subject: &str, address: &str| {
        let elsewhere = format!("{}", world.now());
        let Begun { url, cookie } = world.run(begin_sign_in(&node.services, None, REDIRECT_URI, &elsewhere)).unwrap();
        let (code, _) = world.home.consent(&url, subject);
        let returned = Returned { code: &code, ..Returned::default() };
        world.run(complete_sign_in(&node.services, returned, Some(&cookie), device(address))).map(|_| ())
    };
    assert!(begin("a").is_ok() && begin("a").is_ok());
    assert_eq!(code(begin("a")), ErrorCode::TooManyRequests);
    assert!(begin("b").is_ok(), "another address");
    assert!(begin("2001:db8::1").is_ok() && begin("2001:db8::2").is_ok());
    assert_eq!(code(begin("2001:db8::3")), ErrorCode::TooManyRequests, "one network of IPv6 is one payer");
    // Completing is counted by itself, and there the account as well.
    assert!(complete("alice", "a").is_ok());
    assert!(complete("alice", "b").is_ok());
    world.pass(secs(1));
    assert_eq!(complete("alice", "c").map_err(|failure| failure.code()), Err(ErrorCode::TooManyRequests));
    world.pass(secs(60));
    assert!(complete("alice", "c").is_ok());
    // What was refused because of the account has begun no session.
    world.pass(secs(60));
    let alice = world.sign_in(&node, "alice");
    assert_eq!(world.run(Sessions::list(&world.store, alice.user)).unwrap().len(), 4);
}

#[test]
fn a_limit_of_0_and_allowances_that_are_lost_hold_nobody_up() {
    let off = Limits { sign_in: 0, refresh: 0, ticket: 0, connect: 0 };
    let one = Limits { sign_in: 1, refresh: 1, ticket: 1, connect: 1 };
    for (limits, is_lost) in [(off, false), (one, true)] {
        let world = World::with(|settings| settings.limits = limits);
        if is_lost {
            world.allowances.lose();
        }
        let node = world.node();
        let began = world.now();
        for _ in 0..50 {
            let alice = world.sign_in(&node, "alice");
            let next = world.refreshed(&node, &alice);
            world.refreshed(&node, &next);
            Socket::leased(&world, &node, &next);
            assert_eq!(world.refresh(&node, "x").err(), Some(ErrorCode::RefreshTokenInvalid));
            for payer in [Payer::Address("a"), Payer::Account(alice.user), Payer::Session(alice.session)] {
                world.run(spend(&node.services, Limited::Ticket, payer)).unwrap();
            }
        }
        assert_eq!(world.now(), began);
    }
}

#[test]
fn each_allowance_is_its_own() {
    let world = World::with(|settings| {
        settings.limits = Limits { sign_in: 1, refresh: 1, ticket: 1, connect: 1 };
    });
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    let payers = [Payer::Address("a"), Payer::Address("b"), Payer::Account(alice.user), Payer::Session(alice.session)];
    let all = [Limited::BeginSignIn, Limited::SignIn, Limited::Refresh, Limited::Ticket, Limited::Connect];
    for (what, payer) in all.into_iter().flat_map(|what| payers.map(|payer| (what, payer))) {
        let first = world.run(spend(&node.services, what, payer));
        // The sign-in above has had the account's.
        let is_spent = what == Limited::SignIn && payer == Payer::Account(alice.user);
        assert_eq!(first.is_err(), is_spent, "{what:?} {payer:?}");
        assert_eq!(code(world.run(spend(&node.services, what, payer))), ErrorCode::TooManyRequests, "{what:?}");
    }
}

#[test]
fn refreshes_without_an_authentic_cookie_are_counted_by_address_and_turned_away_at_once() {
    let world = World::with(|settings| settings.limits.refresh = 3);
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    let began = world.now();
    let tried = |token: Option<&str>, address: &str| code(world.run(refresh(&node.services, token, address)));
    assert_eq!(tried(None, "a"), ErrorCode::RefreshTokenMissing);
    assert_eq!(tried(Some(""), "a"), ErrorCode::RefreshTokenMissing);
    assert_eq!(tried(Some("x"), "a"), ErrorCode::RefreshTokenInvalid);
    for token in [None, Some(""), Some("x"), Some(alice.access.as_str())] {
        assert_eq!(tried(token, "a"), ErrorCode::TooManyRequests);
    }
    assert_eq!(tried(None, "b"), ErrorCode::RefreshTokenMissing);
    assert_eq!(world.now(), began, "nobody waited");
    // Who has a cookie of ours does not share the address's allowance.
    assert!(world.run(refresh(&node.services, Some(&alice.refresh), "a")).is_ok());
    assert_eq!(world.now(), began);
}

#[test]
fn the_trail_says_which_socket_was_opened_and_why_it_was_closed() {
    type Act = fn(&World, &Node, &Person, &mut Socket<'_>);
    let acts: [(&str, Act); 6] = [
        (", 1000 bye", |_, _, _, socket| socket.say("DISCONNECT\n\n\0")),
        (", by the client", |_, _, _, socket| {
            socket.connection.close(None);
            socket.connection.close(Some(CloseCode::Normal));
        }),
        (", 4001 the session has ended: sign in again", |world, node, person, socket| {
            let ended = transtalk_core::app::log_out(&node.services, Some(&person.access), None, ADDRESS);
            world.run(ended).unwrap();
            socket.settle();
        }),
        (", 4002 the access token has expired: refresh it and connect again", |_, _, _, socket| {
            socket.pass(secs(1_800));
        }),
        (", 4007 refused: see the ERROR frame", |_, _, _, socket| socket.say("BEGIN\n\n\0")),
        (", 4000 the server is restarting: connect again", |_, node, _, socket| {
            node.services.hub.close_all(CloseCode::Draining);
            socket.settle();
        }),
    ];
    for (cause, act) in acts {
        let world = World::new();
        let node = world.server();
        let alice = world.sign_in(&node, "alice");
        let mut socket = Socket::connected(&world, &node, &alice);
        let opened_at = world.now();
        act(&world, &node, &alice, &mut socket);
        world.runtime.idle();
        assert_eq!(node.services.pipeline.unwritten(), 0);
        let mut trail = world.trail(&alice);
        trail.retain(|record| [SocketOpened, SocketClosed].contains(&record.event));
        let [opened, closed] = trail.as_slice() else { panic!("{} records, {cause}", trail.len()) };
        let name = format!("connection {}", socket.connection.id());
        assert_eq!((opened.event, &opened.detail, opened.at), (SocketOpened, &name, opened_at));
        assert_eq!((closed.event, &closed.detail), (SocketClosed, &format!("{name}{cause}")));
        assert_eq!((opened.address.as_str(), closed.address.as_str()), (ADDRESS, ADDRESS));
    }
}

#[test]
fn a_socket_that_was_never_connected_leaves_no_trace() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let mut refused = Socket::connect(&world, &node, &format!("{}x", alice.access), Some(&alice.refresh));
    refused.pass(secs(3));
    let mut silent = Socket::open(&world, &node, handshake(None, None, ADDRESS));
    silent.pass(secs(10));
    assert_eq!(silent.seen(), ["close 4006"]);
    assert_eq!(world.events(&alice), [SignedIn]);
}

#[test]
fn a_refused_subscription_is_written_down() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let room = world.room(&node, &alice, "bob");
    let eve = world.sign_in(&node, "eve");
    for (destination, code) in [
        (format!("/topic/chat/{room}"), "NOT_A_MEMBER"),
        (format!("/topic/users/{}/chatRoom", bob.user), "DESTINATION_REFUSED"),
    ] {
        let mut socket = Socket::connected(&world, &node, &eve);
        socket.say(&subscribe_frame("s", &destination));
        socket.pass(secs(3));
        let denied = world.trail(&eve).into_iter().rfind(|record| record.event == Denied).unwrap();
        assert_eq!(denied.detail, format!("connection {}, {code}", socket.connection.id()));
    }
    assert_eq!(world.events(&eve).into_iter().filter(|event| *event == Denied).count(), 2);
}
