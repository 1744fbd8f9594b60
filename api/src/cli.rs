//! The command line, and the life of a server from its start to its stop.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;
use transtalk_core::app::{Services, background, introduce, recover};
use transtalk_core::stomp::CloseCode;

use crate::app::App;
use crate::config::{Config, Flags, Log};
use crate::wire::{Wired, wire};
use crate::{keys, openapi, router, server};

/// Chat that is translated as it is spoken.
#[derive(Parser)]
#[command(name = "transtalk", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server. This is what happens without a command, too.
    Serve(Serve),
    /// Prints the OpenAPI document.
    Openapi {
        /// YAML instead of JSON.
        #[arg(long)]
        yaml: bool,
    },
    /// Shows and replaces the keys that tokens are made with.
    #[command(subcommand)]
    Keys(keys::Command),
}

#[derive(clap::Args, Default)]
struct Serve {
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    place: Place,
}

/// Where things are.
#[derive(clap::Args, Default)]
pub(crate) struct Place {
    /// The folder of the keys and of the embedded database [default: data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Runs the command. Exit code 0: done; 1: it could not be done, and why is on standard error; 2: no such command.
pub(crate) fn run() -> ExitCode {
    let result = match Cli::parse().command.unwrap_or(Command::Serve(Serve::default())) {
        Command::Serve(options) => serve(options),
        Command::Openapi { yaml } => print(&openapi::text(yaml)),
        Command::Keys(command) => keys::run(command).and_then(|text| print(&text)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether anybody reads it is not ours to know.
            let _ = writeln!(std::io::stderr(), "transtalk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Serve) -> anyhow::Result<()> {
    let Serve { listen, place: Place { data, config } } = options;
    let flags = Flags { config, listen, data };
    let config = Config::load(&flags)?;
    start_log(&config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run_server(config))
}

async fn run_server(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.http.listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {}: {error}", config.http.listen))?;
    let address = listener.local_addr()?;
    let wired = wire(&config, address).await?;
    let app = App::new(wired.services.clone(), wired.sign_in_page.clone(), config, address);
    let mut loops = JoinSet::new();
    for task in background(&wired.services) {
        loops.spawn(task);
    }
    loops.spawn(wired.watch_keys());
    let (stop, stopping) = watch::channel(false);
    let patience = app.config.gateway.drain_timeout;
    let serving = tokio::spawn(server::serve(listener, router::endpoint(&app), stopping, patience));
    recover(&wired.services).await.map_err(|failure| anyhow::anyhow!("the store cannot be read: {failure}"))?;
    if let Some(page) = &app.sign_in_page {
        introduce(&wired.services, page.provider.profiles()).await?;
    }
    app.set_ready(true);
    greet(&app, &wired)?;
    let broken = tokio::select! {
        stopped = stop_signal() => { stopped?; false }
        // They never end by themselves; without one of them messages would stay where they are.
        Some(_) = loops.join_next() => true,
    };
    tracing::info!("stopping");
    app.set_ready(false);
    wired.services.hub.close_all(CloseCode::Draining);
    stop.send_replace(true);
    serving.await?;
    drain(&wired, patience).await;
    loops.shutdown().await;
    wired.close().await;
    anyhow::ensure!(!broken, "a part of the server has failed; see the log");
    Ok(())
}

/// Waits until the sockets have ended and what happened is written down, but not for ever.
async fn drain(wired: &Wired, patience: std::time::Duration) {
    let ended = async {
        let Services { hub, pipeline, .. } = wired.services.as_ref();
        while hub.counters().connections > 0 || pipeline.unwritten() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(patience, ended).await.is_err() {
        tracing::warn!("some connections did not end in time, or their end could not be written down");
    }
}

/// Where it is, what it uses, where the data lies.
fn greet(app: &App, wired: &Wired) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    writeln!(lines, "TransTalk {} at http://{}", env!("CARGO_PKG_VERSION"), app.address)?;
    for (what, chosen) in &wired.chosen {
        writeln!(lines, "  {what:<12} {chosen}")?;
    }
    writeln!(lines, "  {:<12} http://{}/docs", "documents", app.address)?;
    print(&String::from_utf8_lossy(&lines))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| anyhow::anyhow!("log.filter: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours would stand between a name and its value, where somebody looks for them in a file.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    if log.json {
        lines.json().init();
    } else {
        lines.init();
    }
    Ok(())
}

#[cfg(unix)]
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop_signal() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
