//! HTTP clients: somebody who is not signed in, and somebody who is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::logs::secret_pairs;
use super::{Server, within};

/// Somebody who is not signed in.
#[derive(Clone)]
pub(crate) struct Anon {
    client: Client,
    pub(crate) base: String,
}

impl Anon {
    pub(crate) fn new(server: &Server) -> Self {
        Self::at(&server.base)
    }

    pub(crate) fn at(base: &str) -> Self {
        Self::built(base, Client::builder())
    }

    /// A browser of this name.
    pub(crate) fn with_agent(server: &Server, agent: &str) -> Self {
        Self::built(&server.base, Client::builder().user_agent(agent))
    }

    fn built(base: &str, client: ClientBuilder) -> Self {
        let client = client.redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { client: client.build().expect("a client"), base: base.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.request(method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        within(path, self.request(Method::GET, path).send()).await.expect("an answer")
    }

    /// Begins a sign-in: the browser's cookie, and the provider's page.
    pub(crate) async fn begin(&self) -> (String, String) {
        let begun = self.get("/api/v1/auth").await;
        let browser = set_cookies(&begun).into_iter().find(|c| c.starts_with("signIn=")).expect("a sign-in cookie");
        (browser, json(begun).await["data"].as_str().expect("an address").to_owned())
    }

    /// Says at the provider's page who one is. What it sends back: `code=...&state=...`.
    pub(crate) async fn come_back(&self, page: &str, name: &str) -> String {
        let back = self.get(&format!("{page}&login_hint={name}")).await;
        assert_eq!(back.status(), 302, "the provider sends back");
        let location = back.headers()[LOCATION].to_str().expect("text");
        let query = location.split_once('?').expect("a code comes back").1;
        secret_pairs(query, '&');
        query.to_owned()
    }

    /// Brings the code, with this browser's cookie.
    pub(crate) async fn complete(&self, query: &str, browser: &str) -> Response {
        let request = self.request(Method::GET, &format!("/api/v1/auth/token?{query}")).header(COOKIE, browser);
        within("token", request.send()).await.expect("an answer")
    }

    /// Refreshes with this cookie and nothing else.
    pub(crate) async fn refresh(&self, cookie: &str) -> Response {
        let request = self.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, cookie);
        within("refresh", request.send()).await.expect("an answer")
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) anon: Anon,
    /// `Bearer ...`, as the server gave it.
    pub(crate) token: String,
    /// The refresh token's cookie: `refreshToken=...`.
    pub(crate) cookie: String,
    pub(crate) id: u64,
    pub(crate) email: String,
}

impl User {
    /// The whole round trip: link, provider, code, token.
    pub(crate) async fn sign_in(server: &Server, name: &str) -> Self {
        Self::sign_in_from(Anon::new(server), name).await
    }

    /// The same, from this browser.
    pub(crate) async fn sign_in_from(anon: Anon, name: &str) -> Self {
        let (browser, page) = anon.begin().await;
        let query = anon.come_back(&page, name).await;
        let answer = anon.complete(&query, &browser).await;
        Self::signed_in(anon, answer).await
    }

    /// Who has signed in, by the answer that says so.
    pub(crate) async fn signed_in(anon: Anon, answer: Response) -> Self {
        assert_eq!(answer.status(), 200, "the code is good");
        let cookie = set_cookies(&answer).into_iter().find(|c| c.starts_with("refreshToken=")).expect("a cookie");
        let data = json(answer).await["data"].clone();
        Self {
            anon,
            token: data["tokenresponse"]["accessToken"].as_str().expect("a token").to_owned(),
            cookie,
            id: data["userResponse"]["id"].as_u64().expect("an id"),
            email: data["userResponse"]["email"].as_str().expect("an address").to_owned(),
        }
    }

    /// The token without `Bearer `, as the first client sends it over STOMP.
    pub(crate) fn jwt(&self) -> &str {
        self.token.trim_start_matches("Bearer ")
    }

    /// The name of the session.
    pub(crate) fn sid(&self) -> String {
        claims(&self.token)["sid"].as_str().expect("a session").to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anon.request(method, path).header(AUTHORIZATION, &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        within(path, self.request(Method::GET, path).send()).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str) -> Response {
        within(path, self.request(Method::POST, path).send()).await.expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        within(path, self.request(Method::DELETE, path).send()).await.expect("an answer")
    }

    /// Refreshes with the cookie, and goes on with what came.
    pub(crate) async fn refresh(&mut self) {
        let answer = self.anon.refresh(&self.cookie).await;
        assert_eq!(answer.status(), 200, "the refresh token is good");
        (self.cookie, self.token) = refreshed(answer).await;
    }

    /// The room of this pair and language.
    pub(crate) async fn open_room(&self, language: &str, email: &str) -> u64 {
        let body = json!({ "language": language, "recipientEmail": email });
        let request = self.request(Method::POST, "/api/v1/chatRooms").json(&body);
        let answer = within("open a room", request.send()).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        json(answer).await["data"]["chatRoomId"].as_u64().expect("an id")
    }

    /// The newest page.
    pub(crate) async fn history(&self, room: u64) -> Value {
        let answer = self.get(&format!("/api/v1/chatRooms/{room}/chats?page=0&size=200")).await;
        assert_eq!(answer.status(), 200);
        json(answer).await["data"].clone()
    }

    /// Everything that was said, the oldest first, read page by page.
    pub(crate) async fn whole_history(&self, room: u64) -> Vec<Value> {
        let mut all = Vec::new();
        for page in 0..1_000 {
            let answer = self.get(&format!("/api/v1/chatRooms/{room}/chats?page={page}&size=200")).await;
            assert_eq!(answer.status(), 200);
            let data = json(answer).await["data"].clone();
            all.extend(data["chats"].as_array().expect("a list").iter().cloned());
            if data["hasNext"] == false {
                all.reverse();
                return all;
            }
        }
        panic!("the history never ends");
    }

    /// The same person with the same token, at a server that was started again elsewhere.
    pub(crate) fn follow(&mut self, server: &Server) {
        self.anon = Anon::new(server);
    }
}

/// The body.
pub(crate) async fn json(answer: Response) -> Value {
    within("a body", answer.json()).await.expect("JSON")
}

/// The refresh token's cookie and the access token of an answer that has both.
pub(crate) async fn refreshed(answer: Response) -> (String, String) {
    let cookie = set_cookies(&answer).into_iter().find(|cookie| cookie.starts_with("refreshToken="));
    let token = data(answer).await["accessToken"].as_str().expect("a token").to_owned();
    (cookie.expect("a cookie"), token)
}

/// What an access token says, with or without `Bearer `.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// How an access token says that it is signed.
pub(crate) fn token_header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.trim_start_matches("Bearer ").split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Name and value of every cookie that is set.
pub(crate) fn set_cookies(answer: &Response) -> Vec<String> {
    let lines = answer.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs: Vec<String> = lines.filter_map(|line| line.split(';').next()).map(str::to_owned).collect();
    for pair in &pairs {
        secret_pairs(pair, ';');
    }
    pairs
}

/// The envelope, with all its keys and no other. Only a refusal names its request, as its header does.
pub(crate) async fn envelope(answer: Response) -> Value {
    let request_id = answer.headers().get("x-request-id").map(|id| id.to_str().expect("text").to_owned());
    let request_id = request_id.filter(|id| !id.is_empty()).expect("a request id");
    let media_type = answer.headers().get(CONTENT_TYPE).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(media_type.as_deref(), Some("application/json; charset=utf-8"));
    let body = json(answer).await;
    let mut keys: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    if body["success"] == false {
        assert_eq!(body["requestId"], request_id, "{body}");
        keys.retain(|key| *key != "requestId");
    }
    assert_eq!(keys, ["data", "errorCode", "message", "success", "timestamp"], "{body}");
    assert!(body["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{body}");
    body
}

/// A success: its `data`.
pub(crate) async fn data(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    let body = envelope(answer).await;
    assert_eq!(body["success"], true, "{body}");
    assert!(body["errorCode"].is_null(), "{body}");
    body["data"].clone()
}

/// A refusal, by this status and this code, in the envelope.
pub(crate) async fn refused(answer: Response, status: u16, code: &str) {
    let (found, url) = (answer.status().as_u16(), answer.url().clone());
    let body = envelope(answer).await;
    assert_eq!((found, body["errorCode"].as_str()), (status, Some(code)), "{url}: {body}");
    assert_eq!(body["success"], false, "{body}");
    assert!(body["data"].is_null(), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
}

/// An upgrade request. What answers may well be something else than 101.
pub(crate) async fn upgrade(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Anon::new(server)
        .request(Method::GET, path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    within("the upgrade", request.send()).await.expect("an answer")
}
