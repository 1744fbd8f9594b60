//! What it costs to know who asks: `GET /api/v1/me` and a refresh, for each algorithm, with and without remembering what was verified.
//!
//! Each kind is a server of its own, the real binary with its default store. They take turns, so that a noisy machine is
//! noisy for all, and every connection is kept alive. The processor's time is the server's own, so what this program
//! itself takes is not in it.

#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "what the tests need besides")]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::support::{Server, User, refused};

const ROUNDS: usize = 5;
/// How long one kind of server is asked one thing in a round.
const TURN: Duration = Duration::from_millis(1_200);
const CONNECTIONS: usize = 16;
const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "HS256"];

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, unoptimized and beside others: then it only has to build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if runtime.block_on(compare()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says whether remembering is cheaper where verifying is dear.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn compare() -> bool {
    let mut kinds = Vec::new();
    for algorithm in ALGORITHMS {
        for remembers in [true, false] {
            kinds.push(Kind::start(algorithm, remembers).await);
        }
    }
    for _ in 0..ROUNDS {
        for kind in &mut kinds {
            let figures = (kind.turn(Ask::Me).await, kind.turn(Ask::Refresh).await);
            kind.me.push(figures.0);
            kind.refreshed.push(figures.1);
        }
    }
    println!(
        "{:<9}  {:<10}  {:>9}  {:>10}  {:>12}  {:>15}",
        "algorithm", "remembers", "me, req/s", "me, CPU us", "refresh, r/s", "refresh, CPU us"
    );
    for Kind { algorithm, remembers, me, refreshed, .. } in &kinds {
        let remembers = if *remembers { "yes" } else { "no" };
        let [me_rate, me_cost] = medians(me);
        let [refresh_rate, refresh_cost] = medians(refreshed);
        println!(
            "{algorithm:<9}  {remembers:<10}  {me_rate:>9.0}  {me_cost:>10.0}  {refresh_rate:>12.0}  {refresh_cost:>15.0}"
        );
    }
    println!("medians of {ROUNDS} rounds, {CONNECTIONS} connections; CPU is the server's, per request");
    let mut good = true;
    for pair in kinds.chunks(2) {
        let [remembering, verifying] = [0, 1].map(|index: usize| medians(&pair[index].me)[1]);
        println!(
            "{}: remembering takes {:.0} % of the processor's time",
            pair[0].algorithm,
            100.0 * remembering / verifying
        );
        // HS256 is about as cheap to compute as to remember.
        good &= remembering < verifying || pair[0].algorithm == "HS256";
    }
    for kind in kinds {
        kind.log_out().await;
    }
    println!("after log-out the next request was refused, remembered or not");
    good
}

/// Requests a second, and microseconds of the processor for each.
type Figures = [f64; 2];

/// One server, and those who ask it.
struct Kind {
    algorithm: &'static str,
    remembers: bool,
    /// Kept, because it ends when it is dropped.
    _server: Server,
    pid: u32,
    clients: Vec<Client>,
    me: Vec<Figures>,
    refreshed: Vec<Figures>,
}

#[derive(Clone, Copy)]
enum Ask {
    Me,
    Refresh,
}

impl Kind {
    async fn start(algorithm: &'static str, remembers: bool) -> Self {
        let server = Server::start(&[
            ("AUTH__ALGORITHM", algorithm),
            ("AUTH__REMEMBER_VERIFIED", if remembers { "true" } else { "false" }),
            ("LOG__FILTER", "warn"),
            ("LIMITS__SIGN_IN", "0"),
            ("LIMITS__REFRESH", "0"),
        ])
        .await;
        let mut clients = Vec::new();
        for number in 0..CONNECTIONS {
            let user = server.sign_in(&format!("user-{number}")).await;
            let stream = TcpStream::connect(server.base.trim_start_matches("http://")).await.expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            clients.push(Client { user, stream, answer: Vec::new() });
        }
        let pid = pid(&server);
        Self { algorithm, remembers, _server: server, pid, clients, me: Vec::new(), refreshed: Vec::new() }
    }

    /// Everybody asks, one request after the other, until the turn is over.
    async fn turn(&mut self, ask: Ask) -> Figures {
        let (begun, before) = (Instant::now(), cpu(self.pid));
        let until = begun + TURN;
        let mut askers = JoinSet::new();
        for mut client in self.clients.drain(..) {
            askers.spawn(async move {
                let mut count = 0_u32;
                while Instant::now() < until {
                    client.ask(ask).await;
                    count += 1;
                }
                (client, count)
            });
        }
        let done = askers.join_all().await;
        let (elapsed, spent) = (begun.elapsed(), cpu(self.pid).saturating_sub(before));
        let count = f64::from(done.iter().map(|(_, count)| count).sum::<u32>());
        self.clients = done.into_iter().map(|(client, _)| client).collect();
        [count / elapsed.as_secs_f64(), spent.as_secs_f64() * 1e6 / count]
    }

    /// What was verified a moment ago is no excuse: the next request of a session that has ended is refused.
    async fn log_out(self) {
        for client in self.clients {
            assert_eq!(client.user.get("/api/v1/me").await.status(), 200);
            assert_eq!(client.user.post("/api/v1/auth/logout").await.status(), 200);
            refused(client.user.get("/api/v1/me").await, 401, "SESSION_ENDED").await;
        }
    }
}

/// One connection and whose it is. It speaks as much HTTP as it needs, so that it takes little from the server it measures.
struct Client {
    user: User,
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    async fn ask(&mut self, ask: Ask) {
        let request = match ask {
            Ask::Me => {
                format!("GET /api/v1/me HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n", self.user.token)
            }
            Ask::Refresh => {
                format!("GET /api/v1/auth/refresh HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", self.user.cookie)
            }
        };
        self.stream.write_all(request.as_bytes()).await.expect("it is connected");
        let (head, body) = self.receive().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        if let Ask::Refresh = ask {
            let cookie = between(&head, "set-cookie: refreshToken=", ";");
            self.user.cookie = format!("refreshToken={cookie}");
            between(&body, "\"accessToken\":\"", "\"").clone_into(&mut self.user.token);
        }
    }

    /// The next answer: its head, and its body of the length that the head says.
    async fn receive(&mut self) -> (String, String) {
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.expect("it is connected");
            assert!(read > 0, "the server has closed the connection");
            let text = std::str::from_utf8(&self.answer).unwrap_or_default();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = between(head, "content-length: ", "\r\n").parse().expect("a length");
                if body.len() == length {
                    return (head.to_owned(), body.to_owned());
                }
            }
        }
    }
}

/// The server's process, by the folder that it alone has.
fn pid(server: &Server) -> u32 {
    let folder = server.data().to_str().expect("a plain path");
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(folder));
    pids.find(is_it).expect("it runs")
}

/// How long the processor has worked for it, in user and in kernel mode.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // See proc(5): the second field is a name in parentheses, the 14th and 15th are hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).map_or(rest, |(value, _)| value)
}

fn medians(figures: &[Figures]) -> Figures {
    [0, 1].map(|index: usize| {
        let mut values: Vec<f64> = figures.iter().map(|figure| figure[index]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}
