//! An engine that translates nothing and says so: the end of a chain on a server without a real one.

use async_trait::async_trait;
use transtalk_core::ports::{Translated, TranslationRequest, Translator, TranslatorError};

/// Answers `[TARGET] TEXT`, for example `[ko] See you at the red house.`, to everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pseudo;

#[async_trait]
impl Translator for Pseudo {
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError> {
        Ok(Translated {
            text: format!("[{}] {}", request.target, request.text),
            source: request.source.clone(),
            engine: self.name().to_owned(),
            cached: false,
        })
    }

    fn name(&self) -> &'static str {
        "pseudo"
    }
}
