//! A session that has ended stays ended, everywhere, and it was written down once: invariants T4, T5, T6, T7, T13 and T14.

use std::cell::RefCell;
use std::collections::BTreeSet;

use transtalk_core::app::{
    Done, Principal, end_my_session, issue_ticket, log_out, log_out_everywhere, redeem_ticket, refresh, withdraw,
};
use transtalk_core::auth::AuditEvent;
use transtalk_core::ports::{Clock, Event};
use transtalk_core::stomp::CloseCode;
use transtalk_core::{ErrorCode, Failure};

use crate::orders::{Racer, every_order};
use crate::socket::{Socket, connect_frame, handshake, pass};
use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, World, code, secs};

/// What ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    LogOut,
    LogOutByCookie,
    Everywhere,
    FromAnotherSession,
    Withdrawal,
    Reuse,
}

impl Ending {
    const ALL: [Self; 6] =
        [Self::LogOut, Self::LogOutByCookie, Self::Everywhere, Self::FromAnotherSession, Self::Withdrawal, Self::Reuse];

    /// Ends this session. The person has another one, and a third refresh token at least.
    async fn of(self, node: &Node, person: &Person, other: &Principal, old: &str) -> Result<(), Failure> {
        let services = &node.services;
        match self {
            Self::LogOut => log_out(services, Some(&person.access), None, ADDRESS).await,
            Self::LogOutByCookie => log_out(services, None, Some(&person.refresh), ADDRESS).await,
            Self::Everywhere => log_out_everywhere(services, Some(&person.access), None, ADDRESS).await,
            Self::FromAnotherSession => end_my_session(services, other, person.session, ADDRESS).await,
            Self::Withdrawal => withdraw(services, other, ADDRESS).await,
            Self::Reuse => match refresh(services, Some(old), ADDRESS).await {
                Err(Failure::Refused(ErrorCode::RefreshTokenReused)) => Ok(()),
                Err(failure) => Err(failure),
                Ok(_) => panic!("an old token was taken"),
            },
        }
    }

    fn ends_the_others(self) -> bool {
        matches!(self, Self::Everywhere | Self::Withdrawal)
    }
}

/// A session in its third generation, and another session of the same user.
fn two_sessions(world: &World, node: &Node) -> (Person, Person, Principal, String) {
    let subject = world.stranger();
    let first = world.sign_in(node, &subject);
    let person = world.refreshed(node, &world.refreshed(node, &first));
    let other = world.sign_in(node, &subject);
    let principal = world.authenticate(node, &other.access).unwrap();
    (person, other, principal, first.refresh)
}

#[test]
fn t4_a_session_that_was_ended_is_never_refreshed_again() {
    for ending in Ending::ALL {
        let world = World::new();
        let node = world.node();
        let (person, _, other, old) = two_sessions(&world, &node);
        world.run(ending.of(&node, &person, &other, &old)).unwrap();
        let refused = |node: &Node, when: &str| {
            for generation in 1..=5 {
                let token = world.refresh_token(person.session, generation);
                let refused = world.refresh(node, &token).err();
                assert_eq!(refused, Some(ErrorCode::SessionEnded), "{ending:?}, {generation}, {when}");
            }
        };
        refused(&node, "at once");
        // A restart, with nothing but the store.
        drop(node);
        let node = world.node();
        refused(&node, "after a restart");
        // A clock that is set back to before the log-out, before the sign-in even.
        world.runtime.time.set_back(secs(1));
        refused(&node, "a second before");
        world.runtime.time.set_back(secs(3_600));
        refused(&node, "an hour before");
        world.pass(secs(60 * 24 * 60 * 60));
        refused(&node, "two months later");
        assert!(world.events(&person).ends_with(&[ended_as(ending)]), "{ending:?}: the trail goes on");
    }
}

fn ended_as(ending: Ending) -> AuditEvent {
    if ending == Ending::Reuse { AuditEvent::Reuse } else { AuditEvent::LoggedOut }
}

#[test]
fn t5_log_out_beside_refresh_ends_the_session_in_every_order() {
    for ending in Ending::ALL {
        let world = World::new();
        let (here, there) = (world.node(), world.node());
        let mut outcomes = BTreeSet::new();
        let orders = every_order(|order| {
            let (person, _, other, old) = two_sessions(&world, &here);
            let racers: [Racer<'_, Result<(), Failure>>; 2] = [
                Box::pin(async { refresh(&there.services, Some(&person.refresh), ADDRESS).await.map(|_| ()) }),
                Box::pin(ending.of(&here, &person, &other, &old)),
            ];
            let [refreshed, ended] = order.race(racers);
            ended.answer.unwrap().unwrap();
            match refreshed.answer.unwrap() {
                Ok(()) => assert!(refreshed.began < ended.ended, "{ending:?}: refreshed after its end"),
                Err(failure) => assert_eq!(failure.code(), ErrorCode::SessionEnded, "{ending:?}"),
            }
            let row = world.row(person.session);
            outcomes.insert(row.generation);
            assert!(row.revoked_at.is_some());
            for generation in 1..=5 {
                let token = world.refresh_token(person.session, generation);
                assert_eq!(world.refresh(&there, &token).err(), Some(ErrorCode::SessionEnded), "{ending:?}");
            }
        });
        assert!(orders >= 5, "{ending:?}: only {orders} orders");
        assert_eq!(outcomes.len(), 2, "{ending:?}: the orders that matter were not reached");
    }
}

#[test]
fn t5_log_out_beside_two_refreshes_ends_the_session_in_every_order() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let orders = every_order(|order| {
        let person = world.sign_in(&here, &world.stranger());
        let refreshing = |node: &Node| -> Racer<'static, Result<(), Failure>> {
            let (services, token) = (node.services.clone(), person.refresh.clone());
            Box::pin(async move { refresh(&services, Some(&token), ADDRESS).await.map(|_| ()) })
        };
        let racers =
            [refreshing(&here), refreshing(&there), Box::pin(log_out(&here.services, Some(&person.access), None, "a"))];
        order.race(racers);
        assert!(world.row(person.session).revoked_at.is_some());
        for generation in 1..=2 {
            let token = world.refresh_token(person.session, generation);
            assert_eq!(world.refresh(&there, &token).err(), Some(ErrorCode::SessionEnded));
        }
    });
    assert!(orders >= 500, "only {orders} orders");
}

#[test]
fn t6_no_token_of_an_ended_session_is_taken_by_any_node() {
    for ending in Ending::ALL {
        let world = World::new();
        let (here, there) = (world.node(), world.node());
        let (person, other, principal, old) = two_sessions(&world, &here);
        let owner = world.authenticate(&here, &person.access).unwrap();
        let tickets = [&here, &there].map(|node| issue_ticket(&node.services, &owner));
        let others_ticket = issue_ticket(&here.services, &principal);
        world.run(ending.of(&here, &person, &principal, &old)).unwrap();
        for (node, ticket) in [&here, &there].into_iter().zip(&tickets) {
            assert_eq!(world.authenticate(node, &person.access), Err(ErrorCode::SessionEnded), "{ending:?}");
            assert_eq!(world.refresh(node, &person.refresh).err(), Some(ErrorCode::SessionEnded), "{ending:?}");
            let redeemed = world.run(redeem_ticket(&node.services, ticket));
            assert_eq!(code(redeemed), ErrorCode::SessionEnded, "{ending:?}");
            for cookie in [None, Some(person.refresh.as_str())] {
                let mut socket = Socket::connect(&world, node, &person.access, cookie);
                socket.pass(secs(3));
                assert_eq!(socket.seen(), ["ERROR SESSION_ENDED", "close 4007"], "{ending:?}");
            }
        }
        // The other session goes with it, or is as it was.
        let expect = if ending.ends_the_others() { Err(ErrorCode::SessionEnded) } else { Ok(principal) };
        assert_eq!(world.authenticate(&there, &other.access), expect, "{ending:?}");
        let redeemed = world.run(redeem_ticket(&there.services, &others_ticket)).map_err(|failure| failure.code());
        assert_eq!(redeemed, expect, "{ending:?}");
    }
}

#[test]
fn t6_a_connect_beside_a_log_out_hears_of_it_or_sees_it_in_every_order() {
    for cookie in [false, true] {
        let world = World::new();
        let (here, there) = (world.server(), world.server());
        // The test is the bus: what it tells arrives at once, or it would be heard later by luck.
        world.wire.cut();
        let mut outcomes = BTreeSet::new();
        every_order(|order| {
            // In a generation that is to be acknowledged, so that there is a step after the look at the session.
            let person = world.refreshed(&here, &world.sign_in(&here, &world.stranger()));
            let refresh = cookie.then_some(person.refresh.as_str());
            let mut socket = Socket::open(&world, &there, handshake(None, refresh, ADDRESS));
            socket.connection.receive(connect_frame(&person.access).as_bytes());
            let work = socket.work().unwrap();
            let racers: [Racer<'_, Option<Done>>; 2] = [
                Box::pin(async { Some(work.await) }),
                Box::pin(async {
                    log_out(&here.services, Some(&person.access), None, ADDRESS).await.unwrap();
                    there.services.hub.event(&Event::SessionEnded(person.session));
                    None
                }),
            ];
            let [connected, _] = order.race(racers);
            socket.connection.complete(connected.answer.unwrap().unwrap());
            socket.pass(secs(3));
            outcomes.insert(socket.seen());
        });
        let heard = vec!["close 4001".to_owned()];
        let seen = vec!["ERROR SESSION_ENDED".to_owned(), "close 4007".to_owned()];
        assert!(outcomes.contains(&heard) && outcomes.is_subset(&BTreeSet::from([heard, seen])), "{outcomes:?}");
    }
}

#[test]
fn t6_an_expired_access_token_still_logs_out() {
    let world = World::new();
    let node = world.node();
    let person = world.sign_in(&node, "alice");
    world.pass(secs(31 * 60));
    world.run(log_out(&node.services, Some(&person.access), None, ADDRESS)).unwrap();
    assert_eq!(world.refresh(&node, &person.refresh).err(), Some(ErrorCode::SessionEnded));
}

#[test]
fn t6_two_tokens_of_two_sessions_end_both() {
    let world = World::new();
    let node = world.node();
    let (one, two) = (world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    world.run(log_out(&node.services, Some(&one.access), Some(&two.refresh), ADDRESS)).unwrap();
    for person in [one, two] {
        assert_eq!(world.authenticate(&node, &person.access), Err(ErrorCode::SessionEnded));
    }
}

#[test]
fn t6_sockets_on_every_node_close_at_once_while_the_bus_is_up() {
    for ending in Ending::ALL {
        let world = World::new();
        let (here, there) = (world.server(), world.server());
        let (person, other, principal, old) = two_sessions(&world, &here);
        let mut mine: Vec<_> = [&here, &there]
            .into_iter()
            .flat_map(|node| [Socket::connected(&world, node, &person), Socket::leased(&world, node, &person)])
            .collect();
        let mut others = Socket::leased(&world, &there, &other);
        let bob = world.sign_in(&here, "bob");
        let mut bystander = Socket::leased(&world, &there, &bob);
        world.run(ending.of(&here, &person, &principal, &old)).unwrap();
        for socket in &mut mine {
            socket.settle();
            assert_eq!(socket.close_code(), Some(CloseCode::SessionEnded), "{ending:?}");
        }
        others.settle();
        assert_eq!(others.close_code().is_some(), ending.ends_the_others(), "{ending:?}");
        bystander.pass(secs(60));
        assert_eq!(bystander.close_code(), None);
    }
}

#[test]
fn t6_without_the_bus_sockets_close_at_the_next_look_and_not_later_than_30_seconds() {
    for ending in Ending::ALL {
        let world = World::new();
        let (here, there) = (world.server(), world.server());
        let (person, _, principal, old) = two_sessions(&world, &here);
        let mut near = Socket::leased(&world, &here, &person);
        let mut far = Socket::leased(&world, &there, &person);
        world.wire.cut();
        pass(&world, &mut [&mut near, &mut far], secs(7));
        let ended_at = world.runtime.time.monotonic();
        world.run(ending.of(&here, &person, &principal, &old)).unwrap();
        near.settle();
        assert_eq!(near.close_code(), Some(CloseCode::SessionEnded), "{ending:?}: on the node itself at once");
        pass(&world, &mut [&mut near, &mut far], secs(40));
        let (closed_at, code) = far.closed.unwrap();
        assert_eq!(code, CloseCode::SessionEnded);
        assert!(closed_at.since(ended_at) <= secs(30), "{ending:?}: after {:?}", closed_at.since(ended_at));
    }
}

#[test]
fn t7_an_ended_session_stays_refused_during_the_whole_validity_of_its_tokens_and_after() {
    let world = World::new();
    let node = world.server();
    let person = world.sign_in(&node, "alice");
    world.run(log_out(&node.services, Some(&person.access), None, ADDRESS)).unwrap();
    let begin = world.now();
    let mut refused = BTreeSet::new();
    // To the second around the end of the access token, then on, with all the sweeps in between, past the longest life of a session.
    let minutes = (0..60).map(|minute| minute * 60);
    let around = 29 * 60 + 50..30 * 60 + 10;
    let days = (1..=31 * 4).map(|quarter| quarter * 6 * 60 * 60);
    let mut moments: Vec<u64> = minutes.chain(around).chain(days).collect();
    moments.sort_unstable();
    for moment in moments {
        let wait = begin.plus(secs(moment)).since(world.now());
        if wait < secs(60 * 60) {
            world.pass(wait);
        } else {
            // The background would do the same thing ten thousand times; what matters is that it is done.
            world.pass(secs(60));
            world.runtime.time.leap(wait.saturating_sub(secs(60)));
        }
        for node in [&node, &world.node()] {
            refused.insert(world.authenticate(node, &person.access).unwrap_err());
            assert_eq!(world.refresh(node, &person.refresh).err(), Some(ErrorCode::SessionEnded), "{moment}");
        }
    }
    assert_eq!(refused, BTreeSet::from([ErrorCode::TokenExpired, ErrorCode::SessionEnded]));
}

#[test]
fn t13_log_out_everywhere_and_withdrawal_end_every_session_of_the_user_and_no_other() {
    for ending in [Ending::Everywhere, Ending::Withdrawal] {
        let world = World::new();
        let (here, there) = (world.server(), world.server());
        let people: Vec<Person> = (0..20).map(|_| world.sign_in(&here, "alice")).collect();
        let bob = world.sign_in(&here, "bob");
        let mut sockets: Vec<_> = people.iter().map(|person| Socket::leased(&world, &there, person)).collect();
        let principal = world.authenticate(&here, &people[7].access).unwrap();
        world.run(ending.of(&here, &people[7], &principal, "")).unwrap();
        for (person, socket) in people.iter().zip(&mut sockets) {
            assert_eq!(world.authenticate(&there, &person.access), Err(ErrorCode::SessionEnded));
            assert_eq!(world.refresh(&there, &person.refresh).err(), Some(ErrorCode::SessionEnded));
            socket.settle();
            assert_eq!(socket.close_code(), Some(CloseCode::SessionEnded));
        }
        world.authenticate(&there, &bob.access).unwrap();
        world.refreshed(&there, &bob);
    }
}

#[test]
fn t13_only_a_live_session_can_end_the_others() {
    let world = World::new();
    let node = world.node();
    let (ended, live) = (world.sign_in(&node, "alice"), world.sign_in(&node, "alice"));
    world.run(log_out(&node.services, Some(&ended.access), None, ADDRESS)).unwrap();
    let tried = world.run(log_out_everywhere(&node.services, Some(&ended.access), Some(&ended.refresh), ADDRESS));
    assert_eq!(code(tried), ErrorCode::SessionEnded);
    world.authenticate(&node, &live.access).unwrap();
}

#[test]
fn t14_every_end_is_written_down_exactly_once_however_often_it_comes() {
    let ends = |world: &World, person: &Person| {
        let events = world.events(person);
        events.into_iter().filter(|event| matches!(event, AuditEvent::LoggedOut | AuditEvent::Reuse)).count()
    };
    for (one, two) in Ending::ALL.into_iter().flat_map(|one| Ending::ALL.map(|two| (one, two))) {
        let world = World::new();
        let (here, there) = (world.node(), world.node());
        let orders = RefCell::new(0);
        every_order(|order| {
            let (person, other, principal, old) = two_sessions(&world, &here);
            let racers: [Racer<'_, Result<(), Failure>>; 2] = [
                Box::pin(one.of(&here, &person, &principal, &old)),
                Box::pin(two.of(&there, &person, &principal, &old)),
            ];
            order.race(racers);
            *orders.borrow_mut() += 1;
            assert_eq!(ends(&world, &person), 1, "{one:?} beside {two:?}");
            let ends_other = usize::from(one.ends_the_others() || two.ends_the_others());
            // Somebody whose session was ended under them can no longer end all.
            let refused = world.row(other.session).revoked_at.is_none();
            assert_eq!(ends(&world, &other), if refused { 0 } else { ends_other }, "{one:?} beside {two:?}");
            let records = world.trail(&person);
            let row = world.row(person.session);
            assert_eq!(records.last().map(|record| record.at), row.revoked_at);
        });
        assert!(*orders.borrow() >= 3, "{one:?} beside {two:?}");
    }
}

#[test]
fn t14_an_end_whose_answer_was_lost_is_written_down_once() {
    let world = World::new();
    let node = world.node();
    for (call, ending) in [
        ("sessions.revoke", Ending::LogOut),
        ("sessions.revoke", Ending::FromAnotherSession),
        ("sessions.revoke", Ending::Reuse),
        ("sessions.revoke_all", Ending::Everywhere),
        ("users.withdraw", Ending::Withdrawal),
    ] {
        for when in [When::Before, When::After] {
            let (person, _, principal, old) = two_sessions(&world, &node);
            node.trouble.fail(call, when, Span::Calls(1));
            // A refresh tries again by itself, the others leave it to the client.
            let first = world.run(ending.of(&node, &person, &principal, &old)).map_err(|failure| failure.code());
            let again = world.run(ending.of(&node, &person, &principal, &old)).map_err(|failure| failure.code());
            let what = format!("{ending:?} {when:?}: {first:?}, {again:?}");
            assert!(world.row(person.session).revoked_at.is_some(), "{what}");
            let ends = world.trail(&person).into_iter().filter(|record| record.event == ended_as(ending)).count();
            assert_eq!(ends, 1, "{what}");
            node.trouble.heal();
        }
    }
}

#[test]
fn an_end_that_cannot_be_stored_is_not_claimed() {
    let world = World::new();
    let node = world.node();
    let (person, _, principal, old) = two_sessions(&world, &node);
    for ending in [Ending::LogOut, Ending::LogOutByCookie, Ending::Everywhere, Ending::FromAnotherSession] {
        node.trouble.fail("sessions.revoke", When::Before, Span::Calls(1));
        let ended = world.run(ending.of(&node, &person, &principal, &old));
        assert_eq!(code(ended), ErrorCode::Unavailable, "{ending:?}");
        world.authenticate(&node, &person.access).unwrap();
    }
    node.trouble.fail("users.withdraw", When::Before, Span::Calls(1));
    let ended = world.run(withdraw(&node.services, &principal, ADDRESS));
    assert_eq!(code(ended), ErrorCode::Unavailable);
    world.authenticate(&node, &person.access).unwrap();
}
