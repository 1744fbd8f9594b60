//! The `transtalk` binary: translated chat, self-hosted.

mod app;
mod caller;
mod cli;
mod config;
mod cors;
mod duration;
mod error;
mod http;
mod openapi;
mod router;
mod server;
mod wire;
mod ws;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
