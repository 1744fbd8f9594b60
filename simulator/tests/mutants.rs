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

#[test]
fn a_second_tab_that_is_given_a_generation_of_its_own_is_found() {
    check("grace-forks", &["T1", "T2"]);
}

#[test]
fn reuse_that_is_forgiven_is_found() {
    check("reuse-forgiven", &["T2", "T3"]);
}

#[test]
fn a_refresh_of_an_ended_session_is_found() {
    // Somebody was told of the end by log-out (T5), everywhere (T13), reuse (T3); or nobody was (T4).
    check("refresh-ignores-revocation", &["T3", "T4", "T5", "T13"]);
}

#[test]
fn a_token_whose_session_is_not_asked_is_found() {
    check("session-not-asked", &["T3", "T6", "T7", "T13"]);
}

#[test]
fn a_token_that_is_taken_after_its_end_is_found() {
    check("expiry-ignored", &["T8"]);
}

#[test]
fn a_rotation_that_moves_the_absolute_end_is_found() {
    check("rotation-extends-absolute", &["T9"]);
}

#[test]
fn a_lost_response_that_is_taken_for_reuse_is_found() {
    check("loss-is-reuse", &["T10", "T12"]);
}

#[test]
fn a_name_that_two_tokens_have_is_found() {
    check("jti-repeats", &["T11"]);
}

#[test]
fn a_log_out_everywhere_that_ends_one_session_is_found() {
    check("everywhere-ends-one", &["T13"]);
}

#[test]
fn an_end_that_is_recorded_twice_is_found() {
    check("end-recorded-twice", &["T14"]);
}

#[test]
fn a_log_out_that_leaves_the_sockets_open_is_found() {
    check("log-out-keeps-sockets", &["S1"]);
}

#[test]
fn a_lease_that_is_never_looked_at_again_is_found() {
    check("lease-never-rechecked", &["S1"]);
}

#[test]
fn sockets_that_are_kept_for_ever_without_a_store_are_found() {
    check("patience-without-end", &["S1"]);
}

#[test]
fn a_lease_without_a_cookie_is_found() {
    check("lease-without-cookie", &["S1"]);
}

#[test]
fn a_renewal_that_is_forgotten_is_found() {
    check("renewal-forgotten", &["S2"]);
}

#[test]
fn another_users_token_that_is_taken_is_found() {
    check("switched-token-accepted", &["S6"]);
}

#[test]
fn a_ticket_that_is_good_twice_is_found() {
    check("ticket-twice", &["ticket"]);
}

#[test]
fn a_grant_that_is_never_given_back_is_found() {
    check("grants-kept", &["withdrawal"]);
}
