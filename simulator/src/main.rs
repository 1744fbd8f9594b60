//! `transtalk-sim`: runs seeds and says whether every invariant held. 0: all passed, 1: one is broken, 2: not understood.

use std::io::{Error, ErrorKind, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use transtalk_simulator::{Broken, Campaign, Counters, Report, Scenario, run};

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
    /// List the scenarios.
    Scenarios,
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
    /// What people like to do; `transtalk-sim scenarios` lists them.
    #[arg(long, default_value = "everything", value_parser = Scenario::parse)]
    scenario: Scenario,
    /// Fail unless each ordered pair of acts was reached so often.
    #[arg(long, conflicts_with = "seed")]
    require_pairs: Option<u64>,
    /// Tell its story line by line: when, who, what.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    let mut out = std::io::stdout().lock();
    let told = match command {
        Command::Scenarios => list(&mut out),
        Command::Run(Run { seed: Some(seed), scenario, trace, .. }) => one(&mut out, seed, scenario, trace),
        Command::Run(options) => many(&mut out, &options),
    };
    match told {
        // Whoever reads only the beginning has read enough.
        Err(error) if error.downcast_ref().is_some_and(|error: &Error| error.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        told => told,
    }
}

fn list(out: &mut impl Write) -> anyhow::Result<ExitCode> {
    for (_, name, about) in Scenario::ALL {
        writeln!(out, "{name:<23} {about}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one(out: &mut impl Write, seed: u64, scenario: Scenario, trace: bool) -> anyhow::Result<ExitCode> {
    let report = run(seed, scenario, trace);
    writeln!(out, "{NAME} {} seed {seed}: {}", scenario.name(), report.options)?;
    for line in &report.story {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "trace hash: {:016x}", report.hash)?;
    if let Some(broken) = &report.broken {
        tell(out, &report, (scenario, broken))?;
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
    let (scenario, last) = (options.scenario, from.saturating_add(count).saturating_sub(1));
    writeln!(out, "{NAME} {} seeds {from} to {last}, {threads} threads", scenario.name())?;
    out.flush()?;
    let began = Instant::now();
    let step = (count / 10).max(1);
    let progress = |done: u64| {
        if done.is_multiple_of(step) && done < count {
            // Whoever does not want to see it may close the stream.
            let _ = writeln!(std::io::stderr(), "{done} of {count} passed");
        }
    };
    let outcome = Campaign { from, count, threads, scenario }.run(progress);
    let took = began.elapsed();
    if let Some((report, broken)) = outcome.failed.as_ref().and_then(|report| Some((report, report.broken.as_ref()?))) {
        writeln!(out, "{} seeds passed before it", outcome.passed)?;
        tell(out, report, (scenario, broken))?;
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
    enough(out, &outcome.counters, options.require_pairs)
}

/// Whether each ordered pair was reached as often as was asked for.
fn enough(out: &mut impl Write, counters: &Counters, wanted: Option<u64>) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for ((under_way, begun), count) in counters.pairs() {
        if wanted.is_some_and(|wanted| count < wanted) {
            writeln!(out, "FAILED pairs: {begun} was begun during {under_way} only {count} times")?;
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn tell(out: &mut impl Write, report: &Report, (scenario, broken): (Scenario, &Broken)) -> anyhow::Result<()> {
    writeln!(out, "FAILED {}: {}", broken.invariant, broken.what)?;
    writeln!(out, "  at {}.{:03} virtual seconds, after {} steps", broken.at / 1_000, broken.at % 1_000, report.steps)?;
    writeln!(out, "  seed {}: {}", report.seed, report.options)?;
    let biased = match scenario {
        Scenario::Everything => String::new(),
        scenario => format!(" --scenario {}", scenario.name()),
    };
    writeln!(out, "  replay: transtalk-sim run{biased} --seed {} --trace", report.seed)?;
    Ok(())
}

const NAME: &str = concat!("transtalk-sim ", env!("CARGO_PKG_VERSION"));
