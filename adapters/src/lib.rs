//! The adapters behind the ports of `transtalk-core`, one folder a technology.
//!
//! Each is an additive cargo feature; [`memory`] is always there and pulls neither a runtime nor a database.
//! An adapter keeps and returns values: it never mints an id and never reads a clock that is not its purpose.

pub mod memory;
#[cfg(feature = "oauth")]
pub mod oauth;
#[cfg(feature = "signer")]
pub mod signer;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
#[cfg(feature = "translators")]
pub mod translators;
