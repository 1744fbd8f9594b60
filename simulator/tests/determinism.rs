//! The same seed tells the same story, different seeds tell different ones, and every invariant holds in all of them.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::thread;

use transtalk_simulator::{Campaign, Sometimes, run};

fn simulator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_transtalk-sim")).args(arguments).output().expect("the binary was built")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

#[test]
fn the_same_seed_twice_has_the_same_story_and_hash() {
    for seed in [0, 1, 2, 3, 7, 11] {
        let (one, other) = (run(seed, true), run(seed, true));
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.hash, run(seed, false).hash, "listening to seed {seed} changes it");
    }
}

#[test]
fn the_same_seed_in_two_processes_prints_the_same() {
    let first = simulator(&["run", "--seed", "5", "--trace"]);
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(text(&first), text(&simulator(&["run", "--seed", "5", "--trace"])));
    let hash = format!("trace hash: {:016x}", run(5, false).hash);
    assert!(text(&first).lines().any(|line| line == hash), "{hash} is not printed");
}

#[test]
fn a_thousand_seeds_pass_differ_and_reach_what_they_are_there_for() {
    let threads = thread::available_parallelism().map_or(1, Into::into);
    let outcome = Campaign { from: 0, count: 1_000, threads }.run(|_| {});
    let failed = outcome.failed.map(|report| (report.seed, report.broken));
    assert_eq!(failed, None);
    let hashes: BTreeSet<u64> = outcome.hashes.iter().map(|(_, hash)| *hash).collect();
    assert!(hashes.len() >= 990, "only {} of 1,000 seeds differ", hashes.len());
    for (situation, name) in Sometimes::ALL {
        assert!(outcome.counters.get(situation) > 0, "never reached: {name}");
    }
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    for arguments in
        [&["run", "--seed", "x"][..], &["run", "--trace"], &["run", "--seed", "1", "--seeds", "2"], &["go"]]
    {
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
