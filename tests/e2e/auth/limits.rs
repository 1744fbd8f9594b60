//! How often somebody may do what costs us something: by address, by account, by session.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::header::COOKIE;
use reqwest::{Method, Response};
use serde_json::Value;

use super::{come_again, sent, ticket, trail, upgrade};
use crate::support::{Anon, Server, Stomp, User, data, json, refreshed, refused};

const TOO_MANY: &str = "TOO_MANY_REQUESTS";
/// The tests themselves come from here.
const PROXIES: (&str, &str) = ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8, ::1/128");

#[tokio::test]
async fn sign_ins_of_one_address_are_limited_at_both_ends() {
    let server = Server::start(&[("LIMITS__SIGN_IN", "3")]).await;
    let anon = Anon::new(&server);
    let (browser, page) = anon.begin().await;
    for _ in 0..2 {
        anon.begin().await;
    }
    assert!(come_again(anon.get("/api/v1/auth").await, 429, TOO_MANY).await <= 60);
    // An attempt is an attempt, good or bad; the two ends are counted apart.
    for _ in 0..2 {
        refused(anon.complete("code=wrong", "").await, 400, "SIGN_IN_NOT_BEGUN").await;
    }
    let query = anon.come_back(&page, "alice").await;
    data(anon.complete(&query, &browser).await).await;
    come_again(anon.complete(&query, &browser).await, 429, TOO_MANY).await;
}

#[tokio::test]
async fn sign_ins_of_one_account_are_limited_wherever_they_come_from() {
    let server = Server::start(&[("LIMITS__SIGN_IN", "3"), PROXIES]).await;
    let anon = Anon::new(&server);
    for network in 1..=4 {
        let address = format!("192.0.2.{network}");
        let answer = completed(&anon, "alice", &address).await;
        match network {
            4 => assert!(come_again(answer, 429, TOO_MANY).await <= 60),
            _ => drop(data(answer).await),
        }
    }
    // Others are not held up.
    data(completed(&anon, "bob", "192.0.2.4").await).await;
}

#[tokio::test]
async fn a_refresh_beyond_its_sessions_allowance_waits_for_it() {
    let server = Server::start(&[("LIMITS__REFRESH", "60")]).await;
    let (alice, elsewhere) = (server.sign_in("alice").await, server.sign_in("alice").await);
    // Sixty at once, then one a second: nobody is turned away.
    let answers = join_all((0..62).map(|_| alice.anon.refresh(&alice.cookie))).await;
    for answer in answers {
        refreshed(answer).await;
    }
    // Another session of the same user and address has its own.
    refreshed(elsewhere.anon.refresh(&elsewhere.cookie).await).await;
}

/// It takes the half minute that a refresh waits.
#[tokio::test]
async fn a_refresh_that_waited_half_a_minute_in_vain_is_503_and_does_no_harm() {
    let server = Server::start(&[("LIMITS__REFRESH", "1")]).await;
    let mut alice = server.sign_in("alice").await;
    alice.refresh().await;
    let begun = std::time::Instant::now();
    let request = alice.anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, &alice.cookie);
    let answer = tokio::time::timeout(Duration::from_mins(1), request.send()).await;
    let answer = answer.expect("within a minute").expect("an answer");
    let waited = begun.elapsed();
    come_again(answer, 503, "UNAVAILABLE").await;
    assert!((29..45).contains(&waited.as_secs()), "{waited:?}");
    data(alice.get("/api/v1/me").await).await;
    let events: Vec<String> = trail(&alice).await.into_iter().map(|line| line.event).collect();
    assert_eq!(events, ["REFRESHED", "SIGNED_IN"], "it was not even looked at");
}

#[tokio::test]
async fn a_refresh_without_an_authentic_cookie_is_limited_by_address_and_does_not_wait() {
    let server = Server::start(&[("LIMITS__REFRESH", "3")]).await;
    let alice = server.sign_in("alice").await;
    let anon = &alice.anon;
    refused(anon.get("/api/v1/auth/refresh").await, 400, "REFRESH_TOKEN_MISSING").await;
    refused(anon.refresh("refreshToken=garbage").await, 400, "REFRESH_TOKEN_INVALID").await;
    refused(anon.refresh("refreshToken=").await, 400, "REFRESH_TOKEN_MISSING").await;
    let begun = std::time::Instant::now();
    come_again(anon.refresh("refreshToken=garbage").await, 429, TOO_MANY).await;
    come_again(anon.get("/api/v1/auth/refresh").await, 429, TOO_MANY).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "at once");
    // Somebody else behind the same address, who has a cookie of ours, does not pay for it.
    refreshed(anon.refresh(&alice.cookie).await).await;
}

#[tokio::test]
async fn a_cross_site_refresh_is_refused_and_not_counted() {
    let server = Server::start(&[("LIMITS__REFRESH", "2")]).await;
    let alice = server.sign_in("alice").await;
    for _ in 0..10 {
        let request = alice.anon.request(Method::GET, "/api/v1/auth/refresh").header("sec-fetch-site", "cross-site");
        refused(sent(request.header(COOKIE, &alice.cookie)).await, 403, "ORIGIN_NOT_ALLOWED").await;
        let request = alice.anon.request(Method::GET, "/api/v1/auth/refresh").header("sec-fetch-site", "cross-site");
        refused(sent(request).await, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    assert_eq!(trail(&alice).await.len(), 1, "nothing happened but the sign-in");
    let (cookie, _) = refreshed(alice.anon.refresh(&alice.cookie).await).await;
    refreshed(alice.anon.refresh(&cookie).await).await;
    refused(alice.anon.refresh("refreshToken=garbage").await, 400, "REFRESH_TOKEN_INVALID").await;
}

#[tokio::test]
async fn tickets_are_limited_by_address_and_by_account() {
    let server = Server::start(&[("LIMITS__TICKET", "2"), PROXIES]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let buy = async |user: &User, address: &str| {
        let request = user.request(Method::POST, "/api/v1/auth/ws-ticket").header("x-forwarded-for", address);
        sent(request).await
    };
    data(buy(&alice, "192.0.2.1").await).await;
    data(buy(&alice, "192.0.2.2").await).await;
    // The account's are used up, whatever the address.
    come_again(buy(&alice, "192.0.2.3").await, 429, TOO_MANY).await;
    // The address's are used up, whatever the account.
    data(buy(&bob, "192.0.2.1").await).await;
    come_again(buy(&bob, "192.0.2.1").await, 429, TOO_MANY).await;
    data(buy(&bob, "192.0.2.9").await).await;
}

#[tokio::test]
async fn connections_are_limited_by_address_and_by_account_before_and_after_the_upgrade() {
    let limits = [("LIMITS__CONNECT", "3"), ("GATEWAY__ERROR_DELAY", "0"), PROXIES];
    let server = Server::start(&limits).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    // By address: a plain answer, no upgrade.
    for _ in 0..3 {
        assert_eq!(upgrade(&server, "/ws-connect", &[("x-forwarded-for", "192.0.2.1")]).await.status(), 101);
    }
    come_again(upgrade(&server, "/ws-connect", &[("x-forwarded-for", "192.0.2.1")]).await, 429, TOO_MANY).await;
    // By account, when the upgrade says whose it is: by the header, or by a ticket.
    for address in ["192.0.2.2", "192.0.2.3"] {
        let headers = [("x-forwarded-for", address), ("authorization", alice.token.as_str())];
        assert_eq!(upgrade(&server, "/ws-connect", &headers).await.status(), 101);
    }
    let by_ticket = format!("/ws-connect?ticket={}", ticket(&alice).await);
    assert_eq!(upgrade(&server, &by_ticket, &[("x-forwarded-for", "192.0.2.4")]).await.status(), 101);
    let headers = [("x-forwarded-for", "192.0.2.5"), ("authorization", alice.token.as_str())];
    come_again(upgrade(&server, "/ws-connect", &headers).await, 429, TOO_MANY).await;
    // And when only CONNECT does.
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", bob.jwt());
    for network in 6..9 {
        let address = format!("192.0.2.{network}");
        let mut socket = Stomp::open(&server, &[("x-forwarded-for", &address)]).await.expect("an upgrade");
        socket.send(&connect).await;
        socket.next("CONNECTED").await;
    }
    let mut socket = Stomp::open(&server, &[("x-forwarded-for", "192.0.2.9")]).await.expect("an upgrade");
    socket.send(&connect).await;
    socket.refused(TOO_MANY).await;
}

#[tokio::test]
async fn nought_switches_a_limit_off() {
    let off = ["LIMITS__SIGN_IN", "LIMITS__REFRESH", "LIMITS__TICKET", "LIMITS__CONNECT"].map(|key| (key, "0"));
    let server = Server::start(&off).await;
    let alice = server.sign_in("alice").await;
    for _ in 0..30 {
        alice.anon.begin().await;
        refused(alice.anon.complete("code=wrong", "").await, 400, "SIGN_IN_NOT_BEGUN").await;
        refused(alice.anon.get("/api/v1/auth/refresh").await, 400, "REFRESH_TOKEN_MISSING").await;
        refreshed(alice.anon.refresh(&alice.cookie).await).await;
        ticket(&alice).await;
        assert_eq!(upgrade(&server, "/ws-connect", &[("authorization", &alice.token)]).await.status(), 101);
    }
}

#[tokio::test]
async fn an_address_is_the_peers_unless_a_trusted_proxy_says_another() {
    // Trusted: each client has an allowance of its own. Not trusted: whatever is claimed, it is one.
    for (proxies, trusted) in [("127.0.0.0/8", true), ("10.0.0.0/8", false), ("", false)] {
        let server = Server::start(&[("LIMITS__SIGN_IN", "2"), ("HTTP__TRUSTED_PROXIES", proxies)]).await;
        let anon = Anon::new(&server);
        let begin = async |name: &'static str, value: &'static str| {
            sent(anon.request(Method::GET, "/api/v1/auth").header(name, value)).await
        };
        data(begin("x-forwarded-for", "192.0.2.1").await).await;
        data(begin("x-forwarded-for", "192.0.2.1").await).await;
        come_again(begin("x-forwarded-for", "192.0.2.1").await, 429, TOO_MANY).await;
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.2"),
            ("forwarded", "for=192.0.2.3;proto=https"),
            ("forwarded", "for=\"[2001:db8::1]:4711\""),
            // A hop that is trusted as well is not the client.
            ("x-forwarded-for", "192.0.2.4, 127.0.0.9"),
        ] {
            let answer = begin(name, value).await;
            if trusted {
                data(answer).await;
            } else {
                come_again(answer, 429, TOO_MANY).await;
            }
        }
        // What a client claims before it reaches the proxy is nothing to go by.
        for value in ["203.0.113.1, 192.0.2.1", "203.0.113.2, 192.0.2.1"] {
            come_again(begin("x-forwarded-for", value).await, 429, TOO_MANY).await;
        }
    }
}

#[tokio::test]
async fn sessions_and_the_trail_know_the_address_behind_a_trusted_proxy() {
    for (proxies, expected) in [("127.0.0.0/8", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1")] {
        let server = Server::start(&[("HTTP__TRUSTED_PROXIES", proxies)]).await;
        let anon = Anon::new(&server);
        let answer = completed(&anon, "alice", "192.0.2.7").await;
        let token = data(answer).await["tokenresponse"]["accessToken"].as_str().expect("a token").to_owned();
        let request = |path| anon.request(Method::GET, path).header("authorization", &token);
        let sessions = json(sent(request("/api/v1/sessions")).await).await;
        assert_eq!(sessions["data"]["sessions"][0]["address"], expected);
        let trail: Value = json(sent(request("/api/v1/sessions/audit")).await).await;
        assert_eq!(trail["data"]["records"][0]["address"], expected);
    }
}

/// A whole sign-in, of which the last step comes from this address.
async fn completed(anon: &Anon, name: &str, address: &str) -> Response {
    let request = anon.request(Method::GET, "/api/v1/auth").header("x-forwarded-for", address);
    let begun = sent(request).await;
    let cookies = crate::support::set_cookies(&begun);
    let page = data(begun).await.as_str().expect("an address").to_owned();
    // Whoever stands between, the page of the development sign-in is on this machine.
    let query = anon.come_back(&page, name).await;
    let request = anon.request(Method::GET, &format!("/api/v1/auth/token?{query}")).header(COOKIE, &cookies[0]);
    sent(request.header("x-forwarded-for", address)).await
}
