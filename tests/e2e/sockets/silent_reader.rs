//! A client that takes nothing more: what waits for it holds up neither a log-out nor the end of its token (S1, T6).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use super::{connect, log_out, subscribe};
use crate::support::{Came, Server, Stomp, User, alone, data, eventually, within};

/// So many messages wait for it, of so many letters with three bytes each, in two languages: more than the systems at both ends hold.
const MESSAGES: usize = 300;
const LETTERS: usize = 5_000;
const AT_A_TIME: usize = 10;
/// What a client is given to take the rest, and what a busy machine needs.
const SOON: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_log_out_ends_a_socket_that_nobody_reads() {
    let _alone = alone().await;
    let server = Server::start(&[("TRANSLATION__HOLD", "0ms")]).await;
    let (alice, reader) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let room = filled(&server, &alice).await;
    let socket = stuck(&server, &alice, room, true).await;
    log_out(&alice).await;
    let answered = Instant::now();
    let cause = ended(&reader, &alice).await;
    assert!(answered.elapsed() < SOON, "{:?}", answered.elapsed());
    assert!(cause.contains(", 4001 "), "{cause}");
    nothing_more(socket).await;
}

#[tokio::test]
async fn the_end_of_its_token_ends_a_socket_that_nobody_reads() {
    let _alone = alone().await;
    let server = Server::start(&[("AUTH__ACCESS_TTL", "8s"), ("TRANSLATION__HOLD", "0ms")]).await;
    let room = filled(&server, &server.sign_in("alice").await).await;
    let alice = server.sign_in("alice").await;
    let socket = stuck(&server, &alice, room, false).await;
    super::expired(&alice).await;
    let expired = Instant::now();
    let reader = server.sign_in("alice").await;
    let cause = ended(&reader, &alice).await;
    assert!(expired.elapsed() < SOON, "{:?}", expired.elapsed());
    assert!(cause.contains(", 4002 "), "{cause}");
    nothing_more(socket).await;
}

/// A room of hers in which Bob has said a lot.
async fn filled(server: &Server, alice: &User) -> u64 {
    let bob = server.sign_in("bob").await;
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut his = Stomp::lease(server, &bob).await;
    let text = "말".repeat(LETTERS);
    his.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    // A few at a time, and each shown to him before the next ones: nothing of it is news when she asks for it.
    for _ in 0..MESSAGES / AT_A_TIME {
        for number in 0..AT_A_TIME {
            his.post(room, &text, None, &number.to_string()).await;
        }
        for _ in 0..2 * AT_A_TIME {
            let came = his.came().await;
            assert!(matches!(&came, Came::Frame(frame) if frame.command != "ERROR"), "{came:?}");
        }
    }
    room
}

/// Connected, in the room, and asking for all of it without taking any, until the server cannot write on.
async fn stuck(server: &Server, user: &User, room: u64, lease: bool) -> WebSocketStream<TcpStream> {
    let tcp = TcpSocket::new_v4().expect("a socket");
    tcp.set_recv_buffer_size(4_096).expect("as small as it gets");
    let to = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let stream = within("a connection", tcp.connect(to)).await.expect("a connection");
    let from = stream.local_addr().expect("an address").port();
    let url = format!("{}/ws-connect", server.base.replace("http://", "ws://"));
    let mut builder = ClientBuilder::from_uri(url.parse().expect("an address"));
    let headers = [("origin", server.base.as_str()), ("cookie", &user.cookie)];
    for (name, value) in headers.into_iter().filter(|_| lease) {
        let value = HeaderValue::from_str(value).expect("a value");
        builder = builder.add_header(HeaderName::from_static(name), value).expect("allowed");
    }
    let (mut socket, _) = within("the upgrade", builder.connect_on(stream)).await.expect("an upgrade");
    let subscribe = subscribe("sub-0", &format!("/topic/chat/{room}"), user.jwt());
    let subscribe = subscribe.replacen('\n', "\nlast-seq:0\n", 1);
    for frame in [connect(Some(user.jwt())), subscribe] {
        socket.send(Message::text(frame)).await.expect("it can be sent");
    }
    // Nothing has left for a while, and by far not everything that was asked for has been written.
    let mut ticks = interval(Duration::from_millis(50));
    let (mut waiting, mut still) = (0, 0);
    within("a full connection", async {
        while still < 10 {
            ticks.tick().await;
            let now = unsent(server.port(), from);
            still = if now > 0 && now == waiting { still + 1 } else { 0 };
            waiting = now;
        }
    })
    .await;
    assert!(waiting < MESSAGES * LETTERS * 3, "all of it fits into the system: {waiting}");
    socket
}

/// What the server's system holds for the client at this port.
fn unsent(server: u16, client: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the system's connections");
    let (local, remote) = (format!("0100007F:{server:04X}"), format!("0100007F:{client:04X}"));
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.get(1..3) == Some(&[local.as_str(), remote.as_str()]) {
            let queue = fields[4].split(':').next().expect("two queues");
            return usize::from_str_radix(queue, 16).expect("hexadecimal");
        }
    }
    panic!("the connection is gone");
}

/// Why the socket of this session has ended, by the trail.
async fn ended(reader: &User, user: &User) -> String {
    let session = Value::from(user.sid());
    eventually("the end of the socket", async || {
        let body = data(reader.get("/api/v1/sessions/audit").await).await;
        let records = body["records"].as_array().expect("a list").iter();
        let mut ends = records.filter(|record| record["event"] == "SOCKET_CLOSED" && record["session"] == session);
        ends.next().map(|record| record["detail"].as_str().expect("a text").to_owned())
    })
    .await
}

/// What the client's own system holds is all that comes: a message or so, then a connection that was reset.
async fn nothing_more(mut socket: WebSocketStream<TcpStream>) {
    let mut came = 0;
    let end = loop {
        match within("the end", socket.next()).await {
            Some(Ok(message)) => came += message.as_payload().len(),
            other => break other,
        }
    };
    assert!(came < 64 * 1_024, "{came} bytes came after the end");
    assert!(matches!(end, Some(Err(_)) | None), "{end:?}");
}
