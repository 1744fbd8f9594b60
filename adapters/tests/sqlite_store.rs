//! What holds for the SQLite store beyond the laws of its ports: the disk, the file, and the one writer.
#![cfg(feature = "sqlite")]

mod sqlite_support;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use sqlite_support::{Folder, fresh, run};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use transtalk_adapters::sqlite::{SqliteOpenError, SqliteOptions, SqliteStore, Synchronous, WriterPragmas};
use transtalk_core::auth::{AuditEvent, AuditRecord, Device, Lifetimes, Session};
use transtalk_core::chat::{NewMessage, Text};
use transtalk_core::ports::{
    self, Appended, Entropy, Messages, MessagesError, Revocation, Rotated, Rotation, Sessions, StoreError, Users,
};
use transtalk_core::translate::Language;
use transtalk_core::{ClientMessageId, Identity, MessageId, RoomId, Seq, SessionId, Timestamp, User, UserId};

/// The check of the next two tests: the first needs it to hold, the second sees that it can fail.
fn is_synced_before_its_answer(pragmas: &WriterPragmas) -> bool {
    // sqlite.org/pragma.html#pragma_synchronous: FULL is 2. In WAL mode NORMAL (1) does not sync at a commit.
    pragmas.synchronous == 2 && pragmas.journal_mode == "wal"
}

#[test]
fn a_commit_is_synced_before_its_answer() {
    run(async {
        let pragmas = fresh().await.writer_pragmas().await.unwrap();
        assert!(is_synced_before_its_answer(&pragmas), "{pragmas:?}");
        assert!(pragmas.foreign_keys);
    });
}

#[test]
fn a_store_that_does_not_sync_would_be_noticed() {
    run(async {
        let folder = Folder::new();
        let options = SqliteOptions { synchronous: Synchronous::Off, ..SqliteOptions::default() };
        let store = SqliteStore::open(&folder.file(), options).await.unwrap();
        assert!(!is_synced_before_its_answer(&store.writer_pragmas().await.unwrap()));
    });
}

#[test]
fn a_reopened_file_goes_on_where_it_was() {
    run(async {
        let folder = Folder::new();
        let (room, sender) = (room(), sender());
        let store = open(&folder.file()).await;
        let first = named(message(room, sender, "first"), "c1");
        store.append(std::slice::from_ref(&first)).await.unwrap();
        store.close().await;
        assert!(!folder.join("transtalk.db-wal").exists(), "the log was not folded into the file");

        let store = open(&folder.file()).await;
        let appended = store.append(&[first, message(room, sender, "second")]).await.unwrap();
        assert!(matches!(&appended[0], Appended::Known(known) if known.seq == Seq(1)));
        assert!(matches!(&appended[1], Appended::Stored { message, visible: true } if message.seq == Seq(2)));
    });
}

#[test]
fn what_waits_is_done_before_a_store_closes_and_the_rest_is_refused() {
    run(async {
        let store = fresh().await;
        let (room, sender) = (room(), sender());
        let batches: Vec<_> = (0..50).map(|n| [message(room, sender, &n.to_string())]).collect();
        let (appended, ()) = tokio::join!(join_all(batches.iter().map(|batch| store.append(batch))), store.close());
        assert!(appended.iter().all(Result::is_ok), "what was waiting was not done");
        let late = store.append(&batches[0]).await;
        assert!(matches!(late, Err(MessagesError::Unavailable { store: "sqlite", .. })));
        assert!(matches!(store.heads(&[room]).await, Err(StoreError::Unavailable { store: "sqlite", .. })));
        // Whoever closes second finds nothing left to do.
        store.close().await;
    });
}

#[test]
fn a_batch_that_the_tables_refuse_leaves_its_neighbours_alone() {
    run(async {
        let store = fresh().await;
        let (room, sender) = (room(), sender());
        let taken = message(room, sender, "taken");
        store.append(std::slice::from_ref(&taken)).await.unwrap();
        let batches: Vec<Vec<NewMessage>> = (0..5)
            .map(|n| {
                let mut batch = vec![message(room, sender, "a"), message(room, sender, "b")];
                if n == 2 {
                    batch[1].id = taken.id;
                }
                batch
            })
            .collect();
        let appended = join_all(batches.iter().map(|batch| store.append(batch))).await;
        let done: Vec<bool> = appended.iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, true, false, true, true]);
        assert_eq!(seqs(&store, room).await, (1..=9).collect::<Vec<_>>());
    });
}

#[test]
fn an_error_of_the_file_undoes_the_transaction_and_tells_everybody_in_it() {
    run(async {
        let folder = Folder::new();
        let store = open(&folder.file()).await;
        let (room, sender) = (room(), sender());
        let batch = [message(room, sender, "before")];
        store.append(&batch).await.unwrap();

        let mut other = connect(&folder.file()).await;
        execute(&mut other, "alter table messages rename to gone").await;
        let (new, record) = ([message(room, sender, "during")], record(sender));
        // The audit record comes first and is well; it shares the fate of the transaction.
        let (recorded, appended) = tokio::join!(biased; ports::Audit::append(&store, &record), store.append(&new));
        let StoreError::Unavailable { source, .. } = recorded.unwrap_err();
        assert_eq!(source.to_string(), "the transaction was rolled back");
        assert!(source.source().unwrap().to_string().contains("no such table: messages"));
        assert!(matches!(appended, Err(MessagesError::Unavailable { store: "sqlite", .. })));

        execute(&mut other, "alter table gone rename to messages").await;
        assert_eq!(ports::Audit::list(&store, sender, 10).await.unwrap(), []);
        let appended = store.append(&new).await.unwrap();
        assert_eq!(appended[0].message().seq, Seq(2), "the writer did not recover");
    });
}

#[test]
fn a_withdrawal_that_fails_at_its_last_record_is_undone_whole() {
    run(async {
        let folder = Folder::new();
        let store = open(&folder.file()).await;
        let user = account();
        store.register(&user).await.unwrap();
        let sessions: Vec<Session> = (0..3).map(|_| session(user.id)).collect();
        for session in &sessions {
            store.add(session, &record(user.id)).await.unwrap();
        }
        let revocation = Revocation { at: Timestamp::from_secs(1_700_000_001), audit: record(user.id) };
        let mut other = connect(&folder.file()).await;
        execute(
            &mut other,
            "create trigger full before insert on audit when (select count(*) from audit) >= 5
             begin select raise(abort, 'the trail is full'); end",
        )
        .await;
        // Its neighbour in the transaction is none the worse for it.
        let language = Language::new("ko").unwrap();
        let (withdrawn, is_set) =
            tokio::join!(biased; store.withdraw(user.id, &revocation), store.set_language(user.id, Some(&language)));
        assert!(matches!(withdrawn, Err(StoreError::Unavailable { store: "sqlite", .. })), "{withdrawn:?}");
        assert!(is_set.unwrap());
        let user = User { language: Some(language), ..user };
        assert_eq!(store.find_by_identity(&user.identity).await.unwrap().as_ref(), Some(&user));
        assert_eq!(Sessions::list(&store, user.id).await.unwrap().len(), 3);
        assert_eq!(ports::Audit::list(&store, user.id, 10).await.unwrap().len(), 3);

        execute(&mut other, "drop trigger full").await;
        assert_eq!(store.withdraw(user.id, &revocation).await.unwrap().unwrap().len(), 3);
        assert_eq!(Users::find(&store, user.id).await.unwrap(), Some(user.withdrawn(revocation.at)));
        assert_eq!(Sessions::list(&store, user.id).await.unwrap(), []);
        assert_eq!(ports::Audit::list(&store, user.id, 10).await.unwrap().len(), 6);
    });
}

#[test]
fn what_ended_in_one_process_has_ended_in_another() {
    run(async {
        let folder = Folder::new();
        let (one, other) = (open(&folder.file()).await, open(&folder.file()).await);
        let user = account();
        one.register(&user).await.unwrap();
        let session = session(user.id);
        other.add(&session, &record(user.id)).await.unwrap();
        let revocation = Revocation { at: Timestamp::from_secs(1_700_000_001), audit: record(user.id) };
        assert_eq!(one.withdraw(user.id, &revocation).await.unwrap(), Some(vec![session.id]));
        assert_eq!(other.withdraw(user.id, &revocation).await.unwrap(), None);
        let at = revocation.at;
        let rotation = Rotation { from: session.generation, rotated_at: at, expires_at: session.expires_at };
        let ended = Session { revoked_at: Some(at), ..session };
        assert_eq!(other.rotate(ended.id, rotation, &record(user.id)).await.unwrap(), Rotated::Lost(ended));
        one.close().await;
        other.close().await;
        let again = open(&folder.file()).await;
        assert_eq!(Sessions::list(&again, user.id).await.unwrap(), []);
        assert_eq!(again.find_by_identity(&user.identity).await.unwrap(), None);
    });
}

#[test]
fn two_processes_on_one_file_share_the_numbers_of_a_room() {
    run(async {
        let folder = Folder::new();
        let stores = [open(&folder.file()).await, open(&folder.file()).await];
        let (room, sender) = (room(), sender());
        for round in 0..3 {
            for store in &stores {
                store.append(&[message(room, sender, &round.to_string())]).await.unwrap();
            }
        }
        assert_eq!(seqs(&stores[0], room).await, (1..=6).collect::<Vec<_>>());
    });
}

#[test]
fn more_rows_than_one_statement_takes_are_stored_in_order() {
    run(async {
        let store = fresh().await;
        let (room, sender) = (room(), sender());
        let batch: Vec<_> = (0..149).map(|n| message(room, sender, &n.to_string())).collect();
        store.append(&batch).await.unwrap();
        let texts: Vec<String> = store
            .after(room, Seq::ZERO, 1000, false)
            .await
            .unwrap()
            .iter()
            .map(|message| message.text.as_str().to_owned())
            .collect();
        assert_eq!(texts, (0..149).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn a_missing_folder_is_made() {
    run(async {
        let folder = Folder::new();
        open(&folder.join("a/b/transtalk.db")).await.close().await;
        assert!(folder.join("a/b/transtalk.db").exists());
    });
}

#[test]
fn a_file_that_cannot_be_used_is_refused_in_plain_words() {
    run(async {
        let folder = Folder::new();
        std::fs::write(folder.join("file"), "no folder").unwrap();
        std::fs::write(folder.join("letter.db"), "Dear reader, this is no database. ".repeat(500)).unwrap();
        std::fs::create_dir(folder.join("folder.db")).unwrap();
        for (path, expect) in [
            ("file/transtalk.db", "the data folder {} cannot be made"),
            ("letter.db", "the file {} is not a SQLite database, or it is damaged"),
            ("folder.db", "the database file {} cannot be opened for writing"),
        ] {
            let path = folder.join(path);
            let error = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap_err();
            let named = if expect.contains("folder {}") { path.parent().unwrap() } else { &path };
            assert_eq!(error.to_string(), expect.replace("{}", &named.display().to_string()));
            assert!(error.source().is_some());
        }
    });
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
    run(async {
        let folder = Folder::new();
        let first = folder.join("first");
        std::fs::create_dir(&first).unwrap();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        std::fs::copy(migrations.join("0001_first.sql"), first.join("0001_first.sql")).unwrap();
        let mut old =
            SqliteConnectOptions::new().filename(folder.file()).create_if_missing(true).connect().await.unwrap();
        Migrator::new(first.as_path()).await.unwrap().run(&mut old).await.unwrap();
        let before = record(sender());
        sqlx::query("insert into audit (at, member, event, address) values (?1, ?2, 'SIGNED_IN', '127.0.0.1')")
            .bind(i64::try_from(before.at.as_millis()).unwrap())
            .bind(i64::try_from(before.user.get()).unwrap())
            .execute(&mut old)
            .await
            .unwrap();
        old.close().await.unwrap();

        let store = open(&folder.file()).await;
        assert_eq!(ports::Audit::list(&store, before.user, 10).await.unwrap(), [before]);
    });
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    run(async {
        let folder = Folder::new();
        open(&folder.file()).await.close().await;
        let mut other = connect(&folder.file()).await;
        execute(&mut other, "insert into _sqlx_migrations values (9999, 'later', 0, true, x'00', 0)").await;
        let error = SqliteStore::open(&folder.file(), SqliteOptions::default()).await.unwrap_err();
        assert!(matches!(error, SqliteOpenError::Newer { .. }), "{error:?}");
    });
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).await.unwrap()
}

/// A connection beside the store, as another process would have it.
async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

async fn seqs(store: &SqliteStore, room: RoomId) -> Vec<u64> {
    store.after(room, Seq::ZERO, 1000, true).await.unwrap().iter().map(|message| message.seq.0).collect()
}

struct Count;

impl Entropy for Count {
    fn fill(&self, bytes: &mut [u8]) {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes.fill(0);
        let length = bytes.len().min(count.len());
        bytes[..length].copy_from_slice(&count[..length]);
    }
}

fn room() -> RoomId {
    RoomId::mint(&Count)
}

fn sender() -> UserId {
    UserId::mint(&Count)
}

fn account() -> User {
    let id = UserId::mint(&Count);
    User {
        id,
        identity: Identity { issuer: "https://issuer.example".to_owned(), subject: id.to_string() },
        email: None,
        email_verified: false,
        name: "Somebody".to_owned(),
        picture: None,
        language: None,
        created_at: Timestamp::from_secs(1_700_000_000),
        withdrawn_at: None,
    }
}

fn session(user: UserId) -> Session {
    let now = Timestamp::from_secs(1_700_000_000);
    Session::begin(SessionId::mint(&Count), user, Device::default(), &Lifetimes::default(), now)
}

fn message(room: RoomId, sender: UserId, text: &str) -> NewMessage {
    NewMessage {
        id: MessageId::mint(Timestamp::from_secs(1_700_000_000), &Count),
        room,
        sender,
        client_id: None,
        text: Text::new(text).unwrap(),
        source: None,
        shown: None,
        translations: BTreeMap::new(),
        sent_at: Timestamp::from_secs(1_700_000_000),
    }
}

fn named(message: NewMessage, client_id: &str) -> NewMessage {
    NewMessage { client_id: Some(ClientMessageId::new(client_id).unwrap()), ..message }
}

fn record(user: UserId) -> AuditRecord {
    let at = Timestamp::from_secs(1_700_000_000);
    let (address, detail) = ("127.0.0.1".to_owned(), String::new());
    AuditRecord { at, user, session: None, event: AuditEvent::SignedIn, address, detail }
}
