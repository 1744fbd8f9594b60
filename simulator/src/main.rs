//! `transtalk-sim`: runs seeds and says whether every invariant held. 0: all passed, 1: one is broken, 2: not understood.

use std::io::{Error, ErrorKind, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use transtalk_simulator::{Broken, Campaign, Report, run};

/// Deterministic worlds for `TransTalk`: one seed, one story.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one seed or many, and check the invariants.
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// How many seeds.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// On how many threads; as many as there are, by default.
    #[arg(long, conflicts_with = "seed")]
    threads: Option<usize>,
    /// This seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell its story line by line: when, who, what.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Run(options) = Cli::parse().command;
    let mut out = std::io::stdout().lock();
    let told = match options.seed {
        Some(seed) => one(&mut out, seed, options.trace),
        None => many(&mut out, &options),
    };
    match told {
        // Whoever reads only the beginning has read enough.
        Err(error) if error.downcast_ref().is_some_and(|error: &Error| error.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        told => told,
    }
}

fn one(out: &mut impl Write, seed: u64, trace: bool) -> anyhow::Result<ExitCode> {
    let report = run(seed, trace);
    writeln!(out, "{NAME} seed {seed}: {}", report.options)?;
    for line in &report.story {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "trace hash: {:016x}", report.hash)?;
    if let Some(broken) = &report.broken {
        tell(out, &report, broken)?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(
        out,
        "PASSED ({} steps, {}.{:03} virtual seconds)",
        report.steps,
        report.millis / 1_000,
        report.millis % 1_000
    )?;
    Ok(ExitCode::SUCCESS)
}

fn many(out: &mut impl Write, options: &Run) -> anyhow::Result<ExitCode> {
    let threads = options.threads.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let (from, count) = (options.from, options.seeds);
    writeln!(out, "{NAME} seeds {from} to {}, {threads} threads", from.saturating_add(count).saturating_sub(1))?;
    out.flush()?;
    let began = Instant::now();
    let step = (count / 10).max(1);
    let progress = |done: u64| {
        if done.is_multiple_of(step) && done < count {
            // Whoever does not want to see it may close the stream.
            let _ = writeln!(std::io::stderr(), "{done} of {count} passed");
        }
    };
    let outcome = Campaign { from, count, threads }.run(progress);
    let took = began.elapsed();
    if let Some((report, broken)) = outcome.failed.as_ref().and_then(|report| Some((report, report.broken.as_ref()?))) {
        writeln!(out, "{} seeds passed before it", outcome.passed)?;
        tell(out, report, broken)?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "situations reached:")?;
    write!(out, "{}", outcome.counters)?;
    let millis = took.as_millis().max(1);
    let rate = u128::from(outcome.passed) * 60_000 / millis;
    writeln!(
        out,
        "PASSED {} seeds in {}.{:03} s: {rate} seeds a minute",
        outcome.passed,
        millis / 1_000,
        millis % 1_000
    )?;
    Ok(ExitCode::SUCCESS)
}

fn tell(out: &mut impl Write, report: &Report, broken: &Broken) -> anyhow::Result<()> {
    writeln!(out, "FAILED {}: {}", broken.invariant, broken.what)?;
    writeln!(out, "  at {}.{:03} virtual seconds, after {} steps", broken.at / 1_000, broken.at % 1_000, report.steps)?;
    writeln!(out, "  seed {}: {}", report.seed, report.options)?;
    writeln!(out, "  replay: transtalk-sim run --seed {} --trace", report.seed)?;
    Ok(())
}

const NAME: &str = concat!("transtalk-sim ", env!("CARGO_PKG_VERSION"));
