//! The laws of [`Messages`], in the order of a message's life: [`append`], [`visibility`], [`history`], [`upkeep`].

use futures_util::future::BoxFuture;

use crate::chat::{Message, NewMessage};
use crate::id::{RoomId, Seq};
use crate::ports::{Appended, Head, Messages};

pub mod append;
pub mod history;
pub mod upkeep;
pub mod visibility;

pub use append::*;
pub use history::*;
pub use upkeep::*;
pub use visibility::*;

/// One law.
pub type Law = for<'a> fn(&'a dyn Messages) -> BoxFuture<'a, ()>;

contract!($, messages, messages_contract, (messages), [
    numbers_begin_at_one_and_have_no_gap,
    rooms_are_numbered_on_their_own,
    a_batch_is_stored_in_its_order,
    an_empty_batch_stores_nothing,
    concurrent_appends_are_numbered_without_a_gap,
    a_stored_message_is_found_as_it_was_given,
    a_message_that_was_not_stored_is_not_found,
    a_text_is_kept_byte_for_byte,
    a_repeated_client_id_is_the_same_message,
    a_repeat_is_answered_with_the_message_as_it_is_now,
    a_client_id_repeated_within_a_batch_is_stored_once,
    concurrent_repeats_are_stored_once,
    another_text_under_a_known_client_id_is_refused_at_its_place,
    a_refused_batch_stores_nothing,
    a_client_id_belongs_to_its_room_and_sender,
    messages_without_a_client_id_never_repeat_each_other,
    a_settled_message_is_visible_at_once,
    a_pending_message_is_hidden_until_it_settles,
    a_settled_message_waits_for_all_before_it,
    results_out_of_order_are_published_in_order,
    a_result_is_written_and_raises_the_revision,
    the_last_of_several_languages_settles_a_message,
    a_failed_result_settles_a_message_too,
    a_second_result_changes_nothing,
    a_result_for_another_version_changes_nothing,
    a_result_for_an_unknown_language_or_message_changes_nothing,
    concurrent_results_publish_each_message_once,
    a_released_message_is_visible_although_it_is_pending,
    a_release_publishes_what_is_settled_after_it,
    a_release_never_goes_back,
    a_release_ends_at_the_last_message,
    a_result_after_a_release_changes_the_message_and_publishes_nothing,
    rooms_become_visible_on_their_own,
    what_comes_after_a_number_ascends_and_is_limited,
    what_comes_before_a_number_descends_and_is_limited,
    what_is_hidden_is_given_only_where_it_is_asked_for,
    pages_count_from_the_newest,
    a_page_does_not_shift_when_messages_arrive,
    a_page_leaves_out_what_is_hidden,
    heads_come_in_the_order_asked,
    a_head_tells_the_last_number_and_the_last_visible_message,
    a_head_tells_when_any_message_changed,
    unread_are_the_visible_messages_of_others_after_the_mark,
    unread_are_counted_in_the_order_asked,
    unread_are_counted_up_to_a_limit,
    pending_work_is_found_oldest_first_until_it_is_done,
    hidden_messages_are_found_oldest_first_until_they_are_visible,
    a_purge_removes_what_is_old_and_counts_it,
    a_purge_is_limited,
    a_purge_never_removes_what_is_hidden,
    what_was_purged_is_no_work_and_takes_no_result,
    numbering_goes_on_after_a_purge,
]);

/// Stores one message.
async fn append_one(messages: &dyn Messages, message: NewMessage) -> Appended {
    let mut appended = messages.append(&[message]).await.unwrap();
    assert_eq!(appended.len(), 1);
    appended.remove(0)
}

/// Stores messages of whom none is known, and answers with their numbers.
async fn append_new(messages: &dyn Messages, batch: &[NewMessage]) -> Vec<Seq> {
    let appended = messages.append(batch).await.unwrap();
    assert_eq!(appended.len(), batch.len());
    assert!(appended.iter().all(|appended| matches!(appended, Appended::Stored { .. })));
    appended.iter().map(|appended| appended.message().seq).collect()
}

/// The numbers of all that the room shows, from the first on.
async fn visible(messages: &dyn Messages, room: RoomId) -> Vec<u64> {
    numbers(&messages.after(room, Seq::ZERO, 1000, false).await.unwrap())
}

async fn head(messages: &dyn Messages, room: RoomId) -> Head {
    let mut heads = messages.heads(&[room]).await.unwrap();
    assert_eq!(heads.len(), 1);
    heads.remove(0)
}

/// No numbers.
const NONE: [u64; 0] = [];

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.0).collect()
}
