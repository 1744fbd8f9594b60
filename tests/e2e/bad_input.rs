//! Bad input of every kind: each gets a clear error with a stable code, and nothing is lost or half done.

mod frames;
mod http;
mod start_up;
