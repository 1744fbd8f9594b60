//! The hub: who listens to what on this node, how far each has got, and which bytes go to whom. It never does I/O.
//!
//! A room has two **lanes**: one shows what is visible, the other (`pending: immediate`) also what is still being
//! translated. Live listeners of a lane share its position, so a message is encoded once for each subscription id
//! among them and its bytes are shared. Whoever is behind has a cursor and is fed from the store until the cursor
//! meets the position. What is missing is never guessed: the hub **needs** it ([`Need`]), and the shell reads it.

mod encoder;
mod hub;
mod lane;
mod outbox;
#[cfg(test)]
mod tests;

pub use hub::{Counters, Hub, Link, Need};
pub use lane::LaneKind;
pub use outbox::{Outbox, Taken};
