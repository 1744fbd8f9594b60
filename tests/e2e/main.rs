//! Black-box tests: the real binary, real sockets, real clients. Each test starts a server of its own.

mod support;

mod auth;
mod bad_input;
mod clients;
mod crash;
mod document;
mod hold;
mod oidc;
mod pictures;
mod routes;
mod secrets;
mod smoke;
mod sockets;
mod tidy;
mod traps;
