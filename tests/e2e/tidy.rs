//! The house rules that no compiler knows: who may depend on whom, and what a file looks like.
//!
//! Each rule is a function over text, and each is seen to refuse something.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::support::repository;

const LINES_MAX: usize = 600;

/// Everything that core may be built from.
const CORE_DEPENDENCIES: [&str; 12] = [
    "async-channel",
    "async-trait",
    "base64",
    "bytes",
    "futures-util",
    "memchr",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "time",
    "whatlang",
];

/// Runtimes, sockets, databases and sources of chance: core has none of them, however far down.
const NEVER_IN_CORE: [&str; 9] = ["tokio", "poem", "redis", "sqlx", "mongodb", "reqwest", "rand", "getrandom", "hyper"];

/// What stands behind the ports, by the names that code would use.
const ADAPTER_NAMES: [&str; 6] = ["transtalk_adapters", "SqliteStore", "MemoryStore", "sqlx", "mongodb", "redis"];

/// The only file that may use them.
const WIRE: &str = "api/src/wire.rs";

#[test]
fn every_source_file_says_what_it_is_and_stays_short() {
    refuse_none(&sources("*.rs"), untidy);
}

#[test]
fn an_untidy_file_is_refused() {
    let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
    let (later, ignored, unfinished) = marks();
    let marked = |mark: &str| format!("//! Marked.\n// {mark}\n");
    for bad in ["", "use std::fmt;\n", &long, &marked(later), &marked(ignored), &marked(unfinished)] {
        assert!(untidy("some/file.rs", bad).is_some(), "{bad}");
    }
    assert_eq!(untidy("some/file.rs", "//! Good.\n"), None);
}

#[test]
fn core_depends_on_what_is_listed_here_and_on_nothing_else() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    assert_eq!(not_as_listed(&metadata), None);
    assert_eq!(among(&tree("transtalk-core", &["--all-features"]), &NEVER_IN_CORE), None);
}

#[test]
fn a_new_dependency_of_core_is_refused() {
    let metadata = |names: &[&str]| {
        let normal = names.iter().map(|name| serde_json::json!({ "name": name, "kind": null }));
        let test = serde_json::json!({ "name": "proptest", "kind": "dev" });
        let dependencies: Vec<Value> = normal.chain([test]).collect();
        serde_json::json!({ "packages": [{ "name": "transtalk-core", "dependencies": dependencies }] }).to_string()
    };
    assert_eq!(not_as_listed(&metadata(&CORE_DEPENDENCIES)), None);
    assert!(not_as_listed(&metadata(&[&CORE_DEPENDENCIES[..], &["uuid"]].concat())).is_some());
    assert!(not_as_listed(&metadata(&CORE_DEPENDENCIES[1..])).is_some());
    assert!(not_as_listed("{ \"packages\": [] }").is_some());
}

#[test]
fn only_the_wire_names_an_adapter() {
    let api = sources("api/src/*.rs");
    assert!(
        api.get(WIRE).is_some_and(|text| names_an_adapter("elsewhere.rs", text).is_some()),
        "the rule looks at {WIRE}"
    );
    refuse_none(&api, names_an_adapter);
}

#[test]
fn a_file_that_names_an_adapter_is_refused() {
    for bad in [
        "use transtalk_adapters::memory::MemoryBus;",
        "use crate::wire::SqliteStore;",
        "fn keep(store: MemoryStore) {}",
        "sqlx::query(text)",
        "redis::Client",
        "let client: mongodb::Client;",
    ] {
        assert!(names_an_adapter("api/src/app.rs", bad).is_some(), "{bad}");
        assert_eq!(names_an_adapter(WIRE, bad), None);
    }
    assert_eq!(names_an_adapter("api/src/app.rs", "//! `sqlite:` or `rediscover`."), None);
}

#[test]
fn the_simulator_has_neither_a_runtime_nor_a_database() {
    assert_eq!(among(&tree("transtalk-simulator", &[]), &["tokio", "sqlx"]), None);
}

#[test]
fn the_memory_adapters_alone_need_neither_a_runtime_nor_a_database() {
    assert_eq!(among(&tree("transtalk-adapters", &["--no-default-features"]), &["tokio", "sqlx"]), None);
    // The same question about all of them has another answer, or it would not be a question.
    assert!(among(&tree("transtalk-adapters", &[]), &["sqlx"]).is_some());
}

#[test]
fn a_crate_is_found_in_a_tree_and_its_relatives_with_it() {
    let tree = "transtalk-core v0.1.0 (/x/core)\nbytes v1.12.1\ntokio-util v0.7.0\nsqlx-core v0.9.0 (*)\nrandom v1.0.0";
    assert_eq!(among(tree, &["tokio"]).as_deref(), Some("tokio-util"));
    assert_eq!(among(tree, &["sqlx"]).as_deref(), Some("sqlx-core"));
    assert_eq!(among(tree, &["rand", "redis"]), None);
    assert!(among("", &["tokio"]).is_some(), "no tree at all is no answer");
}

/// Why this file is not as it should be, if it is not.
fn untidy(_: &str, text: &str) -> Option<String> {
    let (later, ignored, unfinished) = marks();
    if !text.starts_with("//!") {
        return Some("does not open with //!".to_owned());
    }
    if text.lines().count() > LINES_MAX {
        return Some(format!("has more than {LINES_MAX} lines"));
    }
    [later, ignored, unfinished].into_iter().find(|mark| text.contains(mark)).map(|mark| format!("has a {mark}"))
}

/// Signs of work that is not done, spelled so that this file does not have them.
fn marks() -> (&'static str, &'static str, &'static str) {
    (concat!("FIX", "ME"), concat!("#[", "ignore"), concat!("todo", "!"))
}

/// Which adapter this file of api names, if it may not.
fn names_an_adapter(path: &str, text: &str) -> Option<String> {
    let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let found = words.find(|word| path != WIRE && ADAPTER_NAMES.contains(word))?;
    Some(format!("names {found}"))
}

/// How core's dependencies differ from the list, if they do.
fn not_as_listed(metadata: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(metadata).expect("cargo speaks JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let Some(core) = packages.iter().find(|package| package["name"] == "transtalk-core") else {
        return Some("there is no transtalk-core".to_owned());
    };
    let dependencies = core["dependencies"].as_array().expect("a list");
    let normal = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
    let found: BTreeSet<&str> = normal.filter_map(|dependency| dependency["name"].as_str()).collect();
    let listed = BTreeSet::from(CORE_DEPENDENCIES);
    (found != listed).then(|| format!("{:?}", found.symmetric_difference(&listed).collect::<Vec<_>>()))
}

/// The first of these crates, or of their own parts such as `sqlx-core`, in what `cargo tree --prefix none` printed.
fn among(tree: &str, unwanted: &[&str]) -> Option<String> {
    if !tree.contains("transtalk-core v") {
        return Some(format!("no tree: {tree:?}"));
    }
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let is = |name: &str, crate_name: &str| {
        name.strip_prefix(crate_name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    };
    names.into_iter().find(|name| unwanted.iter().any(|crate_name| is(name, crate_name))).map(str::to_owned)
}

/// What a package is built from, one crate a line.
fn tree(package: &str, arguments: &[&str]) -> String {
    cargo(&[&["tree", "-p", package, "-e", "normal", "--prefix", "none"], arguments].concat())
}

fn cargo(arguments: &[&str]) -> String {
    output(Command::new(env!("CARGO")).args(arguments))
}

/// Path and text of the files that git has or would take. One that was just deleted is no longer there.
fn sources(pattern: &str) -> BTreeMap<String, String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern];
    let paths = output(Command::new("git").args(list));
    let sources: BTreeMap<String, String> = paths
        .lines()
        .filter_map(|path| Some((path.to_owned(), std::fs::read_to_string(repository().join(path)).ok()?)))
        .collect();
    assert!(sources.len() > 10, "git lists hardly any {pattern}");
    sources
}

fn refuse_none(files: &BTreeMap<String, String>, rule: fn(&str, &str) -> Option<String>) {
    let wrong: Vec<String> =
        files.iter().filter_map(|(path, text)| Some(format!("{path} {}", rule(path, text)?))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(repository()).output().expect("it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
