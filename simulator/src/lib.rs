//! Deterministic worlds for `TransTalk`: one seed, one story.
//!
//! A world is a few servers over one store, a network, and people with browsers. The servers run the production use
//! cases, STOMP session and hub; the clock, chance, the network and the ports are simulated, and every choice is drawn
//! from the seed. Begin reading at `world.rs`; what must hold is in `model.rs` (rooms), `families.rs` (sessions), `lines.rs`
//! (connections), `inbox.rs` and `checks.rs`; what is drawn, in `options.rs` and `scenario.rs`.

mod campaign;
mod checks;
mod clock;
mod counters;
mod executor;
mod families;
mod faults;
mod inbox;
mod lines;
mod model;
mod network;
mod node;
mod observed;
mod options;
mod outside;
mod outsider;
mod person;
mod ports;
mod races;
mod random;
mod scenario;
mod socket;
mod tab;
mod thief;
mod trace;
mod trail;
mod world;

pub use campaign::{Campaign, Outcome};
pub use counters::{Act, Counters, Sometimes};
pub use executor::Broken;
pub use scenario::Scenario;
pub use world::{Report, run};
