//! Signing in: whatever is not of this browser, this provider and this once is refused without a session.

use std::collections::BTreeSet;

use transtalk_core::app::{Returned, begin_sign_in, complete_sign_in};
use transtalk_core::auth::{AuditEvent, SignInCookie};
use transtalk_core::ports::{Sessions, Users};
use transtalk_core::{ErrorCode, Failure, Identity};

use crate::orders::{Racer, every_order};
use crate::trouble::{Span, When};
use crate::world::{ADDRESS, Node, Person, REDIRECT_URI, World, code, device, secs};

/// The account of somebody at the first provider.
fn account(world: &World, subject: &str) -> Option<transtalk_core::User> {
    let identity = Identity { issuer: "home".to_owned(), subject: subject.to_owned() };
    world.run(world.store.find_by_identity(&identity)).unwrap()
}

/// That nobody has signed in.
#[track_caller]
fn nobody_is_in(world: &World, node: &Node) {
    let writes = node.trouble.take_writes();
    assert!(!writes.contains(&"sessions.add") && !writes.contains(&"users.register"), "{writes:?}");
    assert!(account(world, "alice").is_none());
}

#[test]
fn a_sign_in_gives_an_account_a_session_and_its_tokens() {
    let world = World::new();
    let node = world.node();
    for (provider, state, issuer) in [
        (None, false, None),
        (Some("home"), true, Some("https://home.example")),
        (Some("away"), true, Some("https://away.example")),
        (Some("away"), false, None),
        (Some("lax"), true, None),
        // One that does not say who it is cannot be held to it.
        (Some("lax"), true, Some("https://anything.example")),
    ] {
        let begun = world.begin(&node, provider);
        let from = match provider {
            Some("away") => &world.away,
            Some("lax") => &world.lax,
            _ => &world.home,
        };
        let (code, returned_state) = from.consent(&begun.url, "alice");
        let returned = Returned { code: &code, state: state.then_some(&*returned_state), issuer };
        let signed_in = world.complete(&node, returned, Some(&begun.cookie)).unwrap();
        let alice = Person::of(&signed_in, &*world.signer);
        assert_eq!(signed_in.user.identity.issuer, provider.unwrap_or("home"));
        assert_eq!(world.authenticate(&node, &alice.access).unwrap().user, signed_in.user.id);
        assert_eq!(world.row(alice.session).device, device(ADDRESS));
        assert_eq!(world.events(&alice), [AuditEvent::SignedIn]);
    }
}

#[test]
fn the_same_person_has_one_account_and_the_same_address_elsewhere_is_somebody_else() {
    let world = World::new();
    let node = world.node();
    let (one, two) = (world.sign_in(&node, "alice"), world.sign_in(&node, "alice"));
    assert_eq!(one.user, two.user);
    assert_ne!(one.session, two.session);
    let begun = world.begin(&node, Some("away"));
    let (code, _) = world.away.consent(&begun.url, "alice");
    let elsewhere =
        world.complete(&node, Returned { code: &code, ..Returned::default() }, Some(&begun.cookie)).unwrap();
    assert_ne!(elsewhere.user.id, one.user);
}

#[test]
fn what_is_not_of_this_browser_this_provider_and_this_once_is_refused() {
    type Change = fn(&World, &Node, &mut Tried);
    /// What comes back.
    struct Tried {
        code: String,
        state: Option<String>,
        issuer: Option<&'static str>,
        cookie: Option<String>,
    }
    let cases: [(&str, Change, ErrorCode); 16] = [
        ("no cookie", |_, _, tried| tried.cookie = None, ErrorCode::SignInNotBegun),
        ("an empty cookie", |_, _, tried| tried.cookie = Some(String::new()), ErrorCode::SignInNotBegun),
        (
            "an altered cookie",
            |_, _, tried| tried.cookie = tried.cookie.as_ref().map(|cookie| format!("x{cookie}")),
            ErrorCode::SignInNotBegun,
        ),
        ("a cookie that is too long", |_, _, tried| tried.cookie = Some("x".repeat(5_000)), ErrorCode::SignInNotBegun),
        // Somebody else's browser: their cookie is good, but the code is not for its verifier and nonce.
        (
            "another browser's cookie",
            |world, node, tried| tried.cookie = Some(world.begin(node, None).cookie),
            ErrorCode::CodeRefused,
        ),
        (
            "a cookie of another server",
            |world, _, tried| {
                let signer = transtalk_adapters::memory::MemorySigner::new([8; 32]);
                let begun = SignInCookie::decode(tried.cookie.as_ref().unwrap(), &*world.signer, world.now()).unwrap();
                tried.cookie = Some(begun.encode(&signer));
            },
            ErrorCode::SignInNotBegun,
        ),
        ("another state", |_, _, tried| tried.state = Some("x".to_owned()), ErrorCode::SignInNotBegun),
        ("an empty state", |_, _, tried| tried.state = Some(String::new()), ErrorCode::SignInNotBegun),
        (
            "another sign-in's state",
            |world, node, tried| {
                let begun = world.begin(node, None);
                tried.state = Some(world.home.consent(&begun.url, "mallory").1);
            },
            ErrorCode::SignInNotBegun,
        ),
        ("another issuer", |_, _, tried| tried.issuer = Some("https://away.example"), ErrorCode::CodeRefused),
        (
            "an issuer with a slash more",
            |_, _, tried| tried.issuer = Some("https://home.example/"),
            ErrorCode::CodeRefused,
        ),
        // Mix-up: the cookie says where the sign-in was begun, and there the code is nothing.
        (
            "a provider switched",
            |world, node, tried| tried.cookie = Some(world.begin(node, Some("away")).cookie),
            ErrorCode::CodeRefused,
        ),
        (
            "an injected code",
            |world, node, tried| {
                let begun = world.begin(node, None);
                tried.code = world.home.consent(&begun.url, "mallory").0;
            },
            ErrorCode::CodeRefused,
        ),
        ("an unknown code", |_, _, tried| tried.code = "x".to_owned(), ErrorCode::CodeRefused),
        ("no code", |_, _, tried| tried.code = String::new(), ErrorCode::BadRequest),
        ("a code that is too long", |_, _, tried| tried.code = "x".repeat(2_049), ErrorCode::BadRequest),
    ];
    for (what, change, expect) in cases {
        let world = World::new();
        let node = world.node();
        let begun = world.begin(&node, None);
        let (code, state) = world.home.consent(&begun.url, "alice");
        let mut tried = Tried { code, state: Some(state), issuer: None, cookie: Some(begun.cookie) };
        if what.starts_with("another browser") || what.starts_with("a provider") || what.starts_with("an injected") {
            // As the first client does it, which returns only the code.
            tried.state = None;
        }
        change(&world, &node, &mut tried);
        node.trouble.take_writes();
        let returned = Returned { code: &tried.code, state: tried.state.as_deref(), issuer: tried.issuer };
        assert_eq!(crate::world::code(world.complete(&node, returned, tried.cookie.as_deref())), expect, "{what}");
        nobody_is_in(&world, &node);
    }
}

#[test]
fn a_provider_that_holds_its_codes_to_nothing_needs_its_state_back() {
    let world = World::new();
    let node = world.node();
    let begun = world.begin(&node, Some("lax"));
    let (code, state) = world.lax.consent(&begun.url, "alice");
    let without = world.complete(&node, Returned { code: &code, ..Returned::default() }, Some(&begun.cookie));
    assert_eq!(crate::world::code(without), ErrorCode::StateRequired);
    // That was no try: the client may yet return it.
    let returned = Returned { code: &code, state: Some(&state), issuer: None };
    assert!(world.complete(&node, returned, Some(&begun.cookie)).is_ok());
}

#[test]
fn a_sign_in_that_takes_too_long_is_over() {
    for (wait, expect) in
        [(599, None), (600, Some(ErrorCode::SignInNotBegun)), (6_000, Some(ErrorCode::SignInNotBegun))]
    {
        let world = World::new();
        let node = world.node();
        let begun = world.begin(&node, None);
        let (code, _) = world.home.consent(&begun.url, "alice");
        world.pass(secs(wait));
        let done = world.complete(&node, Returned { code: &code, ..Returned::default() }, Some(&begun.cookie));
        assert_eq!(done.err().map(|failure| failure.code()), expect, "{wait}");
    }
}

#[test]
fn an_unknown_provider_begins_nothing() {
    let world = World::new();
    let node = world.node();
    for name in ["", "HOME", "home ", "nobody"] {
        let begun = world.run(begin_sign_in(&node.services, Some(name), REDIRECT_URI, ADDRESS));
        assert_eq!(begun.map(|_| ()).map_err(|failure| failure.code()), Err(ErrorCode::UnknownProvider), "{name:?}");
    }
    // One that was taken out of the configuration while somebody was there.
    let cookie = SignInCookie::begin(&*node.services.entropy, "gone", REDIRECT_URI, world.now().plus(secs(60)));
    let returned = Returned { code: "x", ..Returned::default() };
    let done = world.complete(&node, returned, Some(&cookie.encode(&*world.signer)));
    assert_eq!(code(done), ErrorCode::UnknownProvider);
}

#[test]
fn a_provider_that_cannot_answer_is_no_refusal() {
    let world = World::new();
    let node = world.node();
    let begun = world.begin(&node, None);
    let (code, _) = world.home.consent(&begun.url, "alice");
    world.home.set_down(true);
    let tried = world.run(begin_sign_in(&node.services, None, REDIRECT_URI, ADDRESS)).map(|_| ());
    assert!(matches!(tried, Err(Failure::Unavailable { part: "identity provider", .. })));
    let done = world.complete(&node, Returned { code: &code, ..Returned::default() }, Some(&begun.cookie));
    assert!(matches!(done, Err(Failure::Unavailable { part: "identity provider", .. })));
    nobody_is_in(&world, &node);
    world.home.set_down(false);
    world.sign_in(&node, "alice");
}

#[test]
fn a_sign_in_is_completed_once_in_every_order() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let orders = every_order(|order| {
        let subject = world.stranger();
        let begun = world.begin(&here, None);
        let (code, _) = world.home.consent(&begun.url, &subject);
        let complete = |node: &Node| -> Racer<'static, Result<(), Failure>> {
            let (services, code, cookie) = (node.services.clone(), code.clone(), begun.cookie.clone());
            Box::pin(async move {
                let returned = Returned { code: &code, ..Returned::default() };
                complete_sign_in(&services, returned, Some(&cookie), device(ADDRESS)).await.map(|_| ())
            })
        };
        let raced = order.race([complete(&here), complete(&there)]);
        let mut answers = raced.map(|raced| raced.answer.unwrap().map_err(|failure| failure.code()));
        answers.sort();
        assert_eq!(answers, [Ok(()), Err(ErrorCode::CodeRefused)]);
        let alice = account(&world, &subject).unwrap();
        assert_eq!(world.run(Sessions::list(&world.store, alice.id)).unwrap().len(), 1);
    });
    assert!(orders > 5, "only {orders} orders");
}

#[test]
fn a_code_is_not_taken_a_second_time_later_either() {
    let world = World::new();
    let node = world.server();
    let begun = world.begin(&node, None);
    let (code, _) = world.home.consent(&begun.url, "alice");
    let returned = Returned { code: &code, ..Returned::default() };
    assert!(world.complete(&node, returned, Some(&begun.cookie)).is_ok());
    for wait in [0, 1, 60, 500, 60, 600] {
        world.pass(secs(wait));
        let again = crate::world::code(world.complete(&node, returned, Some(&begun.cookie)));
        assert!([ErrorCode::CodeRefused, ErrorCode::SignInNotBegun].contains(&again));
        // With a cookie of one's own it is worth nothing to the provider.
        let other = world.begin(&node, None);
        let again = world.complete(&node, returned, Some(&other.cookie));
        assert_eq!(crate::world::code(again), ErrorCode::CodeRefused);
    }
    let alice = account(&world, "alice").unwrap();
    assert_eq!(world.run(Sessions::list(&world.store, alice.id)).unwrap().len(), 1);
}

#[test]
fn a_store_that_fails_during_a_sign_in_begins_no_session() {
    // After that a session lies in the store, of which nobody has been told any token.
    let failing = ["single_use.consume", "users.register", "grants.put", "sessions.add"];
    for call in failing {
        let world = World::new();
        let node = world.node();
        let begun = world.begin(&node, None);
        let (code, _) = world.home.consent(&begun.url, "alice");
        node.trouble.fail(call, When::Before, Span::Calls(1));
        let done = world.complete(&node, Returned { code: &code, ..Returned::default() }, Some(&begun.cookie));
        assert_eq!(crate::world::code(done), ErrorCode::Unavailable, "{call}");
        let sessions = account(&world, "alice").map(|user| world.run(Sessions::list(&world.store, user.id)).unwrap());
        assert_eq!(sessions.unwrap_or_default().len(), 0, "{call}");
        // And the next try is as good as any.
        world.sign_in(&node, "alice");
    }
}

#[test]
fn every_sign_in_has_its_own_secrets() {
    let world = World::new();
    let node = world.node();
    let mut secrets = BTreeSet::new();
    for _ in 0..100 {
        let cookie = world.begin(&node, None).cookie;
        let begun = SignInCookie::decode(&cookie, &*world.signer, world.now()).unwrap();
        for secret in [begun.id, begun.verifier, begun.nonce, begun.state] {
            assert_eq!(secret.len(), 43);
            assert!(secrets.insert(secret));
        }
    }
}
