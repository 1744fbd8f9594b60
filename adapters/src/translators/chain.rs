//! Several engines, asked one after the other.

use std::sync::Arc;

use async_trait::async_trait;
use transtalk_core::ports::{Translated, TranslationRequest, Translator, TranslatorError};

/// The first engine that translates a text is the one that did; the answer bears its name.
pub struct Chain {
    engines: Vec<Arc<dyn Translator>>,
}

impl Chain {
    /// A chain in this order. An empty one translates nothing.
    pub fn new(engines: Vec<Arc<dyn Translator>>) -> Self {
        Self { engines }
    }
}

#[async_trait]
impl Translator for Chain {
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError> {
        let mut failure = TranslatorError::Unsupported { engine: self.name().to_owned() };
        for engine in &self.engines {
            match engine.translate(request).await {
                Ok(translated) => return Ok(translated),
                Err(error) => {
                    log(&error);
                    // Of two equally hopeful errors the last one stands for all.
                    if hope(&error) >= hope(&failure) {
                        failure = error;
                    }
                }
            }
        }
        Err(failure)
    }

    fn name(&self) -> &'static str {
        "chain"
    }
}

/// How much sense it makes to ask again.
fn hope(error: &TranslatorError) -> u8 {
    match error {
        TranslatorError::Unsupported { .. } => 0,
        TranslatorError::Quota { .. } => 1,
        TranslatorError::Retryable { .. } => 2,
    }
}

/// The next engine may well do it, and then nobody else hears of this.
fn log(error: &TranslatorError) {
    match error {
        // That is the everyday case: a phrase memory does not know most texts.
        TranslatorError::Unsupported { .. } => tracing::trace!(%error, "asking the next translator"),
        TranslatorError::Quota { .. } => tracing::warn!(%error, "asking the next translator"),
        TranslatorError::Retryable { source, .. } => {
            tracing::warn!(%error, cause = %source, "asking the next translator");
        }
    }
}
