//! What a browser's console shows can be found in the server's log.

use std::collections::BTreeSet;

use reqwest::Method;

use super::{sent, upgrade};
use crate::support::{Anon, Came, Server, Stomp, envelope, eventually, json};

#[tokio::test]
async fn every_answer_names_its_request_and_so_does_the_log() {
    let server = Server::start(&[("LOG__FILTER", "debug")]).await;
    let anon = Anon::new(&server);
    let big = "x".repeat(70_000);
    let mut seen = BTreeSet::new();
    for (method, path, body, status) in [
        (Method::GET, "/api/v1/auth", "", 200),
        (Method::GET, "/livez", "", 200),
        (Method::GET, "/", "", 200),
        (Method::GET, "/openapi.json", "", 200),
        (Method::OPTIONS, "/api/v1/me", "", 204),
        (Method::GET, "/api/v1/auth/refresh", "", 400),
        (Method::GET, "/api/v1/auth/token?code=x", "", 400),
        (Method::GET, "/api/v1/auth?provider=nobody", "", 404),
        (Method::GET, "/api/v1/me", "", 401),
        (Method::GET, "/api/v1/nothing", "", 404),
        (Method::GET, "/nothing", "", 404),
        (Method::DELETE, "/api/v1/me", "", 405),
        (Method::POST, "/api/v1/auth/logout", big.as_str(), 413),
        (Method::GET, "/ws-connect", "", 400),
    ] {
        let mut request = anon.request(method.clone(), path).body(body.to_owned());
        if method == Method::OPTIONS {
            request = request.header("origin", super::CLIENT_ORIGIN).header("access-control-request-method", "GET");
        }
        let answer = sent(request).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{method} {path}: {id:?}");
        if answer.status().is_client_error() {
            assert_eq!(envelope(answer).await["requestId"], id, "{method} {path}");
            let lines = eventually(path, async || Some(server.logged(&id)).filter(|lines| !lines.is_empty())).await;
            assert!(lines.iter().any(|line| line.contains(&status.to_string())), "{method} {path}: {lines:?}");
        }
        assert!(seen.insert(id), "each has its own");
    }
}

#[tokio::test]
async fn a_success_has_five_keys_and_a_refusal_six() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let good = json(alice.get("/api/v1/me").await).await;
    assert_eq!(good.as_object().expect("an object").len(), 5, "{good}");
    let bad = json(alice.anon.get("/api/v1/me").await).await;
    assert_eq!(bad.as_object().expect("an object").len(), 6, "{bad}");
}

#[tokio::test]
async fn nobody_chooses_the_name_of_their_request() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let request = anon.request(Method::GET, "/api/v1/me").header("x-request-id", "forged-0123456789");
    let answer = sent(request).await;
    assert_ne!(answer.headers()["x-request-id"], "forged-0123456789");
}

#[tokio::test]
async fn a_connections_name_is_in_its_frames_its_close_and_the_log() {
    let server = Server::start(&[("LOG__FILTER", "debug"), ("GATEWAY__ERROR_DELAY", "0")]).await;
    let alice = server.sign_in("alice").await;
    let mut socket = Stomp::open(&server, &[]).await.expect("an upgrade");
    socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", alice.jwt())).await;
    let connected = socket.next("CONNECTED").await;
    let name = connected.header("session").expect("a name").to_owned();
    socket.send("NONSENSE\n\n\0").await;
    let error = socket.next("ERROR").await;
    assert_eq!(error.header("connection"), Some(name.as_str()));
    let Came::Closed(4007, reason) = socket.came().await else { panic!("the end was expected") };
    assert!(reason.ends_with(&format!(" [{name}]")), "{reason}");
    eventually("the log", async || Some(()).filter(|()| server.logged(&name).len() >= 2)).await;
    // An upgrade is a request as well.
    let answer = upgrade(&server, "/ws-connect", &[]).await;
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
}
