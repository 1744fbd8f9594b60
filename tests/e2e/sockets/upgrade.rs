//! The upgrade says whose the socket is; what is not believed there, and what CONNECT may not say against it.

use http::{HeaderValue, Method};
use reqwest::header::AUTHORIZATION;

use super::{connect, upgrade};
use crate::support::{Anon, Server, Stomp, User, data, eventually, refused, within};

#[tokio::test]
async fn a_header_that_is_no_text_is_a_token_that_nobody_believes() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let ticket = format!("/ws-connect?ticket={}", ticket(&alice).await);
    let behind = [alice.token.as_bytes(), b"\xff"].concat();
    for bytes in [&b"\xff\xff\xff"[..], b"Bearer \xff\xfe", &behind] {
        // A ticket beside it helps nothing.
        for path in ["/ws-connect", &ticket] {
            let request = Anon::new(&server)
                .request(Method::GET, path)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header(AUTHORIZATION, HeaderValue::from_bytes(bytes).expect("it can be sent"));
            let answer = within("the upgrade", request.send()).await.expect("an answer");
            assert!(answer.headers().contains_key("www-authenticate"));
            refused(answer, 401, "UNAUTHORIZED").await;
        }
    }
    // It was not used up.
    assert_eq!(upgrade(&server, &ticket, &[]).await.status(), 101);
}

#[tokio::test]
async fn one_users_upgrade_and_another_users_connect_is_no_connection() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "2s")]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let [his, hers] = [ticket(&alice).await, ticket(&alice).await].map(|ticket| format!("/ws-connect?ticket={ticket}"));
    closed(Stomp::open_at(&server, &his, &[]).await, bob.jwt()).await;
    closed(Stomp::open(&server, &[("authorization", alice.jwt())]).await, bob.jwt()).await;
    // Her own is no contradiction.
    let mut socket = Stomp::open_at(&server, &hers, &[]).await.expect("an upgrade");
    socket.send(&connect(Some(alice.jwt()))).await;
    socket.next("CONNECTED").await;
    // A dead token says as well who has signed in meanwhile.
    super::expired(&bob).await;
    let again = server.sign_in("alice").await;
    let path = format!("/ws-connect?ticket={}", ticket(&again).await);
    closed(Stomp::open_at(&server, &path, &[]).await, bob.jwt()).await;
    // That was nobody's end.
    eventually("her session", async || (again.anon.refresh(&again.cookie).await.status() == 200).then_some(())).await;
}

/// CONNECT with this token, and the end.
async fn closed(socket: Result<Stomp, tokio_websockets::Error>, token: &str) {
    let mut socket = socket.expect("an upgrade");
    socket.send(&connect(Some(token))).await;
    socket.closed(4008).await;
}

/// Buys a ticket.
async fn ticket(user: &User) -> String {
    let bought = data(user.post("/api/v1/auth/ws-ticket").await).await;
    bought["ticket"].as_str().expect("a ticket").to_owned()
}
