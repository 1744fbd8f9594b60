//! What `tests/secrets.sh` has to find. It looks for tokens and secrets in the logs of all servers when the tests are done, and a search
//! that finds nothing at all proves nothing.

use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Log, repository};

#[test]
fn a_token_is_planted_in_a_log_of_its_own_for_the_search_to_find() {
    let parts = [r#"{"alg":"EdDSA","typ":"JWT"}"#, r#"{"sub":"planted"}"#, &format!("{:040}", std::process::id())];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let log = Log::new();
    // As a server writes its log: a process of its own, to its standard error.
    let line =
        format!("2026-01-01T00:00:00Z TRACE somewhere: request authorization=\"Bearer {token}\" path=/api/v1/me");
    let mut writer = Command::new("sh");
    writer.args(["-c", "printf '%s\\n' \"$0\" >&2", &line]).stdin(Stdio::null()).stderr(log.writer());
    assert!(writer.status().expect("a shell").success());
    assert_eq!(std::fs::read_to_string(log.path()).expect("a log"), format!("{line}\n"));
    std::fs::write(log.path().with_extension("planted"), token + "\n").expect("it can be written beside it");
}

#[test]
fn the_search_knows_every_kind_of_secret() {
    let search = repository().join("tests/secrets.sh");
    let output = Command::new(search).arg("--self-test").output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
