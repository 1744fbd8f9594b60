//! What a refresh token leads to: invariants T1, T2, T3, T9, T10, T11 and T12.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use transtalk_core::app::{Limits, Tokens, authenticate, refresh};
use transtalk_core::auth::{AuditEvent, Generation};
use transtalk_core::ports::{Claims, Clock, MacPurpose, SignerError, TokenKind, TokenSigner};
use transtalk_core::{ErrorCode, Failure};

use crate::orders::{Racer, every_order};
use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, World, secs};

use AuditEvent::{Concurrent, LostResponse, Refreshed, Reuse, SignedIn};

/// Refreshes of one token on these nodes, in every order.
fn race_refreshes<const N: usize>(world: &World, nodes: [&Node; N], lowest: usize) {
    let orders = every_order(|order| {
        let person = world.sign_in(nodes[0], &world.stranger());
        let raced = order.race(nodes.map(|node| -> Racer<'_, Result<Tokens, Failure>> {
            Box::pin(refresh(&node.services, Some(&person.refresh), ADDRESS))
        }));
        let child = world.refresh_token(person.session, 2);
        for refreshed in raced {
            assert_eq!(refreshed.answer.unwrap().unwrap().refresh, child);
        }
        assert_eq!(world.row(person.session).generation, Generation(2));
        let mut expect = vec![SignedIn, Refreshed];
        expect.extend([Concurrent].repeat(N - 1));
        assert_eq!(world.events(&person), expect);
    });
    assert!(orders >= lowest, "only {orders} orders");
}

#[test]
fn t1_a_session_has_one_live_leaf_whatever_was_presented_before() {
    let world = World::new();
    let node = world.node();
    let mut person = world.sign_in(&node, "alice");
    for generation in 2..20 {
        let before = person.refresh.clone();
        person = world.refreshed(&node, &person);
        assert_eq!(person.refresh, world.refresh_token(person.session, generation));
        // The predecessor leads to the same leaf, as often as it comes within grace, and to no other.
        for _ in 0..3 {
            assert_eq!(world.refresh(&node, &before).unwrap().refresh, person.refresh);
            assert_eq!(world.row(person.session).generation, Generation(generation));
        }
        world.pass(secs(11));
        world.authenticate(&node, &person.access).unwrap();
    }
}

#[test]
fn t1_refreshes_of_both_live_tokens_beside_each_other_end_in_one_leaf() {
    // The predecessor and the current token at once: the one tab is behind, the other goes on.
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let orders = every_order(|order| {
        let first = world.sign_in(&one, &world.stranger());
        let second = world.refreshed(&one, &first);
        let raced = order.race([
            Box::pin(refresh(&one.services, Some(&first.refresh), ADDRESS)),
            Box::pin(refresh(&other.services, Some(&second.refresh), ADDRESS)),
        ]);
        let [behind, ahead] = raced.map(|raced| raced.answer.unwrap().map(|tokens| tokens.refresh));
        assert_eq!(ahead.unwrap(), world.refresh_token(first.session, 3));
        let row = world.row(first.session);
        match behind {
            // It was seen before the other's rotation: what it was given is one behind by now, and still taken.
            Ok(token) => {
                assert_eq!(token, second.refresh);
                assert_eq!((row.generation, row.revoked_at), (Generation(3), None));
                assert_eq!(world.refresh(&one, &token).unwrap().refresh, world.refresh_token(first.session, 3));
            }
            // It was seen two behind.
            Err(failure) => {
                assert_eq!(failure.code(), ErrorCode::RefreshTokenReused);
                assert!(row.revoked_at.is_some());
            }
        }
    });
    assert!(orders > 5, "only {orders} orders");
}

#[test]
fn t2_concurrent_refreshes_of_one_token_name_the_same_child_in_every_order() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    race_refreshes(&world, [&one, &other], 10);
    race_refreshes(&world, [&one, &other, &one], 500);
}

#[test]
fn t2_without_grace_there_is_one_child_all_the_same() {
    let world = World::with(|settings| settings.lifetimes.grace = Duration::ZERO);
    let node = world.node();
    every_order(|order| {
        let person = world.sign_in(&node, "alice");
        let refresh = || Box::pin(refresh(&node.services, Some(&person.refresh), ADDRESS));
        let raced = order.race([refresh(), refresh()]);
        let child = world.refresh_token(person.session, 2);
        for refreshed in raced {
            assert_eq!(refreshed.answer.unwrap().unwrap().refresh, child);
        }
        assert_eq!(world.events(&person), [SignedIn, Refreshed, LostResponse]);
    });
}

#[test]
fn t3_a_token_that_was_replaced_ends_the_session_for_thief_and_victim() {
    let day = secs(24 * 60 * 60);
    // (how many generations there are, which one comes again, whether the newest was used, after how long)
    for (newest, presented, is_used, wait) in [
        (2, 1, true, secs(11)),
        (2, 1, true, day),
        (3, 1, false, Duration::ZERO),
        (3, 1, true, Duration::ZERO),
        (9, 2, true, secs(5)),
        (9, 7, false, day),
        // One that was never given: somebody has brought back an old store, or has our key.
        (2, 3, false, Duration::ZERO),
    ] {
        let what = format!("{presented} of {newest}, used: {is_used}, after {wait:?}");
        let world = World::new();
        let node = world.node();
        let mut person = world.sign_in(&node, "alice");
        let bystander = world.sign_in(&node, "alice");
        for _ in 1..newest {
            person = world.refreshed(&node, &person);
        }
        if is_used {
            world.authenticate(&node, &person.access).unwrap();
        }
        world.pass(wait);
        let stolen = world.refresh_token(person.session, presented);
        assert_eq!(world.refresh(&node, &stolen).err(), Some(ErrorCode::RefreshTokenReused), "{what}");
        assert_eq!(world.events(&person).last(), Some(&Reuse), "{what}");
        // After a restart as well.
        for node in [&node, &world.node()] {
            for generation in 1..=newest + 1 {
                let token = world.refresh_token(person.session, generation);
                assert_eq!(world.refresh(node, &token).err(), Some(ErrorCode::SessionEnded), "{what}");
            }
            let refused = world.authenticate(node, &person.access).unwrap_err();
            assert!([ErrorCode::SessionEnded, ErrorCode::TokenExpired].contains(&refused), "{what}");
        }
        assert!(world.row(bystander.session).revoked_at.is_none(), "{what}: another session ended");
        assert_eq!(world.events(&person).iter().filter(|event| **event == Reuse).count(), 1, "{what}");
    }
}

#[test]
fn t3_the_predecessor_is_taken_to_the_last_moment_of_grace() {
    for (wait, expect) in [(10_000, None), (10_001, Some(ErrorCode::RefreshTokenReused))] {
        let world = World::new();
        let node = world.node();
        let first = world.sign_in(&node, "alice");
        let second = world.refreshed(&node, &first);
        world.authenticate(&node, &second.access).unwrap();
        world.pass(Duration::from_millis(wait));
        assert_eq!(world.refresh(&node, &first.refresh).err(), expect, "{wait}");
    }
}

#[test]
fn t9_a_session_ends_when_it_would_have_ended_without_any_refresh() {
    let world = World::new();
    let node = world.node();
    let mut person = world.sign_in(&node, "alice");
    let end = world.row(person.session).absolute_expires_at;
    assert_eq!(end, world.now().plus(secs(30 * 24 * 60 * 60)));
    while world.now() < end {
        let row = world.row(person.session);
        assert_eq!(row.absolute_expires_at, end);
        assert!(row.expires_at <= end);
        assert!(world.claims(TokenKind::Access, &person.access).expires_at <= end);
        assert!(world.refresh(&node, &person.refresh).unwrap().refresh_until <= end);
        person = Person { refresh: world.refresh_token(person.session, row.generation.0 + 1), ..person };
        // To the last moment, so that the last refresh is one of just before the end.
        let left = end.since(world.now());
        world.pass(left.min(secs(6 * 60 * 60)).saturating_sub(Duration::from_millis(1)).max(Duration::from_millis(1)));
    }
    assert_eq!(world.refresh(&node, &person.refresh).err(), Some(ErrorCode::SessionEnded));
    assert_eq!(world.now(), end);
}

#[test]
fn t10_a_lost_answer_is_given_again_within_grace_and_after() {
    for wait in [Duration::ZERO, secs(10), secs(11), secs(60 * 60), secs(6 * 24 * 60 * 60)] {
        let world = World::new();
        let node = world.node();
        let person = world.sign_in(&node, "alice");
        // The answer never arrives.
        world.refreshed(&node, &person);
        world.pass(wait);
        let again = world.refreshed(&node, &person);
        assert_eq!(again.refresh, world.refresh_token(person.session, 2), "{wait:?}");
        assert_eq!(world.row(person.session).generation, Generation(2));
        let expect = if wait <= secs(10) { Concurrent } else { LostResponse };
        assert_eq!(world.events(&person), [SignedIn, Refreshed, expect], "{wait:?}");
        // And goes on from there.
        world.authenticate(&node, &again.access).unwrap();
        let next = world.refreshed(&node, &again);
        assert_eq!(next.refresh, world.refresh_token(person.session, 3));
    }
}

#[test]
fn t10_what_was_used_was_not_lost() {
    let world = World::new();
    let node = world.node();
    let person = world.sign_in(&node, "alice");
    let next = world.refreshed(&node, &person);
    // Not the new one: an old access token acknowledges nothing.
    world.authenticate(&node, &person.access).unwrap();
    assert_eq!(world.row(person.session).acknowledged, Generation(1));
    world.authenticate(&node, &next.access).unwrap();
    assert_eq!(world.row(person.session).acknowledged, Generation(2));
    world.pass(secs(11));
    assert_eq!(world.refresh(&node, &person.refresh).err(), Some(ErrorCode::RefreshTokenReused));
}

#[test]
fn t11_no_two_tokens_are_alike_over_nodes_and_restarts() {
    let witness = Arc::new(Witness::default());
    let off = Limits { refresh: 0, sign_in: 0, ..Limits::default() };
    let world = World::signed_by(witness.clone(), |settings| settings.limits = off);
    let mut refreshes = BTreeSet::new();
    // Time stands still, so that nothing but chance can keep them apart; a round is a restart of both nodes.
    for _ in 0..5 {
        for node in [world.node(), world.node()] {
            for _ in 0..10 {
                let mut person = world.sign_in(&node, "alice");
                for _ in 1..1_000 {
                    assert!(refreshes.insert(person.refresh.clone()));
                    person = world.refreshed(&node, &person);
                }
                assert!(refreshes.insert(person.refresh));
            }
        }
    }
    let ids = std::mem::take(&mut *witness.ids.lock().unwrap());
    assert_eq!((ids.len(), refreshes.len()), (100_000, 100_000));
    assert_eq!(ids.into_iter().collect::<BTreeSet<String>>().len(), 100_000);
}

/// A signer that remembers what it signed, and takes a hash for a code: a hundred thousand good ones would take their time.
#[derive(Default)]
struct Witness {
    ids: Mutex<Vec<String>>,
}

impl TokenSigner for Witness {
    fn sign(&self, _: TokenKind, claims: &Claims) -> String {
        self.ids.lock().unwrap().push(claims.jti.clone());
        claims.jti.clone()
    }

    fn verify(&self, _: TokenKind, _: &str) -> Result<Claims, SignerError> {
        Err(SignerError::Invalid)
    }

    fn mac(&self, _: MacPurpose, bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool {
        self.mac(purpose, bytes) == code
    }

    fn seal(&self, _: [u8; 12], _: &[u8], secret: &[u8]) -> Vec<u8> {
        secret.to_vec()
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        Some(sealed.to_vec())
    }

    fn jwks(&self) -> String {
        String::new()
    }
}

#[test]
fn t12_a_refresh_that_dies_anywhere_leaves_the_old_usable_or_the_new_retrievable() {
    for wait in [Duration::ZERO, secs(60)] {
        let world = World::new();
        let node = world.node();
        let mut generations = BTreeSet::new();
        every_order(|order| {
            let person = world.sign_in(&node, "alice");
            let cut = order.cut(Box::pin(refresh(&node.services, Some(&person.refresh), ADDRESS)));
            let before = world.row(person.session).generation;
            assert!(cut.answer.is_none() || before == Generation(2));
            generations.insert(before);
            world.pass(wait);
            // Another node, because this one has just died.
            let again = world.refreshed(&world.node(), &person);
            assert_eq!(again.refresh, world.refresh_token(person.session, 2));
            assert_eq!(world.row(person.session).generation, Generation(2));
        });
        assert_eq!(generations, BTreeSet::from([Generation(1), Generation(2)]));
    }
}

#[test]
fn t12_a_store_that_fails_before_or_after_the_commit_costs_nobody_their_session() {
    for (when, generation) in [(When::Before, 1), (When::After, 2)] {
        let world = World::new();
        let node = world.node();
        let person = world.sign_in(&node, "alice");
        // So long that the client gives up.
        let end = world.runtime.time.monotonic().plus(secs(40));
        if when == When::Before {
            node.trouble.fail("sessions.rotate", When::Before, Span::Until(end));
        } else {
            node.trouble.fail("sessions.rotate", When::After, Span::Calls(1));
            node.trouble.fail("audit.append", When::Before, Span::Until(end));
        }
        assert_eq!(world.refresh(&node, &person.refresh).err(), Some(ErrorCode::Unavailable), "{when:?}");
        assert_eq!(world.row(person.session).generation, Generation(generation), "{when:?}");
        world.pass(secs(20));
        let again = world.refreshed(&node, &person);
        assert_eq!(again.refresh, world.refresh_token(person.session, 2), "{when:?}");
        world.run(authenticate(&node.services, Some(&again.access))).unwrap();
    }
}

#[test]
fn t12_a_commit_whose_answer_was_lost_is_found_in_the_same_request() {
    let world = World::new();
    let node = world.node();
    let person = world.sign_in(&node, "alice");
    node.trouble.fail("sessions.rotate", When::After, Span::Calls(1));
    let tokens = world.refresh(&node, &person.refresh).unwrap();
    assert_eq!(tokens.refresh, world.refresh_token(person.session, 2));
    assert_eq!(world.row(person.session).generation, Generation(2));
}
