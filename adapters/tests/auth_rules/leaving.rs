//! Withdrawal: in every order with a sign-in, with every provider, and never half.

use std::collections::BTreeSet;

use transtalk_core::app::{Returned, complete_sign_in, withdraw};
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::{Grant, Grants, Sessions, Users};
use transtalk_core::{ErrorCode, Failure, UserId};

use crate::orders::{Racer, every_order};
use crate::socket::{Socket, send_frame, subscribe_frame};
use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, World, device, secs};

fn leave(world: &World, node: &Node, person: &Person) {
    let principal = world.authenticate(node, &person.access).unwrap();
    world.run(withdraw(&node.services, &principal, ADDRESS)).unwrap();
}

fn grants(world: &World, user: UserId) -> Vec<Grant> {
    world.run(Grants::list(&world.store, user)).unwrap()
}

#[test]
fn who_leaves_is_somebody_new_when_they_come_back() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let room = world.room(&node, &alice, "bob");
    let mut his = Socket::leased(&world, &node, &bob);
    his.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
    leave(&world, &node, &alice);
    let left = world.run(Users::find(&world.store, alice.user)).unwrap().unwrap();
    assert!(left.withdrawn_at.is_some());
    assert_eq!((left.name.as_str(), left.shown_name()), ("", "(left)"));
    assert_eq!((left.email, left.picture), (None, None));
    // The room stays, and what is said there is stored.
    his.seen();
    his.say(&send_frame(room, "hello?", &bob.access, "r"));
    assert_eq!(his.seen(), ["RECEIPT r", "MESSAGE s hello?"]);
    assert_eq!(world.events(&alice).into_iter().filter(|event| *event == AuditEvent::LoggedOut).count(), 1);
    assert_eq!(world.trail(&alice).last().unwrap().detail, "withdrawn");

    let again = world.sign_in(&node, "alice");
    assert_ne!(again.user, alice.user);
    let mut hers = Socket::leased(&world, &node, &again);
    hers.say(&subscribe_frame("s", &format!("/topic/chat/{room}")));
    assert_eq!(hers.seen(), ["ERROR NOT_A_MEMBER", "close 4007"]);
    assert_eq!(world.authenticate(&node, &alice.access), Err(ErrorCode::SessionEnded));
}

#[test]
fn who_leaves_while_they_sign_in_has_no_session_left_in_any_order() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let mut outcomes = BTreeSet::new();
    let orders = every_order(|order| {
        let subject = world.stranger();
        let alice = world.sign_in(&here, &subject);
        let principal = world.authenticate(&here, &alice.access).unwrap();
        let begun = world.begin(&here, None);
        let (code, _) = world.home.consent(&begun.url, &subject);
        let returned = Returned { code: &code, ..Returned::default() };
        let racers: [Racer<'_, Result<Option<Person>, Failure>>; 2] = [
            Box::pin(async {
                let done = complete_sign_in(&here.services, returned, Some(&begun.cookie), device(ADDRESS)).await?;
                Ok(Some(Person::of(&done, &*world.signer)))
            }),
            Box::pin(async { withdraw(&there.services, &principal, ADDRESS).await.map(|()| None) }),
        ];
        let [signed_in, left] = order.race(racers);
        left.answer.unwrap().unwrap();
        assert!(world.run(Sessions::list(&world.store, alice.user)).unwrap().is_empty());
        match signed_in.answer.unwrap() {
            Ok(person) => {
                let person = person.unwrap();
                let is_in = world.authenticate(&there, &person.access).is_ok();
                // They came first and left with the rest, or they came back as somebody new.
                assert_eq!(is_in, person.user != alice.user);
                outcomes.insert(if is_in { "new" } else { "left" });
            }
            Err(failure) => {
                assert_eq!(failure.code(), ErrorCode::CodeRefused);
                outcomes.insert("refused");
            }
        }
    });
    assert!(orders > 10, "only {orders} orders");
    assert_eq!(outcomes, BTreeSet::from(["left", "new", "refused"]));
}

#[test]
fn a_withdrawal_that_dies_anywhere_is_not_done_or_wholly_done() {
    let world = World::new();
    let node = world.node();
    let mut outcomes = BTreeSet::new();
    every_order(|order| {
        let people = [world.sign_in(&node, "alice"), world.sign_in(&node, "alice")];
        let principal = world.authenticate(&node, &people[0].access).unwrap();
        let cut = order.cut(Box::pin(withdraw(&node.services, &principal, ADDRESS)));
        let has_left = world.run(Users::find(&world.store, principal.user)).unwrap().unwrap().withdrawn_at.is_some();
        assert!(has_left || cut.answer.is_none());
        let live = world.run(Sessions::list(&world.store, principal.user)).unwrap();
        // Those of earlier orders, which were not done, are the same user's.
        assert_eq!(live.is_empty(), has_left);
        outcomes.insert(has_left);
        if has_left {
            // What is left to be given back is found without any memory of the act.
            assert_eq!(world.run(world.store.left(10)).unwrap().len(), 1);
            assert!(world.run(world.store.remove(principal.user, "home")).unwrap());
        }
    });
    assert_eq!(outcomes, BTreeSet::from([false, true]));
}

#[test]
fn a_grant_is_kept_sealed_and_given_back_at_withdrawal() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let kept = grants(&world, alice.user);
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].sealed.windows(5).any(|part| part == b"grant" || part == b"alice"));
    world.pass(secs(120));
    assert!(world.home.revoked().is_empty(), "not before she leaves");
    leave(&world, &node, &alice);
    world.runtime.idle();
    assert_eq!(world.home.revoked(), ["grant of alice"]);
    assert!(grants(&world, alice.user).is_empty());
    world.pass(secs(120));
    assert_eq!(world.home.revoked().len(), 1, "once");
}

#[test]
fn the_newest_grant_replaces_the_one_before_and_no_two_seals_are_alike() {
    let world = World::new();
    let node = world.server();
    let mut seals = BTreeSet::new();
    for _ in 0..10 {
        let alice = world.sign_in(&node, "alice");
        let kept = grants(&world, alice.user);
        assert_eq!(kept.len(), 1);
        assert!(seals.insert(kept[0].sealed.clone()));
    }
}

#[test]
fn a_grant_that_the_provider_refuses_to_take_back_is_dropped() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    world.home.refuse_revocation();
    leave(&world, &node, &alice);
    world.runtime.idle();
    assert!(grants(&world, alice.user).is_empty());
}

#[test]
fn a_grant_that_cannot_be_given_back_now_is_tried_again_at_the_next_sweep() {
    let world = World::new();
    let node = world.server();
    let (alice, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    world.home.set_down(true);
    leave(&world, &node, &alice);
    world.pass(secs(90));
    assert_eq!(grants(&world, alice.user).len(), 1);
    // After a restart as well: another node finds it in the store.
    let other = world.server();
    world.home.set_down(false);
    world.pass(secs(30));
    // Perhaps by both: to give back twice is to give back once (RFC 7009 section 2.2).
    let revoked: BTreeSet<String> = world.home.revoked().into_iter().collect();
    assert_eq!(revoked, BTreeSet::from(["grant of alice".to_owned()]));
    assert!(grants(&world, alice.user).is_empty());
    assert_eq!(grants(&world, bob.user).len(), 1, "who stays keeps theirs");
    drop(other);
}

#[test]
fn a_store_that_fails_while_grants_are_given_back_loses_none() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    node.trouble.fail("grants.left", When::Before, Span::Calls(1));
    leave(&world, &node, &alice);
    world.runtime.idle();
    assert!(world.home.revoked().is_empty());
    world.pass(secs(30));
    assert_eq!(world.home.revoked(), ["grant of alice"]);
    assert!(grants(&world, alice.user).is_empty());
}

#[test]
fn two_users_grants_that_were_swapped_in_the_store_cannot_be_opened() {
    let world = World::new();
    let node = world.server();
    let people = [world.sign_in(&node, "alice"), world.sign_in(&node, "bob")];
    let [hers, his] = [0, 1].map(|index: usize| grants(&world, people[index].user).remove(0));
    for (grant, sealed) in [(&hers, &his.sealed), (&his, &hers.sealed)] {
        let swapped = Grant { sealed: sealed.clone(), ..grant.clone() };
        world.run(Grants::put(&world.store, &swapped)).unwrap();
    }
    for person in &people {
        leave(&world, &node, person);
    }
    world.pass(secs(60));
    assert!(world.home.revoked().is_empty(), "nothing was given back that was somebody else's");
    for person in &people {
        assert!(grants(&world, person.user).is_empty(), "nobody can ever open it");
    }
}

#[test]
fn a_grant_that_was_moved_to_another_provider_cannot_be_opened() {
    let world = World::new();
    let node = world.server();
    let alice = world.sign_in(&node, "alice");
    let moved = Grant { issuer: "away".to_owned(), ..grants(&world, alice.user).remove(0) };
    world.run(Grants::put(&world.store, &moved)).unwrap();
    leave(&world, &node, &alice);
    world.runtime.idle();
    assert_eq!((world.home.revoked().len(), world.away.revoked().len()), (1, 0));
    assert!(grants(&world, alice.user).is_empty());
}

#[test]
fn a_provider_that_is_down_does_not_hold_up_the_others() {
    // More grants of the one than are looked at in one sweep, and behind them one of another.
    let world = World::with(|settings| settings.limits.sign_in = 0);
    let node = world.server();
    let many: Vec<Person> = (0..150).map(|number| world.sign_in(&node, &format!("p{number:03}"))).collect();
    let others: Vec<Person> = (0..30)
        .map(|number| {
            let begun = world.begin(&node, Some("away"));
            let (code, _) = world.away.consent(&begun.url, &format!("o{number:02}"));
            let returned = Returned { code: &code, ..Returned::default() };
            Person::of(&world.complete(&node, returned, Some(&begun.cookie)).unwrap(), &*world.signer)
        })
        .collect();
    world.home.set_down(true);
    many.iter().chain(&others).for_each(|person| leave(&world, &node, person));
    world.pass(secs(10 * 60));
    assert_eq!(world.away.revoked().len(), 30, "of those whose provider answers");
    world.home.set_down(false);
    world.pass(secs(10 * 60));
    assert_eq!(world.home.revoked().len(), 150);
}
