//! A refresh that fails signs its user out, so it waits while there is hope.

use std::time::Duration;

use transtalk_core::app::{Tokens, refresh};
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::{Clock, TokenKind};
use transtalk_core::{ErrorCode, Failure};

use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, World, secs};

/// A refresh, and how long it took.
fn timed(world: &World, node: &Node, person: &Person) -> (Result<Tokens, Failure>, Duration) {
    let began = world.runtime.time.monotonic();
    let done = world.run(refresh(&node.services, Some(&person.refresh), ADDRESS));
    (done, world.runtime.time.monotonic().since(began))
}

#[test]
fn a_refresh_waits_for_the_store_up_to_30_seconds() {
    for call in ["sessions.find", "sessions.rotate"] {
        for outage in [1, 5, 20, 28] {
            let world = World::new();
            let node = world.node();
            let alice = world.sign_in(&node, "alice");
            let back = world.runtime.time.monotonic().plus(secs(outage));
            node.trouble.fail(call, When::Before, Span::Until(back));
            let (done, took) = timed(&world, &node, &alice);
            let tokens = done.unwrap();
            assert_eq!(tokens.refresh, world.refresh_token(alice.session, 2));
            assert!(took >= secs(outage) && took <= secs(outage + 1), "{call}: {took:?} for {outage} s");
            // The token is of the moment when it was made, not of that when it was asked for.
            let issued_at = world.claims(TokenKind::Access, &tokens.access).issued_at;
            assert_eq!(issued_at.as_secs(), world.now().as_secs());
        }
        let world = World::new();
        let node = world.node();
        let alice = world.sign_in(&node, "alice");
        node.trouble.fail(call, When::Before, Span::Calls(u32::MAX));
        let (done, took) = timed(&world, &node, &alice);
        assert!(matches!(done, Err(Failure::Unavailable { part: "troubled", .. })), "{call}");
        assert_eq!(took, secs(30), "{call}");
        // Nothing was lost by waiting.
        node.trouble.heal();
        world.refreshed(&node, &alice);
    }
}

#[test]
fn a_refresh_does_not_ask_a_lost_store_too_often() {
    let world = World::new();
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    node.trouble.take_writes();
    node.trouble.fail("sessions.rotate", When::Before, Span::Calls(u32::MAX));
    assert!(timed(&world, &node, &alice).0.is_err());
    let tries = node.trouble.take_writes().len();
    assert!((20..60).contains(&tries), "{tries} tries in 30 seconds");
}

#[test]
fn a_refresh_waits_for_its_sessions_allowance() {
    let world = World::with(|settings| settings.limits.refresh = 4);
    let node = world.node();
    let (mut alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    for number in 1..=10 {
        let (done, took) = timed(&world, &node, &alice);
        alice = Person { refresh: done.unwrap().refresh, ..alice };
        // Four at once, then one each quarter of a minute.
        assert_eq!(took, if number <= 4 { Duration::ZERO } else { secs(15) }, "{number}");
    }
    assert_eq!(timed(&world, &node, &bob).1, Duration::ZERO, "another session has its own");
}

#[test]
fn an_allowance_that_comes_too_late_is_a_503_after_30_seconds() {
    let world = World::with(|settings| settings.limits.refresh = 1);
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    let alice = world.refreshed(&node, &alice);
    let (done, took) = timed(&world, &node, &alice);
    assert_eq!(done.map_err(|failure| failure.code()).err(), Some(ErrorCode::Unavailable));
    assert_eq!(took, secs(30));
    // Another half of a minute, and it is there.
    world.pass(secs(30));
    assert_eq!(timed(&world, &node, &alice).1, Duration::ZERO);
}

#[test]
fn a_refresh_that_waited_longer_than_grace_is_not_taken_for_reuse() {
    let world = World::new();
    let (slow, quick) = (world.node(), world.node());
    let alice = world.sign_in(&quick, "alice");
    // Two tabs at once; the one's node cannot reach the store.
    let back = world.runtime.time.monotonic().plus(secs(25));
    slow.trouble.fail("sessions.", When::Before, Span::Until(back));
    let (first, second) =
        world.run(futures_util::future::join(refresh(&slow.services, Some(&alice.refresh), ADDRESS), async {
            world.runtime.time.pause(secs(1)).await;
            let tokens = refresh(&quick.services, Some(&alice.refresh), ADDRESS).await.unwrap();
            transtalk_core::app::authenticate(&quick.services, Some(&tokens.access)).await.unwrap();
            tokens
        }));
    assert_eq!(first.unwrap().refresh, second.refresh);
    assert!(world.runtime.time.monotonic() >= back);
    let events = world.events(&alice);
    assert_eq!(events, [AuditEvent::SignedIn, AuditEvent::Refreshed, AuditEvent::Concurrent]);
    // One that came as late as that is a thief's.
    assert_eq!(world.refresh(&quick, &alice.refresh).err(), Some(ErrorCode::RefreshTokenReused));
}

#[test]
fn a_refresh_that_waited_for_its_allowance_is_not_taken_for_reuse() {
    let world = World::with(|settings| settings.limits.refresh = 3);
    let node = world.node();
    let first = world.sign_in(&node, "alice");
    let second = world.refreshed(&node, &first);
    world.authenticate(&node, &second.access).unwrap();
    // Within grace, and the allowance is used up by them; the next one waits for longer than grace.
    world.refreshed(&node, &first);
    world.refreshed(&node, &first);
    let (done, took) = timed(&world, &node, &first);
    assert!(took > secs(10), "{took:?}");
    assert_eq!(done.unwrap().refresh, second.refresh);
}

#[test]
fn a_session_that_ends_while_a_refresh_waits_is_not_refreshed() {
    let world = World::new();
    let (slow, quick) = (world.node(), world.node());
    let alice = world.sign_in(&quick, "alice");
    let back = world.runtime.time.monotonic().plus(secs(20));
    slow.trouble.fail("sessions.rotate", When::Before, Span::Until(back));
    let (refreshed, ended) =
        world.run(futures_util::future::join(refresh(&slow.services, Some(&alice.refresh), ADDRESS), async {
            world.runtime.time.pause(secs(10)).await;
            transtalk_core::app::log_out(&quick.services, Some(&alice.access), None, ADDRESS).await
        }));
    ended.unwrap();
    assert_eq!(refreshed.map_err(|failure| failure.code()).err(), Some(ErrorCode::SessionEnded));
    assert_eq!(world.row(alice.session).generation.0, 1);
}

#[test]
fn a_session_that_expires_while_a_refresh_waits_is_over() {
    let world = World::with(|settings| settings.lifetimes.refresh = secs(10));
    let node = world.node();
    let alice = world.sign_in(&node, "alice");
    let back = world.runtime.time.monotonic().plus(secs(15));
    node.trouble.fail("sessions.", When::Before, Span::Until(back));
    let (done, _) = timed(&world, &node, &alice);
    assert_eq!(done.map_err(|failure| failure.code()).err(), Some(ErrorCode::SessionEnded));
}

#[test]
fn a_trail_that_cannot_be_written_holds_up_the_answer_but_costs_nothing() {
    let world = World::new();
    let node = world.node();
    let first = world.sign_in(&node, "alice");
    let second = world.refreshed(&node, &first);
    let back = world.runtime.time.monotonic().plus(secs(15));
    node.trouble.fail("audit.append", When::Before, Span::Until(back));
    let (done, took) = timed(&world, &node, &first);
    assert_eq!(done.unwrap().refresh, second.refresh);
    assert!(took >= secs(15));
    assert_eq!(world.row(first.session).revoked_at, None);
}
