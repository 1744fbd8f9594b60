//! A message, its translations, and the states that both go through.
//!
//! A message is stored with its translations *pending*. It is **settled** when none is; the room shows
//! it at its **first publication**, which waits for it and for all before it to be settled or released.

use std::collections::BTreeMap;

use crate::id::{ClientMessageId, MessageId, Revision, RoomId, Seq, UserId};
use crate::limits;
use crate::time::Timestamp;
use crate::translate::Language;

/// What the core hands to the store: everything but the place in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The wire's `chatId`.
    pub id: MessageId,
    /// Where.
    pub room: RoomId,
    /// Who.
    pub sender: UserId,
    /// The sender's own name for it, by which a repeated SEND is known.
    pub client_id: Option<ClientMessageId>,
    /// What was written.
    pub text: Text,
    /// The language it was written in, as far as it is known.
    pub source: Option<Language>,
    /// The language whose translation stands for all on the wire (`translatedMessage`).
    pub shown: Option<Language>,
    /// One for each language that is asked for.
    pub translations: BTreeMap<Language, Translation>,
    /// When it was accepted.
    pub sent_at: Timestamp,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The wire's `chatId`.
    pub id: MessageId,
    /// Where.
    pub room: RoomId,
    /// Its place in the room.
    pub seq: Seq,
    /// How often its state has changed since it was stored.
    pub revision: Revision,
    /// Who.
    pub sender: UserId,
    /// The sender's own name for it.
    pub client_id: Option<ClientMessageId>,
    /// What was written.
    pub text: Text,
    /// Raised by each edit; a translation of an earlier version is dropped.
    pub version: u32,
    /// The language it was written in, as far as it is known.
    pub source: Option<Language>,
    /// The language whose translation stands for all on the wire.
    pub shown: Option<Language>,
    /// By language.
    pub translations: BTreeMap<Language, Translation>,
    /// When it was accepted.
    pub sent_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

impl Message {
    /// The stored form of a new message: version 1, revision 0.
    pub fn stored(new: NewMessage, seq: Seq) -> Self {
        Self {
            id: new.id,
            room: new.room,
            seq,
            revision: Revision(0),
            sender: new.sender,
            client_id: new.client_id,
            text: new.text,
            version: 1,
            source: new.source,
            shown: new.shown,
            translations: new.translations,
            sent_at: new.sent_at,
            changed_at: new.sent_at,
        }
    }

    /// Whether no translation is pending.
    pub fn is_settled(&self) -> bool {
        self.translations.values().all(|translation| translation.status != TranslationStatus::Pending)
    }

    /// The languages whose translation is pending.
    pub fn pending(&self) -> impl Iterator<Item = &Language> {
        self.translations.iter().filter(|(_, t)| t.status == TranslationStatus::Pending).map(|(language, _)| language)
    }

    /// The state on the wire and the text that goes with it: that of the shown language, and the original where nothing is to be translated.
    pub fn shown_translation(&self) -> (TranslationStatus, Option<&str>) {
        match self.shown.as_ref().and_then(|language| self.translations.get(language)) {
            Some(Translation { status: TranslationStatus::Skipped, .. }) | None => {
                (TranslationStatus::Completed, Some(self.text.as_str()))
            }
            Some(translation) => (translation.status, translation.text.as_deref()),
        }
    }

    /// Writes a result, if it is for this version and none was written before. Says whether anything changed.
    /// The revision rises with every change.
    pub fn apply(&mut self, language: &Language, result: &Translation, now: Timestamp) -> bool {
        let open = |t: &&mut Translation| t.status == TranslationStatus::Pending && t.version == result.version;
        let Some(translation) = self.translations.get_mut(language).filter(open) else { return false };
        *translation = result.clone();
        self.revision = self.revision.next();
        self.changed_at = now;
        true
    }
}

/// A message's text: not empty, not only blanks, within the limit.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(String);

/// Why a text is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing, or nothing but blanks.
    #[error("a message needs some text")]
    Empty,
    /// More characters than [`limits::MESSAGE_CHARS_MAX`].
    #[error("a message has at most {} characters", limits::MESSAGE_CHARS_MAX)]
    TooLong,
}

impl Text {
    /// Kept byte for byte as it was written (invariant C2).
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
            Err(InvalidText::Empty)
        } else if text.chars().nth(limits::MESSAGE_CHARS_MAX).is_some() {
            Err(InvalidText::TooLong)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What people write is personal: it shows its length and nothing else, so that it never reaches a log.
impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// The translation of one message into one language.
#[derive(Clone, PartialEq, Eq)]
pub struct Translation {
    /// Where it stands.
    pub status: TranslationStatus,
    /// The result, when completed.
    pub text: Option<String>,
    /// Which engine made it.
    pub engine: Option<String>,
    /// The source language as the engine saw it.
    pub source: Option<Language>,
    /// Whether it came from a cache.
    pub cached: bool,
    /// How often it was tried.
    pub attempt: u32,
    /// The version of the text that it belongs to.
    pub version: u32,
}

impl Translation {
    /// Asked for and not yet made.
    pub fn pending(version: u32) -> Self {
        Self::with_status(TranslationStatus::Pending, version)
    }

    /// Not needed, because the text is in this language already.
    pub fn skipped(version: u32) -> Self {
        Self::with_status(TranslationStatus::Skipped, version)
    }

    fn with_status(status: TranslationStatus, version: u32) -> Self {
        Self { status, text: None, engine: None, source: None, cached: false, attempt: 0, version }
    }
}

/// Like [`Text`], a translation keeps its words to itself.
impl std::fmt::Debug for Translation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translation")
            .field("status", &self.status)
            .field("engine", &self.engine)
            .field("attempt", &self.attempt)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Where a translation stands. Only `Pending` is ever left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranslationStatus {
    /// Asked for.
    Pending,
    /// There is a text.
    Completed,
    /// No engine could do it.
    Failed,
    /// The text is in this language already.
    Skipped,
}

impl TranslationStatus {
    /// The name in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Completed, Self::Failed, Self::Skipped].into_iter().find(|s| s.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_not_a_message() {
        for empty in ["", " ", "\n\t ", "\u{3000}", "\0"] {
            assert_eq!(Text::new(empty), Err(InvalidText::Empty), "{empty:?}");
        }
        assert!(Text::new(&"가".repeat(limits::MESSAGE_CHARS_MAX)).is_ok());
        assert_eq!(Text::new(&"가".repeat(limits::MESSAGE_CHARS_MAX + 1)), Err(InvalidText::TooLong));
    }

    #[test]
    fn a_text_never_shows_itself_in_a_log() {
        assert_eq!(format!("{:?}", Text::new("secret").unwrap()), "Text(6 bytes)");
    }
}
