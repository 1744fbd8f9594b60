//! Black-box tests: the real binary, real sockets, real clients. Each test starts a server of its own.

mod support;

mod bad_input;
mod clients;
mod crash;
mod document;
mod hold;
mod routes;
mod smoke;
mod tidy;
mod traps;
