//! What `pending`, `hidden` and `purge` promise. They look at all rooms: these laws need a store of their own.

use super::{append_new, head, visible};
use crate::chat::{Message, NewMessage, Translation};
use crate::contract::{at, language, pending, room_id, sent, settled, translated, user_id};
use crate::id::{RoomId, Seq};
use crate::ports::{Changed, Messages, Unread};

/// Where the messages are.
fn places(messages: &[Message]) -> Vec<(RoomId, u64)> {
    messages.iter().map(|message| (message.room, message.seq.0)).collect()
}

/// A room of settled messages that were sent at these moments.
async fn room_sent_at(messages: &dyn Messages, moments: impl IntoIterator<Item = u64>) -> RoomId {
    let (room, sender) = (room_id(), user_id());
    let batch: Vec<NewMessage> =
        moments.into_iter().map(|millis| sent(settled(room, sender, "x"), at(millis))).collect();
    append_new(messages, &batch).await;
    room
}

pub async fn pending_work_is_found_oldest_first_until_it_is_done(messages: &dyn Messages) {
    let (one, other, sender) = (room_id(), room_id(), user_id());
    let mut two_languages = sent(pending(other, sender, "x"), at(2));
    two_languages.translations.insert(language("es"), Translation::pending(1));
    let batch = [
        sent(pending(one, sender, "x"), at(1)),
        two_languages,
        sent(settled(one, sender, "x"), at(3)),
        sent(pending(one, sender, "x"), at(4)),
    ];
    append_new(messages, &batch).await;
    let found = messages.pending(10).await.unwrap();
    assert_eq!(places(&found), [(one, 1), (other, 1), (one, 3)]);
    assert_eq!(messages.find(other, Seq(1)).await.unwrap().as_ref(), Some(&found[1]));
    assert_eq!(places(&messages.pending(2).await.unwrap()), [(one, 1), (other, 1)]);
    // A release shows a message; its translation is still to be made.
    messages.release(one, Seq(1)).await.unwrap();
    messages.translate(other, Seq(1), &language("ko"), &translated("x"), at(5)).await.unwrap();
    assert_eq!(places(&messages.pending(10).await.unwrap()), [(one, 1), (other, 1), (one, 3)]);
    messages.translate(one, Seq(1), &language("ko"), &translated("x"), at(6)).await.unwrap();
    messages.translate(other, Seq(1), &language("es"), &translated("x"), at(7)).await.unwrap();
    assert_eq!(places(&messages.pending(10).await.unwrap()), [(one, 3)]);
}

pub async fn hidden_messages_are_found_oldest_first_until_they_are_visible(messages: &dyn Messages) {
    let (one, other, sender) = (room_id(), room_id(), user_id());
    let batch = [
        sent(settled(one, sender, "x"), at(1)),
        sent(pending(other, sender, "x"), at(2)),
        sent(pending(one, sender, "x"), at(3)),
        sent(settled(one, sender, "x"), at(4)),
    ];
    append_new(messages, &batch).await;
    assert_eq!(places(&messages.hidden(10).await.unwrap()), [(other, 1), (one, 2), (one, 3)]);
    assert_eq!(places(&messages.hidden(2).await.unwrap()), [(other, 1), (one, 2)]);
    messages.translate(one, Seq(2), &language("ko"), &translated("x"), at(5)).await.unwrap();
    assert_eq!(places(&messages.hidden(10).await.unwrap()), [(other, 1)]);
    messages.release(other, Seq(1)).await.unwrap();
    assert_eq!(messages.hidden(10).await.unwrap(), []);
}

pub async fn a_purge_removes_what_is_old_and_counts_it(messages: &dyn Messages) {
    let room = room_sent_at(messages, [10, 20, 30, 40]).await;
    let young = room_sent_at(messages, [30]).await;
    let gone = messages.find(room, Seq(1)).await.unwrap().unwrap();
    assert_eq!(messages.purge(at(30), 100).await.unwrap(), 2);
    assert_eq!(visible(messages, room).await, [3, 4]);
    assert_eq!(visible(messages, young).await, [1]);
    assert_eq!(messages.find(room, Seq(1)).await.unwrap(), None);
    assert_eq!(messages.find_by_id(gone.id).await.unwrap(), None);
    assert_eq!(messages.before(room, Seq(4), 10).await.unwrap().len(), 1);
    let page = messages.page(room, Seq(4), 0, 10).await.unwrap();
    assert_eq!((page.messages.len(), page.total), (2, 2));
    let unread = Unread { room, reader: user_id(), after: Seq::ZERO };
    assert_eq!(messages.unread(&[unread]).await.unwrap(), [2]);
    assert_eq!(messages.purge(at(30), 100).await.unwrap(), 0);
}

/// Which of the old ones go first is free.
pub async fn a_purge_is_limited(messages: &dyn Messages) {
    let room = room_sent_at(messages, 0..5).await;
    for (removed, left) in [(2, 3), (2, 1), (1, 0)] {
        assert_eq!(messages.purge(at(100), 2).await.unwrap(), removed);
        assert_eq!(visible(messages, room).await.len(), left);
    }
}

pub async fn a_purge_never_removes_what_is_hidden(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[settled(room, sender, "a"), pending(room, sender, "b"), settled(room, sender, "c")]).await;
    assert_eq!(messages.purge(at(100), 100).await.unwrap(), 1);
    assert_eq!(places(&messages.hidden(10).await.unwrap()), [(room, 2), (room, 3)]);
    let changed = messages.translate(room, Seq(2), &language("ko"), &translated("x"), at(101)).await.unwrap();
    assert_eq!(places(&changed.published), [(room, 2), (room, 3)]);
}

pub async fn what_was_purged_is_no_work_and_takes_no_result(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[pending(room, sender, "a")]).await;
    messages.release(room, Seq(1)).await.unwrap();
    assert_eq!(messages.purge(at(100), 100).await.unwrap(), 1);
    assert_eq!(messages.pending(10).await.unwrap(), []);
    let late = messages.translate(room, Seq(1), &language("ko"), &translated("x"), at(101)).await.unwrap();
    assert_eq!(late, Changed { message: None, published: Vec::new() });
    assert_eq!(messages.find(room, Seq(1)).await.unwrap(), None);
}

pub async fn numbering_goes_on_after_a_purge(messages: &dyn Messages) {
    let room = room_sent_at(messages, 0..3).await;
    assert_eq!(messages.purge(at(100), 100).await.unwrap(), 3);
    let empty = head(messages, room).await;
    assert_eq!((empty.head, empty.published, empty.last), (Seq(3), Seq(3), None));
    let sender = user_id();
    assert_eq!(
        append_new(messages, &[settled(room, sender, "next"), pending(room, sender, "b")]).await,
        [Seq(4), Seq(5)]
    );
    assert_eq!(visible(messages, room).await, [4]);
    let next = head(messages, room).await;
    assert_eq!((next.head, next.published, next.last.map(|message| message.seq)), (Seq(5), Seq(4), Some(Seq(4))));
}
