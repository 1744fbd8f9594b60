//! What `after`, `before`, `page`, `heads` and `unread` promise.

use super::{NONE, append_new, head, numbers, visible};
use crate::chat::NewMessage;
use crate::contract::{at, language, pending, room_id, sent, settled, translated, user_id};
use crate::id::{RoomId, Seq};
use crate::limits;
use crate::ports::{Messages, Page, Unread};

/// A room with ten visible messages and, after them, a pending and a settled one, both hidden; and another such room.
async fn ten_and_two_hidden(messages: &dyn Messages) -> RoomId {
    let rooms = [room_id(), room_id()];
    for room in rooms {
        let sender = user_id();
        let mut batch: Vec<NewMessage> = (1..=10).map(|n| settled(room, sender, &format!("message {n}"))).collect();
        batch.extend([pending(room, sender, "pending"), settled(room, sender, "behind it")]);
        append_new(messages, &batch).await;
    }
    rooms[0]
}

async fn after(messages: &dyn Messages, room: RoomId, seq: u64, limit: u32) -> Vec<u64> {
    let found = messages.after(room, Seq(seq), limit, false).await.unwrap();
    assert!(found.iter().all(|message| message.room == room));
    numbers(&found)
}

async fn before(messages: &dyn Messages, room: RoomId, seq: u64, limit: u32) -> Vec<u64> {
    let found = messages.before(room, Seq(seq), limit).await.unwrap();
    assert!(found.iter().all(|message| message.room == room));
    numbers(&found)
}

async fn page(messages: &dyn Messages, room: RoomId, anchor: u64, page: u32) -> (Vec<u64>, u64) {
    let Page { messages, total } = messages.page(room, Seq(anchor), page, 4).await.unwrap();
    assert!(messages.iter().all(|message| message.room == room));
    (numbers(&messages), total)
}

async fn unread(messages: &dyn Messages, of: &[Unread]) -> Vec<u64> {
    messages.unread(of).await.unwrap()
}

pub async fn what_comes_after_a_number_ascends_and_is_limited(messages: &dyn Messages) {
    let room = ten_and_two_hidden(messages).await;
    assert_eq!(after(messages, room, 0, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(after(messages, room, 4, 3).await, [5, 6, 7]);
    assert_eq!(after(messages, room, 8, 3).await, [9, 10]);
    assert_eq!(after(messages, room, 10, 3).await, NONE);
    assert_eq!(after(messages, room, u64::MAX, 3).await, NONE);
    assert_eq!(after(messages, room_id(), 0, 3).await, NONE);
}

pub async fn what_comes_before_a_number_descends_and_is_limited(messages: &dyn Messages) {
    let room = ten_and_two_hidden(messages).await;
    assert_eq!(before(messages, room, 7, 3).await, [6, 5, 4]);
    assert_eq!(before(messages, room, 3, 3).await, [2, 1]);
    assert_eq!(before(messages, room, 1, 3).await, NONE);
    assert_eq!(before(messages, room, 0, 3).await, NONE);
    assert_eq!(before(messages, room_id(), 9, 3).await, NONE);
}

pub async fn what_is_hidden_is_given_only_where_it_is_asked_for(messages: &dyn Messages) {
    let room = ten_and_two_hidden(messages).await;
    assert_eq!(after(messages, room, 8, 100).await, [9, 10]);
    assert_eq!(numbers(&messages.after(room, Seq(8), 100, true).await.unwrap()), [9, 10, 11, 12]);
    assert_eq!(numbers(&messages.after(room, Seq(8), 3, true).await.unwrap()), [9, 10, 11]);
    assert_eq!(before(messages, room, u64::MAX, 2).await, [10, 9]);
    for seq in [11, 12] {
        let found = messages.find(room, Seq(seq)).await.unwrap().unwrap();
        assert_eq!(messages.find_by_id(found.id).await.unwrap(), Some(found));
    }
}

pub async fn pages_count_from_the_newest(messages: &dyn Messages) {
    let room = ten_and_two_hidden(messages).await;
    for (number, expect) in [(0, &[10, 9, 8, 7][..]), (1, &[6, 5, 4, 3]), (2, &[2, 1]), (3, &[]), (1_000_000, &[])] {
        assert_eq!(page(messages, room, 10, number).await, (expect.to_vec(), 10), "page {number}");
    }
    assert_eq!(page(messages, room, 0, 0).await, (vec![], 0));
    assert_eq!(page(messages, room_id(), 10, 0).await, (vec![], 0));
}

pub async fn a_page_does_not_shift_when_messages_arrive(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &(0..6).map(|_| settled(room, sender, "early")).collect::<Vec<_>>()).await;
    let early = (page(messages, room, 6, 0).await, page(messages, room, 6, 1).await);
    assert_eq!(early, ((vec![6, 5, 4, 3], 6), (vec![2, 1], 6)));
    append_new(messages, &(0..3).map(|_| settled(room, sender, "late")).collect::<Vec<_>>()).await;
    assert_eq!((page(messages, room, 6, 0).await, page(messages, room, 6, 1).await), early);
    assert_eq!(page(messages, room, 9, 0).await, (vec![9, 8, 7, 6], 9));
}

pub async fn a_page_leaves_out_what_is_hidden(messages: &dyn Messages) {
    let room = ten_and_two_hidden(messages).await;
    for anchor in [10, 11, 12, u64::MAX] {
        assert_eq!(page(messages, room, anchor, 0).await, (vec![10, 9, 8, 7], 10), "anchor {anchor}");
    }
}

pub async fn heads_come_in_the_order_asked(messages: &dyn Messages) {
    let (one, other, empty) = (room_id(), room_id(), room_id());
    append_new(messages, &[settled(one, user_id(), "a")]).await;
    append_new(messages, &[settled(other, user_id(), "b"), settled(other, user_id(), "c")]).await;
    let heads = messages.heads(&[other, empty, one, other]).await.unwrap();
    let told: Vec<_> = heads.iter().map(|head| (head.room, head.head.0, head.published.0)).collect();
    assert_eq!(told, [(other, 2, 2), (empty, 0, 0), (one, 1, 1), (other, 2, 2)]);
    assert_eq!(heads[1].last, None);
    assert_eq!(messages.heads(&[]).await.unwrap(), []);
}

pub async fn a_head_tells_the_last_number_and_the_last_visible_message(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[pending(room, sender, "a"), settled(room, sender, "b")]).await;
    let hidden = head(messages, room).await;
    assert_eq!((hidden.head, hidden.published, hidden.last), (Seq(2), Seq::ZERO, None));
    messages.release(room, Seq(1)).await.unwrap();
    append_new(messages, &[pending(room, sender, "c")]).await;
    let shown = head(messages, room).await;
    assert_eq!((shown.head, shown.published), (Seq(3), Seq(2)));
    assert_eq!(shown.last, messages.find(room, Seq(2)).await.unwrap());
}

pub async fn a_head_tells_when_any_message_changed(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[sent(pending(room, sender, "a"), at(10))]).await;
    assert_eq!(head(messages, room).await.changed_at, at(10));
    append_new(messages, &[sent(pending(room, sender, "b"), at(20))]).await;
    assert_eq!(head(messages, room).await.changed_at, at(20));
    messages.release(room, Seq(2)).await.unwrap();
    messages.translate(room, Seq(1), &language("ko"), &translated("가"), at(30)).await.unwrap();
    assert_eq!(head(messages, room).await.changed_at, at(30));
    messages.translate(room, Seq(1), &language("ko"), &translated("나"), at(40)).await.unwrap();
    assert_eq!(head(messages, room).await.changed_at, at(30), "a late result changes nothing");
}

pub async fn unread_are_the_visible_messages_of_others_after_the_mark(messages: &dyn Messages) {
    let (room, reader, other) = (room_id(), user_id(), user_id());
    let mut batch: Vec<NewMessage> =
        [other, reader, other, other, reader, other].into_iter().map(|sender| settled(room, sender, "x")).collect();
    batch.extend([pending(room, other, "hidden"), settled(room, other, "hidden behind it")]);
    append_new(messages, &batch).await;
    for (after, expect) in [(0, 4), (1, 3), (2, 3), (3, 2), (5, 1), (6, 0), (8, 0), (u64::MAX, 0)] {
        assert_eq!(unread(messages, &[Unread { room, reader, after: Seq(after) }]).await, [expect], "after {after}");
    }
    assert_eq!(unread(messages, &[Unread { room, reader: other, after: Seq::ZERO }]).await, [2]);
    messages.release(room, Seq(7)).await.unwrap();
    assert_eq!(unread(messages, &[Unread { room, reader, after: Seq(6) }]).await, [2]);
}

pub async fn unread_are_counted_in_the_order_asked(messages: &dyn Messages) {
    let (one, other, reader, sender) = (room_id(), room_id(), user_id(), user_id());
    append_new(messages, &[settled(one, sender, "a")]).await;
    append_new(messages, &[settled(other, sender, "b"), settled(other, sender, "c")]).await;
    let of = |room| Unread { room, reader, after: Seq::ZERO };
    let asked = [of(other), of(room_id()), of(one), of(other), Unread { after: Seq(1), ..of(other) }];
    assert_eq!(unread(messages, &asked).await, [2, 0, 1, 2, 1]);
    assert_eq!(unread(messages, &[]).await, NONE);
}

pub async fn unread_are_counted_up_to_a_limit(messages: &dyn Messages) {
    let (room, reader, sender) = (room_id(), user_id(), user_id());
    let count = limits::UNREAD_MAX + 1;
    let mut left = usize::try_from(count).unwrap();
    while left > 0 {
        let size = left.min(500);
        append_new(messages, &(0..size).map(|_| settled(room, sender, "x")).collect::<Vec<_>>()).await;
        left -= size;
    }
    let of = |after| [Unread { room, reader, after: Seq(after) }];
    assert_eq!(unread(messages, &of(0)).await, [limits::UNREAD_MAX]);
    assert_eq!(unread(messages, &of(2)).await, [limits::UNREAD_MAX - 1]);
    assert_eq!(visible(messages, room).await.len(), 1000, "the list of a law is limited as well");
}
