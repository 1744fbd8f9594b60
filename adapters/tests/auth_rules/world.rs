//! Nodes over one store, one bus and one time, and the people who sign in there.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use transtalk_adapters::memory::{MemoryPresence, MemorySigner, MemoryStore};
use transtalk_core::app::{
    Begun, Pipeline, Principal, Returned, Services, Settings, SignedIn, Tokens, authenticate, background,
    begin_sign_in, complete_sign_in, open_room, refresh,
};
use transtalk_core::auth::{AuditEvent, AuditRecord, Device, Generation, RefreshToken, Session};
use transtalk_core::chat::delivery::Hub;
use transtalk_core::ports::{Audit, Claims, Clock, IdentityProvider, Messages, Sessions, TokenKind, TokenSigner};
use transtalk_core::{ErrorCode, Failure, RoomId, Seq, SessionId, Timestamp, UserId};

use crate::outside::{Allowances, Chance, NoTranslator, Provider, Wire};
use crate::time::Runtime;
use crate::trouble::{Store, Trouble};

/// What all nodes share.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) store: MemoryStore,
    pub(crate) wire: Arc<Wire>,
    pub(crate) signer: Arc<dyn TokenSigner>,
    pub(crate) allowances: Arc<Allowances>,
    /// Names its issuer, and is the first.
    pub(crate) home: Arc<Provider>,
    /// Names another issuer.
    pub(crate) away: Arc<Provider>,
    /// Holds a code to nothing, and so needs its state back.
    pub(crate) lax: Arc<Provider>,
    settings: Settings,
    nodes: Cell<u64>,
    strangers: Cell<u64>,
}

/// A server.
pub(crate) struct Node {
    pub(crate) services: Arc<Services>,
    pub(crate) trouble: Arc<Trouble>,
}

/// Somebody's browser after a sign-in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Where people come from when it does not matter.
pub(crate) const ADDRESS: &str = "192.0.2.1";
/// Where the provider sends them.
pub(crate) const REDIRECT_URI: &str = "https://chat.example/signed-in";

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// A world in which this is set differently.
    pub(crate) fn with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::signed_by(Arc::new(MemorySigner::new([7; 32])), set)
    }

    /// The same, with another signer than that of the simulator.
    pub(crate) fn signed_by(signer: Arc<dyn TokenSigner>, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        // Everybody here comes from one address, and time stands still.
        settings.limits.sign_in = 0;
        set(&mut settings);
        Self {
            runtime: Runtime::default(),
            store: MemoryStore::new(),
            wire: Arc::default(),
            signer,
            allowances: Arc::default(),
            home: Provider::new("home", Some("https://home.example"), false),
            away: Provider::new("away", Some("https://away.example"), false),
            lax: Provider::new("lax", None, true),
            settings,
            nodes: Cell::new(0),
            strangers: Cell::new(0),
        }
    }

    /// A server that has just started, without its background.
    pub(crate) fn node(&self) -> Node {
        let time = self.runtime.time.clone();
        let trouble = Trouble::new(time.clone());
        let store = Arc::new(Store { store: self.store.clone(), trouble: trouble.clone() });
        self.nodes.set(self.nodes.get() + 1);
        let identities: Vec<Arc<dyn IdentityProvider>> = vec![self.home.clone(), self.away.clone(), self.lax.clone()];
        let services = Services {
            users: store.clone(),
            rooms: Arc::new(self.store.clone()),
            messages: Arc::new(self.store.clone()),
            sessions: store.clone(),
            single_use: store.clone(),
            audit: store.clone(),
            grants: store,
            cursors: Arc::new(self.store.clone()),
            presence: Arc::new(MemoryPresence::new()),
            rate_limits: self.allowances.clone(),
            bus: self.wire.clone(),
            translator: Arc::new(NoTranslator),
            identities,
            signer: self.signer.clone(),
            clock: Arc::new(time.clone()),
            timer: Arc::new(time),
            entropy: Arc::new(Chance::new(self.nodes.get())),
            settings: self.settings.clone(),
            hub: Hub::default(),
            pipeline: Pipeline::default(),
        };
        Node { services: Arc::new(services), trouble }
    }

    /// A server with its background.
    pub(crate) fn server(&self) -> Node {
        let node = self.node();
        for task in background(&node.services) {
            self.runtime.spawn(task);
        }
        self.runtime.idle();
        node
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.run(future)
    }

    pub(crate) fn pass(&self, wait: Duration) {
        self.runtime.pass(wait);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.runtime.time.now()
    }

    /// Signs in at the first provider; another time is another session.
    pub(crate) fn sign_in(&self, node: &Node, subject: &str) -> Person {
        let begun = self.begin(node, None);
        let (code, _) = self.home.consent(&begun.url, subject);
        let returned = Returned { code: &code, ..Returned::default() };
        Person::of(&self.complete(node, returned, Some(&begun.cookie)).unwrap(), &*self.signer)
    }

    /// The name of somebody who was never here: what is played ten thousand times would make a trail of that length else.
    pub(crate) fn stranger(&self) -> String {
        self.strangers.set(self.strangers.get() + 1);
        format!("stranger{}", self.strangers.get())
    }

    pub(crate) fn begin(&self, node: &Node, provider: Option<&str>) -> Begun {
        self.run(begin_sign_in(&node.services, provider, REDIRECT_URI, ADDRESS)).unwrap()
    }

    pub(crate) fn complete(
        &self,
        node: &Node,
        returned: Returned<'_>,
        cookie: Option<&str>,
    ) -> Result<SignedIn, Failure> {
        self.run(complete_sign_in(&node.services, returned, cookie, device(ADDRESS)))
    }

    pub(crate) fn authenticate(&self, node: &Node, token: &str) -> Result<Principal, ErrorCode> {
        self.run(authenticate(&node.services, Some(token))).map_err(|failure| failure.code())
    }

    pub(crate) fn refresh(&self, node: &Node, token: &str) -> Result<Tokens, ErrorCode> {
        self.run(refresh(&node.services, Some(token), ADDRESS)).map_err(|failure| failure.code())
    }

    /// A refresh that succeeds, as the browser sees it.
    pub(crate) fn refreshed(&self, node: &Node, person: &Person) -> Person {
        let tokens = self.refresh(node, &person.refresh).unwrap();
        Person { access: tokens.access, refresh: tokens.refresh, ..person.clone() }
    }

    /// The row of a session.
    pub(crate) fn row(&self, session: SessionId) -> Session {
        self.run(Sessions::find(&self.store, session)).unwrap().unwrap()
    }

    /// What happened in a session, the oldest first.
    pub(crate) fn trail(&self, person: &Person) -> Vec<AuditRecord> {
        let mut trail = self.run(Audit::list(&self.store, person.user, u32::MAX)).unwrap();
        trail.retain(|record| record.session == Some(person.session));
        trail.reverse();
        trail
    }

    /// The same, as names.
    pub(crate) fn events(&self, person: &Person) -> Vec<AuditEvent> {
        self.trail(person).into_iter().map(|record| record.event).collect()
    }

    /// The refresh token of this generation, whether it was ever given or not.
    pub(crate) fn refresh_token(&self, session: SessionId, generation: u32) -> String {
        RefreshToken { session, generation: Generation(generation) }.encode(&*self.signer)
    }

    /// What a token says.
    pub(crate) fn claims(&self, kind: TokenKind, token: &str) -> Claims {
        self.signer.verify(kind, token).unwrap()
    }

    /// A room of two.
    pub(crate) fn room(&self, node: &Node, one: &Person, other: &str) -> RoomId {
        let principal = self.authenticate(node, &one.access).unwrap();
        self.run(open_room(&node.services, &principal, "ko", &format!("{other}@home.example"))).unwrap()
    }

    /// What the store holds of a room.
    pub(crate) fn stored(&self, room: RoomId) -> Vec<String> {
        let messages = self.run(self.store.after(room, Seq::ZERO, 1_000, true)).unwrap();
        messages.into_iter().map(|message| message.text.as_str().to_owned()).collect()
    }
}

impl Person {
    pub(crate) fn of(signed_in: &SignedIn, signer: &dyn TokenSigner) -> Self {
        let SignedIn { user, tokens } = signed_in;
        let session = RefreshToken::decode(&tokens.refresh, signer).unwrap().session;
        Self { user: user.id, session, access: tokens.access.clone(), refresh: tokens.refresh.clone() }
    }
}

pub(crate) fn device(address: &str) -> Device {
    Device { name: "a browser".to_owned(), address: address.to_owned() }
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The error code of something that must fail.
#[track_caller]
pub(crate) fn code<T>(result: Result<T, Failure>) -> ErrorCode {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(failure) => failure.code(),
    }
}
