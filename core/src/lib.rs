//! The pure heart of `TransTalk`: what the rules are, what is needed from the world, and what happens when.
//!
//! - rules, without I/O: [`auth`], [`chat`], [`stomp`], [`translate`];
//! - [`ports`]: traits that the adapters implement;
//! - [`app`]: use cases, async functions over the ports.
//!
//! Nothing here knows a runtime, a socket, a database, a clock or a random number: all of them come in through a port.

pub mod app;
pub mod auth;
pub mod chat;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod id;
pub mod limits;
mod mutant;
pub mod ports;
pub mod stomp;
mod time;
pub mod translate;
mod user;

pub use error::{ErrorCode, Failure};
pub use id::{
    ClientMessageId, ConnectionId, InvalidId, MessageId, Revision, RoomId, Seq, SessionId, SubscriptionId, UserId,
};
pub use time::{Monotonic, Timestamp};
pub use user::{Email, Identity, InvalidEmail, User};
