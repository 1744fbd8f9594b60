//! Signing in with a real OpenID provider, the certified `oidc-provider` from npm, and what RFC 9700 asks of a client.
//!
//! `tests/install.sh` installs it; `tests/js/oidc.mjs` starts it.

mod browser;
mod mix_up;
mod redirects;

use std::process::Stdio;

use reqwest::Response;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use self::browser::Browser;
use crate::support::{
    Options, Server, User, claims, data, fresh_folder, refused, repository, secret, set_cookies, within,
};

/// Where the provider sends the browser: a page that is not there, because nobody needs to see it.
const CALLBACK: &str = "http://localhost:5173/oauth/callback";
/// What the provider knows the server by. What has to be escaped is in it on purpose (RFC 6749 section 2.3.1).
const CLIENT_SECRET: &str = "a+secret/of this:client%=";

#[tokio::test]
async fn somebody_signs_in_with_an_openid_provider_comes_back_and_withdraws() {
    let mut work = Provider::start("us").await;
    let server = server(&[("work", &work)]).await;
    let first = Browser::new(&server).sign_in("carol", None).await;
    work.said("granted authorization_code").await;
    let me = data(first.get("/api/v1/me").await).await;
    assert_eq!((&me["name"], &me["email"]), (&"carol of Work".into(), &"carol@work.example".into()));
    assert_eq!((first.id, sessions(&first).await), (me["id"].as_u64().expect("an id"), 1));

    // The account is known by its subject, whatever browser it comes from.
    let second = Browser::new(&server).sign_in("carol", None).await;
    assert_eq!((second.id, sessions(&second).await), (first.id, 2));
    let other = Browser::new(&server).sign_in("dave", None).await;
    assert_ne!(other.id, first.id);
    for _ in 0..2 {
        work.said("granted authorization_code").await;
    }

    data(second.delete("/api/v1/auth/withdraw").await).await;
    // The refresh token was kept for this alone, and the provider's own record of the grant goes with it.
    let ended = [work.next().await, work.next().await];
    assert!(ended.contains(&"destroyed refresh_token".to_owned()), "{ended:?}");
    assert!(ended.contains(&"revoked refresh_token".to_owned()), "{ended:?}");
    for session in [&first, &second] {
        refused(session.get("/api/v1/me").await, 401, "SESSION_ENDED").await;
    }
    let again = Browser::new(&server).sign_in("carol", None).await;
    assert_ne!(again.id, first.id, "who comes back is somebody new");
}

#[tokio::test]
async fn a_sign_in_that_is_not_this_browsers_own_begins_no_session() {
    let mut work = Provider::start("us").await;
    let server = server(&[("work", &work)]).await;
    let carol = Browser::new(&server).sign_in("carol", None).await;
    let mut anna = Browser::new(&server);

    // A code is used once, by whomever.
    let begun = anna.begin(None).await;
    let query = anna.come_back(&begun.page, "carol").await;
    let done = anna.complete(&query, Some(&begun.cookie)).await;
    assert_eq!(done.status(), 200);
    no_session(anna.complete(&query, Some(&begun.cookie)).await, "CODE_REFUSED").await;
    let later = anna.begin(None).await;
    let code_alone = query.split('&').find(|pair| pair.starts_with("code=")).expect("a code").to_owned();
    no_session(anna.complete(&code_alone, Some(&later.cookie)).await, "CODE_REFUSED").await;
    work.until("refused invalid_grant").await;

    // Without the cookie, with a spoilt one, with another browser's.
    let begun = anna.begin(None).await;
    let query = anna.come_back(&begun.page, "carol").await;
    let code_alone = query.split('&').find(|pair| pair.starts_with("code=")).expect("a code").to_owned();
    let spoilt = format!("{}x", &begun.cookie[..begun.cookie.len() - 1]);
    for cookie in [None, Some("signIn="), Some(carol.cookie.as_str()), Some(spoilt.as_str())] {
        no_session(anna.complete(&query, cookie).await, "SIGN_IN_NOT_BEGUN").await;
    }
    let bert = Browser::new(&server).begin(None).await;
    no_session(anna.complete(&query, Some(&bert.cookie)).await, "SIGN_IN_NOT_BEGUN").await;
    // The first client returns no state: then it is PKCE that tells the browsers apart.
    no_session(anna.complete(&code_alone, Some(&bert.cookie)).await, "CODE_REFUSED").await;
    work.until("refused invalid_grant").await;

    // The ID token of another request: the provider has nothing against it, but the nonce is not ours.
    let begun = anna.begin(None).await;
    let nonce = parameter(&begun.page, "nonce");
    let swapped = begun.page.replace(&nonce, &"n".repeat(nonce.len()));
    let query = anna.come_back(&swapped, "carol").await;
    no_session(anna.complete(&query, Some(&begun.cookie)).await, "CODE_REFUSED").await;
    work.until("granted authorization_code").await;
    // And a challenge that is not ours.
    let begun = anna.begin(None).await;
    let challenge = parameter(&begun.page, "code_challenge");
    let swapped = begun.page.replace(&challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let query = anna.come_back(&swapped, "carol").await;
    no_session(anna.complete(&query, Some(&begun.cookie)).await, "CODE_REFUSED").await;
    work.until("refused invalid_grant").await;

    assert_eq!(sessions(&carol).await, 2, "the two that were completed");
    let trail = data(carol.get("/api/v1/sessions/audit").await).await;
    let trail = trail["records"].as_array().expect("a list");
    assert_eq!(trail.iter().filter(|record| record["event"] == "SIGNED_IN").count(), 2, "{trail:?}");
}

#[tokio::test]
async fn every_link_asks_for_a_code_with_pkce_state_and_nonce_of_its_own() {
    let work = Provider::start("us").await;
    let server = server(&[("work", &work)]).await;
    let browser = Browser::new(&server);
    let pages = [browser.begin(None).await.page, browser.begin(None).await.page];
    for page in &pages {
        assert!(page.starts_with(&format!("{}/auth?", work.issuer)), "{page}");
        for (name, value) in [("response_type", "code"), ("client_id", "us"), ("code_challenge_method", "S256")] {
            assert_eq!(parameter(page, name), value);
        }
        assert_eq!(parameter(page, "redirect_uri").replace("%3A", ":").replace("%2F", "/"), CALLBACK);
        assert!(parameter(page, "scope").contains("openid"), "{page}");
    }
    for name in ["state", "nonce", "code_challenge"] {
        let [first, second] = [0, 1].map(|index: usize| parameter(&pages[index], name));
        assert!(first != second && first.len() >= 43, "{name}: {first}, {second}");
    }
}

/// A refusal that leaves the browser as it was.
async fn no_session(answer: Response, code: &str) {
    let cookies = set_cookies(&answer);
    assert!(!cookies.iter().any(|cookie| cookie.starts_with("refreshToken=") && cookie.len() > 20), "{cookies:?}");
    refused(answer, 400, code).await;
}

/// How many sessions the user has.
async fn sessions(user: &User) -> usize {
    let listed = data(user.get("/api/v1/sessions").await).await;
    let listed = listed["sessions"].as_array().expect("a list").clone();
    let current: Vec<&Value> = listed.iter().filter(|session| session["current"] == true).collect();
    assert!(current.len() == 1 && current[0]["id"] == claims(&user.token)["sid"], "{listed:?}");
    listed.len()
}

/// A parameter of an address, as it stands there.
fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').expect("a query").1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).expect(name).1.to_owned()
}

/// A server that knows these providers, the first of which is the default.
async fn server(providers: &[(&str, &Provider)]) -> Server {
    let mut file = format!("[auth]\nredirect_uri = {CALLBACK:?}\n");
    for (name, provider) in providers {
        let Provider { issuer, client_id, .. } = provider;
        let about = format!("issuer = {issuer:?}\nclient_id = {client_id:?}\nclient_secret = {CLIENT_SECRET:?}");
        let table = format!("[auth.providers.{name}]\nkind = \"oidc\"\n{about}\n");
        file.push_str(&table);
    }
    let path = fresh_folder().with_extension("toml");
    std::fs::write(&path, file).expect("a file can be written");
    secret(CLIENT_SECRET);
    let server = Server::start_with(Options { config: Some(&path), ..Options::default() }).await;
    std::fs::remove_file(path).expect("it was ours");
    server
}

/// The provider, in a process of its own. It ends with the pipe between them.
struct Provider {
    child: Child,
    _input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    issuer: String,
    client_id: String,
}

impl Provider {
    async fn start(client_id: &str) -> Self {
        let folder = repository().join("tests/js");
        assert!(folder.join("node_modules/oidc-provider").exists(), "it is missing: run tests/install.sh");
        let mut command = Command::new("node");
        command.current_dir(folder).args(["oidc.mjs", client_id, CLIENT_SECRET, CALLBACK]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("Node is installed");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let input = child.stdin.take().expect("piped");
        let (issuer, client_id) = (String::new(), client_id.to_owned());
        let mut provider = Self { child, _input: input, output, issuer, client_id };
        provider.issuer = provider.next().await;
        provider
    }

    /// What it tells next of what it does.
    async fn next(&mut self) -> String {
        let line = within("the provider's word", self.output.next_line()).await.expect("text");
        line.unwrap_or_else(|| panic!("the provider has ended: {:?}", self.child.try_wait()))
    }

    async fn said(&mut self, expected: &str) {
        assert_eq!(self.next().await, expected);
    }

    /// Passes over what comes before this.
    async fn until(&mut self, expected: &str) {
        while self.next().await != expected {}
    }
}
