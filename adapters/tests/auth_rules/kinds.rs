//! Every kind of token at every door: only the right pairs open, and everything else changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use transtalk_adapters::memory::MemorySigner;
use transtalk_adapters::signer::SigningAlgorithm;
use transtalk_core::app::{Returned, authenticate, issue_ticket, log_out, log_out_everywhere, redeem_ticket, refresh};
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, Grants, TokenKind, TokenSigner};
use transtalk_core::{ErrorCode, Failure};

use crate::socket::Socket;
use crate::tokens::{AUDIENCE, ISSUER, Keys};
use crate::world::{ADDRESS, Node, Person, World, secs};

/// What somebody may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Access,
    WsTicket,
    Refresh,
    SignInCookie,
    Code,
    SealedGrant,
    /// The provider's own token, as it was before it was sealed.
    OpenGrant,
    State,
    SessionId,
    Nothing,
}

/// Where it may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Request,
    Upgrade,
    Connect,
    RefreshCookie,
    LeaseCookie,
    SignInCookie,
    Code,
    LogOutHeader,
    LogOutCookie,
    EverywhereHeader,
    EverywhereCookie,
}

const KINDS: [Kind; 10] = [
    Kind::Access,
    Kind::WsTicket,
    Kind::Refresh,
    Kind::SignInCookie,
    Kind::Code,
    Kind::SealedGrant,
    Kind::OpenGrant,
    Kind::State,
    Kind::SessionId,
    Kind::Nothing,
];

/// Each entry with what opens it, and what everything else is told.
const ENTRIES: [(Entry, Kind, ErrorCode); 11] = [
    (Entry::Request, Kind::Access, ErrorCode::Unauthorized),
    (Entry::Upgrade, Kind::WsTicket, ErrorCode::Unauthorized),
    (Entry::Connect, Kind::Access, ErrorCode::Unauthorized),
    (Entry::RefreshCookie, Kind::Refresh, ErrorCode::RefreshTokenInvalid),
    (Entry::LeaseCookie, Kind::Refresh, ErrorCode::TokenExpired),
    (Entry::SignInCookie, Kind::SignInCookie, ErrorCode::SignInNotBegun),
    (Entry::Code, Kind::Code, ErrorCode::CodeRefused),
    (Entry::LogOutHeader, Kind::Access, ErrorCode::Unauthorized),
    (Entry::LogOutCookie, Kind::Refresh, ErrorCode::Unauthorized),
    (Entry::EverywhereHeader, Kind::Access, ErrorCode::Unauthorized),
    (Entry::EverywhereCookie, Kind::Refresh, ErrorCode::Unauthorized),
];

/// Everything of one person, all of it good at this moment.
struct Pockets {
    person: Person,
    cookie: String,
    code: String,
    ticket: String,
    grant: String,
    state: String,
}

impl Pockets {
    fn fill(world: &World, node: &Node) -> Self {
        let person = world.sign_in(node, "alice");
        let principal = world.authenticate(node, &person.access).unwrap();
        let begun = world.begin(node, None);
        let (code, state) = world.home.consent(&begun.url, "alice");
        let grants = world.run(Grants::list(&world.store, person.user)).unwrap();
        Self {
            ticket: issue_ticket(&node.services, &principal),
            cookie: begun.cookie,
            grant: URL_SAFE_NO_PAD.encode(&grants[0].sealed),
            person,
            code,
            state,
        }
    }

    fn take(&self, kind: Kind) -> String {
        match kind {
            Kind::Access => self.person.access.clone(),
            Kind::WsTicket => self.ticket.clone(),
            Kind::Refresh => self.person.refresh.clone(),
            Kind::SignInCookie => self.cookie.clone(),
            Kind::Code => self.code.clone(),
            Kind::SealedGrant => self.grant.clone(),
            Kind::OpenGrant => "grant of alice".to_owned(),
            Kind::State => self.state.clone(),
            Kind::SessionId => self.person.session.to_string(),
            Kind::Nothing => String::new(),
        }
    }
}

fn attempt(world: &World, node: &Node, pockets: &Pockets, entry: Entry, token: &str) -> Result<(), ErrorCode> {
    let services = &node.services;
    let done: Result<(), Failure> = match entry {
        Entry::Request => world.run(authenticate(services, Some(token))).map(|_| ()),
        Entry::Upgrade => world.run(redeem_ticket(services, token)).map(|_| ()),
        Entry::Connect => return connect(world, node, token, None),
        Entry::RefreshCookie => world.run(refresh(services, Some(token), ADDRESS)).map(|_| ()),
        Entry::LeaseCookie => return connect(world, node, &dead_token(world, &pockets.person), Some(token)),
        Entry::SignInCookie => {
            let returned = Returned { code: &pockets.code, ..Returned::default() };
            world.complete(node, returned, Some(token)).map(|_| ())
        }
        Entry::Code => {
            let returned = Returned { code: token, ..Returned::default() };
            world.complete(node, returned, Some(&pockets.cookie)).map(|_| ())
        }
        Entry::LogOutHeader => world.run(log_out(services, Some(token), None, ADDRESS)),
        Entry::LogOutCookie => world.run(log_out(services, None, Some(token), ADDRESS)),
        Entry::EverywhereHeader => world.run(log_out_everywhere(services, Some(token), None, ADDRESS)),
        Entry::EverywhereCookie => world.run(log_out_everywhere(services, None, Some(token), ADDRESS)),
    };
    done.map_err(|failure| failure.code())
}

fn connect(world: &World, node: &Node, token: &str, cookie: Option<&str>) -> Result<(), ErrorCode> {
    let mut socket = Socket::connect(world, node, token, cookie);
    let mut seen = socket.seen();
    if seen.is_empty() {
        socket.pass(secs(3));
        seen = socket.seen();
    }
    if seen == ["CONNECTED"] {
        return Ok(());
    }
    assert_eq!(seen[1], "close 4007");
    Err(*ErrorCode::ALL.iter().find(|code| seen[0] == format!("ERROR {}", code.as_str())).unwrap())
}

/// An access token of this session that has expired.
fn dead_token(world: &World, person: &Person) -> String {
    let claims = Claims {
        user: person.user,
        session: person.session,
        generation: Generation::FIRST,
        jti: "dead".to_owned(),
        issued_at: world.now().minus(secs(3_600)),
        expires_at: world.now().minus(secs(1_800)),
    };
    world.signer.sign(TokenKind::Access, &claims)
}

fn check_table(signer: &Arc<dyn TokenSigner>) {
    let mut opened = BTreeSet::new();
    for (entry, right, refusal) in ENTRIES {
        for kind in KINDS {
            let world = World::signed_by(signer.clone(), |_| ());
            let node = world.node();
            let pockets = Pockets::fill(&world, &node);
            let row = world.row(pockets.person.session);
            let trail = world.trail(&pockets.person);
            node.trouble.take_writes();

            let done = attempt(&world, &node, &pockets, entry, &pockets.take(kind));
            if done.is_ok() {
                opened.insert((entry, kind));
            }
            let what = format!("{kind:?} at {entry:?}");
            if kind == right {
                assert_eq!(done, Ok(()), "{what}");
                continue;
            }
            let refusal = match (entry, kind) {
                (Entry::RefreshCookie, Kind::Nothing) => ErrorCode::RefreshTokenMissing,
                (Entry::Code, Kind::Nothing) => ErrorCode::BadRequest,
                _ => refusal,
            };
            assert_eq!(done, Err(refusal), "{what}");
            // A sign-in is tried once, whatever code it is tried with.
            let writes = node.trouble.take_writes();
            let spent: &[&str] =
                if entry == Entry::Code && kind != Kind::Nothing { &["single_use.consume"] } else { &[] };
            assert_eq!(writes, spent, "{what}");
            assert_eq!(world.row(pockets.person.session), row, "{what}");
            assert_eq!(world.trail(&pockets.person), trail, "{what}");
            // And everything else is as good as before.
            if entry != Entry::Code && entry != Entry::Upgrade {
                let still = attempt(&world, &node, &pockets, entry, &pockets.take(right));
                assert_eq!(still, Ok(()), "after {what}");
            }
        }
    }
    assert_eq!(opened, ENTRIES.into_iter().map(|(entry, kind, _)| (entry, kind)).collect());
}

#[test]
fn no_kind_of_token_passes_for_another_anywhere() {
    let memory: Arc<dyn TokenSigner> = Arc::new(MemorySigner::new([7; 32]));
    check_table(&memory);
}

#[test]
fn no_kind_of_token_passes_for_another_with_any_algorithm() {
    let keys = Keys::new();
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256] {
        check_table(&keys.signer(algorithm.name(), ISSUER, AUDIENCE, algorithm));
    }
}
