//! Translation engines.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::BoxError;
use crate::translate::Language;

/// What is asked of an engine.
#[derive(Clone, PartialEq, Eq)]
pub struct TranslationRequest {
    /// What to translate.
    pub text: String,
    /// From; `None` leaves it to the engine.
    pub source: Option<Language>,
    /// To.
    pub target: Language,
}

impl fmt::Debug for TranslationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranslationRequest")
            .field("source", &self.source)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What an engine answers.
#[derive(Clone, PartialEq, Eq)]
pub struct Translated {
    /// The translation.
    pub text: String,
    /// The language it was made from, as the engine saw it.
    pub source: Option<Language>,
    /// The engine's name.
    pub engine: String,
    /// Whether it came from a cache.
    pub cached: bool,
}

impl fmt::Debug for Translated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translated").field("source", &self.source).field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Why an engine did not translate.
#[derive(Debug, thiserror::Error)]
pub enum TranslatorError {
    /// It may work later: a time-out, an overload, a lost connection.
    #[error("{engine} could not answer")]
    Retryable {
        /// Which engine.
        engine: String,
        /// When it asked to be asked again.
        retry_after: Option<Duration>,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// The allowance is used up.
    #[error("{engine} has no allowance left")]
    Quota {
        /// Which engine.
        engine: String,
    },
    /// The engine does not know this pair of languages, or not this text.
    #[error("{engine} does not translate this")]
    Unsupported {
        /// Which engine.
        engine: String,
    },
}

/// An engine, or a chain of them.
#[async_trait]
pub trait Translator: Send + Sync {
    /// Translates one text. It answers within its own time-out.
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError>;

    /// The engine's name, as the configuration spells it.
    fn name(&self) -> &str;
}
