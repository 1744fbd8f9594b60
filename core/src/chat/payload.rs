//! What goes over the wire about a message or a room, as values and as JSON. The names are the first client's.

use serde::Serialize;

use super::{Message, RoomEntry};
use crate::ports::Publication;

/// A message as its readers see it (the wire's `Chat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatView {
    /// 24 hexadecimal digits.
    pub chat_id: String,
    /// As it was written.
    pub original_message: String,
    /// In the shown language; the original where nothing is to be translated, null while it is pending.
    pub translated_message: Option<String>,
    /// The sender's address as others see it.
    pub sender_email: String,
    /// RFC 3339, UTC.
    pub send_at: String,
    /// Whether the other member has read it.
    pub is_read: bool,
    /// `PENDING`, `COMPLETED` or `FAILED`.
    pub status: &'static str,
    /// The place in the room.
    pub seq: u64,
    /// Rises with every change of state.
    pub revision: u32,
    /// One for each language that the members read, ordered by language.
    pub translations: Vec<TranslationView>,
}

/// One translation of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TranslationView {
    /// A BCP 47 tag in lower case.
    pub language: String,
    /// `PENDING`, `COMPLETED`, `FAILED` or `SKIPPED`.
    pub status: &'static str,
    /// The result, when completed.
    pub text: Option<String>,
    /// Which engine made it.
    pub engine: Option<String>,
}

/// The message as its readers see it.
pub fn chat_view(message: &Message, sender_email: &str, is_read: bool) -> ChatView {
    let (status, text) = message.shown_translation();
    ChatView {
        chat_id: message.id.to_string(),
        original_message: message.text.as_str().to_owned(),
        translated_message: text.map(str::to_owned),
        sender_email: sender_email.to_owned(),
        send_at: message.sent_at.to_string(),
        is_read,
        status: status.as_str(),
        seq: message.seq.0,
        revision: message.revision.0,
        translations: message
            .translations
            .iter()
            .map(|(language, translation)| TranslationView {
                language: language.to_string(),
                status: translation.status.as_str(),
                text: translation.text.clone(),
                engine: translation.engine.clone(),
            })
            .collect(),
    }
}

/// The body of a MESSAGE on a room's destination. Nobody has read it yet.
pub fn chat_json(publication: &Publication) -> Vec<u8> {
    json(&chat_view(&publication.message, &publication.sender_email, false))
}

/// The body of a MESSAGE on a user's room list.
pub fn entry_json(entry: &RoomEntry) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        // Lower r: the first client's spelling (trap 5 of the wire contract).
        #[serde(rename = "chatroomId")]
        room: u64,
        recipient_picture: Option<&'a str>,
        recipient_name: &'a str,
        selected_language: &'a str,
        original_recent_message: &'a str,
        translated_recent_message: &'a str,
        recent_message_time: Option<String>,
        unread_message_count: u64,
        seq: u64,
    }
    json(&Wire {
        room: entry.room.get(),
        recipient_picture: entry.picture.as_deref(),
        recipient_name: &entry.name,
        selected_language: entry.language.as_str(),
        original_recent_message: &entry.original,
        translated_recent_message: &entry.translated,
        recent_message_time: entry.time.map(|time| time.to_string()),
        unread_message_count: entry.unread,
        seq: entry.head.0,
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists always serialize; only maps with other keys or failing writers do not.
    serde_json::to_vec(value).unwrap_or_default()
}
