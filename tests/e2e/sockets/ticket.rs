//! Ways in before CONNECT: a one-time ticket for browsers, a header for everybody else.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use super::{PAGE, connect, greeted, log_out, upgrade};
use crate::support::{Server, Stomp, User, claims, data, refused, within};

#[tokio::test]
async fn a_ticket_opens_one_socket_that_needs_no_other_token() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let path = address(&ticket(&alice).await);
    let mut socket = opened(&server, &path).await;
    socket.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    socket.say(room, "By ticket, please", None).await;
    socket.next("MESSAGE").await;
    assert_eq!(bob.history(room).await["chats"][0]["senderEmail"], alice.email);
    // Used is used, also while the socket that it opened lives.
    refused(upgrade(&server, &path, &[]).await, 401, "UNAUTHORIZED").await;
    refused(upgrade(&server, &path, &[("origin", PAGE)]).await, 401, "UNAUTHORIZED").await;
    // The next one opens another.
    opened(&server, &address(&ticket(&alice).await)).await;
}

#[tokio::test]
async fn of_many_who_use_a_ticket_at_once_one_is_let_in() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    for _ in 0..5 {
        let path = address(&ticket(&alice).await);
        let answers = join_all((0..8).map(|_| upgrade(&server, &path, &[]))).await;
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [101, 401, 401, 401, 401, 401, 401, 401]);
    }
}

#[tokio::test]
async fn a_ticket_dies_with_its_session() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let (unused, used) = (ticket(&alice).await, ticket(&alice).await);
    let mut socket = opened(&server, &address(&used)).await;
    log_out(&alice).await;
    socket.closed(4001).await;
    refused(upgrade(&server, &address(&unused), &[]).await, 401, "SESSION_ENDED").await;
    refused(alice.post("/api/v1/auth/ws-ticket").await, 401, "SESSION_ENDED").await;
}

#[tokio::test]
async fn nothing_else_passes_for_a_ticket_and_a_ticket_for_nothing_else() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "100ms")]).await;
    let alice = server.sign_in("alice").await;
    let bought = ticket(&alice).await;
    let refresh = alice.cookie.trim_start_matches("refreshToken=");
    let shorter = &bought[..bought.len() - 1];
    let long = "x".repeat(5_000);
    for wrong in [alice.jwt(), refresh, "", "garbage", shorter, &long] {
        refused(upgrade(&server, &address(wrong), &[]).await, 401, "UNAUTHORIZED").await;
    }
    let as_bearer = |method, path| alice.anon.request(method, path).header("authorization", format!("Bearer {bought}"));
    for (method, path) in [(Method::GET, "/api/v1/me"), (Method::POST, "/api/v1/auth/ws-ticket")] {
        let answer = within(path, as_bearer(method, path).send()).await.expect("an answer");
        refused(answer, 401, "UNAUTHORIZED").await;
    }
    refused(upgrade(&server, "/ws-connect", &[("authorization", &bought)]).await, 401, "UNAUTHORIZED").await;
    greeted(&server, &[], Some(&bought)).await.refused("UNAUTHORIZED").await;
    refused(alice.anon.refresh(&format!("refreshToken={bought}")).await, 400, "REFRESH_TOKEN_INVALID").await;
    // Tried at the wrong doors it is as good as before.
    opened(&server, &address(&bought)).await;
}

#[tokio::test]
async fn a_socket_by_ticket_lasts_as_long_as_the_token_that_bought_it() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "4s")]).await;
    let alice = server.sign_in("alice").await;
    let bought = ticket(&alice).await;
    assert_eq!(claims(&bought)["sid"], alice.sid());
    let mut socket = opened(&server, &address(&bought)).await;
    socket.closed(4002).await;
    refused(alice.post("/api/v1/auth/ws-ticket").await, 401, "TOKEN_EXPIRED").await;
}

#[tokio::test]
async fn a_header_on_the_upgrade_is_good_or_there_is_no_upgrade() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "2s")]).await;
    let alice = server.sign_in("alice").await;
    for token in [alice.jwt(), &alice.token] {
        let mut socket = Stomp::open(&server, &[("authorization", token)]).await.expect("an upgrade");
        socket.send(&connect(None)).await;
        socket.next("CONNECTED").await;
    }
    let shorter = &alice.jwt()[..alice.jwt().len() - 1];
    // A ticket beside it helps nothing, and is not used up.
    let path = address(&ticket(&alice).await);
    for wrong in ["", "Bearer", "Bearer x.y.z", "Basic YWxpY2U6cGFzcw==", shorter] {
        for path in ["/ws-connect", &path] {
            let answer = upgrade(&server, path, &[("authorization", wrong)]).await;
            assert!(answer.headers().contains_key("www-authenticate"), "{wrong:?}");
            refused(answer, 401, "UNAUTHORIZED").await;
        }
    }
    opened(&server, &path).await;
    super::expired(&alice).await;
    // Here a cookie is no help, either: who sets the header has no need of a lease.
    let headers = [("authorization", alice.jwt()), ("cookie", &alice.cookie), ("origin", PAGE)];
    refused(upgrade(&server, "/ws-connect", &headers).await, 401, "TOKEN_EXPIRED").await;
}

/// Buys a ticket.
async fn ticket(user: &User) -> String {
    let bought = data(user.post("/api/v1/auth/ws-ticket").await).await;
    let ticket = bought["ticket"].as_str().expect("a ticket").to_owned();
    assert_eq!(bought, json!({ "ticket": ticket, "expiresIn": 30 }));
    ticket
}

fn address(ticket: &str) -> String {
    format!("/ws-connect?ticket={ticket}")
}

/// Connected by this address alone.
async fn opened(server: &Server, path: &str) -> Stomp {
    let mut socket = Stomp::open_at(server, path, &[("origin", PAGE)]).await.expect("an upgrade");
    socket.send(&connect(None)).await;
    socket.next("CONNECTED").await;
    socket
}
