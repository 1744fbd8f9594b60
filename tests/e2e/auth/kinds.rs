//! What is one kind of token is no other kind, at no door.

use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, Response};

use super::{me, sent, ticket, unauthorized, upgrade};
use crate::support::{Came, Options, Server, Stomp, User, json};

/// What can be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Access,
    Ticket,
    Refresh,
    SignIn,
    Code,
    State,
}

const KINDS: [Kind; 6] = [Kind::Access, Kind::Ticket, Kind::Refresh, Kind::SignIn, Kind::Code, Kind::State];

/// Where it can be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// `Authorization` of a request.
    Request,
    /// `Authorization` of the log-out, which takes an expired access token too.
    LogOut,
    /// `Authorization` of the upgrade.
    Upgrade,
    /// `?ticket=` of the upgrade.
    UpgradeTicket,
    /// `Authorization` of CONNECT.
    Connect,
    /// The cookie of the refresh.
    RefreshCookie,
    /// The cookie of the log-out.
    LogOutCookie,
    /// The cookie of the sign-in, beside a good code.
    SignInCookie,
    /// The code of the sign-in, beside a good cookie.
    CodeParameter,
}

const DOORS: [Door; 9] = [
    Door::Request,
    Door::LogOut,
    Door::Upgrade,
    Door::UpgradeTicket,
    Door::Connect,
    Door::RefreshCookie,
    Door::LogOutCookie,
    Door::SignInCookie,
    Door::CodeParameter,
];

/// The table: which kind opens which door.
fn opens(kind: Kind, door: Door) -> bool {
    match door {
        Door::Request | Door::LogOut | Door::Upgrade | Door::Connect => kind == Kind::Access,
        Door::UpgradeTicket => kind == Kind::Ticket,
        Door::RefreshCookie | Door::LogOutCookie => kind == Kind::Refresh,
        Door::SignInCookie => kind == Kind::SignIn,
        Door::CodeParameter => kind == Kind::Code,
    }
}

/// One of each, of one user and one browser, never used.
struct Set {
    user: User,
    ticket: String,
    sign_in: String,
    code: String,
    state: String,
}

impl Set {
    async fn new(server: &Server) -> Self {
        let user = server.sign_in("alice").await;
        let ticket = ticket(&user).await;
        let (sign_in, page) = user.anon.begin().await;
        let query = user.anon.come_back(&page, "alice").await;
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).expect("it is there");
        let (code, state) = (value("code=").to_owned(), value("state=").to_owned());
        Self { user, ticket, sign_in: sign_in.trim_start_matches("signIn=").to_owned(), code, state }
    }

    fn of(&self, kind: Kind) -> &str {
        match kind {
            Kind::Access => self.user.jwt(),
            Kind::Ticket => &self.ticket,
            Kind::Refresh => self.user.cookie.trim_start_matches("refreshToken="),
            Kind::SignIn => &self.sign_in,
            Kind::Code => &self.code,
            Kind::State => &self.state,
        }
    }
}

#[tokio::test]
async fn t8_no_kind_of_token_passes_for_another_at_any_door() {
    let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0"), ("STORAGE__URL", "memory:")]).await;
    for door in DOORS {
        for kind in KINDS {
            // A fresh set each time: some of them are used up.
            let set = Set::new(&server).await;
            let opened = present(&server, &set, kind, door).await;
            assert_eq!(opened, opens(kind, door), "{kind:?} at {door:?}");
            let logged_out = opened && matches!(door, Door::LogOut | Door::LogOutCookie);
            // Whatever was refused did no harm.
            assert_eq!(me(&set.user.anon, &set.user.token).await.status(), if logged_out { 401 } else { 200 });
        }
    }
}

/// Presents it, and says whether the door opened. A door that stays shut says so in its own words.
async fn present(server: &Server, set: &Set, kind: Kind, door: Door) -> bool {
    let text = set.of(kind);
    let anon = &set.user.anon;
    let log_out = || anon.request(Method::POST, "/api/v1/auth/logout");
    match door {
        Door::Request => open_or(me(anon, text).await, 401).await,
        Door::LogOut => open_or(sent(log_out().header(AUTHORIZATION, text)).await, 401).await,
        Door::LogOutCookie => {
            let request = log_out().header(COOKIE, format!("refreshToken={text}")).header("origin", &server.base);
            open_or(sent(request).await, 401).await
        }
        Door::Upgrade => open_or(upgrade(server, "/ws-connect", &[("authorization", text)]).await, 401).await,
        Door::UpgradeTicket => {
            let path = format!("/ws-connect?ticket={}", percent_encoded(text));
            open_or(upgrade(server, &path, &[]).await, 401).await
        }
        Door::Connect => {
            let mut socket = Stomp::open(server, &[]).await.expect("an upgrade");
            socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{text}\n\n\0")).await;
            match socket.came().await {
                Came::Frame(frame) if frame.command == "CONNECTED" => true,
                Came::Frame(frame) => {
                    assert_eq!((frame.command.as_str(), frame.header("code")), ("ERROR", Some("UNAUTHORIZED")));
                    false
                }
                Came::Closed(code, reason) => panic!("{code} {reason}"),
            }
        }
        Door::RefreshCookie => open_or(anon.refresh(&format!("refreshToken={text}")).await, 400).await,
        Door::SignInCookie => {
            let query = format!("code={}", percent_encoded(&set.code));
            open_or(anon.complete(&query, &format!("signIn={text}")).await, 400).await
        }
        Door::CodeParameter => {
            let query = format!("code={}", percent_encoded(text));
            open_or(anon.complete(&query, &format!("signIn={}", set.sign_in)).await, 400).await
        }
    }
}

async fn open_or(answer: Response, status: u16) -> bool {
    if answer.status() == 200 || answer.status() == 101 {
        return true;
    }
    assert_eq!(answer.status(), status, "{}", answer.url());
    assert_eq!(json(answer).await["success"], false);
    false
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_used_ticket_stays_used_after_a_restart() {
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    let path = format!("/ws-connect?ticket={}", ticket(&alice).await);
    assert_eq!(upgrade(&server, &path, &[]).await.status(), 101);
    let data = server.kill().await;
    let server = Server::start_with(Options { data: Some(data), ..Options::default() }).await;
    unauthorized(upgrade(&server, &path, &[]).await, "UNAUTHORIZED").await;
}
