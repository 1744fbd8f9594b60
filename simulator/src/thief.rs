//! Somebody who copies other people's tokens at random moments, and uses them later. What cannot be known to be stolen works; what
//! can be known must not.

use std::sync::Arc;

use transtalk_core::app::{HistoryQuery, history, redeem_ticket};
use transtalk_core::chat::Destination;
use transtalk_core::stomp::{Command, Frame};
use transtalk_core::{Failure, RoomId};

use crate::counters::Sometimes;
use crate::inbox::{Expected, Subscription};
use crate::model::Violation;
use crate::node::{Node, Upgrade};
use crate::observed::{self, Access, Callback, Way, accepted};
use crate::person::Person;
use crate::random::{Part, Random};
use crate::socket::{Opening, Socket};
use crate::world::{Phase, World};

/// A thief.
struct Thief {
    world: Arc<World>,
    random: Random,
    who: Arc<str>,
    /// Copies: access token and cookie, as they were together in a browser.
    loot: Vec<(Access, Option<String>)>,
}

/// Copies and uses, for as long as there is trouble.
pub(crate) async fn steal(world: Arc<World>, number: u64) {
    let random = Random::child(world.seed, Part::Tab(number));
    let mut thief = Thief { world: world.clone(), random, who: NAME.into(), loot: Vec::new() };
    while world.phase() == Phase::Trouble {
        let pause = thief.random.between(100, 1_500);
        world.executor.sleep(pause).await;
        let victim = thief.random.index(world.tabs.len());
        let victim = world.tabs[victim].person.clone();
        if thief.loot.len() < LOOT_MAX && (thief.loot.is_empty() || thief.random.chance(400)) {
            thief.copy(&victim);
        } else {
            let index = thief.random.index(thief.loot.len().max(1));
            let Some(copy) = thief.loot.get(index).cloned() else { continue };
            thief.try_it(&victim, copy).await;
        }
    }
}

impl Thief {
    fn copy(&mut self, victim: &Person) {
        let Some(access) = victim.access() else { return };
        self.world.executor.tell(NAME, format_args!("copies the tokens of {}", victim.name));
        self.loot.push((access, victim.cookie()));
    }

    async fn try_it(&mut self, victim: &Person, (access, cookie): (Access, Option<String>)) {
        let way = Way { node: self.random.index(self.world.nodes.len()), patience: 5_000, gives_up: false };
        let room = self.world.some_room();
        match (self.random.between(0, 5), cookie, room) {
            (0 | 1, Some(cookie), _) => self.refresh(way, cookie).await,
            (2, _, Some(room)) => self.read(way, access, room).await,
            (3, cookie, Some(room)) => self.connect(way, access, cookie, room).await,
            (4, Some(cookie), _) => self.mistake(way, access, cookie).await,
            _ => self.bring_code(way, victim).await,
        }
    }

    async fn refresh(&mut self, way: Way, cookie: String) {
        match observed::refresh(&self.world, NAME, way, cookie).await {
            Some(Ok(tokens)) => {
                self.world.counters.count(Sometimes::StolenTokenTaken);
                self.loot.push((tokens.access, Some(tokens.refresh)));
                self.loot.truncate(LOOT_MAX);
            }
            Some(Err(Failure::Refused(_))) => self.world.counters.count(Sometimes::StolenTokenRefused),
            _ => {}
        }
    }

    async fn read(&mut self, way: Way, access: Access, room: RoomId) {
        let observer = self.world.clone();
        let page = Node::request(&self.world, way.node, ("GET /chats", way.patience), |services| async move {
            let principal = accepted(&observer, &services, &access.token).await?;
            observed::sessions(&observer, &services, &access).await?;
            let query = HistoryQuery { page: 0, size: 3, pending: false };
            history(&services, &principal, room, query).await.map(|_| ())
        });
        self.judge(page.await.as_ref());
    }

    async fn connect(&mut self, way: Way, access: Access, cookie: Option<String>, room: RoomId) {
        let cookie = cookie.filter(|_| self.random.chance(500));
        let upgrade = Upgrade { cookie: cookie.clone(), ..Upgrade::default() };
        let Some(end) = Node::connect(&self.world, way.node, upgrade).await else { return };
        let opening = Opening { claims: access.claims.clone(), connect: Some(access.token), cookie };
        let socket = Socket::open(&self.world, (&self.who, NAME), (way.node, end), opening, "0,0");
        if socket.until(8_000, |inbox| inbox.is_connected).await {
            self.world.counters.count(Sometimes::StolenTokenTaken);
            let subscription = Subscription::new(Destination::Room(room), false, Some(0));
            socket.inbox().subscriptions.insert("sub-0".to_owned(), subscription);
            let frame = Frame::new(Command::Subscribe).with("id", "sub-0").with("last-seq", "0");
            let frame = frame.with("destination", format!("/topic/chat/{room}"));
            // A room of which the victim is no member is refused.
            socket.ask(frame, Expected::Perhaps, None);
            let stays = self.random.between(100, 6_000);
            socket.until(stays, |_| false).await;
        } else {
            self.world.counters.count(Sometimes::StolenTokenRefused);
        }
        socket.close();
    }

    /// No kind of token passes for another.
    async fn mistake(&mut self, way: Way, access: Access, cookie: String) {
        let (observer, which) = (self.world.clone(), self.random.between(0, 3));
        let answer = Node::request(&self.world, way.node, ("a mistaken token", way.patience), |services| async move {
            let bare = access.token.trim_start_matches("Bearer ").to_owned();
            match which {
                0 => accepted(&observer, &services, &cookie).await.map(|_| ()),
                1 => redeem_ticket(&services, &bare).await.map(|_| ()),
                2 => {
                    let ticket = observed::ticket(&observer, &services, &access).await?;
                    accepted(&observer, &services, &ticket).await.map(|_| ())
                }
                _ => transtalk_core::app::refresh(&services, Some(&bare), observed::ADDRESS).await.map(|_| ()),
            }
        });
        match answer.await {
            Some(Ok(())) => {
                self.world.check(Err(Violation("T8", format!("a token of another kind was taken (case {which})"))));
            }
            Some(Err(Failure::Refused(_))) => self.world.counters.count(Sometimes::KindMistaken),
            _ => {}
        }
    }

    /// Brings a code of one's own to somebody's browser, or to a browser without a cookie.
    async fn bring_code(&mut self, way: Way, victim: &Person) {
        let Some((url, own)) = observed::begin(&self.world, way).await else { return };
        let (code, state) = self.world.provider.authorize(&url, victim.name);
        let cookie = victim.begun().filter(|cookie| *cookie != own && self.random.chance(700));
        let state = self.random.chance(300).then_some(state);
        let callback = Callback { account: victim.name, code, state, cookie, is_foreign: true };
        if let Some(Err(Failure::Refused(_))) = observed::complete(&self.world, NAME, way, callback).await {
            self.world.counters.count(Sometimes::CodeFromElsewhere);
        }
    }

    fn judge(&self, answer: Option<&Result<(), Failure>>) {
        match answer {
            Some(Ok(())) => self.world.counters.count(Sometimes::StolenTokenTaken),
            Some(Err(Failure::Refused(_))) => self.world.counters.count(Sometimes::StolenTokenRefused),
            _ => {}
        }
    }
}

const NAME: &str = "thief";
const LOOT_MAX: usize = 6;
