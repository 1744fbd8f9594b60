//! Acknowledged appends a second: 256 writers through the store, beside one row a transaction on the same tables.
//!
//! Both sync every commit, and both give a message its room's next number. They take turns on the same file, so that
//! a noisy machine is noisy for both and the tables are as full for both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::task::JoinSet;
use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};
use transtalk_core::chat::{NewMessage, Text};
use transtalk_core::ports::{Entropy, Messages};
use transtalk_core::{ClientMessageId, MessageId, RoomId, Timestamp, UserId};

const ROUNDS: u32 = 5;
const WRITERS: usize = 256;
const MESSAGES_PER_WRITER: usize = 60;
const SINGLE_ROWS: usize = 1_500;
const RATIO_MIN: f64 = 8.0;
const TEXT: &str = "hello world, this is a typical chat message of about one hundred and twenty characters, give or \
                    take a few of them.";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, unoptimized and beside others: then it only has to build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // Beside the build, because a system's folder for temporary files may lie in memory.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("append-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let ratio = runtime.block_on(compare(&folder));
    // What stays behind is found in the build's own folder.
    let _ = std::fs::remove_dir_all(&folder);
    if ratio >= RATIO_MIN { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says by how much the store is faster.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn compare(folder: &Path) -> f64 {
    let file = folder.join("append.db");
    let store = SqliteStore::open(&file, SqliteOptions::default()).await.expect("a database");
    assert_eq!(store.writer_pragmas().await.expect("pragmas").synchronous, 2, "the store does not sync");
    let mut single = plain(&file).await;

    println!(
        "{:>5}  {:>18}  {:>10}  {:>10}  {:>18}  {:>6}",
        "round", "256 writers, row/s", "p50", "p99", "one row/tx, row/s", "ratio"
    );
    let (mut grouped_rates, mut single_rates) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (grouped_rate, mut latencies) = grouped(&store).await;
        let single_rate = one_by_one(&mut single).await;
        latencies.sort_unstable();
        println!(
            "{round:>5}  {grouped_rate:>18.0}  {:>10.1?}  {:>10.1?}  {single_rate:>18.0}  {:>6.1}",
            latencies[latencies.len() / 2],
            latencies[latencies.len() * 99 / 100],
            grouped_rate / single_rate,
        );
        grouped_rates.push(grouped_rate);
        single_rates.push(single_rate);
    }
    let (grouped_rate, single_rate) = (median(grouped_rates), median(single_rates));
    let ratio = grouped_rate / single_rate;
    println!(
        "median: {grouped_rate:.0} acknowledged appends/s, one row a transaction {single_rate:.0}/s, ratio {ratio:.1} (at least {RATIO_MIN})"
    );
    store.close().await;
    single.close().await.expect("closed");
    ratio
}

/// The rate, and how long each append took.
async fn grouped(store: &SqliteStore) -> (f64, Vec<Duration>) {
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let mut latencies = Vec::with_capacity(MESSAGES_PER_WRITER);
            for _ in 0..MESSAGES_PER_WRITER {
                let message = message(writer);
                let sent = Instant::now();
                store.append(&[message]).await.expect("stored");
                latencies.push(sent.elapsed());
            }
            latencies
        });
    }
    let latencies = writers.join_all().await.concat();
    (rate(latencies.len(), begun), latencies)
}

/// What a store without a queue would do: number and insert one message, commit, answer.
async fn one_by_one(connection: &mut SqliteConnection) -> f64 {
    let begun = Instant::now();
    for index in 0..SINGLE_ROWS {
        let new = message(index % WRITERS);
        let mut transaction = connection.begin_with("begin immediate").await.expect("begun");
        let seq: i64 = sqlx::query_scalar(
            "insert into room_heads (room, head, published, changed_at) values (?1, 1, 1, ?2)
             on conflict (room) do update set head = head + 1, published = head + 1, changed_at = ?2 returning head",
        )
        .bind(integer(new.room.get()))
        .bind(integer(new.sent_at.as_millis()))
        .fetch_one(&mut *transaction)
        .await
        .expect("numbered");
        sqlx::query(
            "insert into messages (id, room, seq, revision, sender, client_id, text, version, translations, settled,
                                   sent_at, changed_at)
             values (?1, ?2, ?3, 0, ?4, ?5, ?6, 1, '{}', 1, ?7, ?7)",
        )
        .bind(new.id.to_string())
        .bind(integer(new.room.get()))
        .bind(seq)
        .bind(integer(new.sender.get()))
        .bind(new.client_id.map(|id| id.to_string()))
        .bind(new.text.as_str().to_owned())
        .bind(integer(new.sent_at.as_millis()))
        .execute(&mut *transaction)
        .await
        .expect("stored");
        transaction.commit().await.expect("committed");
    }
    rate(SINGLE_ROWS, begun)
}

async fn plain(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .page_size(2_048)
        .pragma("wal_autocheckpoint", "16384")
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "memory")
        .disable_statement_logging()
        .connect()
        .await
        .expect("a database")
}

/// The writer's next message. Two share a room, as people do.
fn message(writer: usize) -> NewMessage {
    let (count, writer) = (Chance::count(), writer as u64);
    let sent_at = Timestamp::from_millis(1_700_000_000_000 + count);
    NewMessage {
        id: MessageId::mint(sent_at, &Chance),
        room: RoomId::new(1 + writer / 2).expect("a room id"),
        sender: UserId::new(1 + writer).expect("a user id"),
        client_id: Some(ClientMessageId::new(&format!("c{count}")).expect("a client id")),
        text: Text::new(TEXT).expect("a text"),
        source: None,
        shown: None,
        translations: BTreeMap::new(),
        sent_at,
    }
}

/// Numbers that look like chance, so that ids fall all over their index as real ones do.
struct Chance;

impl Chance {
    fn count() -> u64 {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        COUNT.fetch_add(1, Ordering::Relaxed)
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014).
    fn next() -> u64 {
        let mut z = Self::count().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&Self::next().to_le_bytes()[..part.len()]);
        }
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).expect("a number that fits")
}

fn rate(count: usize, begun: Instant) -> f64 {
    let count = u32::try_from(count).expect("a count that fits");
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
