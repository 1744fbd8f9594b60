//! A simulator that finds nothing proves nothing: each bug that is planted in the core fails within 500 seeds, and the
//! seed that it failed at fails again.

use std::process::{Command, Output};

fn simulator(mutant: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transtalk-sim"));
    command.env("TRANSTALK_MUTANT", mutant).args(arguments).output().expect("the binary was built")
}

fn check(mutant: &str, invariants: &[&str]) {
    let output = simulator(mutant, &["run", "--seeds", "500"]);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert_eq!(output.status.code(), Some(1), "{mutant} was not found: {text}");
    let named = invariants.iter().any(|invariant| text.contains(&format!("FAILED {invariant}: ")));
    assert!(named, "{mutant} broke something else: {text}");
    let replay = text.lines().find_map(|line| line.trim().strip_prefix("replay: transtalk-sim "));
    let arguments: Vec<&str> = replay.expect("a replay is printed").split(' ').collect();
    let again = simulator(mutant, &arguments);
    assert_eq!(again.status.code(), Some(1), "{mutant} does not fail again with {arguments:?}");
    let sound = simulator("", &arguments);
    assert_eq!(sound.status.code(), Some(0), "{arguments:?} fails without {mutant}, too");
}

#[test]
fn membership_that_is_not_asked_is_found() {
    // An outsider is served (C7), or is found to have spoken (C2).
    check("no-membership", &["C7", "C2"]);
}

#[test]
fn a_refresh_that_does_not_compare_is_found() {
    check("no-compare-and-swap", &["T1", "T2"]);
}

#[test]
fn a_receipt_before_the_store_is_found() {
    // It acknowledges what is not in the history (C1), and what would never be stored there (C3).
    check("early-receipt", &["C1", "C3"]);
}
