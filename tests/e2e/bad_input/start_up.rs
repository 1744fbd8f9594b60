//! A server that cannot start says why in one plain line, names the thing, and ends with exit code 1.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::support::{Server, binary, fresh_folder, within};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = fresh_folder();
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a file can be written");
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts the server, which has to give up and to name these things.
async fn gives_up(args: &[&str], env: &[(&str, &str)], names: &[&str]) {
    let folder = Folder::new();
    let data = folder.path("data");
    let mut command = tokio::process::Command::new(binary("transtalk"));
    command.arg("serve").args(args).env("RUST_BACKTRACE", "1").envs(env.iter().copied());
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--data", &data)] {
        if !args.contains(&flag) {
            command.args([flag, value]);
        }
    }
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within("a server that gives up", run).await.expect("the binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it never said that it was there");
    assert!(said.starts_with("transtalk: ") && said.trim_end().lines().count() == 1, "one plain line: {said}");
    assert!(!said.contains("s3cret"), "no line of a file is quoted: {said}");
    assert!(!said.contains("panicked") && !said.contains("backtrace") && !said.contains('\u{1b}'), "{said}");
    for name in names {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    // Root may write anywhere, but not below a regular file.
    let file = folder.file("file", "not a folder");
    for data in [file.clone(), format!("{file}/below")] {
        gives_up(&["--data", &data], &[], &[&data, "data folder"]).await;
    }
    assert_eq!(std::fs::read_to_string(file).expect("it is still there"), "not a folder");
    std::fs::create_dir_all(folder.path("data/transtalk.db")).expect("a folder can be made");
    let data = folder.path("data");
    gives_up(&["--data", &data], &[], &["transtalk.db"]).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    gives_up(&["--listen", &address], &[], &[&address, "in use"]).await;
}

#[tokio::test]
async fn a_broken_configuration_file_is_explained() {
    let folder = Folder::new();
    for (text, names) in [
        ("[http\nlisten = 1", &["line 1", "bad.toml"][..]),
        ("x = = 1", &["line 1", "bad.toml"]),
        ("[auth]\nissuer = \"s3cret", &["line 2", "bad.toml"]),
        ("[htpp]\nlisten = \"127.0.0.1:1\"", &["htpp", "http"]),
        ("[http]\nlisen = \"127.0.0.1:1\"", &["lisen", "listen"]),
        ("[auth]\naccess_ttl = \"soon\"", &["access_ttl", "soon", "30m"]),
        ("[auth]\naccess_ttl = \"0s\"", &["auth.access_ttl"]),
        ("[auth]\nrefresh_ttl = [1]", &["refresh_ttl"]),
        ("[http]\ncors_origins = \"http://a.example/path\"", &["cors_origins", "http://a.example/path"]),
        ("[translation]\nlanguages = \"ko, klingon!\"", &["translation.languages", "klingon!"]),
        ("[translation]\nchain = []", &["translation.chain"]),
        ("[auth]\nredirect_uri = \"/callback\"", &["auth.redirect_uri", "/callback"]),
        ("[compat]\nlegacy_200_errors = \"perhaps\"", &["legacy_200_errors"]),
        ("[auth]\nalgorithm = \"none\"", &["algorithm", "none", "EdDSA"]),
        ("[auth]\nalgorithm = \"HS256\"\nhs256_secret = \"s3cret\"", &["auth.hs256_secret", "32 bytes"]),
        ("[auth]\nhs256_secret = \"s3cret\"", &["auth.hs256_secret"]),
        ("[auth]\ncookie_same_site = \"strict\"", &["cookie_same_site", "strict"]),
        ("[auth]\nrefresh_grace = \"-1s\"", &["refresh_grace"]),
        ("[limits]\nrefresh = -1", &["refresh"]),
        ("[limits]\nsign_ins = 1", &["sign_ins", "sign_in"]),
        ("[http]\ntrusted_proxies = \"10.0.0.0/33\"", &["trusted_proxies", "10.0.0.0/33"]),
        ("[auth.providers.work]\nclient_id = \"a\"", &["auth.providers.work.kind"]),
        ("[auth.providers.work]\nkind = \"oidc\"\nclient_id = \"a\"", &["auth.providers.work.issuer"]),
        ("[auth.providers.google]\nclient_secret = \"s3cret\"", &["auth.providers.google.client_id"]),
        ("[auth.providers.github]\nclient_id = \"a\"", &["auth.providers.github.client_secret"]),
    ] {
        let file = folder.file("bad.toml", text);
        gives_up(&["--config", &file], &[], names).await;
    }
}

#[tokio::test]
async fn a_configuration_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    for file in [folder.path("missing.toml"), folder.path("")] {
        gives_up(&["--config", &file], &[], &[&file, "cannot be read"]).await;
    }
    std::fs::write(folder.path("binary.toml"), [0xff, 0xfe, 0x00]).expect("a file can be written");
    gives_up(&["--config", &folder.path("binary.toml")], &[], &["binary.toml"]).await;
}

#[tokio::test]
async fn a_variable_that_means_nothing_is_named() {
    for (name, value, names) in [
        ("TRANSTALK_FOO", "1", &["FOO"][..]),
        ("TRANSTALK_AUTH__ACESS_TTL", "5s", &["ACESS_TTL"]),
        ("TRANSTALK_AUTH__ACCESS_TTL", "soon", &["ACCESS_TTL", "soon"]),
        ("TRANSTALK_TRANSLATION__HOLD", "-1", &["HOLD"]),
        ("TRANSTALK_LOG__FILTER", "=[", &["log.filter"]),
    ] {
        gives_up(&[], &[(name, value)], names).await;
    }
}

#[tokio::test]
async fn a_store_or_an_engine_that_is_not_there_is_named_without_its_secrets() {
    gives_up(&[], &[("TRANSTALK_STORAGE__URL", "redis:")], &["storage.url", "redis"]).await;
    gives_up(&[], &[("TRANSTALK_STORAGE__URL", "nonsense")], &["storage.url", "nonsense"]).await;
    gives_up(&[], &[("TRANSTALK_TRANSLATION__CHAIN", "phrases,babel")], &["translation.chain", "babel"]).await;
    let env =
        [("TRANSTALK_TRANSLATION__CHAIN", "apertium"), ("TRANSTALK_TRANSLATION__APERTIUM__URL", "not an address")];
    gives_up(&[], &env, &["translation.apertium.url"]).await;
    let output = tokio::process::Command::new(binary("transtalk"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data", &fresh_folder().display().to_string()])
        .env("TRANSTALK_STORAGE__URL", "postgres://transtalk:s3cret@db.example/transtalk")
        .kill_on_drop(true)
        .output();
    let output = within("a server that gives up", output).await.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("postgres") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_or_that_is_broken_is_named() {
    let data = Server::start(&[]).await.kill().await;
    let folder = Folder(data.clone());
    let keys = data.join("keys.json");
    let good = std::fs::read(&keys).expect("a key file was made");
    assert_eq!(std::fs::metadata(&keys).expect("it is there").permissions().mode() & 0o777, 0o600);
    let data = data.to_str().expect("a plain path");
    for mode in [0o644, 0o660, 0o606] {
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).expect("its owner may");
        gives_up(&["--data", data], &[], &["keys.json", "chmod 600"]).await;
    }
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
    for broken in [&b""[..], b"{}", &good[..good.len() / 2]] {
        std::fs::write(&keys, broken).expect("it can be written");
        gives_up(&["--data", data], &[], &["keys.json", "malformed"]).await;
        assert_eq!(std::fs::read(&keys).expect("it is there"), broken, "nothing is made anew in silence");
    }
    drop(folder);
}

#[tokio::test]
async fn a_command_or_a_flag_that_is_not_there_is_named() {
    for args in [&["dance"][..], &["serve", "--lisen", "127.0.0.1:0"], &["serve", "--listen", "nowhere"]] {
        let run = tokio::process::Command::new(binary("transtalk")).args(args).kill_on_drop(true).output();
        let output = within("a command that is not there", run).await.expect("the binary starts");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(args.get(1).unwrap_or(&args[0])));
    }
}
