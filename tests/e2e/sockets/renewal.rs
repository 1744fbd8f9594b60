//! A connection that lives by its token is told of its end, and goes on with a newer one.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::{greeted, send, subscribe};
use crate::support::{Came, Frame, Server, Stomp, User, claims};

const OWN_QUEUE: &str = "/user/queue/session";

#[tokio::test]
async fn s2_a_connection_goes_past_its_first_end_with_newer_tokens_and_its_subscriptions_have_no_gap() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "4s"), ("TRANSLATION__HOLD", "50ms")]).await;
    let (mut alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut his = Stomp::lease(&server, &bob).await;
    let mut hers = Page::open(&server, &alice, room).await;
    let first = hers.ends.clone();

    let begun = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    let (mut said, mut renewals) = (0, 0);
    // More than three lives of a token.
    while begun.elapsed() < Duration::from_secs(13) {
        ticks.tick().await;
        said += 1;
        his.say(room, &format!("Line {said} of many"), None).await;
        hers.until(said).await;
        // Every two seconds a newer token, on a SEND or on a SUBSCRIBE by turns.
        if begun.elapsed() >= Duration::from_secs(2) * (renewals + 1) {
            renewals += 1;
            alice.refresh().await;
            if renewals % 2 == 0 {
                said += 1;
                hers.socket.send(&send(room, alice.jwt(), "again", "And so do I go on")).await;
            } else {
                let destination = format!("/topic/users/{}/chatRoom", alice.id);
                hers.socket.send(&subscribe(&format!("again-{renewals}"), &destination, alice.jwt())).await;
            }
            let before = hers.ends.clone();
            hers.renewed().await;
            assert!(hers.ends > before, "{} is no later than {before}", hers.ends);
            hers.until(said).await;
        }
    }
    assert!(hers.ends > first && renewals >= 4, "{renewals} times");
    // Nobody renews it any more.
    hers.socket.closed(4002).await;
}

#[tokio::test]
async fn only_a_newer_token_of_the_same_session_renews() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "3s")]).await;
    let alice = server.sign_in("alice").await;
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut hers = Page::open(&server, &alice, room).await;
    // A second later, so that another session's token does last longer.
    let ends = |user: &User| claims(&user.token)["exp"].as_u64();
    let mut other = server.sign_in("alice").await;
    while ends(&other) == ends(&alice) {
        other.refresh().await;
    }
    let forged = format!("{}x", &alice.jwt()[..alice.jwt().len() - 1]);
    for (receipt, token) in [("a", alice.jwt()), ("b", other.jwt()), ("c", &forged), ("d", "garbage"), ("e", "")] {
        hers.socket.send(&send(room, token, receipt, "With whatever token")).await;
        hers.receipt(receipt).await;
    }
    hers.socket.closed(4002).await;
    assert_eq!(hers.events, ["expiring"], "nothing renewed it");
}

/// Somebody's page that lives by its token.
struct Page {
    socket: Stomp,
    /// The last message that came, by its number.
    seq: u64,
    /// What came on the connection's own queue.
    events: Vec<String>,
    /// When the connection ends, by what came last there.
    ends: String,
}

impl Page {
    /// In this room, and told at once that it will end soon.
    async fn open(server: &Server, user: &User, room: u64) -> Self {
        let mut socket = greeted(server, &[], Some(user.jwt())).await;
        socket.next("CONNECTED").await;
        let mut page = Self { socket, seq: 0, events: Vec::new(), ends: String::new() };
        page.socket.send(&subscribe("room", &format!("/topic/chat/{room}"), user.jwt())).await;
        page.receipt("room").await;
        page.socket.send(&subscribe("own", OWN_QUEUE, user.jwt())).await;
        page.receipt("own").await;
        while page.events.is_empty() {
            page.take().await;
        }
        assert_eq!(page.events, ["expiring"]);
        page
    }

    async fn take(&mut self) -> Frame {
        let frame = match self.socket.came().await {
            Came::Frame(frame) => frame,
            Came::Closed(code, reason) => {
                panic!("closed with {code} {reason:?} after {} and {:?}", self.seq, self.events)
            }
        };
        match (frame.command.as_str(), frame.header("subscription")) {
            ("MESSAGE", Some("room")) => {
                let seq = frame.json()["seq"].as_u64().expect("a number");
                if seq > self.seq {
                    assert_eq!(seq, self.seq + 1, "a gap");
                    self.seq = seq;
                }
            }
            ("MESSAGE", Some("own")) => {
                assert_eq!(frame.header("destination"), Some(OWN_QUEUE));
                let body = frame.json();
                self.events.push(body["event"].as_str().expect("a name").to_owned());
                body["expiresAt"].as_str().expect("a time").clone_into(&mut self.ends);
            }
            ("RECEIPT" | "MESSAGE", _) => {}
            _ => panic!("{frame:?}"),
        }
        frame
    }

    async fn receipt(&mut self, id: &str) {
        while self.take().await.header("receipt-id") != Some(id) {}
    }

    async fn until(&mut self, seq: u64) {
        while self.seq < seq {
            self.take().await;
        }
    }

    /// Waits for the next word on its own queue, which has to be this.
    async fn renewed(&mut self) {
        let count = self.events.len();
        while self.events.len() == count {
            self.take().await;
        }
        assert_eq!(self.events.last().map(String::as_str), Some("renewed"));
    }
}
