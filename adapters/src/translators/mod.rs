//! Translation engines, and a chain of them.
//!
//! What people write is theirs: no engine here logs or prints a text, and no error quotes one.

mod apertium;
mod chain;
mod phrases;
mod pseudo;

pub use apertium::{Apertium, ApertiumConfigError};
pub use chain::Chain;
pub use phrases::Phrases;
pub use pseudo::Pseudo;
