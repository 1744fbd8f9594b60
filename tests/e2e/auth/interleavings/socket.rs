//! The socket of an interleaving: it says a few things, hears what it is sent, and is closed or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Clock, SLACK};
use crate::support::{Came, Server, Stomp, User};

/// What it will do, and what it may.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) room: u64,
    /// The access token that the first client puts on every frame, dead or alive.
    pub(super) token: String,
    /// When to say what.
    pub(super) posts: Vec<(u64, String)>,
    /// Whether it lasts as long as the session.
    pub(super) lease: bool,
    pub(super) logs_out: bool,
    /// When the access token ends.
    pub(super) expires: u64,
}

impl Plan {
    /// What a socket says that has outlived it all.
    pub(super) fn last_words(&self) -> String {
        format!("{} and still here", self.posts[0].1)
    }
}

/// A message, and when its receipt came.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) text: String,
    pub(super) begun: u64,
    pub(super) receipt: Option<u64>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) plan: Plan,
    pub(super) sends: Vec<Sent>,
    /// With which code, and when.
    pub(super) closed: Option<(u16, u64)>,
    last_delivery: Option<u64>,
    logged_out: Option<u64>,
}

/// Connected and subscribed to the room; nothing if its token ended meanwhile.
pub(super) async fn open(server: &Server, user: &User, lease: bool, room: u64) -> Option<Stomp> {
    let headers = [("origin", server.base.as_str()), ("cookie", user.cookie.as_str())];
    let mut socket = Stomp::open(server, if lease { &headers } else { &[] }).await.expect("an upgrade");
    socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", user.jwt())).await;
    let destination = format!("/topic/chat/{room}");
    socket.send(&format!("SUBSCRIBE\nid:sub-0\ndestination:{destination}\nreceipt:ready\n\n\0")).await;
    for expected in ["CONNECTED", "RECEIPT"] {
        match socket.came().await {
            Came::Frame(frame) if frame.command == expected => {}
            Came::Frame(frame) if frame.header("code") == Some("TOKEN_EXPIRED") => return None,
            Came::Closed(4002, _) => return None,
            other => panic!("{expected} was expected, and {other:?} came"),
        }
    }
    Some(socket)
}

/// Lives until it is closed, or, if nothing will close it, until all it said is stored. Then the socket is handed back.
pub(super) async fn live(mut socket: Stomp, plan: Plan, clock: &Clock) -> (Story, Option<Stomp>) {
    let mut posts: Vec<(u64, String)> = plan.posts.iter().rev().cloned().collect();
    let mut story = Story { sends: Vec::new(), closed: None, last_delivery: None, logged_out: None, plan };
    let will_close = story.plan.logs_out || !story.plan.lease;
    loop {
        let all_stored = posts.is_empty() && story.sends.iter().all(|sent| sent.receipt.is_some());
        if all_stored && !will_close {
            return (story, Some(socket));
        }
        let next = posts.last().map(|(at, _)| *at);
        tokio::select! {
            () = clock.until(next.unwrap_or_default()), if next.is_some() => {
                if let Some((_, text)) = posts.pop() {
                    let Plan { room, token, .. } = &story.plan;
                    let body = json!({ "content": text });
                    let (begun, receipt) = (clock.now(), story.sends.len());
                    let head = format!("SEND\ndestination:/app/chat/{room}\nreceipt:{receipt}\nAuthorization:{token}");
                    socket.send(&format!("{head}\n\n{body}\0")).await;
                    story.sends.push(Sent { text, begun, receipt: None });
                }
            }
            came = socket.came() => match came {
                Came::Frame(frame) if frame.command == "RECEIPT" => {
                    let index: usize = frame.header("receipt-id").and_then(|id| id.parse().ok()).expect("our receipt");
                    story.sends[index].receipt = Some(clock.now());
                }
                Came::Frame(frame) if frame.command == "MESSAGE" => story.last_delivery = Some(clock.now()),
                Came::Frame(frame) => panic!("{frame:?}"),
                Came::Closed(code, reason) => {
                    let at = clock.now();
                    story.closed = Some((code, at));
                    story.check_end(code, at, &reason, clock);
                    return (story, None);
                }
            },
        }
    }
}

impl Story {
    pub(super) fn with_log_out(self, answered: Option<u64>, clock: &Clock) -> Self {
        if let (Some(delivered), Some(answered)) = (self.last_delivery, answered) {
            assert!(clock.in_time(answered, delivered), "S1: a message after the end of the session");
        }
        Self { logged_out: answered, ..self }
    }

    /// The close code says the truth.
    fn check_end(&self, code: u16, at: u64, reason: &str, clock: &Clock) {
        let Plan { lease, logs_out, expires, .. } = self.plan;
        match code {
            4001 => assert!(logs_out, "nobody logged out: {reason}"),
            4002 => {
                assert!(!lease, "a lease does not end with a token: {reason}");
                assert!(at + SLACK >= expires, "too soon: {reason}");
                assert!(clock.in_time(expires, at), "S1: {} µs after the end of the token", at - expires);
            }
            other => panic!("{other} {reason}"),
        }
        if let (Some(delivered), false) = (self.last_delivery, lease) {
            assert!(clock.in_time(expires, delivered), "S1: a message after the end of the token");
        }
    }

    /// What has its receipt is stored (C1); what was said too late is not (S1).
    pub(super) fn check_stored(&self, stored: &BTreeSet<&String>, clock: &Clock, outcomes: &mut BTreeMap<String, u32>) {
        for sent in &self.sends {
            let is_stored = stored.contains(&sent.text);
            assert!(is_stored || sent.receipt.is_none(), "C1: {sent:?}");
            let ended = self.logged_out.into_iter().chain((!self.plan.lease).then_some(self.plan.expires)).min();
            let late = ended.is_some_and(|ended| sent.begun > ended);
            assert!(!is_stored || ended.is_none_or(|ended| clock.in_time(ended, sent.begun)), "S1: {sent:?}");
            let when = if late { "after the end" } else { "before the end" };
            let how = if is_stored { "stored" } else { "not stored" };
            *outcomes.entry(format!("Send {when}, {how}")).or_default() += 1;
        }
    }
}
