//! The store is out of reach: nobody is let in, nobody is signed out.

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::{come_again, dead, lines_of, log_out, me, sent, ticket, trail, upgrade};
use crate::support::{Server, Stomp, claims, data, eventually, refreshed, within};

/// Puts a table of a running server's database out of its sight, or back.
async fn rename_table(data: &Path, from: &str, to: &str) {
    python(data, &format!("db.execute('alter table {from} rename to {to}')")).await;
}

/// Runs a line of Python over the database of this folder.
async fn python(data: &Path, line: &str) {
    let program =
        format!("import sqlite3\ndb = sqlite3.connect({:?}, timeout=20, isolation_level=None)\n{line}", file(data));
    let run = Command::new("python3").args(["-c", &program]).kill_on_drop(true).output();
    let output = within("a change of the database", run).await.expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn file(data: &Path) -> String {
    data.join("transtalk.db").to_str().expect("a plain path").to_owned()
}

/// Another process that holds a lock on the database until it is let go.
struct Lock(Child);

impl Lock {
    /// Runs this program, which says `locked` and then waits for a line.
    async fn take(program: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("Python runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said = within("the lock", lines.next_line()).await.expect("readable");
        assert_eq!(said.as_deref(), Some("locked"));
        Self(child)
    }

    /// Nobody else can write.
    async fn of_the_writer(data: &Path) -> Self {
        let program = "import sqlite3, sys\n\
            db = sqlite3.connect(FILE, timeout=20, isolation_level=None)\n\
            db.execute('begin immediate')\n\
            print('locked', flush=True)\n\
            sys.stdin.readline()\n\
            db.execute('rollback')";
        Self::take(&program.replace("FILE", &format!("{:?}", file(data)))).await
    }

    /// Nobody else can read or write: all lock bytes of the write-ahead log's index are taken (sqlite.org/walformat.html,
    /// section 2.3.1), which is what a stuck file system does.
    async fn of_everything(data: &Path) -> Self {
        let program = "import fcntl, sys\n\
            index = open(FILE + '-shm', 'r+b')\n\
            fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)\n\
            print('locked', flush=True)\n\
            sys.stdin.readline()";
        Self::take(&program.replace("FILE", &format!("{:?}", file(data)))).await
    }

    async fn release(mut self) {
        let mut input = self.0.stdin.take().expect("piped");
        input.write_all(b"\n").await.expect("it waits for this");
        within("the end of the lock", self.0.wait()).await.expect("it ends");
    }
}

#[tokio::test]
async fn t6_while_sessions_cannot_be_looked_up_everything_is_503_and_nobody_is_let_in_or_signed_out() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    let room = alice.open_room("ko", "bob@example.com").await;
    let ended = server.sign_in("alice").await;
    let bought = ticket(&alice).await;
    data(log_out(&ended).await).await;
    rename_table(server.data(), "sessions", "sessions_away").await;

    let anon = &alice.anon;
    let requests = || -> Vec<RequestBuilder> {
        let with = |method: Method, path: &str, token: &str| anon.request(method, path).header(AUTHORIZATION, token);
        let body = json!({ "language": "ko", "recipientEmail": "bob@example.com" });
        vec![
            with(Method::GET, "/api/v1/me", &alice.token),
            // A remembered signature helps nobody, least of all one whose session has ended.
            with(Method::GET, "/api/v1/me", &ended.token),
            with(Method::GET, "/api/v1/chatRooms?page=0&name=", &alice.token),
            with(Method::POST, "/api/v1/chatRooms", &alice.token).json(&body),
            with(Method::GET, &format!("/api/v1/chatRooms/{room}/chats?page=0"), &alice.token),
            with(Method::GET, "/api/v1/sessions", &alice.token),
            with(Method::DELETE, &format!("/api/v1/sessions/{}", alice.sid()), &alice.token),
            with(Method::GET, "/api/v1/sessions/audit", &alice.token),
            with(Method::POST, "/api/v1/auth/ws-ticket", &alice.token),
            with(Method::POST, "/api/v1/auth/logout", &alice.token),
            with(Method::POST, "/api/v1/auth/logout?everywhere=true", &alice.token),
            with(Method::DELETE, "/api/v1/auth/withdraw", &alice.token),
        ]
    };
    for request in requests() {
        come_again(sent(request).await, 503, "UNAVAILABLE").await;
    }
    let header = [("authorization", alice.token.as_str())];
    come_again(upgrade(&server, "/ws-connect", &header).await, 503, "UNAVAILABLE").await;
    // What is wrong in itself is wrong all the same.
    assert_eq!(me(anon, "Bearer garbage").await.status(), 401);
    // A ticket was used up or not; nobody got in by it.
    let by_ticket = upgrade(&server, &format!("/ws-connect?ticket={bought}"), &[]).await;
    come_again(by_ticket, 503, "UNAVAILABLE").await;
    // On a socket it is a close with a code, which says "connect again".
    let mut socket = Stomp::open(&server, &[]).await.expect("an upgrade");
    socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", alice.jwt())).await;
    socket.closed(4004).await;

    rename_table(server.data(), "sessions_away", "sessions").await;
    assert_eq!(data(alice.get("/api/v1/me").await).await["id"], alice.id);
    assert_eq!(alice.history(room).await["totalElements"], 0);
    dead(&ended).await;
    // Not one of the refused requests was done.
    let trail = trail(&alice).await;
    assert!(lines_of(&trail, &alice.sid(), "LOGGED_OUT").is_empty(), "{trail:?}");
}

#[tokio::test]
async fn a_refresh_waits_for_the_store_and_succeeds_when_it_comes_back() {
    let server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    rename_table(server.data(), "sessions", "sessions_away").await;
    let (anon, cookie) = (alice.anon.clone(), alice.cookie.clone());
    let waiting = tokio::spawn(async move {
        let request = anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, cookie);
        request.send().await.expect("an answer")
    });
    // Whoever may fail has failed many times meanwhile.
    for _ in 0..20 {
        come_again(me(&alice.anon, &alice.token).await, 503, "UNAVAILABLE").await;
        assert!(!waiting.is_finished(), "the refresh waits");
    }
    rename_table(server.data(), "sessions_away", "sessions").await;
    let answer = within("the refresh", waiting).await.expect("no panic");
    (alice.cookie, alice.token) = refreshed(answer).await;
    data(alice.get("/api/v1/me").await).await;
    assert_eq!(lines_of(&trail(&alice).await, &alice.sid(), "REFRESHED").len(), 1);
}

#[tokio::test]
async fn t12_a_refresh_survives_a_writer_that_is_locked_for_longer_than_the_store_waits() {
    let server = Server::start(&[]).await;
    let mut alice = server.sign_in("alice").await;
    let lock = Lock::of_the_writer(server.data()).await;
    let (anon, cookie) = (alice.anon.clone(), alice.cookie.clone());
    let waiting = tokio::spawn(async move {
        let request = anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, cookie);
        request.send().await.expect("an answer")
    });
    // A log-out cannot be written either, and does not pretend: this takes as long as the store's own patience.
    let other = server.sign_in("bob");
    come_again(log_out(&alice).await, 503, "UNAVAILABLE").await;
    // To read, nobody needs the writer.
    data(alice.get("/api/v1/me").await).await;
    assert!(!waiting.is_finished(), "the refresh waits");
    lock.release().await;
    let answer = within("the refresh", waiting).await.expect("no panic");
    (alice.cookie, alice.token) = refreshed(answer).await;
    alice.refresh().await;
    data(other.await.get("/api/v1/me").await).await;
}

#[tokio::test]
async fn s1_a_socket_closes_at_the_end_of_its_token_though_the_store_has_not_answered_its_last_message() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "3s")]).await;
    let bob = server.sign_in("bob").await;
    let room = bob.open_room("ko", "alice@example.com").await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::connect(&server, &alice).await;
    let lock = Lock::of_the_writer(server.data()).await;
    socket.post(room, "On its way", None, "never").await;
    socket.closed(4002).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let expires = u128::from(claims(&alice.token)["exp"].as_u64().expect("a time")) * 1_000;
    // The store's own patience is five seconds, and the lock outlasts that.
    assert!((expires..expires + 1_500).contains(&now), "{now} for {expires}");
    lock.release().await;
}

/// It takes the ten seconds that the database itself tries.
#[tokio::test]
async fn t6_a_database_file_that_another_process_has_locked_is_503_and_comes_back() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::connect(&server, &alice).await;
    let room = alice.open_room("ko", "bob@example.com").await;
    socket.say(room, "Before", None).await;
    let lock = Lock::of_everything(server.data()).await;
    let (here, there) = tokio::join!(me(&alice.anon, &alice.token), alice.get("/api/v1/sessions"));
    come_again(here, 503, "UNAVAILABLE").await;
    come_again(there, 503, "UNAVAILABLE").await;
    lock.release().await;
    eventually("the store", async || {
        let answer = me(&alice.anon, &alice.token).await;
        assert!([200, 503].contains(&answer.status().as_u16()), "{}", answer.status());
        (answer.status() == 200).then_some(())
    })
    .await;
    socket.say(room, "After", None).await;
    eventually("both messages", async || (alice.whole_history(room).await.len() == 2).then_some(())).await;
}
