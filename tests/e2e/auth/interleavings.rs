//! Everything that can happen to a session, at once, hundreds of times, over real HTTP.
//!
//! Each interleaving has a session of its own. Around one moment, a few milliseconds apart by chance, there are refreshes of two
//! tabs, requests, messages on a socket, the return of another sign-in in the same browser, the end of the access token, and a
//! log-out. What was seen is then held against the invariants: T4, T5, T6, T8, S1, and C1 for what was said.

mod clock;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use futures_util::future::{join, join_all};
use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{sent, upgrade};
use crate::support::{Anon, Server, Stomp, User, alone, claims, data, json, refused, set_cookies};
use clock::{Chance, Clock};
use socket::{Plan, Story};

const INTERLEAVINGS: usize = 500;
/// So many go on at once, each with a user and a room of its own.
const WALKERS: usize = 25;
/// How far apart things begin.
const SKEW_MICROS_MAX: u64 = 30_000;
/// Attempts to have a socket while its token lasts.
const TRIES: usize = 10;
/// Two clocks of one machine, read one after the other.
const SLACK: u64 = 2_000;

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Expiry,
    Refresh,
    LogOut,
    Callback,
    Send,
    Me,
}

/// Something that happened: when it began and when its answer was there, in microseconds since 1970.
#[derive(Debug, Clone)]
struct Event {
    what: What,
    begun: u64,
    ended: u64,
    status: u16,
    code: Option<String>,
    /// Of the access token that it used.
    expires: Option<u64>,
}

/// What was reached, to be printed: a run that reaches little proves little.
#[derive(Default)]
struct Tally {
    orders: BTreeMap<(What, What), u32>,
    outcomes: BTreeMap<String, u32>,
    /// From a log-out's answer to the end of a socket.
    slowest_close: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_t5_t6_t8_s1_hold_in_five_hundred_interleavings_of_one_session() {
    let _alone = alone().await;
    let given = std::env::var("TRANSTALK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("seed {seed}: repeat with TRANSTALK_TEST_SEED={seed}");
    let off = ["LIMITS__SIGN_IN", "LIMITS__REFRESH", "LIMITS__TICKET", "LIMITS__CONNECT"].map(|key| (key, "0"));
    let env = [&off[..], &[("AUTH__ACCESS_TTL", "4s"), ("GATEWAY__ERROR_DELAY", "0")]].concat();
    let server = Arc::new(Server::start(&env).await);
    let clock = Clock::new();
    let watching = tokio::spawn(clock.clone().watch(Anon::new(&server)));
    let walks = (0..WALKERS).map(|walker| tokio::spawn(walk(server.clone(), clock.clone(), seed, walker)));
    let mut tally = Tally::default();
    for walked in join_all(walks).await {
        let walked = walked.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (order, count) in walked.orders {
            *tally.orders.entry(order).or_default() += count;
        }
        for (outcome, count) in walked.outcomes {
            *tally.outcomes.entry(outcome).or_default() += count;
        }
        tally.slowest_close = tally.slowest_close.max(walked.slowest_close);
    }
    watching.abort();
    eprintln!("orders {:#?}\noutcomes {:#?}", tally.orders, tally.outcomes);
    eprintln!("the slowest socket closed {} ms after the log-out's answer", tally.slowest_close / 1_000);
    let all = [What::Expiry, What::Refresh, What::LogOut, What::Callback, What::Send];
    for (first, then) in all.iter().flat_map(|first| all.iter().map(move |then| (*first, *then))) {
        let reached = tally.orders.get(&(first, then)).copied().unwrap_or_default();
        assert!(first == then || reached > 0, "{first:?} before {then:?} was never reached with seed {seed}");
    }
}

/// One user's interleavings, one after the other, and then what is stored of all that was said.
async fn walk(server: Arc<Server>, clock: Clock, seed: u64, walker: usize) -> Tally {
    let name = format!("walker-{walker}");
    let room = server.sign_in(&name).await.open_room("ko", "bob@example.com").await;
    let mut tally = Tally::default();
    let mut stories = Vec::new();
    for number in 0..INTERLEAVINGS / WALKERS {
        let index = walker * (INTERLEAVINGS / WALKERS) + number;
        let chance = Chance::of(seed, index as u64);
        let mut interleaving = Interleaving::begin(&server, clock.clone(), chance, &name, room, index).await;
        stories.push(interleaving.run(&mut tally).await);
    }
    let reader = server.sign_in(&name).await;
    let mut stored = Vec::new();
    for page in 0.. {
        let path = format!("/api/v1/chatRooms/{room}/chats?page={page}&size=200&pending=true");
        let said = data(reader.get(&path).await).await;
        let texts = said["chats"].as_array().expect("a list").iter();
        stored.extend(texts.map(|chat| chat["originalMessage"].as_str().expect("text").to_owned()));
        if said["hasNext"] == false {
            break;
        }
    }
    let distinct: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "C3: nothing is stored twice");
    for story in &stories {
        story.check_stored(&distinct, &clock, &mut tally.outcomes);
    }
    tally
}

struct Interleaving<'a> {
    server: &'a Server,
    clock: Clock,
    chance: Chance,
    user: User,
    /// Of the access token that the sign-in gave.
    expires: u64,
    /// The same browser's next sign-in, which has come back from the provider: its cookie and its code.
    callback: (String, String),
    socket: Option<(Stomp, Plan)>,
    /// The moment around which all of it happens.
    start: u64,
    logs_out: bool,
}

impl<'a> Interleaving<'a> {
    async fn begin(server: &'a Server, clock: Clock, mut chance: Chance, name: &str, room: u64, index: usize) -> Self {
        let anon = Anon::new(server);
        let (browser, page) = anon.begin().await;
        let query = anon.come_back(&page, name).await;
        let lease = chance.one_in(2);
        // On a busy machine a token may end before there is a socket; then it is begun again.
        let mut begun = None;
        for _ in 0..TRIES {
            let user = User::sign_in_from(anon.clone(), name).await;
            let socket = socket::open(server, &user, lease, room).await;
            begun = socket.map(|socket| (user, socket));
            if begun.is_some() {
                break;
            }
        }
        let (user, socket) = begun.expect("a socket within the life of a token");
        let expires = exp(&user.token);
        // Half of them at the end of the token, the others at once.
        let at_its_end = if chance.one_in(2) { expires - SKEW_MICROS_MAX / 2 } else { 0 };
        let start = at_its_end.max(clock.now() + 1_000);
        let logs_out = !chance.one_in(5);
        let posts = (0..3).map(|number| (start + chance.below(SKEW_MICROS_MAX), format!("{index}.{number}")));
        let mut posts: Vec<(u64, String)> = posts.collect();
        posts.sort();
        let plan = Plan { room, token: user.jwt().to_owned(), posts, lease, logs_out, expires };
        Self {
            server,
            clock,
            chance,
            user,
            expires,
            callback: (browser, query),
            socket: Some((socket, plan)),
            start,
            logs_out,
        }
    }

    async fn run(&mut self, tally: &mut Tally) -> Story {
        let (socket, plan) = self.socket.take().expect("it runs once");
        let requests = self.requests();
        let acting = join_all(requests);
        let (acted, (story, socket)) = join(acting, socket::live(socket, plan, &self.clock)).await;
        let mut tokens = vec![self.user.token.clone()];
        let mut cookies = vec![self.user.cookie.clone()];
        let mut next = None;
        let mut events = Vec::new();
        for Acted { event, given } in acted {
            match (event.what, given) {
                (What::Refresh, Some((token, cookie))) => {
                    tokens.push(token);
                    cookies.push(cookie);
                }
                (What::Callback, Some(given)) => next = Some(given),
                _ => {}
            }
            events.push(event);
        }
        check(&events);
        events.extend(story.sends.iter().map(|sent| Event {
            what: What::Send,
            begun: sent.begun,
            ended: sent.receipt.unwrap_or(u64::MAX),
            status: 0,
            code: None,
            expires: None,
        }));
        self.count(&events, tally);

        let logged_out = events.iter().find(|event| event.what == What::LogOut);
        if let Some(event) = logged_out {
            let (code, at) = story.closed.expect("a socket of an ended session closes");
            assert!(code == 4001 || (code == 4002 && !story.plan.lease), "{code}");
            assert!(code != 4001 || at >= event.begun, "closed before anybody asked for it");
            let late = at.saturating_sub(event.ended);
            assert!(self.clock.in_time(event.ended, at), "T6: closed {late} µs after the log-out's answer");
            tally.slowest_close = tally.slowest_close.max(late);
            self.nothing_succeeds(&tokens, &cookies).await;
        } else {
            // Nobody was signed out for doing nothing wrong.
            let newest = cookies.last().expect("the first at least");
            assert_eq!(self.user.anon.refresh(newest).await.status(), 200, "{events:#?}");
            if let Some(mut socket) = socket {
                socket.say(story.plan.room, &story.plan.last_words(), None).await;
            }
        }
        // The other sign-in is another session, whatever became of this one.
        let (token, cookie) = next.expect("a sign-in that came back is completed");
        assert_ne!(claims(&token)["sid"], claims(&self.user.token)["sid"]);
        assert_eq!(self.user.anon.refresh(&cookie).await.status(), 200);
        story.with_log_out(logged_out.map(|event| event.ended), &self.clock)
    }

    /// All that is sent over HTTP, each at its moment.
    fn requests(&mut self) -> Vec<impl Future<Output = Acted> + use<>> {
        let anon = self.user.anon.clone();
        let (token, cookie, own) = (self.user.token.clone(), self.user.cookie.clone(), self.server.base.clone());
        let refresh = || anon.request(Method::GET, "/api/v1/auth/refresh").header(COOKIE, &cookie);
        let me = || anon.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, &token);
        let log_out = |with_token: bool, with_cookie: bool| {
            let mut request = anon.request(Method::POST, "/api/v1/auth/logout");
            if with_token {
                request = request.header(AUTHORIZATION, &token);
            }
            if with_cookie {
                request = request.header(COOKIE, &cookie).header("origin", &own);
            }
            request
        };
        let (browser, query) = &self.callback;
        let callback = anon.request(Method::GET, &format!("/api/v1/auth/token?{query}"));
        let mut plan =
            vec![(What::Refresh, refresh()), (What::Callback, callback.header(COOKIE, format!("{browser}; {cookie}")))];
        plan.extend((0..3).map(|_| (What::Me, me())));
        if self.chance.one_in(2) {
            plan.push((What::Refresh, refresh()));
        }
        if self.logs_out {
            let way = self.chance.below(3);
            plan.push((What::LogOut, log_out(way != 0, way != 1)));
        }
        let (clock, expires) = (self.clock.clone(), self.expires);
        let act = |(what, request): (What, RequestBuilder)| {
            let at = self.start + self.chance.below(SKEW_MICROS_MAX);
            act(clock.clone(), at, what, request, (what == What::Me).then_some(expires))
        };
        plan.into_iter().map(act).collect()
    }

    /// T4 to T6: the log-out and all that was beside it have answered, and the family is dead.
    async fn nothing_succeeds(&mut self, tokens: &[String], cookies: &[String]) {
        let anon = &self.user.anon;
        for token in tokens {
            let answer = super::me(anon, token).await;
            assert_eq!(answer.status(), 401, "T6");
            let code = json(answer).await["errorCode"].clone();
            let over = exp(token) <= self.clock.now() + SLACK;
            assert!(code == "SESSION_ENDED" || (over && code == "TOKEN_EXPIRED"), "{code}");
        }
        for cookie in cookies {
            refused(anon.refresh(cookie).await, 403, "SESSION_ENDED").await;
        }
        let (token, cookie) = (tokens.last().expect("one"), cookies.last().expect("one"));
        let headers = [("authorization", token.as_str()), ("cookie", cookie), ("origin", &self.server.base)];
        assert_eq!(upgrade(self.server, "/ws-connect", &headers).await.status(), 401, "T6");
        let mut socket = Stomp::open(self.server, &headers[1..]).await.expect("an upgrade");
        let jwt = token.trim_start_matches("Bearer ");
        socket.send(&format!("CONNECT\naccept-version:1.2\nAuthorization:{jwt}\n\n\0")).await;
        socket.refused("SESSION_ENDED").await;
    }

    /// Which came before which, by when they began.
    fn count(&self, events: &[Event], tally: &mut Tally) {
        let mut moments: Vec<(u64, What)> = events.iter().map(|event| (event.begun, event.what)).collect();
        moments.push((self.expires, What::Expiry));
        let reached: BTreeSet<(What, What)> = moments
            .iter()
            .flat_map(|(at, what)| {
                moments.iter().filter(move |(then, _)| at < then).map(move |(_, then)| (*what, *then))
            })
            .collect();
        for order in reached {
            *tally.orders.entry(order).or_default() += 1;
        }
        for event in events.iter().filter(|event| event.what != What::Send) {
            let code = event.code.as_deref().unwrap_or("");
            *tally.outcomes.entry(format!("{:?} {} {code}", event.what, event.status)).or_default() += 1;
        }
    }
}

/// Each answer by itself, and beside the log-out.
fn check(events: &[Event]) {
    let logged_out = events.iter().find(|event| event.what == What::LogOut);
    for event in events {
        let after = logged_out.is_some_and(|out| event.begun > out.ended);
        let before = logged_out.is_none_or(|out| event.ended < out.begun);
        let expired = event.expires.is_some_and(|expires| event.begun > expires + SLACK);
        let good = event.expires.is_none_or(|expires| event.ended + SLACK < expires);
        let code = event.code.as_deref();
        match event.what {
            // Of these two, the one is not touched by the other: they are two sessions.
            What::LogOut | What::Callback => assert_eq!(event.status, 200, "{event:?}"),
            What::Refresh => match (event.status, code) {
                (200, _) => assert!(!after, "T5: {events:#?}"),
                (403, Some("SESSION_ENDED")) => assert!(!before, "signed out for nothing: {events:#?}"),
                other => panic!("{other:?}: {events:#?}"),
            },
            What::Me => match (event.status, code) {
                (200, _) => assert!(!after && !expired, "T6, T8: {events:#?}"),
                (401, Some("SESSION_ENDED")) => assert!(!before, "signed out for nothing: {events:#?}"),
                (401, Some("TOKEN_EXPIRED")) => assert!(!good, "over too soon: {events:#?}"),
                other => panic!("{other:?}: {events:#?}"),
            },
            What::Send | What::Expiry => {}
        }
    }
}

/// What came of a request, and the tokens that it gave: access token and cookie.
struct Acted {
    event: Event,
    given: Option<(String, String)>,
}

async fn act(clock: Clock, at: u64, what: What, request: RequestBuilder, expires: Option<u64>) -> Acted {
    clock.until(at).await;
    let begun = clock.now();
    let answer = sent(request).await;
    let (status, cookies) = (answer.status().as_u16(), set_cookies(&answer));
    let body: Value = json(answer).await;
    let event =
        Event { what, begun, ended: clock.now(), status, code: body["errorCode"].as_str().map(str::to_owned), expires };
    let data = &body["data"];
    let token = data["accessToken"].as_str().or_else(|| data["tokenresponse"]["accessToken"].as_str());
    let cookie = cookies.into_iter().find(|cookie| cookie.starts_with("refreshToken=") && cookie.len() > 20);
    let given = token.map(str::to_owned).zip(cookie);
    Acted { event, given }
}

/// The end of an access token, in microseconds since 1970.
fn exp(token: &str) -> u64 {
    claims(token)["exp"].as_u64().expect("a time") * 1_000_000
}
