//! The laws of [`Rooms`]. They register people with [`Users`] where a room is looked for by a name.

use futures_util::future::{BoxFuture, join_all};

use super::sessions::revocation;
use super::{RACERS, at, room_id, room_of, somebody, user_id};
use crate::chat::Room;
use crate::id::{RoomId, Seq, UserId};
use crate::ports::{Opened, RoomQuery, Rooms, Users};
use crate::user::User;

/// One law.
pub type Law = for<'a> fn(&'a dyn Rooms, &'a dyn Users) -> BoxFuture<'a, ()>;

contract!($, rooms, rooms_contract, (rooms, users), [
    a_stored_room_is_found,
    an_unknown_room_is_not_found,
    a_pair_has_one_room_per_language,
    another_language_or_another_pair_is_another_room,
    concurrent_openings_give_the_same_room,
    a_member_has_a_place,
    an_outsider_has_no_place,
    a_list_shows_the_rooms_of_one_user,
    a_list_begins_with_the_latest_activity,
    of_two_rooms_at_the_same_moment_the_greater_id_is_first,
    a_list_comes_in_pages,
    a_filter_is_part_of_the_others_name_in_any_case_of_letters,
    a_filter_is_text_and_never_a_pattern,
    a_filter_is_not_compared_with_ones_own_name,
    a_filter_is_compared_with_the_name_that_is_shown,
    the_room_of_one_who_left_stays_and_is_found_by_the_name_that_is_shown,
    a_filtered_list_counts_and_pages_what_matches,
    an_activity_is_noted_and_only_rises,
    a_read_mark_only_rises,
    a_read_mark_belongs_to_one_member_of_one_room,
    an_outsider_has_no_read_mark,
    concurrent_read_marks_end_at_the_highest,
]);

fn query(name: &str, page: u32, size: u32) -> RoomQuery {
    RoomQuery { name: name.to_owned(), page, size }
}

async fn open(rooms: &dyn Rooms, room: &Room) {
    assert_eq!(rooms.open(room).await.unwrap(), Opened::New(room.clone()));
}

async fn listed(rooms: &dyn Rooms, user: UserId, query: RoomQuery) -> (Vec<RoomId>, u64) {
    let page = rooms.list(user, &query).await.unwrap();
    (page.rooms.iter().map(|room| room.id).collect(), page.total)
}

/// A registered reader and, for each name, a registered friend with whom they have a room. The first room is the latest.
async fn reader_of(rooms: &dyn Rooms, users: &dyn Users, names: &[&str]) -> (User, Vec<RoomId>) {
    let reader = somebody("Reader");
    users.register(&reader).await.unwrap();
    let mut ids = Vec::new();
    for (index, name) in (0u64..).zip(names) {
        let friend = somebody(name);
        users.register(&friend).await.unwrap();
        let room = room_of(reader.id, friend.id, "en-us", at(1000 - index));
        open(rooms, &room).await;
        ids.push(room.id);
    }
    (reader, ids)
}

pub async fn a_stored_room_is_found(rooms: &dyn Rooms, _: &dyn Users) {
    let room = room_of(user_id(), user_id(), "pt-br", at(3));
    assert_eq!(rooms.open(&room).await.unwrap(), Opened::New(room.clone()));
    assert_eq!(rooms.find(room.id).await.unwrap(), Some(room));
}

pub async fn an_unknown_room_is_not_found(rooms: &dyn Rooms, _: &dyn Users) {
    open(rooms, &room_of(user_id(), user_id(), "ko", at(0))).await;
    assert_eq!(rooms.find(room_id()).await.unwrap(), None);
}

pub async fn a_pair_has_one_room_per_language(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, other) = (user_id(), user_id());
    let first = room_of(one, other, "ko", at(0));
    open(rooms, &first).await;
    rooms.mark_read(first.id, one, Seq(4)).await.unwrap();
    let first = rooms.find(first.id).await.unwrap().unwrap();
    for again in [room_of(one, other, "ko", at(1)), room_of(other, one, "ko", at(2))] {
        assert_eq!(rooms.open(&again).await.unwrap(), Opened::Existing(first.clone()));
        assert_eq!(rooms.find(again.id).await.unwrap(), None, "a second room of the pair was stored");
    }
}

pub async fn another_language_or_another_pair_is_another_room(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, other, third) = (user_id(), user_id(), user_id());
    for room in [
        room_of(one, other, "en-us", at(0)),
        room_of(one, other, "en", at(0)),
        room_of(one, other, "ko", at(0)),
        room_of(one, third, "ko", at(0)),
        room_of(other, third, "ko", at(0)),
    ] {
        assert_eq!(rooms.open(&room).await.unwrap(), Opened::New(room.clone()));
        assert_eq!(rooms.find(room.id).await.unwrap(), Some(room));
    }
}

pub async fn concurrent_openings_give_the_same_room(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, other) = (user_id(), user_id());
    let racers: Vec<Room> = (0..RACERS).map(|_| room_of(one, other, "ko", at(0))).collect();
    let opened = join_all(racers.iter().map(|room| rooms.open(room))).await;
    let (mut new, mut given) = (0, Vec::new());
    for opened in opened {
        match opened.unwrap() {
            Opened::New(room) => {
                new += 1;
                given.push(room);
            }
            Opened::Existing(room) => given.push(room),
        }
    }
    assert_eq!(new, 1, "{new} rooms of one pair were new");
    assert!(given.iter().all(|room| *room == given[0]), "several rooms were given for one pair");
    assert_eq!(listed(rooms, one, query("", 0, 20)).await, (vec![given[0].id], 1));
}

pub async fn a_member_has_a_place(rooms: &dyn Rooms, _: &dyn Users) {
    let room = room_of(user_id(), user_id(), "ko", at(8));
    open(rooms, &room).await;
    for member in &room.members {
        assert_eq!(rooms.membership(room.id, member.user).await.unwrap().as_ref(), Some(member));
    }
}

pub async fn an_outsider_has_no_place(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, outsider) = (user_id(), user_id());
    let room = room_of(one, user_id(), "ko", at(0));
    open(rooms, &room).await;
    open(rooms, &room_of(outsider, user_id(), "ko", at(0))).await;
    assert_eq!(rooms.membership(room.id, outsider).await.unwrap(), None);
    assert_eq!(rooms.membership(room_id(), one).await.unwrap(), None);
}

pub async fn a_list_shows_the_rooms_of_one_user(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, other, third) = (user_id(), user_id(), user_id());
    let mine = room_of(one, other, "ko", at(0));
    let theirs = room_of(other, third, "ko", at(1));
    open(rooms, &mine).await;
    open(rooms, &theirs).await;
    let page = rooms.list(one, &query("", 0, 20)).await.unwrap();
    assert_eq!((page.rooms, page.total), (vec![mine.clone()], 1));
    assert_eq!(listed(rooms, other, query("", 0, 20)).await, (vec![theirs.id, mine.id], 2));
    assert_eq!(listed(rooms, user_id(), query("", 0, 20)).await, (vec![], 0));
}

pub async fn a_list_begins_with_the_latest_activity(rooms: &dyn Rooms, _: &dyn Users) {
    let user = user_id();
    let [old, middle, new] = [10, 20, 30].map(|millis| room_of(user, user_id(), "ko", at(millis)));
    for room in [&middle, &new, &old] {
        open(rooms, room).await;
    }
    assert_eq!(listed(rooms, user, query("", 0, 20)).await.0, [new.id, middle.id, old.id]);
    // A room without a message counts from its opening, between those that have messages.
    rooms.touch(old.id, at(40)).await.unwrap();
    assert_eq!(listed(rooms, user, query("", 0, 20)).await.0, [old.id, new.id, middle.id]);
    rooms.touch(middle.id, at(35)).await.unwrap();
    assert_eq!(listed(rooms, user, query("", 0, 20)).await.0, [old.id, middle.id, new.id]);
}

pub async fn of_two_rooms_at_the_same_moment_the_greater_id_is_first(rooms: &dyn Rooms, _: &dyn Users) {
    let user = user_id();
    let mut ids = Vec::new();
    for room in [4, 4, 4].map(|millis| room_of(user, user_id(), "ko", at(millis))) {
        open(rooms, &room).await;
        ids.push(room.id);
    }
    rooms.touch(ids[1], at(4)).await.unwrap();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(listed(rooms, user, query("", 0, 20)).await.0, ids);
}

pub async fn a_list_comes_in_pages(rooms: &dyn Rooms, _: &dyn Users) {
    let user = user_id();
    let mut ids = Vec::new();
    for millis in 0..5 {
        let room = room_of(user, user_id(), "ko", at(100 - millis));
        open(rooms, &room).await;
        ids.push(room.id);
    }
    for (page, expect) in [(0, &ids[..2]), (1, &ids[2..4]), (2, &ids[4..]), (3, &[]), (1_000_000, &[])] {
        assert_eq!(listed(rooms, user, query("", page, 2)).await, (expect.to_vec(), 5), "page {page}");
    }
}

pub async fn a_filter_is_part_of_the_others_name_in_any_case_of_letters(rooms: &dyn Rooms, users: &dyn Users) {
    let names = ["Émile ZOLA", "alice", "김지민"];
    let (reader, ids) = reader_of(rooms, users, &names).await;
    for (filter, expect) in [
        ("zol", &ids[..1]),
        ("Emile", &[]),
        ("émile zola", &ids[..1]),
        ("ÉMILE", &ids[..1]),
        ("LIC", &ids[1..2]),
        ("지", &ids[2..]),
        ("nobody", &[]),
        ("", &ids[..]),
    ] {
        assert_eq!(listed(rooms, reader.id, query(filter, 0, 20)).await.0, expect, "{filter:?}");
    }
}

pub async fn a_filter_is_text_and_never_a_pattern(rooms: &dyn Rooms, users: &dyn Users) {
    let (reader, ids) =
        reader_of(rooms, users, &["a%b", "a_b", "a*b", "a?b", "a\\b", "a[b]", "a'b", "a.b", "axb"]).await;
    for (index, filter) in ["%", "_", "*", "?", "\\", "[b]", "'", ".", "x"].into_iter().enumerate() {
        assert_eq!(listed(rooms, reader.id, query(filter, 0, 20)).await.0, [ids[index]], "{filter:?}");
    }
}

pub async fn a_filter_is_not_compared_with_ones_own_name(rooms: &dyn Rooms, users: &dyn Users) {
    let (reader, ids) = reader_of(rooms, users, &["Alice", "Bob"]).await;
    assert_eq!(listed(rooms, reader.id, query("Reader", 0, 20)).await, (vec![], 0));
    assert_eq!(listed(rooms, reader.id, query("b", 0, 20)).await, (vec![ids[1]], 1));
}

pub async fn a_filter_is_compared_with_the_name_that_is_shown(rooms: &dyn Rooms, users: &dyn Users) {
    let reader = user_id();
    let gone = User { withdrawn_at: Some(at(1)), ..somebody("Alice") };
    users.register(&gone).await.unwrap();
    let room = room_of(reader, gone.id, "ko", at(0));
    open(rooms, &room).await;
    assert_eq!(listed(rooms, reader, query("alice", 0, 20)).await, (vec![], 0));
    assert_eq!(listed(rooms, reader, query(gone.shown_name(), 0, 20)).await, (vec![room.id], 1));
}

pub async fn the_room_of_one_who_left_stays_and_is_found_by_the_name_that_is_shown(
    rooms: &dyn Rooms,
    users: &dyn Users,
) {
    let (reader, ids) = reader_of(rooms, users, &["Alice", "Bob"]).await;
    let alice = rooms.find(ids[0]).await.unwrap().unwrap().other(reader.id).unwrap().user;
    assert_eq!(listed(rooms, reader.id, query("alice", 0, 20)).await, (vec![ids[0]], 1));
    users.withdraw(alice, &revocation(alice, 10)).await.unwrap().unwrap();
    let shown = users.find(alice).await.unwrap().unwrap().shown_name().to_owned();
    assert_eq!(listed(rooms, reader.id, query("alice", 0, 20)).await, (vec![], 0));
    assert_eq!(listed(rooms, reader.id, query(&shown, 0, 20)).await, (vec![ids[0]], 1));
    assert_eq!(listed(rooms, reader.id, query("", 0, 20)).await, (ids.clone(), 2));
    assert!(rooms.membership(ids[0], alice).await.unwrap().is_some());
}

pub async fn a_filtered_list_counts_and_pages_what_matches(rooms: &dyn Rooms, users: &dyn Users) {
    let (reader, ids) = reader_of(rooms, users, &["Ann", "Bob", "Anna", "Carl", "Hanna"]).await;
    assert_eq!(listed(rooms, reader.id, query("ann", 0, 2)).await, (vec![ids[0], ids[2]], 3));
    assert_eq!(listed(rooms, reader.id, query("ann", 1, 2)).await, (vec![ids[4]], 3));
}

pub async fn an_activity_is_noted_and_only_rises(rooms: &dyn Rooms, _: &dyn Users) {
    let room = room_of(user_id(), user_id(), "ko", at(100));
    let other = room_of(user_id(), user_id(), "ko", at(100));
    open(rooms, &room).await;
    open(rooms, &other).await;
    for (touch, expect) in [(200, 200), (150, 200), (300, 300)] {
        rooms.touch(room.id, at(touch)).await.unwrap();
        let found = rooms.find(room.id).await.unwrap().unwrap();
        assert_eq!(found, Room { last_message_at: Some(at(expect)), ..room.clone() });
    }
    assert_eq!(rooms.find(other.id).await.unwrap(), Some(other));
}

pub async fn a_read_mark_only_rises(rooms: &dyn Rooms, _: &dyn Users) {
    let user = user_id();
    let room = room_of(user, user_id(), "ko", at(0));
    open(rooms, &room).await;
    for (mark, rises, expect) in [(5, true, 5), (3, false, 5), (5, false, 5), (0, false, 5), (7, true, 7)] {
        assert_eq!(rooms.mark_read(room.id, user, Seq(mark)).await.unwrap(), rises, "mark {mark}");
        assert_eq!(rooms.membership(room.id, user).await.unwrap().unwrap().read, Seq(expect), "after mark {mark}");
    }
}

pub async fn a_read_mark_belongs_to_one_member_of_one_room(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, other) = (user_id(), user_id());
    let (room, second) = (room_of(one, other, "ko", at(0)), room_of(one, other, "es", at(0)));
    open(rooms, &room).await;
    open(rooms, &second).await;
    rooms.mark_read(room.id, one, Seq(5)).await.unwrap();
    assert_eq!(rooms.membership(room.id, other).await.unwrap().unwrap().read, Seq::ZERO);
    let found = rooms.find(room.id).await.unwrap().unwrap();
    assert_eq!((found.member(one).unwrap().read, found.member(other).unwrap().read), (Seq(5), Seq::ZERO));
    assert_eq!(rooms.find(second.id).await.unwrap(), Some(second));
}

pub async fn an_outsider_has_no_read_mark(rooms: &dyn Rooms, _: &dyn Users) {
    let (one, outsider) = (user_id(), user_id());
    let room = room_of(one, user_id(), "ko", at(0));
    open(rooms, &room).await;
    assert!(!rooms.mark_read(room.id, outsider, Seq(5)).await.unwrap());
    assert!(!rooms.mark_read(room_id(), one, Seq(5)).await.unwrap());
    assert_eq!(rooms.find(room.id).await.unwrap(), Some(room));
}

pub async fn concurrent_read_marks_end_at_the_highest(rooms: &dyn Rooms, _: &dyn Users) {
    let user = user_id();
    let room = room_of(user, user_id(), "ko", at(0));
    open(rooms, &room).await;
    let marks = [3, 8, 1, 6, 2, 7, 5, 4];
    join_all(marks.map(|mark| rooms.mark_read(room.id, user, Seq(mark)))).await;
    assert_eq!(rooms.membership(room.id, user).await.unwrap().unwrap().read, Seq(8));
}
