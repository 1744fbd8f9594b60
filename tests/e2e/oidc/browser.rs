//! A browser without a window: it keeps cookies, follows redirects and fills in the provider's two forms.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION};
use reqwest::{Method, RequestBuilder, Response};

use super::CALLBACK;
use crate::support::{Anon, Server, User, json, secret, secret_pairs, set_cookies, within};

/// One browser. What it keeps for the provider is apart from what it keeps for the server.
pub(super) struct Browser {
    anon: Anon,
    /// The provider's cookies, by name.
    jar: BTreeMap<String, String>,
}

/// A sign-in that has begun.
pub(super) struct Begun {
    /// The provider's page.
    pub(super) page: String,
    /// What ties it to the browser.
    pub(super) cookie: String,
}

impl Browser {
    pub(super) fn new(server: &Server) -> Self {
        Self { anon: Anon::new(server), jar: BTreeMap::new() }
    }

    /// Asks for a link: to this provider, or to the first one.
    pub(super) async fn begin(&self, provider: Option<&str>) -> Begun {
        let query = provider.map(|name| format!("?provider={name}")).unwrap_or_default();
        let begun = self.anon.get(&format!("/api/v1/auth{query}")).await;
        assert_eq!(begun.status(), 200);
        let cookie = set_cookies(&begun).into_iter().find(|cookie| cookie.starts_with("signIn=")).expect("a cookie");
        Begun { cookie, page: json(begun).await["data"].as_str().expect("an address").to_owned() }
    }

    /// Says at the provider who one is and that one agrees. What it sends back: `code=...&state=...&iss=...`.
    pub(super) async fn come_back(&mut self, page: &str, name: &str) -> String {
        let origin: String = page.split_inclusive('/').take(3).collect();
        let origin = origin.trim_end_matches('/').to_owned();
        let absolute = |url: &str| if url.starts_with('/') { format!("{origin}{url}") } else { url.to_owned() };
        let mut answer = self.visit(self.anon.request(Method::GET, page)).await;
        for _ in 0..STEPS_MAX {
            if let Some(location) = answer.headers().get(LOCATION) {
                let location = absolute(location.to_str().expect("text"));
                if let Some(query) = location.strip_prefix(CALLBACK).and_then(|rest| rest.strip_prefix('?')) {
                    secret_pairs(query, '&');
                    return query.to_owned();
                }
                answer = self.visit(self.anon.request(Method::GET, &location)).await;
                continue;
            }
            let status = answer.status();
            let html = within("a page", answer.text()).await.expect("text");
            let action = attribute(&html, "action").unwrap_or_else(|| panic!("{status}, and no form: {html}"));
            let form = match attribute(&html, "value").as_deref() {
                Some("login") => format!("prompt=login&login={name}&password=whatever"),
                Some("consent") => "prompt=consent".to_owned(),
                other => panic!("an unknown form: {other:?}"),
            };
            let filled = self.anon.request(Method::POST, &absolute(&action)).body(form);
            answer = self.visit(filled.header("content-type", "application/x-www-form-urlencoded")).await;
        }
        panic!("the provider never sends back");
    }

    /// Brings what came back to the server, with this cookie.
    pub(super) async fn complete(&self, query: &str, cookie: Option<&str>) -> Response {
        let mut request = self.anon.request(Method::GET, &format!("/api/v1/auth/token?{query}"));
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        within("token", request.send()).await.expect("an answer")
    }

    /// The whole round trip.
    pub(super) async fn sign_in(&mut self, name: &str, provider: Option<&str>) -> User {
        let begun = self.begin(provider).await;
        let query = self.come_back(&begun.page, name).await;
        User::signed_in(self.anon.clone(), self.complete(&query, Some(&begun.cookie)).await).await
    }

    async fn visit(&mut self, request: RequestBuilder) -> Response {
        let cookies: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer =
            within("the provider", request.header(COOKIE, cookies.join("; ")).send()).await.expect("an answer");
        for cookie in set_cookies(&answer) {
            let (name, value) = cookie.split_once('=').expect("a value");
            self.jar.insert(name.to_owned(), value.to_owned());
            secret(value);
        }
        answer
    }
}

/// The first attribute of this name in a form.
fn attribute(html: &str, name: &str) -> Option<String> {
    let form = html.split_once("<form")?.1;
    let value = form.split_once(&format!("{name}=\""))?.1;
    Some(value.split_once('"')?.0.to_owned())
}

/// Two forms, and what leads to them and away.
const STEPS_MAX: usize = 12;
