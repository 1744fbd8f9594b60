//! Contract suites: for each port the list of its laws, written once, which every adapter of the port obeys.
//!
//! A law is an async function over a port that panics where the port's promise does not hold. An adapter turns a whole list
//! into named tests with one line a port, and each test begins with a fresh, empty adapter:
//!
//! ```text
//! async fn fresh() -> Box<MemoryStore> {
//!     Box::new(MemoryStore::new())
//! }
//!
//! transtalk_core::rooms_contract!(run, fresh); // rooms::a_stored_room_is_found, ...
//! ```
//!
//! `run` takes a future and waits for it: [`run`] where no runtime is needed, else the runtime's own `block_on`.
//! `fresh` answers with anything that dereferences to the adapter, so that a guard may clean up behind it.
//! Each list is also a table, [`rooms::LAWS`] for example, for tests that see whether the laws can fail.
//!
//! The laws of a port write through that port alone, unless they name another: so no adapter may ask for rows of
//! another port first (the messages may lie in another store than their rooms). What an adapter may do in more than
//! one way is said in the law.
#![expect(missing_docs, reason = "the name of a law is its sentence")]
#![expect(clippy::missing_panics_doc, reason = "a law that does not hold panics: it is a test")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use crate::chat::{NewMessage, Room, Text, Translation, TranslationStatus};
use crate::id::{ClientMessageId, ConnectionId, MessageId, RoomId, SessionId, UserId};
use crate::ports::Entropy;
use crate::time::Timestamp;
use crate::translate::Language;
use crate::user::{Email, Identity, User};

/// Makes of one list of laws the table `LAWS` and the macro that turns them into tests.
/// `$d` is a dollar sign: the inner macro needs some of its own.
macro_rules! contract {
    ($d:tt, $port:ident, $name:ident, $ports:tt, [$($law:ident),+ $(,)?]) => {
        /// The laws by their names.
        pub const LAWS: &[(&str, Law)] = &[$((stringify!($law), boxed!($law, $ports))),+];

        /// One test for each law: `(run, fresh)`, see [`contract`](crate::contract).
        #[macro_export]
        macro_rules! $name {
            ($d run:ident, $d fresh:ident) => {
                mod $port {
                    $(#[test]
                    fn $law() {
                        super::$d run(async {
                            let subject = super::$d fresh().await;
                            $crate::obey!($crate::contract::$port::$law, subject, $ports).await;
                        });
                    })+
                }
            };
        }
    };
}

/// A law as a function that boxes its future.
macro_rules! boxed {
    ($law:ident, ($one:ident)) => {
        |$one| Box::pin($law($one))
    };
    ($law:ident, ($one:ident, $other:ident)) => {
        |$one, $other| Box::pin($law($one, $other))
    };
    ($law:ident, ($one:ident, $other:ident, $third:ident)) => {
        |$one, $other, $third| Box::pin($law($one, $other, $third))
    };
}

/// Calls a law with one subject for all its ports.
#[doc(hidden)]
#[macro_export]
macro_rules! obey {
    ($law:path, $subject:ident, ($one:ident)) => {
        $law(&*$subject)
    };
    ($law:path, $subject:ident, ($one:ident, $other:ident)) => {
        $law(&*$subject, &*$subject)
    };
    ($law:path, $subject:ident, ($one:ident, $other:ident, $third:ident)) => {
        $law(&*$subject, &*$subject, &*$subject)
    };
}

pub mod audit;
pub mod bus;
pub mod cursors;
pub mod grants;
pub mod messages;
pub mod presence;
pub mod rate_limits;
pub mod rooms;
pub mod sessions;
pub mod single_use;
pub mod users;

/// Waits for a law whose adapter needs no runtime. A law that waits for something that never comes panics.
pub fn run(law: impl Future<Output = ()>) {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut law = pin!(law);
    while law.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
        assert!(woken.0.swap(false, Ordering::AcqRel), "nothing is left that could wake this law");
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Numbers that nobody else has: a base by chance, so that runs that share a database never meet, and a counter on it.
struct Numbers;

impl Numbers {
    fn next() -> u64 {
        static BASE: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let base = BASE.get_or_init(|| RandomState::new().hash_one(0) >> 11 & !0xF_FFFF);
        base + COUNT.fetch_add(1, Ordering::Relaxed)
    }
}

impl Entropy for Numbers {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&Self::next().to_le_bytes()[..part.len()]);
        }
    }
}

/// How many callers race in a law about concurrency.
const RACERS: usize = 8;

/// A message id that nobody has.
fn message_id() -> MessageId {
    MessageId::mint(Timestamp::from_millis(Numbers::next()), &Numbers)
}

/// A user id that nobody has.
fn user_id() -> UserId {
    UserId::mint(&Numbers)
}

/// A room id that no room has.
fn room_id() -> RoomId {
    RoomId::mint(&Numbers)
}

/// A session id that no session has.
fn session_id() -> SessionId {
    SessionId::mint(&Numbers)
}

/// A connection id that no connection has.
fn connection_id() -> ConnectionId {
    ConnectionId::mint(&Numbers)
}

/// A text that nobody else has.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Numbers::next())
}

/// So many milliseconds after some moment.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn language(tag: &str) -> Language {
    Language::new(tag).unwrap()
}

/// A user with nothing but a name.
fn somebody(name: &str) -> User {
    let id = user_id();
    User {
        id,
        identity: Identity { issuer: "https://issuer.example".to_owned(), subject: id.to_string() },
        email: None,
        email_verified: false,
        name: name.to_owned(),
        picture: None,
        language: None,
        created_at: at(0),
        withdrawn_at: None,
    }
}

/// A user with an address, verified or not.
fn somebody_at(email: &Email, verified: bool) -> User {
    User { email: Some(email.clone()), email_verified: verified, ..somebody("Somebody") }
}

/// An address that nobody has.
fn address() -> Email {
    Email::new(&format!("{}@example.com", unique("somebody"))).unwrap()
}

/// A room of two, opened at this moment.
fn room_of(one: UserId, other: UserId, tag: &str, opened_at: Timestamp) -> Room {
    Room::new(room_id(), language(tag), (one, other), opened_at).unwrap()
}

/// A message for which nothing is to be translated.
fn settled(room: RoomId, sender: UserId, text: &str) -> NewMessage {
    NewMessage {
        id: message_id(),
        room,
        sender,
        client_id: None,
        text: Text::new(text).unwrap(),
        source: None,
        shown: None,
        translations: BTreeMap::new(),
        sent_at: at(0),
    }
}

/// A message that waits for its translation into Korean.
fn pending(room: RoomId, sender: UserId, text: &str) -> NewMessage {
    let mut message = settled(room, sender, text);
    message.shown = Some(language("ko"));
    message.translations.insert(language("ko"), Translation::pending(1));
    message
}

/// The same message under a name of the sender's own.
fn named(message: NewMessage, client_id: &str) -> NewMessage {
    NewMessage { client_id: Some(ClientMessageId::new(client_id).unwrap()), ..message }
}

/// The same message, accepted at another moment.
fn sent(message: NewMessage, sent_at: Timestamp) -> NewMessage {
    NewMessage { sent_at, ..message }
}

/// A result of a translation.
fn translated(text: &str) -> Translation {
    Translation {
        status: TranslationStatus::Completed,
        text: Some(text.to_owned()),
        engine: Some("law".to_owned()),
        source: Some(language("en-us")),
        cached: true,
        attempt: 2,
        version: 1,
    }
}
