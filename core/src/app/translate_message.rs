//! Translating one message into one language, outside of any request.

use super::Services;
use super::deliver::{published, updated};
use crate::chat::{Translation, TranslationStatus};
use crate::error::Failure;
use crate::id::{RoomId, Seq};
use crate::ports::{TranslationRequest, TranslatorError};
use crate::translate::Language;

/// A translation to be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Task {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) language: Language,
}

/// Asks the engines, stores what they say, and tells the room. Whatever they say, the message leaves its pending state.
pub(super) async fn translate(services: &Services, task: &Task) -> Result<(), Failure> {
    let Some(message) = services.messages.find(task.room, task.seq).await? else { return Ok(()) };
    let open = message.translations.get(&task.language).filter(|t| t.status == TranslationStatus::Pending);
    let Some(open) = open else { return Ok(()) };
    let request = TranslationRequest {
        text: message.text.as_str().to_owned(),
        source: message.source.clone(),
        target: task.language.clone(),
    };
    let answer = services.translator.translate(&request).await;
    let result = match answer {
        Ok(done) => Translation {
            status: TranslationStatus::Completed,
            text: Some(done.text),
            engine: Some(done.engine),
            source: done.source.or(message.source),
            cached: done.cached,
            attempt: open.attempt + 1,
            version: open.version,
        },
        Err(error) => Translation {
            status: TranslationStatus::Failed,
            engine: Some(engine(&error).to_owned()),
            attempt: open.attempt + 1,
            ..open.clone()
        },
    };
    let now = services.clock.now();
    let changed = services.messages.translate(task.room, task.seq, &task.language, &result, now).await?;
    let shown_now = changed.published.iter().any(|message| message.seq == task.seq);
    published(services, changed.published).await?;
    match changed.message {
        Some(message) if !shown_now => updated(services, message).await,
        _ => Ok(()),
    }
}

fn engine(error: &TranslatorError) -> &str {
    match error {
        TranslatorError::Retryable { engine, .. }
        | TranslatorError::Quota { engine }
        | TranslatorError::Unsupported { engine } => engine,
    }
}
