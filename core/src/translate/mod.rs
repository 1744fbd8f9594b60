//! The rules of translation: languages, how a text's language is guessed, and which translations a message needs.

mod detect;
mod language;
mod plan;

pub use detect::detect;
pub use language::{InvalidLanguage, Language};
pub use plan::{Plan, plan};
