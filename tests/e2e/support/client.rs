//! HTTP clients: somebody who is not signed in, and somebody who is.

use reqwest::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Server, within};

/// Somebody who is not signed in.
pub(crate) struct Anon {
    client: Client,
    pub(crate) base: String,
}

impl Anon {
    pub(crate) fn new(server: &Server) -> Self {
        Self::at(&server.base)
    }

    pub(crate) fn at(base: &str) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client");
        Self { client, base: base.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.request(method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        within(path, self.request(Method::GET, path).send()).await.expect("an answer")
    }
}

/// Somebody who is signed in.
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
        let anon = Anon::new(server);
        let begun = anon.get("/api/v1/auth").await;
        let browser = set_cookies(&begun).into_iter().find(|c| c.starts_with("signIn=")).expect("a sign-in cookie");
        let url = json(begun).await["data"].as_str().expect("an address").to_owned();
        let back = anon.get(&format!("{url}&login_hint={name}")).await;
        assert_eq!(back.status(), 302, "the provider sends back");
        let location = back.headers()[LOCATION].to_str().expect("text").to_owned();
        let query = location.split_once('?').expect("a code comes back").1;
        let answer = anon.request(Method::GET, &format!("/api/v1/auth/token?{query}")).header(COOKIE, &browser);
        let answer = within("token", answer.send()).await.expect("an answer");
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

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anon.request(method, path).header(AUTHORIZATION, &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        within(path, self.request(Method::GET, path).send()).await.expect("an answer")
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
}

/// The body.
pub(crate) async fn json(answer: Response) -> Value {
    within("a body", answer.json()).await.expect("JSON")
}

/// Name and value of every cookie that is set.
pub(crate) fn set_cookies(answer: &Response) -> Vec<String> {
    let lines = answer.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| line.split(';').next()).map(str::to_owned).collect()
}
