//! STOMP as a pure machine: bytes and time in, frames and intentions out. It never awaits.
//!
//! [`Decoder`] and [`encode`] are the codec; [`Session`] is the protocol's state. Where a branch obeys a sentence of
//! the specification, the sentence stands above it (<https://stomp.github.io/stomp-specification-1.2.html>).

mod close;
mod encode;
mod frame;
mod heartbeat;
mod parse;
mod session;

pub use close::CloseCode;
pub use encode::{encode, escape};
pub use frame::{Command, Frame, Version};
pub use heartbeat::HeartBeat;
pub use parse::{Decoder, FrameError, FrameLimits};
pub use session::{Ask, AskId, Input, Output, Reply, Session, SessionSettings, Subscribe};
