//! What every route has in common: CORS, and the routes beside the table.

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::{Anon, Server, json, refused, within};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn cors_headers_are_on_every_answer_success_or_error() {
    let server = Server::start(&[("HTTP__CORS_ORIGINS", "https://a.example, https://b.example")]).await;
    let big = "x".repeat(70_000);
    for (method, path, body, status) in [
        (Method::GET, "/api/v1/auth", "", 200),
        (Method::GET, "/api/v1/auth/refresh", "", 400),
        (Method::GET, "/api/v1/me", "", 401),
        (Method::GET, "/api/v1/nothing", "", 404),
        (Method::GET, "/nothing", "", 404),
        (Method::DELETE, "/api/v1/me", "", 405),
        (Method::POST, "/livez", "", 405),
        (Method::POST, "/api/v1/auth/logout", big.as_str(), 413),
        (Method::GET, "/ws-connect", "", 400),
        (Method::GET, "/openapi.json", "", 200),
    ] {
        for (origin, allowed) in
            [("https://a.example", true), ("https://b.example", true), ("https://c.example", false), ("null", false)]
        {
            let answer = from(&server, origin, method.clone(), path, body).await;
            assert_eq!(answer.status(), status, "{method} {path}");
            check_cors(answer.headers(), allowed.then_some(origin));
        }
    }
}

#[tokio::test]
async fn cors_preflights_are_answered_to_allowed_origins() {
    let server = Server::start(&[]).await;
    for (origin, allowed) in [("http://localhost:5173", true), ("http://localhost:5174", false)] {
        let request = Anon::new(&server)
            .request(Method::OPTIONS, "/api/v1/chatRooms")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-more");
        let answer = within("preflight", request.send()).await.expect("an answer");
        assert_eq!(answer.status(), 204);
        check_cors(answer.headers(), allowed.then_some(origin));
        let text = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text"));
        if allowed {
            assert_eq!(text("access-control-allow-methods"), Some("GET, POST, PUT, DELETE, OPTIONS"));
            assert_eq!(text("access-control-allow-headers"), Some("authorization,content-type,x-more"));
            assert_eq!(text("access-control-max-age"), Some("3600"));
        } else {
            assert_eq!(text("access-control-allow-methods"), None);
        }
    }
}

#[tokio::test]
async fn an_unknown_address_and_an_unknown_method_are_named_in_the_envelope() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    refused(anon.get("/api/v1/nothing").await, 404, "NOT_FOUND").await;
    refused(anon.get("/page/../nothing").await, 404, "NOT_FOUND").await;
    for (path, method, methods) in [
        ("/api/v1/me", Method::POST, "GET"),
        ("/api/v1/auth/logout", Method::GET, "POST"),
        ("/api/v1/chatRooms", Method::DELETE, "GET, POST"),
        ("/api/v1/chatRooms/7/chats", Method::PUT, "GET"),
        ("/readyz", Method::POST, "GET"),
    ] {
        let answer = within(path, anon.request(method, path).send()).await.expect("an answer");
        assert_eq!(answer.headers()["allow"], methods, "{path}");
        refused(answer, 405, "METHOD_NOT_ALLOWED").await;
    }
}

#[tokio::test]
async fn the_server_tells_that_it_lives_and_is_ready() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    for path in ["/livez", "/readyz", "/"] {
        assert_eq!(anon.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_key_set_holds_public_keys_alone() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let answer = anon.get("/.well-known/jwks.json").await;
    assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
    let set = json(answer).await;
    let keys = set["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), 1);
    for key in keys {
        let members: Vec<&String> = key.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"], "d is the private one");
        assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
    }
}

#[tokio::test]
async fn the_documents_are_served_and_fetch_nothing_from_elsewhere() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let document = json(anon.get("/openapi.json").await).await;
    let yaml = text(anon.get("/openapi.yaml").await).await;
    assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml).expect("YAML"), document);
    let messages = text(anon.get("/asyncapi.yaml").await).await;
    assert_eq!(serde_yaml_ng::from_str::<Value>(&messages).expect("YAML")["asyncapi"], "3.0.0");
    let page = text(anon.get("/docs").await).await;
    // With the document in the page, Swagger UI never asks its validator elsewhere.
    assert!(page.contains("spec: spec,") && !page.contains("urls:["), "the document is in the page");
    let ways = ["src=", "<link", "@import", "url(http", "url(\"http", "url('http", "url(//"];
    for way in ways {
        for (at, _) in page.match_indices(way) {
            let around: String = page[at..].chars().take(120).collect();
            let tag = around.split('>').next().unwrap_or_default();
            assert!(!tag.contains("http://") && !tag.contains("https://") && !tag.contains("=\"//"), "{tag}");
        }
    }
}

fn check_cors(headers: &HeaderMap, origin: Option<&str>) {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(text(ALLOW_ORIGIN), origin);
    assert_eq!(text("access-control-allow-credentials"), origin.map(|_| "true"));
    assert_eq!(text("vary"), Some("Origin"));
}

async fn from(server: &Server, origin: &str, method: Method, path: &str, body: &str) -> Response {
    let request = Anon::new(server).request(method, path).header("origin", origin).body(body.to_owned());
    within(path, request.send()).await.expect("an answer")
}

async fn text(answer: Response) -> String {
    assert_eq!(answer.status(), 200);
    within("a body", answer.text()).await.expect("text")
}
