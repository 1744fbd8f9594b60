//! The same seed tells the same story, different seeds tell different ones, and every invariant holds in all of them.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::thread;

use transtalk_simulator::{Campaign, Scenario, Sometimes, run};

fn simulator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_transtalk-sim")).args(arguments).output().expect("the binary was built")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

#[test]
fn the_same_seed_twice_has_the_same_story_and_hash() {
    for (seed, (scenario, ..)) in Scenario::ALL.into_iter().enumerate() {
        let seed = seed as u64;
        let (one, other) = (run(seed, scenario, true), run(seed, scenario, true));
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.hash, run(seed, scenario, false).hash, "listening to seed {seed} changes it");
    }
}

#[test]
fn the_same_seed_in_two_processes_prints_the_same() {
    let first = simulator(&["run", "--seed", "5", "--trace"]);
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(text(&first), text(&simulator(&["run", "--seed", "5", "--trace"])));
    let hash = format!("trace hash: {:016x}", run(5, Scenario::Everything, false).hash);
    assert!(text(&first).lines().any(|line| line == hash), "{hash} is not printed");
}

/// In the build of the tests, which is not the fast one; with `--require-pairs` the fast one asks for more.
#[test]
fn hundreds_of_seeds_pass_differ_and_reach_what_they_are_there_for() {
    let threads = thread::available_parallelism().map_or(1, Into::into);
    let outcome = Campaign { from: 0, count: 600, threads, scenario: Scenario::Everything }.run(|_| {});
    let failed = outcome.failed.map(|report| (report.seed, report.broken));
    assert_eq!(failed, None);
    let hashes: BTreeSet<u64> = outcome.hashes.iter().map(|(_, hash)| *hash).collect();
    assert!(hashes.len() >= 594, "only {} of 600 seeds differ", hashes.len());
    for (situation, name) in Sometimes::ALL {
        assert!(outcome.counters.get(situation) > 0, "never reached: {name}");
    }
    for ((under_way, begun), count) in outcome.counters.pairs() {
        assert!(count > 0, "never was {begun} begun during {under_way}");
    }
}

#[test]
fn every_scenario_passes() {
    let threads = thread::available_parallelism().map_or(1, Into::into);
    for (scenario, name, _) in Scenario::ALL {
        let outcome = Campaign { from: 0, count: 20, threads, scenario }.run(|_| {});
        let failed = outcome.failed.map(|report| (report.seed, report.broken));
        assert_eq!(failed, None, "{name}");
    }
}

#[test]
fn scenarios_are_listed_by_name_and_named_in_what_is_run() {
    let listed = text(&simulator(&["scenarios"]));
    for (_, name, about) in Scenario::ALL {
        assert!(listed.lines().any(|line| line.starts_with(name) && line.ends_with(about)), "{name} in {listed}");
    }
    let output = simulator(&["run", "--scenario", "lease", "--seeds", "3"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).starts_with(concat!("transtalk-sim ", env!("CARGO_PKG_VERSION"), " lease seeds 0 to 2")));
}

#[test]
fn pairs_that_were_not_reached_often_enough_fail_the_run() {
    let output = simulator(&["run", "--seeds", "2", "--require-pairs", "1000000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("FAILED pairs: refresh was begun during expiry only "), "{}", text(&output));
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    for arguments in [
        &["run", "--seed", "x"][..],
        &["run", "--trace"],
        &["run", "--seed", "1", "--seeds", "2"],
        &["run", "--scenario", "nothing"],
        &["go"],
    ] {
        assert_eq!(simulator(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn many_seeds_print_how_many_passed_and_the_rate() {
    let output = simulator(&["run", "--seeds", "5", "--from", "20"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output);
    assert!(text.starts_with("transtalk-sim "), "{text}");
    assert!(text.contains("PASSED 5 seeds in ") && text.contains(" seeds a minute"), "{text}");
}
