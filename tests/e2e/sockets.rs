//! What a socket lives by: lease, token or ticket; how it is renewed, how it ends, and how it is refused.

mod lease;
mod refusals;
mod renewal;
mod silent_reader;
mod ticket;
mod upgrade;

use http::Method;
use reqwest::header::{COOKIE, ORIGIN};
use serde_json::json;

use crate::support::{Came, Server, Stomp, User, data, eventually, secret, upgrade, within};

/// A web client's page, by the default configuration.
const PAGE: &str = "http://localhost:5173";

/// The WebSocket with these headers on the upgrade, and CONNECT sent.
async fn greeted(server: &Server, headers: &[(&str, &str)], authorization: Option<&str>) -> Stomp {
    let mut socket = Stomp::open(server, headers).await.expect("an upgrade");
    socket.send(&connect(authorization)).await;
    socket
}

fn connect(authorization: Option<&str>) -> String {
    let line = authorization.map(|token| format!("Authorization:{token}\n")).unwrap_or_default();
    format!("CONNECT\naccept-version:1.2\nheart-beat:0,0\n{line}\n\0")
}

/// A SEND with a token, as the first client does it.
fn send(room: u64, token: &str, receipt: &str, text: &str) -> String {
    secret(text);
    let body = json!({ "content": text });
    format!("SEND\ndestination:/app/chat/{room}\nAuthorization:{token}\nreceipt:{receipt}\n\n{body}\0")
}

/// A SUBSCRIBE with a token.
fn subscribe(id: &str, destination: &str, token: &str) -> String {
    format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\nAuthorization:{token}\nreceipt:{id}\n\n\0")
}

/// Receives until this receipt has come and so many messages have, each once, in order and without a gap.
async fn until(socket: &mut Stomp, receipt: Option<&str>, seq: &mut u64, upto: u64) {
    let mut acknowledged = receipt.is_none();
    while !acknowledged || *seq < upto {
        match socket.came().await {
            Came::Frame(frame) if frame.command == "RECEIPT" => {
                assert_eq!(frame.header("receipt-id"), receipt, "only this one is awaited");
                acknowledged = true;
            }
            Came::Frame(frame) if frame.command == "MESSAGE" => {
                let came = frame.json()["seq"].as_u64().expect("a number");
                // A later state of what has come is no news.
                if came > *seq {
                    assert_eq!(came, *seq + 1, "a gap");
                    *seq = came;
                }
            }
            other => panic!("{upto} messages were expected, and after {seq} came {other:?}"),
        }
    }
}

/// Waits until this access token has expired.
async fn expired(user: &User) {
    eventually("the end of the token", async || (user.get("/api/v1/me").await.status() == 401).then_some(())).await;
}

/// Logs out as a page does: with the cookie, from an allowed origin.
async fn log_out(user: &User) {
    let request = user.request(Method::POST, "/api/v1/auth/logout").header(COOKIE, &user.cookie).header(ORIGIN, PAGE);
    data(within("log-out", request.send()).await.expect("an answer")).await;
}
