//! What `translate` and `release` promise: the room shows a prefix, and it grows in order.

use futures_util::future::join_all;

use super::{NONE, append_new, append_one, head, numbers, visible};
use crate::chat::{Message, Translation, TranslationStatus};
use crate::contract::{RACERS, at, language, pending, room_id, settled, translated, user_id};
use crate::id::{Revision, RoomId, Seq};
use crate::ports::{Appended, Changed, Messages};

/// A room with these messages: `true` is settled, `false` is pending.
async fn room_with(messages: &dyn Messages, settlements: &[bool]) -> RoomId {
    let (room, sender) = (room_id(), user_id());
    let new = |is_settled: &bool| if *is_settled { settled(room, sender, "x") } else { pending(room, sender, "x") };
    append_new(messages, &settlements.iter().map(new).collect::<Vec<_>>()).await;
    room
}

async fn translate(messages: &dyn Messages, room: RoomId, seq: u64, result: &Translation) -> Changed {
    messages.translate(room, Seq(seq), &language("ko"), result, at(10)).await.unwrap()
}

/// Translates and answers with the numbers that became visible.
async fn settle(messages: &dyn Messages, room: RoomId, seq: u64) -> Vec<u64> {
    let changed = translate(messages, room, seq, &translated("번역")).await;
    assert_eq!(changed.message.map(|message| message.seq), Some(Seq(seq)));
    numbers(&changed.published)
}

async fn release(messages: &dyn Messages, room: RoomId, upto: u64) -> Vec<u64> {
    numbers(&messages.release(room, Seq(upto)).await.unwrap())
}

async fn found(messages: &dyn Messages, room: RoomId, seq: u64) -> Message {
    messages.find(room, Seq(seq)).await.unwrap().unwrap()
}

const UNCHANGED: Changed = Changed { message: None, published: Vec::new() };

pub async fn a_settled_message_is_visible_at_once(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let mut new = settled(room, sender, "hello");
    new.translations.insert(language("ko"), translated("안녕"));
    new.translations.insert(language("en-us"), Translation::skipped(1));
    let Appended::Stored { message, visible } = append_one(messages, new).await else { panic!("it is not new") };
    assert!(visible, "a settled message is not visible");
    assert_eq!(messages.after(room, Seq::ZERO, 10, false).await.unwrap(), [message]);
    assert_eq!(head(messages, room).await.published, Seq(1));
}

pub async fn a_pending_message_is_hidden_until_it_settles(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let appended = append_one(messages, pending(room, sender, "hello")).await;
    assert!(matches!(appended, Appended::Stored { visible: false, .. }), "a pending message is visible");
    assert_eq!(visible(messages, room).await, NONE);
    let changed = translate(messages, room, 1, &translated("안녕")).await;
    assert_eq!(changed.published, [changed.message.unwrap()]);
    assert_eq!(visible(messages, room).await, [1]);
    assert_eq!(head(messages, room).await.published, Seq(1));
}

pub async fn a_settled_message_waits_for_all_before_it(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let batch = [
        settled(room, sender, "a"),
        pending(room, sender, "b"),
        settled(room, sender, "c"),
        pending(room, sender, "d"),
    ];
    let appended = messages.append(&batch).await.unwrap();
    let shown: Vec<bool> =
        appended.iter().map(|appended| matches!(appended, Appended::Stored { visible: true, .. })).collect();
    assert_eq!(shown, [true, false, false, false]);
    let later = append_one(messages, settled(room, sender, "e")).await;
    assert!(matches!(later, Appended::Stored { visible: false, .. }), "it did not wait");
    assert_eq!(visible(messages, room).await, [1]);
    assert_eq!(settle(messages, room, 2).await, [2, 3]);
    assert_eq!(visible(messages, room).await, [1, 2, 3]);
    assert_eq!(settle(messages, room, 4).await, [4, 5]);
}

pub async fn results_out_of_order_are_published_in_order(messages: &dyn Messages) {
    let room = room_with(messages, &[false; 4]).await;
    assert_eq!(settle(messages, room, 3).await, NONE);
    assert_eq!(settle(messages, room, 2).await, NONE);
    assert_eq!(visible(messages, room).await, NONE);
    let changed = translate(messages, room, 1, &translated("번역")).await;
    let mut expect = Vec::new();
    for seq in 1..=3 {
        expect.push(found(messages, room, seq).await);
    }
    assert_eq!(changed.published, expect);
    assert_eq!(visible(messages, room).await, [1, 2, 3]);
    assert_eq!(settle(messages, room, 4).await, [4]);
}

pub async fn a_result_is_written_and_raises_the_revision(messages: &dyn Messages) {
    let room = room_with(messages, &[false]).await;
    let mut expect = found(messages, room, 1).await;
    assert!(expect.apply(&language("ko"), &translated("안녕"), at(10)));
    assert_eq!(expect.revision, Revision(1));
    let changed = translate(messages, room, 1, &translated("안녕")).await;
    assert_eq!(changed.message.as_ref(), Some(&expect));
    assert_eq!(found(messages, room, 1).await, expect);
    assert_eq!(messages.after(room, Seq::ZERO, 10, false).await.unwrap(), [expect]);
}

pub async fn the_last_of_several_languages_settles_a_message(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let mut new = pending(room, sender, "hello");
    new.translations.insert(language("es"), Translation::pending(1));
    append_new(messages, &[new]).await;
    let first = messages.translate(room, Seq(1), &language("es"), &translated("hola"), at(10)).await.unwrap();
    assert_eq!((first.message.unwrap().revision, first.published), (Revision(1), vec![]));
    assert_eq!(visible(messages, room).await, NONE);
    let second = translate(messages, room, 1, &translated("안녕")).await;
    let message = second.message.unwrap();
    assert_eq!(message.revision, Revision(2));
    assert_eq!(message.translations[&language("es")].text.as_deref(), Some("hola"));
    assert_eq!(second.published, [message]);
}

pub async fn a_failed_result_settles_a_message_too(messages: &dyn Messages) {
    let room = room_with(messages, &[false, true]).await;
    let failed = Translation { status: TranslationStatus::Failed, text: None, ..translated("") };
    let changed = translate(messages, room, 1, &failed).await;
    assert_eq!(numbers(&changed.published), [1, 2]);
    assert_eq!(found(messages, room, 1).await.translations[&language("ko")], failed);
}

pub async fn a_second_result_changes_nothing(messages: &dyn Messages) {
    let room = room_with(messages, &[false]).await;
    translate(messages, room, 1, &translated("first")).await;
    let before = found(messages, room, 1).await;
    for late in [translated("second"), Translation::pending(1), Translation::skipped(1)] {
        assert_eq!(translate(messages, room, 1, &late).await, UNCHANGED);
    }
    assert_eq!(found(messages, room, 1).await, before);
}

pub async fn a_result_for_another_version_changes_nothing(messages: &dyn Messages) {
    let room = room_with(messages, &[false]).await;
    let before = found(messages, room, 1).await;
    for version in [0, 2] {
        let stale = Translation { version, ..translated("stale") };
        assert_eq!(translate(messages, room, 1, &stale).await, UNCHANGED);
    }
    assert_eq!(found(messages, room, 1).await, before);
    assert_eq!(visible(messages, room).await, NONE);
}

pub async fn a_result_for_an_unknown_language_or_message_changes_nothing(messages: &dyn Messages) {
    let room = room_with(messages, &[false]).await;
    let before = found(messages, room, 1).await;
    let result = translated("x");
    assert_eq!(messages.translate(room, Seq(1), &language("es"), &result, at(10)).await.unwrap(), UNCHANGED);
    assert_eq!(translate(messages, room, 2, &result).await, UNCHANGED);
    assert_eq!(translate(messages, room_id(), 1, &result).await, UNCHANGED);
    assert_eq!(found(messages, room, 1).await, before);
    assert_eq!(visible(messages, room).await, NONE);
}

pub async fn concurrent_results_publish_each_message_once(messages: &dyn Messages) {
    let room = room_with(messages, &[false; RACERS]).await;
    let result = translated("번역");
    // Each twice: of two engines that answer at once, one is late.
    let seqs = (1..=RACERS as u64).rev().chain(1..=RACERS as u64);
    let changed = join_all(seqs.map(|seq| translate(messages, room, seq, &result))).await;
    assert_eq!(changed.iter().filter(|changed| changed.message.is_some()).count(), RACERS);
    assert!(changed.iter().all(|changed| changed.published.is_sorted_by_key(|message| message.seq)));
    let mut published: Vec<u64> = changed.iter().flat_map(|changed| numbers(&changed.published)).collect();
    published.sort_unstable();
    let all: Vec<u64> = (1..=RACERS as u64).collect();
    assert_eq!(published, all);
    assert_eq!(visible(messages, room).await, all);
}

pub async fn a_released_message_is_visible_although_it_is_pending(messages: &dyn Messages) {
    let room = room_with(messages, &[false, false, false]).await;
    let released = messages.release(room, Seq(2)).await.unwrap();
    assert_eq!(released, [found(messages, room, 1).await, found(messages, room, 2).await]);
    assert!(!released[0].is_settled());
    assert_eq!(visible(messages, room).await, [1, 2]);
    assert_eq!(head(messages, room).await.published, Seq(2));
}

pub async fn a_release_publishes_what_is_settled_after_it(messages: &dyn Messages) {
    let room = room_with(messages, &[true, false, true, true, false, true]).await;
    assert_eq!(release(messages, room, 2).await, [2, 3, 4]);
    assert_eq!(visible(messages, room).await, [1, 2, 3, 4]);
    assert_eq!(release(messages, room, 5).await, [5, 6]);
}

pub async fn a_release_never_goes_back(messages: &dyn Messages) {
    let room = room_with(messages, &[false, false, false]).await;
    assert_eq!(release(messages, room, 2).await, [1, 2]);
    for again in [2, 1, 0] {
        assert_eq!(release(messages, room, again).await, NONE);
        assert_eq!(visible(messages, room).await, [1, 2]);
        assert_eq!(head(messages, room).await.published, Seq(2));
    }
}

pub async fn a_release_ends_at_the_last_message(messages: &dyn Messages) {
    let room = room_with(messages, &[false]).await;
    assert_eq!(release(messages, room, u64::MAX).await, [1]);
    assert_eq!(head(messages, room).await.published, Seq(1));
    append_new(messages, &[pending(room, user_id(), "later")]).await;
    assert_eq!(visible(messages, room).await, [1], "a message was visible before it was written");
    let empty = room_id();
    assert_eq!(release(messages, empty, 9).await, NONE);
    append_new(messages, &[pending(empty, user_id(), "first")]).await;
    assert_eq!(visible(messages, empty).await, NONE);
}

pub async fn a_result_after_a_release_changes_the_message_and_publishes_nothing(messages: &dyn Messages) {
    let room = room_with(messages, &[false, false]).await;
    release(messages, room, 1).await;
    let changed = translate(messages, room, 1, &translated("late")).await;
    assert_eq!(changed.published, []);
    let message = changed.message.unwrap();
    assert_eq!((message.revision, message.is_settled()), (Revision(1), true));
    assert_eq!(found(messages, room, 1).await, message);
    assert_eq!(visible(messages, room).await, [1]);
}

pub async fn rooms_become_visible_on_their_own(messages: &dyn Messages) {
    let (one, other) = (room_with(messages, &[false, true]).await, room_with(messages, &[false, false]).await);
    assert_eq!(settle(messages, one, 1).await, [1, 2]);
    assert_eq!(visible(messages, other).await, NONE);
    assert_eq!(release(messages, other, 2).await, [1, 2]);
    assert_eq!(visible(messages, one).await, [1, 2]);
    assert!(found(messages, other, 1).await.pending().next().is_some());
}
