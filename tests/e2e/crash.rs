//! `kill -9` in the middle of everything: what was acknowledged is there afterwards, exactly once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use http::Method;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::{Came, Options, Server, Stomp, alone, fresh_folder, within};

const CLIENTS: usize = 50;
const LINES: usize = 50;
const KILLS: usize = 4;
/// SENDs of one client that wait for their receipts at once.
const WINDOW: usize = 4;

/// Something that a client has to say.
#[derive(Clone)]
struct Line {
    room: u64,
    sender: String,
    client: usize,
    number: usize,
    acknowledged: bool,
}

impl Line {
    /// It names the line, and so it is also the `client-message-id`.
    fn id(&self) -> String {
        format!("client-{}-line-{}", self.client, self.number)
    }

    fn text(&self) -> String {
        format!("This is line {} of client {}.", self.number, self.client)
    }
}

#[tokio::test]
async fn what_got_its_receipt_survives_kill_9_exactly_once() {
    let _alone = alone().await;
    let mut server = Server::start(&[]).await;
    let (mut alice, mut bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let mut rooms = Vec::new();
    for language in ["ko", "en-us", "ja", "zh", "es"] {
        rooms.push(alice.open_room(language, "bob@example.com").await);
    }
    let mut clients: Vec<Vec<Line>> = (0..CLIENTS)
        .map(|client| {
            let sender = if client % 2 == 0 { alice.email.clone() } else { bob.email.clone() };
            let room = rooms[client % rooms.len()];
            (0..LINES)
                .map(|number| Line { room, sender: sender.clone(), client, number, acknowledged: false })
                .collect()
        })
        .collect();

    let mut story = Vec::new();
    for round in 0..=KILLS {
        let open = open_lines(&clients);
        let (receipts, mut count) = watch::channel(0);
        let mut talks = Vec::new();
        for (client, lines) in clients.iter().enumerate() {
            let user = if client % 2 == 0 { &alice } else { &bob };
            let mut socket = Stomp::connect(&server, user).await;
            if client % 10 < 2 {
                // Two listeners in each room, one of each user: the fan-out is in the way, too.
                socket.subscribe("sub-0", &format!("/topic/chat/{}", lines[0].room), &[]).await;
            }
            talks.push((socket, lines.clone()));
        }
        let talks: Vec<_> =
            talks.into_iter().map(|(socket, lines)| tokio::spawn(talk(socket, lines, receipts.clone()))).collect();
        if round < KILLS {
            let wanted = 1 + random_below(open / 4);
            let context = format!("round {round}: {wanted} receipts of {open}, after {story:?}");
            within(&context, count.wait_for(|count| *count >= wanted)).await.expect("clients talk");
            let data = server.kill().await;
            clients = finished(talks).await;
            story.push((wanted, open - open_lines(&clients)));
            assert!(open_lines(&clients) > 0, "nothing was under way: (wanted, had) {story:?}");
            server = Server::start_with(Options { data: Some(data), ..Options::default() }).await;
            alice.follow(&server);
            bob.follow(&server);
        } else {
            clients = finished(talks).await;
            assert_eq!(open_lines(&clients), 0, "a connection ended early: (wanted, had) {story:?}");
        }
    }

    eprintln!("{} messages, killed after (wanted, had) receipts {story:?}", CLIENTS * LINES);
    for room in rooms {
        let lines: Vec<Line> = clients.iter().flatten().filter(|line| line.room == room).cloned().collect();
        all_completed(Stomp::connect(&server, &bob).await, room, lines.len()).await;
        let said = alice.whole_history(room).await;
        let said: Vec<Said> = said.iter().map(Said::of).collect();
        if let Err(wrong) = each_line_once(&said, &lines) {
            panic!("room {room}: {wrong}; killed after (wanted, had) receipts {story:?}");
        }
    }
}

/// Says all that has no receipt yet, in order, and returns when it is done or the connection has ended.
async fn talk(mut socket: Stomp, mut lines: Vec<Line>, receipts: watch::Sender<usize>) -> Vec<Line> {
    let mut open: VecDeque<usize> = (0..lines.len()).filter(|index| !lines[*index].acknowledged).collect();
    let mut under_way = 0;
    loop {
        while under_way < WINDOW
            && let Some(index) = open.pop_front()
        {
            let line = &lines[index];
            socket.post(line.room, &line.text(), Some(&line.id()), &index.to_string()).await;
            under_way += 1;
        }
        if under_way == 0 {
            return lines;
        }
        match socket.came().await {
            Came::Frame(frame) if frame.command == "RECEIPT" => {
                let index = frame.header("receipt-id").and_then(|id| id.parse::<usize>().ok()).expect("our receipt");
                assert!(!lines[index].acknowledged, "a second receipt: {frame:?}");
                lines[index].acknowledged = true;
                under_way -= 1;
                receipts.send_modify(|count| *count += 1);
            }
            Came::Frame(frame) if frame.command == "MESSAGE" => {}
            Came::Frame(frame) => panic!("RECEIPT was expected, and {frame:?} came"),
            Came::Closed(..) => return lines,
        }
    }
}

/// Listens to a room from its beginning until so many messages have their translation.
async fn all_completed(mut socket: Stomp, room: u64, messages: usize) {
    let headers = [("last-seq", "0"), ("pending", "immediate")];
    socket.subscribe("sub-0", &format!("/topic/chat/{room}"), &headers).await;
    let mut completed = BTreeSet::new();
    while completed.len() < messages {
        let chat = socket.next("MESSAGE").await.json();
        if chat["status"] == "COMPLETED" {
            completed.insert(chat["seq"].as_u64());
        }
    }
}

async fn finished(talks: Vec<tokio::task::JoinHandle<Vec<Line>>>) -> Vec<Vec<Line>> {
    let mut clients = Vec::new();
    for talk in talks {
        clients.push(talk.await.expect("no client is surprised"));
    }
    clients
}

fn open_lines(clients: &[Vec<Line>]) -> usize {
    clients.iter().flatten().filter(|line| !line.acknowledged).count()
}

/// Another number in every run: the standard library seeds its maps at random.
fn random_below(bound: usize) -> usize {
    let number = RandomState::new().build_hasher().finish();
    usize::try_from(number % bound as u64).expect("below a usize")
}

/// A message in the history.
#[derive(Clone)]
struct Said {
    seq: u64,
    text: String,
    sender: String,
    status: String,
}

impl Said {
    fn of(chat: &Value) -> Self {
        let text = |key: &str| chat[key].as_str().expect("text").to_owned();
        Self {
            seq: chat["seq"].as_u64().expect("a number"),
            text: text("originalMessage"),
            sender: text("senderEmail"),
            status: text("status"),
        }
    }
}

/// Each line is in the history exactly once, those of one client in their order, numbered without a gap, and no state is open.
fn each_line_once(said: &[Said], lines: &[Line]) -> Result<(), String> {
    let mut missing: BTreeMap<String, &Line> = lines.iter().map(|line| (line.text(), line)).collect();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for (expected, message) in (1..).zip(said) {
        let Said { seq, text, sender, status } = message;
        if *seq != expected {
            return Err(format!("number {seq} where {expected} should be"));
        }
        if status != "COMPLETED" {
            return Err(format!("{text:?} is {status}"));
        }
        let Some(line) = missing.remove(text) else {
            return Err(format!("{text:?} was never said, or is there twice"));
        };
        if line.sender != *sender {
            return Err(format!("{text:?} is under the name {sender}"));
        }
        if last.insert(line.client, line.number).is_some_and(|before| before > line.number) {
            return Err(format!("{text:?} came too late"));
        }
    }
    match missing.values().next() {
        None => Ok(()),
        Some(line) => Err(format!("{} lost, among them {:?}", missing.len(), line.text())),
    }
}

#[test]
fn a_history_that_lost_doubled_or_left_something_open_is_refused() {
    let line = |number| Line { room: 1, sender: "a@b.c".to_owned(), client: 7, number, acknowledged: true };
    let lines: Vec<Line> = (0..3).map(line).collect();
    let said = |seq: u64, line: &Line| Said {
        seq,
        text: line.text(),
        sender: line.sender.clone(),
        status: "COMPLETED".to_owned(),
    };
    let good: Vec<Said> = (1..).zip(&lines).map(|(seq, line)| said(seq, line)).collect();
    assert_eq!(each_line_once(&good, &lines), Ok(()));

    let lost = good[..2].to_vec();
    let doubled = [good.clone(), vec![said(4, &lines[1])]].concat();
    let gap = vec![good[0].clone(), good[1].clone(), said(4, &lines[2])];
    let swapped = vec![said(1, &lines[1]), said(2, &lines[0]), said(3, &lines[2])];
    let mut open = good.clone();
    open[1].status = "PENDING".to_owned();
    let mut changed = good.clone();
    changed[1].text += "!";
    let mut stolen = good;
    stolen[1].sender = "d@e.f".to_owned();
    for bad in [lost, doubled, gap, swapped, open, changed, stolen] {
        assert!(each_line_once(&bad, &lines).is_err());
    }
}

#[tokio::test]
async fn a_restart_keeps_tokens_and_a_reader_who_comes_back_misses_nothing() {
    let server = Server::start(&[]).await;
    let (mut alice, mut bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let destination = format!("/topic/chat/{room}");
    let mut reader = Stomp::connect(&server, &bob).await;
    reader.subscribe("sub-0", &destination, &[]).await;
    let mut sender = Stomp::connect(&server, &alice).await;
    for number in 1..=3 {
        sender.say(room, &format!("Before the end {number}"), None).await;
    }
    assert_eq!(reader.next("MESSAGE").await.json()["seq"], 1);

    let data = server.kill().await;
    let server = Server::start_with(Options { data: Some(data), ..Options::default() }).await;
    alice.follow(&server);
    bob.follow(&server);
    assert_eq!(bob.get("/api/v1/me").await.status(), 200);
    let mut sender = Stomp::connect(&server, &alice).await;
    for number in 4..=6 {
        sender.say(room, &format!("After the end {number}"), None).await;
    }
    let mut reader = Stomp::connect(&server, &bob).await;
    reader.subscribe("sub-0", &destination, &[("last-seq", "1")]).await;
    sender.say(room, "And live 7", None).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&7) {
        let message = reader.next("MESSAGE").await;
        assert_eq!(message.header("reset"), None);
        let seq = message.json()["seq"].as_u64().expect("a number");
        // A later state of the same message is no news.
        if !seen.contains(&seq) {
            seen.push(seq);
        }
    }
    assert_eq!(seen, [2, 3, 4, 5, 6, 7]);
    let refreshed = bob.anon.request(Method::GET, "/api/v1/auth/refresh").header("cookie", &bob.cookie).send().await;
    assert_eq!(refreshed.expect("an answer").status(), 200);
}

/// A word that no other write of the server contains.
const MARK: &str = "synced-before-its-receipt";

#[tokio::test]
async fn a_commit_is_synced_before_its_receipt() {
    let trace = fresh_folder().with_extension("strace");
    let file = trace.to_str().expect("text");
    let calls = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg";
    let strace = ["strace", "-f", "-y", "-s", "5000", "-e", calls, "-o", file];
    assert!(Path::new("/usr/bin/strace").exists(), "strace is missing: run tests/install.sh");
    let server = Server::start_with(Options { under: &strace, ..Options::default() }).await;
    let (alice, _bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut socket = Stomp::connect(&server, &alice).await;
    socket.post(room, MARK, None, &format!("receipt-of-{MARK}")).await;
    socket.next("RECEIPT").await;
    let data = server.kill().await;
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let checked = synced_before_receipt(&text);
    // The same run as it would have been with `synchronous=OFF`.
    let unsynced: String = text.lines().filter(|line| !line.contains("sync")).flat_map(|line| [line, "\n"]).collect();
    std::fs::remove_file(&trace).expect("it was ours");
    std::fs::remove_dir_all(data).expect("it was ours");
    assert_eq!(checked, Ok(()));
    assert!(synced_before_receipt(&unsynced).is_err());
}

/// In this trace the log gets the marked text, is then synced, and only then the marked receipt leaves.
fn synced_before_receipt(trace: &str) -> Result<(), String> {
    let log = "transtalk.db-wal>";
    // Where the text reached the log; who is syncing it since then; whether somebody has.
    let (mut written, mut syncing, mut synced) = (false, Vec::new(), false);
    for line in trace.lines() {
        // `-f` puts the thread first, and splits a call that others overtake into `<unfinished ...>` and `resumed>`.
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim_start();
        let resumed = call.starts_with("<... ");
        if call.starts_with("pwrite64(") && call.contains(log) && call.contains(MARK) {
            written = true;
        } else if written && call.contains("sync(") && call.contains(log) {
            if call.ends_with("<unfinished ...>") {
                syncing.push(thread);
            } else {
                synced |= call.ends_with("= 0");
            }
        } else if resumed && call.contains("sync resumed>") && syncing.contains(&thread) {
            synced |= call.ends_with("= 0");
        } else if !resumed && call.contains("RECEIPT") && call.contains(&format!("receipt-of-{MARK}")) {
            return match (written, synced) {
                (true, true) => Ok(()),
                (true, false) => Err("the receipt left before the log was synced".to_owned()),
                (false, _) => Err("the receipt left before the text was in the log".to_owned()),
            };
        }
    }
    Err("no receipt".to_owned())
}

#[test]
fn a_trace_without_the_sync_in_its_place_is_refused() {
    let write = format!("11 pwrite64(9</d/transtalk.db-wal>, \"\\0\\1{MARK}\\3\", 4096, 56) = 4096\n");
    let sync = "11 fdatasync(9</d/transtalk.db-wal>) = 0\n";
    let receipt =
        format!("12 writev(15<TCP:[1]>, [{{\"RECEIPT\\nreceipt-id:receipt-of-{MARK}\\n\\n\\0\"}}], 1) = 60\n");
    let (begun, ended) =
        ("11 fdatasync(9</d/transtalk.db-wal> <unfinished ...>\n", "11 <... fdatasync resumed>)   = 0\n");
    for good in [format!("{write}{sync}{receipt}"), format!("{write}{begun}{ended}{receipt}")] {
        assert_eq!(synced_before_receipt(&good), Ok(()));
    }
    for bad in [
        String::new(),
        format!("{write}{sync}"),
        format!("{write}{receipt}"),
        format!("{sync}{receipt}"),
        format!("{sync}{write}{receipt}{sync}"),
        format!("{receipt}{write}{sync}"),
        format!("{write}{begun}{receipt}{ended}"),
        format!("{begun}{write}{ended}{receipt}"),
        format!("{write}{}{receipt}", sync.replace("db-wal", "db")),
        format!("{write}{}{receipt}", sync.replace("= 0", "= -1 EIO (Input/output error)")),
    ] {
        assert!(synced_before_receipt(&bad).is_err(), "{bad}");
    }
}
