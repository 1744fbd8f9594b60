//! Signing in: from whose page a code is taken, and how many sessions an account has.

use reqwest::Method;
use reqwest::header::COOKIE;

use super::{CLIENT_ORIGIN, dead, lines_of, listed, sent, trail};
use crate::support::{Anon, Server, Stomp, User, data, refused};

/// So many sessions an account has at once.
const SESSIONS: usize = 100;

#[tokio::test]
async fn a_page_of_a_foreign_site_neither_completes_a_sign_in_nor_uses_it_up() {
    let server = Server::start(&[]).await;
    for allowed in [&[][..], &[("sec-fetch-site", "cross-site"), ("origin", CLIENT_ORIGIN)]] {
        let anon = Anon::new(&server);
        let (browser, page) = anon.begin().await;
        let query = anon.come_back(&page, "alice").await;
        let complete = |headers: &[(&str, &str)]| {
            let request = anon.request(Method::GET, &format!("/api/v1/auth/token?{query}")).header(COOKIE, &browser);
            sent(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
        };
        for origin in [None, Some("https://evil.example"), Some("null")] {
            let origin = origin.map(|origin| ("origin", origin));
            let headers: Vec<_> = [("sec-fetch-site", "cross-site")].into_iter().chain(origin).collect();
            refused(complete(&headers).await, 403, "ORIGIN_NOT_ALLOWED").await;
        }
        let answer = complete(allowed).await;
        let alice = User::signed_in(anon.clone(), answer).await;
        data(alice.get("/api/v1/me").await).await;
        refused(complete(allowed).await, 400, "CODE_REFUSED").await;
    }
}

#[tokio::test]
async fn one_session_more_than_an_account_may_have_ends_its_oldest() {
    let server = Server::start(&[("LIMITS__SIGN_IN", "0"), ("STORAGE__URL", "memory:")]).await;
    let bob = server.sign_in("bob").await;
    let mut sessions = vec![server.sign_in("alice").await];
    let mut socket = Stomp::lease(&server, &sessions[0]).await;
    while sessions.len() < SESSIONS {
        sessions.push(server.sign_in("alice").await);
    }
    let [oldest, second, ..] = &sessions[..] else { panic!("a hundred") };
    assert_eq!(listed(oldest).await.len(), SESSIONS, "as many as there may be");
    let newest = server.sign_in("alice").await;
    dead(oldest).await;
    socket.closed(4001).await;
    data(second.get("/api/v1/me").await).await;
    let names = listed(&newest).await;
    assert!(names.len() == SESSIONS && names.contains(&newest.sid()) && !names.contains(&oldest.sid()), "{names:?}");
    let trail = trail(&newest).await;
    let ended: Vec<_> = trail.iter().filter(|line| line.event == "LOGGED_OUT").collect();
    assert_eq!(ended, lines_of(&trail, &oldest.sid(), "LOGGED_OUT"), "the oldest alone");
    let [line] = ended[..] else { panic!("T14: {ended:?}") };
    assert!(line.detail.contains("too many sessions") && line.detail.contains(&newest.sid()), "{line:?}");

    // What has ended takes no place, and nobody else pays for it.
    data(super::log_out(second).await).await;
    server.sign_in("alice").await;
    data(sessions[2].get("/api/v1/me").await).await;
    data(bob.get("/api/v1/me").await).await;
}
