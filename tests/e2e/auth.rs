//! Sessions and sign-in from outside: what is refreshed, ended, listed, limited, refused, and what happens when it all comes at once.

mod audit;
mod everywhere;
mod fail_closed;
mod interleavings;
mod keys;
mod kinds;
mod limits;
mod never_401;
mod origins;
mod refresh;
mod request_ids;
mod reuse;
mod sessions;
mod sign_in;
mod withdrawal;

use std::collections::BTreeSet;

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::support::{Anon, User, data, refused, upgrade, within};

/// Where the first client of a developer lives: allowed by default.
const CLIENT_ORIGIN: &str = "http://localhost:5173";

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    event: String,
    session: Option<String>,
    address: String,
    detail: String,
    at: String,
}

/// The trail of this user, the newest first.
async fn trail(user: &User) -> Vec<Line> {
    let body = data(user.get("/api/v1/sessions/audit").await).await;
    let records = body["records"].as_array().expect("a list");
    let text = |record: &Value, key: &str| record[key].as_str().expect("text").to_owned();
    let line = |record: &Value| Line {
        event: text(record, "event"),
        session: record["session"].as_str().map(str::to_owned),
        address: text(record, "address"),
        detail: text(record, "detail"),
        at: text(record, "at"),
    };
    records.iter().map(line).collect()
}

/// The lines of this event in this session.
fn lines_of<'a>(trail: &'a [Line], session: &str, event: &str) -> Vec<&'a Line> {
    trail.iter().filter(|line| line.event == event && line.session.as_deref() == Some(session)).collect()
}

async fn sent(request: RequestBuilder) -> Response {
    within("an answer", request.send()).await.expect("an answer")
}

async fn me(anon: &Anon, token: &str) -> Response {
    sent(anon.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, token)).await
}

/// Logs out as a browser does.
async fn log_out(user: &User) -> Response {
    let request = user.request(Method::POST, "/api/v1/auth/logout");
    sent(request.header(COOKIE, &user.cookie).header("origin", &user.anon.base)).await
}

/// Nothing of this session opens anything any more.
async fn dead(user: &User) {
    for path in ["/api/v1/me", "/api/v1/sessions", "/api/v1/chatRooms?page=0&name="] {
        unauthorized(user.get(path).await, "SESSION_ENDED").await;
    }
    refused(user.anon.refresh(&user.cookie).await, 403, "SESSION_ENDED").await;
}

/// 401 with this code, and the challenge that RFC 9110 section 11.6.1 asks for.
async fn unauthorized(answer: Response, code: &str) {
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
    assert!(challenge.is_some_and(|challenge| challenge.starts_with("Bearer")), "{}: no challenge", answer.url());
    refused(answer, 401, code).await;
}

/// 429 or 503, which say when to come again.
async fn come_again(answer: Response, status: u16, code: &str) -> u64 {
    let after = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    let after = after.and_then(|seconds| seconds.parse().ok()).filter(|seconds| *seconds >= 1);
    let url = answer.url().clone();
    refused(answer, status, code).await;
    after.unwrap_or_else(|| panic!("{url}: no whole number of seconds"))
}

/// Buys a ticket.
async fn ticket(user: &User) -> String {
    let bought = data(user.post("/api/v1/auth/ws-ticket").await).await;
    assert_eq!(bought["expiresIn"], 30);
    bought["ticket"].as_str().expect("a ticket").to_owned()
}

/// The names of the sessions that this user sees.
async fn listed(user: &User) -> BTreeSet<String> {
    let body = data(user.get("/api/v1/sessions").await).await;
    let sessions = body["sessions"].as_array().expect("a list").iter();
    sessions.map(|session| session["id"].as_str().expect("a name").to_owned()).collect()
}
