//! The laws of [`Cursors`].

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, at, room_id, session_id};
use crate::id::{RoomId, Seq};
use crate::limits::CURSOR_KEPT;
use crate::ports::{Cursor, Cursors};

/// One law.
pub type Law = for<'a> fn(&'a dyn Cursors) -> BoxFuture<'a, ()>;

contract!($, cursors, cursors_contract, (cursors), [
    cursors_are_taken_ordered_by_room,
    of_two_cursors_the_lower_is_kept,
    what_was_taken_is_gone,
    of_concurrent_takers_one_is_given_the_cursors,
    cursors_belong_to_one_session,
    a_cursor_that_is_too_old_is_not_given,
    a_cursor_is_as_young_as_its_latest_connection,
    a_purge_removes_and_counts_what_is_too_old,
]);

const MILLISECOND: Duration = Duration::from_millis(1);

fn cursor(room: RoomId, seq: u64) -> Cursor {
    Cursor { room, seq: Seq(seq) }
}

pub async fn cursors_are_taken_ordered_by_room(cursors: &dyn Cursors) {
    let session = session_id();
    let (a, b, c) = (room_id(), room_id(), room_id());
    cursors.put(session, &[cursor(b, 2), cursor(c, 0)], at(0)).await.unwrap();
    cursors.put(session, &[], at(1)).await.unwrap();
    cursors.put(session, &[cursor(a, 1)], at(2)).await.unwrap();
    let mut expect = [cursor(a, 1), cursor(b, 2), cursor(c, 0)];
    expect.sort_by_key(|cursor| cursor.room);
    assert_eq!(cursors.take(session, at(3)).await.unwrap(), expect);
}

pub async fn of_two_cursors_the_lower_is_kept(cursors: &dyn Cursors) {
    for (first, second) in [(5, 9), (9, 5), (5, 5)] {
        let (session, room) = (session_id(), room_id());
        cursors.put(session, &[cursor(room, first)], at(0)).await.unwrap();
        cursors.put(session, &[cursor(room, second)], at(1)).await.unwrap();
        assert_eq!(cursors.take(session, at(2)).await.unwrap(), [cursor(room, 5)], "{first}, then {second}");
    }
}

pub async fn what_was_taken_is_gone(cursors: &dyn Cursors) {
    let (session, room) = (session_id(), room_id());
    cursors.put(session, &[cursor(room, 5)], at(0)).await.unwrap();
    cursors.take(session, at(1)).await.unwrap();
    assert_eq!(cursors.take(session, at(2)).await.unwrap(), []);
    // The next connection got further, and nothing lower is left to hold it back.
    cursors.put(session, &[cursor(room, 9)], at(3)).await.unwrap();
    assert_eq!(cursors.take(session, at(4)).await.unwrap(), [cursor(room, 9)]);
}

pub async fn of_concurrent_takers_one_is_given_the_cursors(cursors: &dyn Cursors) {
    let (session, room) = (session_id(), room_id());
    cursors.put(session, &[cursor(room, 5)], at(0)).await.unwrap();
    let taken = join_all((0..RACERS).map(|_| cursors.take(session, at(1)))).await;
    let taken: Vec<Cursor> = taken.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(taken, [cursor(room, 5)]);
}

pub async fn cursors_belong_to_one_session(cursors: &dyn Cursors) {
    let (one, other, room) = (session_id(), session_id(), room_id());
    cursors.put(one, &[cursor(room, 5)], at(0)).await.unwrap();
    cursors.put(other, &[cursor(room, 3)], at(0)).await.unwrap();
    assert_eq!(cursors.take(one, at(1)).await.unwrap(), [cursor(room, 5)]);
    assert_eq!(cursors.take(other, at(1)).await.unwrap(), [cursor(room, 3)]);
    assert_eq!(cursors.take(session_id(), at(1)).await.unwrap(), []);
}

pub async fn a_cursor_that_is_too_old_is_not_given(cursors: &dyn Cursors) {
    let (session, old, young) = (session_id(), room_id(), room_id());
    cursors.put(session, &[cursor(old, 5)], at(0)).await.unwrap();
    cursors.put(session, &[cursor(young, 6)], at(1)).await.unwrap();
    let taken = cursors.take(session, at(0).plus(CURSOR_KEPT + MILLISECOND)).await.unwrap();
    assert_eq!(taken, [cursor(young, 6)]);
    assert_eq!(cursors.take(session, at(0)).await.unwrap(), [], "the old one is removed as well");
}

/// Both connections' places are kept as long as the later of the two.
pub async fn a_cursor_is_as_young_as_its_latest_connection(cursors: &dyn Cursors) {
    let (session, room) = (session_id(), room_id());
    cursors.put(session, &[cursor(room, 5)], at(0)).await.unwrap();
    let later = at(0).plus(CURSOR_KEPT / 2);
    cursors.put(session, &[cursor(room, 9)], later).await.unwrap();
    assert_eq!(cursors.purge(later.plus(CURSOR_KEPT)).await.unwrap(), 0);
    assert_eq!(cursors.take(session, later.plus(CURSOR_KEPT)).await.unwrap(), [cursor(room, 5)]);
}

pub async fn a_purge_removes_and_counts_what_is_too_old(cursors: &dyn Cursors) {
    let (session, a, b, c) = (session_id(), room_id(), room_id(), room_id());
    cursors.put(session, &[cursor(a, 1), cursor(b, 2)], at(0)).await.unwrap();
    cursors.put(session, &[cursor(c, 3)], at(1)).await.unwrap();
    assert_eq!(cursors.purge(at(0).plus(CURSOR_KEPT)).await.unwrap(), 0);
    assert_eq!(cursors.purge(at(0).plus(CURSOR_KEPT + MILLISECOND)).await.unwrap(), 2);
    assert_eq!(cursors.take(session, at(2)).await.unwrap(), [cursor(c, 3)]);
}
