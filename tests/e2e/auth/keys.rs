//! The keys that tokens are made with: shown, replaced under a running server, and of every algorithm.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::process::Command;

use super::{me, unauthorized};
use crate::support::{
    Anon, Options, Server, Stomp, User, binary, claims, data, eventually, fresh_folder, json, refused, secret,
    token_header, within,
};

/// Long enough, and nobody's example.
const SECRET: &str = "Qm8zT1p4V0x2dWl5R2hNc0VqYkN0a1hZ-nightingale-7";

#[tokio::test]
async fn keys_are_replaced_under_a_running_server_and_nobody_notices() {
    let server = Server::start(&[]).await;
    let (mut alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let (mut by_token, mut by_session) = (Stomp::connect(&server, &alice).await, Stomp::lease(&server, &alice).await);
    let first = kid(&alice.token);
    assert_eq!(published(&alice.anon).await, [first.as_str()]);

    let said = keys(&server, &["rotate"]).await;
    assert!(said.starts_with("Added:") && !said.contains("Dropped"), "{said}");
    no_secret(&said, server.data());
    let listed = listed(&server).await;
    let of = |state: &str, usage: &str| -> Vec<String> {
        let rows = listed.iter().filter(|key| key["state"] == state && key["use"] == usage);
        rows.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(of("active", "signing"), [first.as_str()], "{listed:?}");
    let [second] = &of("waiting", "signing")[..] else { panic!("{listed:?}") };
    assert_eq!((of("active", "mac").len(), of("waiting", "mac").len()), (1, 1), "{listed:?}");

    // Everybody who verifies can read the new key before anybody meets its tokens.
    eventually("the second key in public", async || (published(&bob.anon).await.len() == 2).then_some(())).await;
    assert_eq!(kid(&server.sign_in("carla").await.token), first, "not yet");
    let old = alice.clone();
    a_minute_passes(server.data());
    eventually("a token of the second key", async || (kid(&fresh(&bob).await) == *second).then_some(())).await;

    // What was made with the first goes on: access tokens, refresh cookies, sockets.
    assert_eq!(me(&old.anon, &old.token).await.status(), 200);
    alice.refresh().await;
    assert_eq!(kid(&alice.token), *second);
    data(alice.get("/api/v1/me").await).await;
    // The first cookie is one behind, and so known for what it is.
    data(old.anon.refresh(&old.cookie).await).await;
    by_token.say(room, "Hello", None).await;
    by_session.say(room, "Hello again", None).await;
    Stomp::connect(&server, &alice).await.say(room, "With the second key", None).await;
    let mut both = [first.clone(), second.clone()];
    both.sort();
    let mut public = published(&alice.anon).await;
    public.sort();
    assert_eq!(public, both);

    // After a restart as well.
    let data_folder = server.kill().await;
    let server = Server::start_with(Options { data: Some(data_folder), ..Options::default() }).await;
    alice.follow(&server);
    assert_eq!(me(&alice.anon, &old.token).await.status(), 200);
    alice.refresh().await;
    assert_eq!(kid(&alice.token), *second);
}

#[tokio::test]
async fn t4_keys_that_have_leaked_are_gone_at_once_and_what_they_made_is_worth_nothing() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let ticket = super::ticket(&alice).await;
    let (sign_in, page) = alice.anon.begin().await;
    let query = alice.anon.come_back(&page, "alice").await;
    let first = kid(&alice.token);
    let said = keys(&server, &["rotate", "--now"]).await;
    assert!(said.contains(&format!("Dropped: {first}")), "{said}");
    no_secret(&said, server.data());
    eventually("the end of the first key", async || {
        (me(&alice.anon, &alice.token).await.status() == 401).then_some(())
    })
    .await;
    unauthorized(me(&alice.anon, &alice.token).await, "UNAUTHORIZED").await;
    refused(alice.anon.refresh(&alice.cookie).await, 400, "REFRESH_TOKEN_INVALID").await;
    refused(alice.anon.complete(&query, &sign_in).await, 400, "SIGN_IN_NOT_BEGUN").await;
    let path = format!("/ws-connect?ticket={ticket}");
    unauthorized(super::upgrade(&server, &path, &[]).await, "UNAUTHORIZED").await;
    let again = server.sign_in("alice").await;
    assert_ne!(kid(&again.token), first);
    assert_eq!(published(&again.anon).await, [kid(&again.token)]);
    assert_eq!(again.id, alice.id, "the account is the same");
}

#[tokio::test]
async fn t4_a_socket_that_was_opened_with_a_leaked_key_ends_with_it() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    let (mut by_token, mut by_session) = (Stomp::connect(&server, &alice).await, Stomp::lease(&server, &alice).await);
    keys(&server, &["rotate", "--now"]).await;
    let replaced = Instant::now();
    by_token.closed(4001).await;
    by_session.closed(4001).await;
    // The file is looked at every five seconds.
    assert!(replaced.elapsed() < Duration::from_secs(7), "{:?}", replaced.elapsed());
    let mut late = Stomp::open(&server, &[]).await.expect("an upgrade");
    late.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", alice.jwt())).await;
    late.refused("UNAUTHORIZED").await;
}

#[tokio::test]
async fn the_list_of_keys_prints_no_secret() {
    for env in [&[][..], &[("AUTH__ALGORITHM", "ES256")], &[("AUTH__ALGORITHM", "HS256")]] {
        let server = Server::start(env).await;
        keys(&server, &["rotate"]).await;
        let table = keys(&server, &["list"]).await;
        let as_json = keys(&server, &["list", "--json"]).await;
        for text in [&table, &as_json] {
            no_secret(text, server.data());
        }
        let kid = kid(&server.sign_in("alice").await.token);
        assert!(table.contains(&kid) && as_json.contains(&kid), "{table}\n{as_json}");
        for key in listed(&server).await {
            let names: Vec<&String> = key.as_object().expect("an object").keys().collect();
            assert_eq!(names, ["activeFrom", "algorithm", "createdAt", "kid", "retiredAt", "state", "use"]);
        }
    }
}

#[tokio::test]
async fn without_a_key_file_there_is_nothing_to_list_or_rotate() {
    let folder = fresh_folder();
    for command in ["list", "rotate"] {
        let output = transtalk(&["keys", command], &folder, &[]).await;
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("transtalk: ") && said.contains("keys.json"), "{said}");
    }
    assert!(!folder.join("keys.json").exists(), "none is made by accident");
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn each_algorithm_signs_refreshes_connects_and_publishes_what_is_public() {
    for (env, algorithm, kty, members) in [
        (&[][..], "EdDSA", "OKP", &["alg", "crv", "kid", "kty", "use", "x"][..]),
        (&[("AUTH__ALGORITHM", "ES256")], "ES256", "EC", &["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (&[("AUTH__ALGORITHM", "HS256")], "HS256", "", &[]),
        (&[("AUTH__ALGORITHM", "HS256"), ("AUTH__HS256_SECRET", SECRET)], "HS256", "", &[]),
    ] {
        let server = Server::start(env).await;
        let (mut alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
        for _ in 0..2 {
            let header = token_header(&alice.token);
            assert_eq!((&header["alg"], &header["typ"]), (&algorithm.into(), &"at+jwt".into()), "{header}");
            assert_eq!(data(alice.get("/api/v1/me").await).await["id"], alice.id);
            alice.refresh().await;
        }
        let room = alice.open_room("ko", &bob.email).await;
        Stomp::connect(&server, &alice).await.say(room, "Hello", None).await;
        let path = format!("/ws-connect?ticket={}", super::ticket(&alice).await);
        assert_eq!(super::upgrade(&server, &path, &[]).await.status(), 101);

        let answer = alice.anon.get("/.well-known/jwks.json").await;
        let set = json(answer).await;
        let published = set["keys"].as_array().expect("a list");
        if kty.is_empty() {
            assert!(published.is_empty(), "a symmetric key is nobody else's: {set}");
        } else {
            let [key] = &published[..] else { panic!("{set}") };
            assert_eq!(key.as_object().expect("an object").keys().collect::<Vec<_>>(), members);
            assert_eq!((&key["kty"], &key["alg"]), (&kty.into(), &algorithm.into()));
            assert_eq!(key["kid"], kid(&alice.token));
        }
        no_secret(&set.to_string(), server.data());

        // The same session goes on after a restart.
        let folder = server.kill().await;
        let server = Server::start_with(Options { env, data: Some(folder), ..Options::default() }).await;
        alice.follow(&server);
        assert_eq!(alice.get("/api/v1/me").await.status(), 200);
        alice.refresh().await;
    }
}

#[tokio::test]
async fn t8_a_token_is_believed_by_the_algorithm_of_its_key_and_no_other() {
    // One folder, three configurations: each key stays what it is, and the sessions go on.
    let mut server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    let mut tokens = vec![alice.token.clone()];
    for algorithm in ["ES256", "HS256", "EdDSA"] {
        let env = [("AUTH__ALGORITHM", algorithm)];
        let folder = server.kill().await;
        server = Server::start_with(Options { env: &env, data: Some(folder), ..Options::default() }).await;
        alice.follow(&server);
        alice.refresh().await;
        assert_eq!(token_header(&alice.token)["alg"], algorithm);
        tokens.push(alice.token.clone());
        for token in &tokens {
            assert_eq!(me(&alice.anon, token).await.status(), 200, "{}", token_header(token));
        }
    }
    // A header that names another key, or another algorithm for its key, is not believed.
    for one in &tokens {
        for other in &tokens {
            let ((header, _), (_, rest)) = (one.split_once('.').expect("parts"), other.split_once('.').expect("parts"));
            let mixed = format!("{header}.{rest}");
            if !tokens.contains(&mixed) && kid(one) != kid(other) {
                unauthorized(me(&alice.anon, &mixed).await, "UNAUTHORIZED").await;
            }
        }
    }
    assert_eq!(claims(&tokens[0])["sid"], claims(&tokens[3])["sid"], "one session all along");
}

#[tokio::test]
async fn a_secret_that_is_short_or_everybodys_stops_the_start() {
    for weak in [
        "tiny-7-secret",
        "thirty-one-bytes-are-too-few-31",
        "your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "change-me-change-me-change-me-change-me",
    ] {
        let folder = fresh_folder();
        let env = [("TRANSTALK_AUTH__ALGORITHM", "HS256"), ("TRANSTALK_AUTH__HS256_SECRET", weak)];
        let output = transtalk(&["serve", "--listen", "127.0.0.1:0"], &folder, &env).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{weak}: {said}");
        assert!(said.starts_with("transtalk: ") && said.contains("auth.hs256_secret"), "{said}");
        assert!(!said.contains(weak) && output.stdout.is_empty(), "{said}");
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// As if a minute had passed since the keys of this folder were replaced: nobody waits for it.
fn a_minute_passes(folder: &Path) {
    let path = folder.join("keys.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).expect("a key file")).expect("JSON");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for part in ["keys", "mac_secrets"] {
        for entry in file[part].as_array_mut().expect("a list") {
            for time in ["activates_at", "retired_at"] {
                if entry[time].as_u64().is_some_and(|at| at > now) {
                    entry[time] = (now - 1).into();
                }
            }
            entry["created_at"] = entry["created_at"].as_u64().expect("a time").min(now - 2).into();
        }
    }
    // Whole, as the server itself does it.
    let beside = folder.join("keys.json.new");
    std::fs::write(&beside, file.to_string()).expect("the folder can be written");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
    std::fs::rename(beside, path).expect("its owner may");
}

/// None of the file's secrets is in the text, in any of the spellings that somebody could print them in.
fn no_secret(text: &str, folder: &Path) {
    let file: Value =
        serde_json::from_slice(&std::fs::read(folder.join("keys.json")).expect("a key file")).expect("JSON");
    let mut looked_for = 0;
    for (part, name) in [("keys", "private_key"), ("mac_secrets", "secret")] {
        for entry in file[part].as_array().expect("a list") {
            let spelled = entry[name].as_str().expect("a secret");
            let bytes = STANDARD.decode(spelled).expect("base64");
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            for secret in [spelled.trim_end_matches('='), &spelled.replace('+', "-").replace('/', "_"), &hex] {
                assert!(!text.contains(secret), "a secret is shown");
            }
            looked_for += 1;
        }
    }
    assert!(looked_for >= 1);
}

async fn transtalk(args: &[&str], folder: &Path, env: &[(&str, &str)]) -> std::process::Output {
    let mut command = Command::new(binary("transtalk"));
    command.args(args).arg("--data").arg(folder).envs(env.iter().copied()).kill_on_drop(true);
    within("the command", command.output()).await.expect("the binary starts")
}

/// What `transtalk keys` prints beside this server.
async fn keys(server: &Server, args: &[&str]) -> String {
    let output = transtalk(&[&["keys"], args].concat(), server.data(), &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("text")
}

async fn listed(server: &Server) -> Vec<Value> {
    serde_json::from_str(&keys(server, &["list", "--json"]).await).expect("a JSON list")
}

/// The names of the public keys.
async fn published(anon: &Anon) -> Vec<String> {
    let set = json(anon.get("/.well-known/jwks.json").await).await;
    let keys = set["keys"].as_array().expect("a list").iter();
    keys.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

/// A new access token by the same refresh cookie: within grace that is one and the same session for ever.
async fn fresh(user: &User) -> String {
    let (_, token) = crate::support::refreshed(user.anon.refresh(&user.cookie).await).await;
    secret(&token);
    token
}

fn kid(token: &str) -> String {
    token_header(token)["kid"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn t4_an_upgrade_by_a_leaked_key_is_no_connection_after_it() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::open(&server, &[("authorization", alice.jwt())]).await.expect("an upgrade");
    keys(&server, &["rotate", "--now"]).await;
    eventually("the end of the first key", async || {
        (me(&alice.anon, &alice.token).await.status() == 401).then_some(())
    })
    .await;
    socket.send("CONNECT\naccept-version:1.2\n\n\0").await;
    socket.refused("UNAUTHORIZED").await;
}
