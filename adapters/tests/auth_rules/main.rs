//! The rules of sign-in, at the level of the use cases: no HTTP, no sockets of the system, time and chance in the test's hand.
//!
//! A test whose name begins with the number of an invariant (INVARIANTS.md: T1 to T14, S1, S2, S6) is that invariant's, as far as
//! one process can show it. What `world` and its neighbours do is the scenery; the rules are in the other files.

mod abuse;
mod ends;
mod entitlement;
mod kinds;
mod leaving;
mod mine;
mod orders;
mod outside;
mod patience;
mod refreshing;
mod renewal;
mod sign_in;
mod socket;
mod store_lost;
mod time;
mod tokens;
mod trouble;
mod world;
