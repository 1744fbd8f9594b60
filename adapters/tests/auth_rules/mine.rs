//! The sessions that a user can see and end, and the trail that they can read.

use transtalk_core::app::{audit_trail, end_my_session, list_sessions, log_out};
use transtalk_core::auth::AuditEvent;
use transtalk_core::{ErrorCode, limits};

use crate::world::{ADDRESS, World, code, secs};

#[test]
fn one_sees_ones_own_live_sessions_the_newest_first() {
    let world = World::new();
    let node = world.node();
    let mut mine = Vec::new();
    for _ in 0..4 {
        mine.push(world.sign_in(&node, "alice"));
        world.pass(secs(60));
    }
    world.sign_in(&node, "bob");
    world.run(log_out(&node.services, Some(&mine[1].access), None, ADDRESS)).unwrap();
    let principal = world.authenticate(&node, &mine[0].access).unwrap();
    let listed = |principal| {
        let sessions = world.run(list_sessions(&node.services, principal)).unwrap();
        sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&principal), [3, 2, 0].map(|index: usize| mine[index].session));
    // One that is over by time is over.
    world.pass(secs(6 * 86_400));
    let kept = world.refreshed(&node, &mine[2]);
    world.pass(secs(86_400));
    let principal = world.authenticate(&node, &world.refreshed(&node, &kept).access).unwrap();
    assert_eq!(listed(&principal), [mine[2].session]);
}

#[test]
fn one_can_end_ones_own_sessions_and_nobody_elses() {
    let world = World::new();
    let node = world.node();
    let (here, lost, bob) = (world.sign_in(&node, "alice"), world.sign_in(&node, "alice"), world.sign_in(&node, "bob"));
    let principal = world.authenticate(&node, &here.access).unwrap();
    let end = |session| world.run(end_my_session(&node.services, &principal, session, ADDRESS));
    let nobodys = "00".repeat(16).parse().unwrap();
    node.trouble.take_writes();
    for session in [bob.session, nobodys] {
        assert_eq!(code(end(session)), ErrorCode::SessionNotFound);
    }
    assert!(node.trouble.take_writes().is_empty());
    end(lost.session).unwrap();
    end(lost.session).unwrap();
    assert_eq!(world.authenticate(&node, &lost.access), Err(ErrorCode::SessionEnded));
    let ended = world.trail(&lost);
    assert_eq!(ended.len(), 2);
    assert_eq!(ended[1].detail, format!("by session {}", here.session));
    // The one that one is in, too.
    end(here.session).unwrap();
    assert_eq!(world.authenticate(&node, &here.access), Err(ErrorCode::SessionEnded));
    world.authenticate(&node, &bob.access).unwrap();
}

#[test]
fn one_reads_ones_own_trail_over_all_sessions_the_newest_first_and_at_most_200() {
    let world = World::new();
    let node = world.node();
    let (mut one, two) = (world.sign_in(&node, "alice"), world.sign_in(&node, "alice"));
    world.sign_in(&node, "bob");
    world.pass(secs(1));
    let principal = world.authenticate(&node, &one.access).unwrap();
    world.run(log_out(&node.services, Some(&two.access), None, "198.51.100.7")).unwrap();
    let trail = world.run(audit_trail(&node.services, &principal)).unwrap();
    assert_eq!(trail.len(), 3);
    assert_eq!((trail[0].event, trail[0].session), (AuditEvent::LoggedOut, Some(two.session)));
    assert_eq!(trail[0].address, "198.51.100.7");
    assert!(trail.iter().all(|record| record.user == one.user));
    for _ in 0..300 {
        world.pass(secs(1));
        one = world.refreshed(&node, &one);
    }
    let trail = world.run(audit_trail(&node.services, &principal)).unwrap();
    assert_eq!(trail.len(), 200);
    assert!(trail.is_sorted_by(|earlier, later| earlier.at >= later.at));
    assert!(trail.iter().all(|record| record.event == AuditEvent::Refreshed));
}

#[test]
fn who_has_too_many_sessions_loses_those_that_began_first() {
    let world = World::new();
    let node = world.server();
    let mut mine = Vec::new();
    for _ in 0..limits::SESSIONS_MAX + 3 {
        mine.push(world.sign_in(&node, "alice"));
        world.pass(secs(1));
    }
    let bob = world.sign_in(&node, "bob");
    for (place, person) in mine.iter().enumerate() {
        let expect = if place < 3 { Some(ErrorCode::SessionEnded) } else { None };
        assert_eq!(world.authenticate(&node, &person.access).err(), expect, "{place}");
    }
    let ended = world.trail(&mine[0]);
    assert_eq!(ended.len(), 2);
    assert_eq!(ended[1].event, AuditEvent::LoggedOut);
    assert_eq!(ended[1].detail, format!("too many sessions, by session {}", mine[limits::SESSIONS_MAX].session));
    world.authenticate(&node, &bob.access).unwrap();
}
