//! Deterministic worlds for `TransTalk`: one seed, one story.
//!
//! A world is a few servers over one store, a network, and people with browsers. The servers run the production use
//! cases, STOMP session and hub; the clock, chance, the network and the ports are simulated, and every choice is drawn
//! from the seed. Begin reading at `world.rs`; what must hold is in `model.rs`, `inbox.rs` and `checks.rs`.

mod campaign;
mod checks;
mod clock;
mod counters;
mod executor;
mod faults;
mod inbox;
mod model;
mod network;
mod node;
mod options;
mod outside;
mod outsider;
mod person;
mod ports;
mod random;
mod socket;
mod tab;
mod trace;
mod world;

pub use campaign::{Campaign, Outcome};
pub use counters::{Counters, Sometimes};
pub use executor::Broken;
pub use world::{Report, run};
