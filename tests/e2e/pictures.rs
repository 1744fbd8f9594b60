//! The pictures in ARCHITECTURE.md name what the code names.

use crate::support::repository;

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect("it can be read")
}

/// The names of an enum's variants.
fn variants(source: &str, name: &str) -> Vec<String> {
    let body = source.split_once(&format!("pub enum {name} {{")).expect("the enum").1;
    let body = body.split_once("\n}").expect("its end").0;
    let names = body.lines().map(str::trim).filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    names.map(|line| line.trim_end_matches([',', '{', ' ']).to_owned()).collect()
}

/// The first picture of this kind.
fn picture(document: &str, kind: &str) -> String {
    let from = document.split_once(&format!("```mermaid\n{kind}\n")).expect("the picture").1;
    from.split_once("```").expect("its end").0.to_owned()
}

/// What the arrows' labels call a presented token, in the order of the alphabet.
fn verdicts(picture: &str) -> Vec<String> {
    let labels = picture.lines().filter_map(|line| line.split_once(": ")).map(|(_, label)| label);
    let words = labels.flat_map(|label| label.split([':', ','])).map(str::trim);
    let mut found: Vec<String> = words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(char::is_alphabetic))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The close codes that a picture names.
fn closes(picture: &str) -> Vec<&str> {
    picture.split("close ").skip(1).filter_map(|rest| rest.get(..4)).collect()
}

#[test]
fn the_picture_of_a_session_has_every_verdict_and_no_other() {
    let mut expect = variants(&text("core/src/auth/session.rs"), "Presented");
    expect.sort();
    assert_eq!(verdicts(&picture(&text("ARCHITECTURE.md"), "stateDiagram-v2")), expect);
}

#[test]
fn the_picture_of_a_socket_names_entitlements_and_close_codes_that_exist() {
    let picture = picture(&text("ARCHITECTURE.md"), "sequenceDiagram");
    for variant in variants(&text("core/src/auth/entitlement.rs"), "Entitlement") {
        assert!(picture.contains(&format!("Entitlement::{variant}")), "{variant}");
    }
    let (codes, source) = (closes(&picture), text("core/src/stomp/close.rs"));
    assert!(codes.len() >= 3, "{codes:?}");
    for code in codes {
        assert!(source.contains(&format!("=> {code},")), "{code}");
    }
}

#[test]
fn a_picture_that_is_behind_the_code_is_noticed() {
    assert_eq!(
        variants("pub enum Presented {\n    /// Doc.\n    One,\n    Two {\n        field: u8,\n    },\n}", "Presented"),
        ["One", "Two"]
    );
    assert_eq!(verdicts("A --> B: One: then\nB --> C: Two, log-out\n"), ["One", "Two"]);
    assert_eq!(closes("ERROR, close 4007\nclose 4001"), ["4007", "4001"]);
}
