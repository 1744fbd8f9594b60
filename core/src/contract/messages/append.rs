//! What `append`, `find` and `find_by_id` promise.

use futures_util::future::join_all;

use super::{append_new, append_one, head, numbers, visible};
use crate::chat::{Message, NewMessage, Text, Translation};
use crate::contract::{RACERS, at, language, message_id, named, pending, room_id, settled, translated, user_id};
use crate::id::Seq;
use crate::limits;
use crate::ports::{Appended, Messages, MessagesError};

fn seqs(numbers: impl IntoIterator<Item = u64>) -> Vec<Seq> {
    numbers.into_iter().map(Seq).collect()
}

/// The place at which a batch is refused for its client id.
async fn refused_at(messages: &dyn Messages, batch: &[NewMessage]) -> usize {
    match messages.append(batch).await {
        Err(MessagesError::IdReused { index }) => index,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the batch was not refused"),
    }
}

pub async fn numbers_begin_at_one_and_have_no_gap(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    for expect in 1..=5 {
        assert_eq!(append_new(messages, &[settled(room, sender, "hello")]).await, [Seq(expect)]);
    }
    let batch = [settled(room, sender, "a"), pending(room, sender, "b"), settled(room, user_id(), "c")];
    assert_eq!(append_new(messages, &batch).await, seqs(6..=8));
    assert_eq!(append_new(messages, &[settled(room, sender, "d")]).await, [Seq(9)]);
}

pub async fn rooms_are_numbered_on_their_own(messages: &dyn Messages) {
    let (one, other, sender) = (room_id(), room_id(), user_id());
    append_new(messages, &[settled(one, sender, "hello")]).await;
    let batch = [one, other, one, other, other].map(|room| settled(room, sender, "hello"));
    assert_eq!(append_new(messages, &batch).await, seqs([2, 1, 3, 2, 3]));
    assert_eq!(visible(messages, one).await, [1, 2, 3]);
    assert_eq!(visible(messages, other).await, [1, 2, 3]);
}

pub async fn a_batch_is_stored_in_its_order(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let batch: Vec<NewMessage> = (0..20).map(|n| settled(room, sender, &format!("message {n}"))).collect();
    let appended = messages.append(&batch).await.unwrap();
    let expect: Vec<Message> = (1..).map(Seq).zip(batch).map(|(seq, new)| Message::stored(new, seq)).collect();
    assert_eq!(appended.iter().map(Appended::message).collect::<Vec<_>>(), expect.iter().collect::<Vec<_>>());
    assert_eq!(messages.after(room, Seq::ZERO, 100, false).await.unwrap(), expect);
}

pub async fn an_empty_batch_stores_nothing(messages: &dyn Messages) {
    assert_eq!(messages.append(&[]).await.unwrap(), []);
}

pub async fn concurrent_appends_are_numbered_without_a_gap(messages: &dyn Messages) {
    let room = room_id();
    let batches: Vec<Vec<NewMessage>> = (0..RACERS)
        .map(|_| {
            let sender = user_id();
            (0..3).map(|n| settled(room, sender, &n.to_string())).collect()
        })
        .collect();
    let given = join_all(batches.iter().map(|batch| append_new(messages, batch))).await;
    let expect: Vec<u64> = (1..=3 * RACERS as u64).collect();
    assert!(given.iter().all(|batch| batch.is_sorted()), "a batch was not stored in its order");
    let mut all: Vec<u64> = given.concat().into_iter().map(|seq| seq.0).collect();
    all.sort_unstable();
    assert_eq!(all, expect);
    assert_eq!(numbers(&messages.after(room, Seq::ZERO, 1000, true).await.unwrap()), expect);
    assert_eq!(head(messages, room).await.head, Seq(3 * RACERS as u64));
}

pub async fn a_stored_message_is_found_as_it_was_given(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let mut full = named(pending(room, sender, "hello"), "a-Z_9");
    full.source = Some(language("en-us"));
    full.sent_at = at(77);
    full.translations.insert(language("es"), translated("hola"));
    full.translations.insert(language("en-us"), Translation::skipped(1));
    for (seq, new) in [(1, settled(room, sender, "plain")), (2, full)] {
        let expect = Message::stored(new.clone(), Seq(seq));
        let visible = expect.is_settled();
        let appended = append_one(messages, new).await;
        assert_eq!(appended, Appended::Stored { message: expect.clone(), visible });
        assert_eq!(messages.find(room, Seq(seq)).await.unwrap().as_ref(), Some(&expect));
        assert_eq!(messages.find_by_id(expect.id).await.unwrap(), Some(expect));
    }
}

pub async fn a_message_that_was_not_stored_is_not_found(messages: &dyn Messages) {
    let room = room_id();
    append_new(messages, &[settled(room, user_id(), "hello")]).await;
    for (room, seq) in [(room, 0), (room, 2), (room_id(), 1)] {
        assert_eq!(messages.find(room, Seq(seq)).await.unwrap(), None);
    }
    assert_eq!(messages.find_by_id(message_id()).await.unwrap(), None);
}

pub async fn a_text_is_kept_byte_for_byte(messages: &dyn Messages) {
    let room = room_id();
    let long = "가".repeat(limits::MESSAGE_CHARS_MAX);
    for text in [
        " blanks \t around \r\n",
        "a\0b\0",
        "e\u{301} is not \u{e9}, Ａ is not A",
        "👩‍👩‍👧‍👦 \u{feff}\u{202e}\u{10ffff}",
        "'; DROP TABLE messages; -- %s {} \\n \\u0000 \"",
        &long,
    ] {
        let mut new = pending(room, user_id(), text);
        new.translations.insert(language("es"), translated(text));
        let id = new.id;
        let seq = append_new(messages, &[new]).await[0];
        messages.translate(room, seq, &language("ko"), &translated(text), at(1)).await.unwrap();
        for found in [messages.find(room, seq).await, messages.find_by_id(id).await] {
            let found = found.unwrap().unwrap();
            assert_eq!(found.text.as_str(), text);
            assert!(found.translations.values().all(|translation| translation.text.as_deref() == Some(text)));
        }
    }
}

pub async fn a_repeated_client_id_is_the_same_message(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let first = append_one(messages, named(settled(room, sender, "hello"), "c1")).await.message().clone();
    append_new(messages, &[settled(room, sender, "between")]).await;
    let again = NewMessage { sent_at: at(9), ..named(settled(room, sender, "hello"), "c1") };
    let id = again.id;
    assert_eq!(append_one(messages, again).await, Appended::Known(first.clone()));
    assert_eq!(messages.find(room, first.seq).await.unwrap(), Some(first));
    assert_eq!(messages.find_by_id(id).await.unwrap(), None, "the repeat was stored");
    assert_eq!(visible(messages, room).await, [1, 2]);
    assert_eq!(append_new(messages, &[settled(room, sender, "next")]).await, [Seq(3)], "the repeat took a number");
}

pub async fn a_repeat_is_answered_with_the_message_as_it_is_now(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let new = named(pending(room, sender, "hello"), "c1");
    let seq = append_new(messages, std::slice::from_ref(&new)).await[0];
    let changed = messages.translate(room, seq, &language("ko"), &translated("안녕"), at(1)).await.unwrap();
    assert_eq!(append_one(messages, new).await, Appended::Known(changed.message.unwrap()));
}

pub async fn a_client_id_repeated_within_a_batch_is_stored_once(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let batch = [
        named(settled(room, sender, "one"), "c1"),
        named(settled(room, sender, "two"), "c2"),
        named(settled(room, sender, "one"), "c1"),
    ];
    let appended = messages.append(&batch).await.unwrap();
    assert_eq!(appended.len(), 3);
    assert_eq!(appended[2], Appended::Known(appended[0].message().clone()));
    assert_eq!(appended.iter().map(|appended| appended.message().seq.0).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(visible(messages, room).await, [1, 2]);
}

pub async fn concurrent_repeats_are_stored_once(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let batches: Vec<[NewMessage; 1]> = (0..RACERS).map(|_| [named(settled(room, sender, "hello"), "c1")]).collect();
    let appended = join_all(batches.iter().map(|batch| messages.append(batch))).await;
    let appended: Vec<Appended> = appended.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(appended.len(), RACERS);
    let stored = appended.iter().filter(|appended| matches!(appended, Appended::Stored { .. })).count();
    assert_eq!(stored, 1, "one message was stored {stored} times");
    assert!(appended.iter().all(|one| one.message() == appended[0].message()));
    assert_eq!(visible(messages, room).await, [1]);
}

pub async fn another_text_under_a_known_client_id_is_refused_at_its_place(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[named(settled(room, sender, "hello"), "c1")]).await;
    let (fresh, other) = (settled(room, sender, "fresh"), named(settled(room, sender, "Hello"), "c1"));
    assert_eq!(refused_at(messages, std::slice::from_ref(&other)).await, 0);
    assert_eq!(refused_at(messages, &[fresh.clone(), other, fresh]).await, 1);
    // Also where the first of the two is in the same batch.
    let batch = [named(settled(room, sender, "a"), "c2"), named(settled(room, sender, "b"), "c2")];
    assert_eq!(refused_at(messages, &batch).await, 1);
}

pub async fn a_refused_batch_stores_nothing(messages: &dyn Messages) {
    let (room, other_room, sender) = (room_id(), room_id(), user_id());
    let first = named(settled(room, sender, "hello"), "c1");
    let text = first.text.clone();
    append_new(messages, &[first]).await;
    let batch = [
        named(settled(room, sender, "new"), "c2"),
        settled(other_room, sender, "elsewhere"),
        named(settled(room, sender, "other text"), "c1"),
        settled(room, sender, "after it"),
    ];
    refused_at(messages, &batch).await;
    for new in &batch {
        assert_eq!(messages.find_by_id(new.id).await.unwrap(), None);
    }
    assert_eq!(head(messages, other_room).await.head, Seq::ZERO);
    let kept: Vec<Text> =
        messages.after(room, Seq::ZERO, 9, true).await.unwrap().into_iter().map(|message| message.text).collect();
    assert_eq!(kept, [text]);
    // Neither a number nor a client id is used up.
    let again = [named(settled(room, sender, "another new"), "c2")];
    assert_eq!(append_new(messages, &again).await, [Seq(2)]);
}

pub async fn a_client_id_belongs_to_its_room_and_sender(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    append_new(messages, &[named(settled(room, sender, "hello"), "c1")]).await;
    let batch = [
        named(settled(room, user_id(), "another sender"), "c1"),
        named(settled(room_id(), sender, "another room"), "c1"),
        named(settled(room, sender, "another case"), "C1"),
        named(settled(room_id(), user_id(), "hello"), "c1"),
    ];
    append_new(messages, &batch).await;
    assert_eq!(visible(messages, room).await, [1, 2, 3]);
}

pub async fn messages_without_a_client_id_never_repeat_each_other(messages: &dyn Messages) {
    let (room, sender) = (room_id(), user_id());
    let batch = ["same", "same", "other"].map(|text| settled(room, sender, text));
    assert_eq!(append_new(messages, &batch).await, seqs(1..=3));
    assert_eq!(append_new(messages, &[settled(room, sender, "same")]).await, [Seq(4)]);
}
