//! The `transtalk` binary: translated chat, self-hosted.

mod app;
mod caller;
mod cli;
mod config;
mod cookie;
mod cors;
mod duration;
mod error;
mod forwarded;
mod http;
mod keys;
mod openapi;
mod origin;
mod request_id;
mod router;
mod server;
mod wire;
mod ws;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
