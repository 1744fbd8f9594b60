//! Which tokens are believed, and until when: invariant T8, on each of the three ways in, and the tickets of the second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use transtalk_adapters::signer::{KeyFileSigner, SignerOptions, SigningAlgorithm};
use transtalk_core::app::{Principal, issue_ticket, redeem_ticket};
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, SingleUse, TokenKind, TokenSigner};
use transtalk_core::{ErrorCode, Failure, Timestamp};

use crate::orders::{Racer, every_order};
use crate::outside::Chance;
use crate::socket::{Socket, handshake};
use crate::world::{ADDRESS, Node, Person, World, secs};

use ErrorCode::{SessionEnded, TokenExpired, Unauthorized};

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Request,
    Ticket,
    Connect,
    /// With the session's live refresh cookie.
    ConnectWithCookie,
}

impl Door {
    const ALL: [Self; 4] = [Self::Request, Self::Ticket, Self::Connect, Self::ConnectWithCookie];

    fn kind(self) -> TokenKind {
        if self == Self::Ticket { TokenKind::WsTicket } else { TokenKind::Access }
    }

    /// Tries a token there.
    fn open(self, world: &World, node: &Node, token: &str, person: &Person) -> Result<(), ErrorCode> {
        let cookie = match self {
            Self::Request => return world.authenticate(node, token).map(|_| ()),
            Self::Ticket => {
                let redeemed = world.run(redeem_ticket(&node.services, token));
                return redeemed.map(|_| ()).map_err(|failure| failure.code());
            }
            Self::Connect => None,
            Self::ConnectWithCookie => Some(person.refresh.as_str()),
        };
        connect(world, node, token, cookie)
    }
}

/// A CONNECT with this token and cookie.
fn connect(world: &World, node: &Node, token: &str, cookie: Option<&str>) -> Result<(), ErrorCode> {
    let mut socket = Socket::connect(world, node, token, cookie);
    let mut seen = socket.seen();
    if seen.is_empty() {
        // What is refused is held back.
        socket.pass(secs(3));
        seen = socket.seen();
    }
    match seen.first().map(String::as_str) {
        Some("CONNECTED") => Ok(()),
        Some(error) => Err(*ErrorCode::ALL.iter().find(|code| error == format!("ERROR {}", code.as_str())).unwrap()),
        None => panic!("no answer to CONNECT"),
    }
}

/// A world at the beginning of a second, a node, and somebody there.
fn at_a_second(signer: Option<Arc<dyn TokenSigner>>) -> (World, Node, Person) {
    let world = signer.map_or_else(World::new, |signer| World::signed_by(signer, |_| ()));
    let node = world.node();
    let person = world.sign_in(&node, "alice");
    world.pass(Duration::from_millis(1_000 - world.now().as_millis() % 1_000));
    (world, node, person)
}

/// The claims of a token of this person, between these seconds from now.
fn claims(world: &World, person: &Person, issued: i64, expires: i64) -> Claims {
    let at = |offset: i64| Timestamp::from_secs(world.now().as_secs().checked_add_signed(offset).unwrap());
    Claims {
        user: person.user,
        session: person.session,
        generation: Generation::FIRST,
        jti: format!("jti {issued} {expires}"),
        issued_at: at(issued),
        expires_at: at(expires),
    }
}

#[test]
fn t8_a_token_is_taken_from_5_seconds_before_its_nbf_to_just_before_its_exp() {
    for door in Door::ALL {
        let leased = door == Door::ConnectWithCookie;
        let expired = if leased { Ok(()) } else { Err(TokenExpired) };
        let old = if door == Door::Ticket { Err(TokenExpired) } else { Ok(()) };
        for (issued, expires, expect) in [
            (0, 1, Ok(())),
            (-10, 1, Ok(())),
            (-10, 0, expired),
            (-10, -1, expired),
            (-86_400, -84_600, expired),
            (-29, 1_000, Ok(())),
            (-30, 1_000, old),
            (-1_799, 1, old),
            // Another node's clock is ahead, by as much as is allowed or by more.
            (1, 1_800, Ok(())),
            (5, 1_800, Ok(())),
            (6, 1_800, Err(Unauthorized)),
            (3_600, 7_200, Err(Unauthorized)),
        ] {
            let (world, node, person) = at_a_second(None);
            let token = world.signer.sign(door.kind(), &claims(&world, &person, issued, expires));
            let found = door.open(&world, &node, &token, &person);
            assert_eq!(found, expect, "{door:?} {issued} {expires}");
        }
    }
}

#[test]
fn t8_the_edges_are_exact_to_the_millisecond() {
    for door in Door::ALL {
        let (world, node, person) = at_a_second(None);
        // A ticket is used up where it is taken, so each try has one of its own.
        let signed = |issued, expires, jti: &str| {
            let claims = Claims { jti: jti.to_owned(), ..claims(&world, &person, issued, expires) };
            world.signer.sign(door.kind(), &claims)
        };
        let early = ["a", "b"].map(|jti| signed(7, 1_000, jti));
        let dying = ["c", "d"].map(|jti| signed(0, 2, jti));
        world.pass(Duration::from_millis(1_999));
        assert_eq!(door.open(&world, &node, &dying[0], &person), Ok(()), "{door:?}");
        if door.kind() == TokenKind::WsTicket || door == Door::Request {
            assert_eq!(door.open(&world, &node, &early[0], &person), Err(Unauthorized), "{door:?}");
        } else {
            // A CONNECT that is refused is answered later.
            let cookie = (door == Door::ConnectWithCookie).then_some(person.refresh.as_str());
            assert_eq!(Socket::connect(&world, &node, &early[0], cookie).seen(), [""; 0], "{door:?}");
        }
        world.pass(Duration::from_millis(1));
        assert_eq!(door.open(&world, &node, &early[1], &person), Ok(()), "{door:?}");
        let expect = if door == Door::ConnectWithCookie { Ok(()) } else { Err(TokenExpired) };
        assert_eq!(door.open(&world, &node, &dying[1], &person), expect, "{door:?}");
    }
}

#[test]
fn t8_no_token_of_another_typ_issuer_audience_algorithm_or_key_is_taken() {
    let keys = Keys::new();
    let ours = keys.signer("keys", ISSUER, AUDIENCE, SigningAlgorithm::EdDsa);
    let others = [
        ("another issuer", keys.signer("keys", "https://else.example", AUDIENCE, SigningAlgorithm::EdDsa)),
        ("another audience", keys.signer("keys", ISSUER, "else", SigningAlgorithm::EdDsa)),
        ("another key", keys.signer("others", ISSUER, AUDIENCE, SigningAlgorithm::EdDsa)),
        ("ES256", keys.signer("es256", ISSUER, AUDIENCE, SigningAlgorithm::Es256)),
        ("HS256", keys.signer("hs256", ISSUER, AUDIENCE, SigningAlgorithm::Hs256)),
    ];
    let (world, node, person) = at_a_second(Some(ours.clone()));
    for door in Door::ALL {
        let claims = |jti: &str| Claims { jti: format!("{jti} {door:?}"), ..claims(&world, &person, 0, 1_800) };
        node.trouble.take_writes();
        for (what, other) in &others {
            let token = other.sign(door.kind(), &claims(what));
            assert_eq!(door.open(&world, &node, &token, &person), Err(Unauthorized), "{what} {door:?}");
        }
        let other_kind = if door == Door::Ticket { TokenKind::Access } else { TokenKind::WsTicket };
        let token = ours.sign(other_kind, &claims("another typ"));
        assert_eq!(door.open(&world, &node, &token, &person), Err(Unauthorized), "another typ {door:?}");
        assert!(node.trouble.take_writes().is_empty(), "{door:?}");
        // Only what is refused waits; so this one is taken a little later.
        let token = ours.sign(door.kind(), &claims("ours"));
        assert_eq!(door.open(&world, &node, &token, &person), Ok(()), "{door:?}");
    }
}

#[test]
fn t8_a_token_names_a_live_session_of_its_own_user() {
    let (world, node, person) = at_a_second(None);
    let bob = world.sign_in(&node, "bob");
    let unknown = world.signer.sign(
        TokenKind::Access,
        &Claims { session: "00".repeat(16).parse().unwrap(), ..claims(&world, &person, 0, 60) },
    );
    let anothers = world.signer.sign(TokenKind::Access, &Claims { user: bob.user, ..claims(&world, &person, 0, 60) });
    for token in [unknown, anothers] {
        for door in [Door::Request, Door::Connect, Door::ConnectWithCookie] {
            assert_eq!(door.open(&world, &node, &token, &person), Err(SessionEnded), "{door:?}");
        }
    }
}

#[test]
fn a_token_may_come_with_bearer_or_without_and_no_longer_than_the_limit() {
    let (world, node, person) = at_a_second(None);
    for token in [person.access.clone(), format!("Bearer {}", person.access), format!(" bearer  {} ", person.access)] {
        assert!(world.authenticate(&node, &token).is_ok());
    }
    let long = format!("{}{}", person.access, "A".repeat(4_096));
    for token in ["", "Bearer", "Bearer ", "Basic x", "x", ".", &long, &format!("Bearer Bearer {}", person.access)] {
        assert_eq!(world.authenticate(&node, token), Err(Unauthorized), "{token:.20}");
    }
}

#[test]
fn a_ticket_is_good_once_in_every_order_on_every_node() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let orders = every_order(|order| {
        let person = world.sign_in(&here, &world.stranger());
        let principal = world.authenticate(&here, &person.access).unwrap();
        let ticket = issue_ticket(&here.services, &principal);
        let redeem = |node: &Node| -> Racer<'static, Result<Principal, Failure>> {
            let (services, ticket) = (node.services.clone(), ticket.clone());
            Box::pin(async move { redeem_ticket(&services, &ticket).await })
        };
        let raced = order.race([redeem(&here), redeem(&there), redeem(&here)]);
        let answers = raced.map(|raced| raced.answer.unwrap().map_err(|failure| failure.code()));
        assert_eq!(answers.iter().filter(|answer| **answer == Ok(principal)).count(), 1);
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Unauthorized)).count(), 2);
    });
    assert!(orders > 50, "only {orders} orders");
}

#[test]
fn a_ticket_is_good_for_30_seconds_and_remembered_for_longer() {
    for (wait, expect) in [(0, Ok(())), (29_000, Ok(())), (30_000, Err(TokenExpired)), (90_000, Err(TokenExpired))] {
        let (world, node, person) = at_a_second(None);
        let principal = world.authenticate(&node, &person.access).unwrap();
        let ticket = issue_ticket(&node.services, &principal);
        world.pass(Duration::from_millis(wait));
        assert_eq!(Door::Ticket.open(&world, &node, &ticket, &person), expect, "{wait}");
        // What was used is not forgotten by any sweep while it could be used again.
        for late in 0..60 {
            world.run(SingleUse::purge(&world.store, world.now())).unwrap();
            let again = Door::Ticket.open(&world, &node, &ticket, &person).unwrap_err();
            assert!(again == Unauthorized || again == TokenExpired, "{wait} {late}: {again:?}");
            world.pass(secs(1));
        }
    }
}

#[test]
fn a_used_ticket_is_remembered_for_a_node_whose_clock_is_behind() {
    let (world, node, person) = at_a_second(None);
    let principal = world.authenticate(&node, &person.access).unwrap();
    let ticket = issue_ticket(&node.services, &principal);
    assert_eq!(Door::Ticket.open(&world, &node, &ticket, &person), Ok(()));
    world.pass(Duration::from_millis(34_999));
    world.run(SingleUse::purge(&world.store, world.now())).unwrap();
    world.runtime.time.set_back(secs(5));
    assert_eq!(Door::Ticket.open(&world, &node, &ticket, &person), Err(Unauthorized));
}

#[test]
fn a_ticket_gives_a_connection_that_lasts_as_long_as_the_token_that_bought_it() {
    let (world, node, person) = at_a_second(None);
    let until = world.claims(TokenKind::Access, &person.access).expires_at;
    let bought_by = world.authenticate(&node, &person.access).unwrap();
    let ticket = issue_ticket(&node.services, &bought_by);
    let principal = world.run(redeem_ticket(&node.services, &ticket)).unwrap();
    assert_eq!(principal, bought_by);
    let mut socket = Socket::open(&world, &node, handshake(Some(principal), None, ADDRESS));
    socket.say("CONNECT\naccept-version:1.2\n\n\0");
    assert_eq!(socket.seen(), ["CONNECTED"]);
    socket.pass(until.since(world.now().plus(Duration::from_millis(1))));
    assert_eq!(socket.seen(), [""; 0]);
    socket.pass(Duration::from_millis(1));
    assert_eq!(socket.seen(), ["close 4002"]);
}

/// A folder of key files, gone after the test.
pub(crate) struct Keys(PathBuf);

impl Keys {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("auth-rules-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The real signer, on the key file of this name.
    pub(crate) fn signer(
        &self,
        name: &str,
        issuer: &str,
        audience: &str,
        algorithm: SigningAlgorithm,
    ) -> Arc<dyn TokenSigner> {
        let options = SignerOptions {
            path: self.0.join(name),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            algorithm,
            hs256_secret: None,
            remember: true,
        };
        let seed = 1_000 + name.bytes().map(u64::from).sum::<u64>();
        Arc::new(KeyFileSigner::open(options, Timestamp::from_secs(0), &Chance::new(seed)).unwrap())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) const ISSUER: &str = "https://chat.example";
pub(crate) const AUDIENCE: &str = "transtalk";
