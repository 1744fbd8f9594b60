//! What a tab does besides talking, drawn by the habits of its world: alone, or two things at once.

use std::sync::Arc;

use futures_util::future::join;
use transtalk_core::RoomId;
use transtalk_core::stomp::{Command, Frame};

use super::{Handle, Tab};
use crate::clock::millis;
use crate::counters::{Act, Sometimes};
use crate::inbox::Expected;
use crate::node::{Node, Upgrade};
use crate::observed::{self, Callback, Ending, Way};
use crate::socket::Socket;
use crate::world::World;

/// What there is to do in a tab.
#[derive(Clone, Copy)]
enum Action {
    Refresh,
    LogOut,
    Withdraw,
    SignInAgain,
    Beside,
    BeRobbed,
    ListSessions,
    Read,
    SubscribeAgain,
    Unsubscribe,
    Signal,
    SayOtherwise,
    Vanish,
    Disconnect,
    Say,
}

/// Something over HTTP that is about to be done.
enum Doing {
    Nothing,
    Refresh(Way, Arc<Handle>),
    End(Way, Ending),
    Callback(Way, Callback),
}

impl Tab {
    /// One of the things that people do.
    pub(super) async fn act(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let (world, person, way) = (self.world.clone(), self.person(), self.way());
        match self.choose() {
            Action::Refresh => person.refresh(&world, &self.handle.turn, way).await,
            Action::LogOut => {
                let (ending, probe) = (self.ending(), self.random.chance(500));
                person.end(&world, way, ending, probe).await;
            }
            Action::Withdraw => person.end(&world, way, Ending::Withdrawal, true).await,
            Action::SignInAgain => self.sign_in_again(way).await,
            Action::Beside => self.beside(socket, room).await,
            Action::BeRobbed => person.is_robbed(&world, way).await,
            Action::ListSessions => {
                let _ = person.sessions(&world, &self.handle.turn, way).await;
            }
            Action::Read => self.read(room).await,
            Action::SubscribeAgain => self.subscribe(socket, room).await,
            Action::Unsubscribe => self.unsubscribe(socket).await,
            Action::Signal => self.signal(socket, room),
            Action::SayOtherwise => self.say_otherwise(socket, room).await,
            Action::Vanish => socket.close(),
            Action::Disconnect => {
                let bye = self.ask(socket, Frame::new(Command::Disconnect), Expected::Done);
                socket.until(2_000, |inbox| !inbox.expected.contains_key(&bye)).await;
                socket.close();
            }
            Action::Say if self.to_say > 0 => {
                self.to_say -= 1;
                self.say();
                self.send_again(socket, room).await;
            }
            Action::Say => {}
        }
    }

    fn choose(&mut self) -> Action {
        let habits = &self.world.options.habits;
        let shares = [
            (Action::Beside, habits.beside),
            (Action::Refresh, habits.refreshes),
            (Action::LogOut, habits.log_outs),
            (Action::Withdraw, habits.withdrawals),
            (Action::SignInAgain, habits.callbacks),
            (Action::BeRobbed, if self.world.options.thief { 40 } else { 0 }),
            (Action::ListSessions, 20),
            (Action::Read, 100),
            (Action::SubscribeAgain, 40),
            (Action::Unsubscribe, 40),
            (Action::Signal, 60),
            (Action::SayOtherwise, 15),
            (Action::Vanish, 15),
            (Action::Disconnect, 15),
        ];
        let mut roll = self.random.between(0, 999);
        for (action, share) in shares {
            if roll < share {
                return action;
            }
            roll -= share;
        }
        Action::Say
    }

    /// Mostly this session; sometimes another one, or all.
    fn ending(&mut self) -> Ending {
        match (self.random.between(0, 9), self.person().another_session()) {
            (0 | 1, Some(other)) => Ending::Other(other),
            (2 | 3, _) => Ending::Everywhere,
            _ => Ending::This,
        }
    }

    /// Beside the session that there is, perhaps with somebody else's account; the code perhaps comes twice.
    async fn sign_in_again(&mut self, way: Way) {
        let (account, world) = (self.account(), self.world.clone());
        let (returns_state, again) = (self.random.chance(500), self.random.chance(300));
        let person = self.person();
        if let Some(callback) = person.begin_sign_in(&world, way, account, returns_state).await {
            let _ = person.complete_sign_in(&world, way, callback, again).await;
        }
    }

    /// Two things at once, the one meant to be first and the other to come before its end; or one of them around the end of the
    /// browser's token.
    async fn beside(&mut self, socket: &Arc<Socket>, room: RoomId) {
        let end = self.person().access().map(|access| millis(access.claims.expires_at));
        let now = self.world.executor.now();
        let end = end.filter(|end| (now..now + FORESIGHT).contains(end));
        let Some((one, other)) = self.pair(end.is_some()) else { return };
        let (first, second) = self.moments((one, other), end.unwrap_or(now));
        let Some([doing, also]) = self.prepare(one, other).await else { return };
        let (world, person) = (self.world.clone(), self.person());
        let says = |act, at| (act == Act::Send).then_some(at);
        let Some(at) = says(one, first).or(says(other, second)) else {
            let one = perform(&world, &person, doing, first);
            join(one, perform(&world, &person, also, second)).await;
            return;
        };
        self.say();
        let say = async {
            world.executor.sleep_until(at).await;
            self.send_new(socket, room);
        };
        let (other, at) = if one == Act::Send { (also, second) } else { (doing, first) };
        join(say, perform(&world, &person, other, at)).await;
    }

    /// Which two. If a token ends soon, mostly that is one of them; else it cannot be.
    fn pair(&mut self, ends_soon: bool) -> Option<(Act, Act)> {
        let with_end = ends_soon && self.random.chance(900);
        let fits = |(one, other): &&(Act, Act)| (*one == Act::Expiry || *other == Act::Expiry) == with_end;
        let pairs: Vec<(Act, Act)> = self.world.options.habits.pairs.iter().filter(fits).copied().collect();
        if pairs.is_empty() { None } else { Some(self.random.pick(&pairs)) }
    }

    /// When each of them is to begin, so that they meet.
    fn moments(&mut self, pair: (Act, Act), end: u64) -> (u64, u64) {
        let (now, options) = (self.world.executor.now(), &self.world.options);
        let call = options.call_millis();
        match pair {
            (Act::Expiry, _) => {
                let after = end + self.random.between(0, 20);
                (after, after)
            }
            (act, Act::Expiry) => {
                let calls = match act {
                    Act::Callback => 6,
                    Act::LogOut => 3,
                    _ => 2,
                };
                let lead = options.network.mostly() + self.random.between(1, 1 + calls * call);
                (end.saturating_sub(lead).max(now), end)
            }
            _ => {
                let first = now + self.random.between(1, 20);
                let gap = if self.random.chance(500) { 0 } else { self.random.between(0, 5 + 2 * call) };
                (first, first + gap)
            }
        }
    }

    /// What has to be known before: a code is already on its way back. `None` if two of one kind cannot be done here.
    async fn prepare(&mut self, one: Act, other: Act) -> Option<[Doing; 2]> {
        let other_tab = self.other_tab();
        if one == other && other_tab.is_none() {
            return None;
        }
        let tabs = [self.handle.clone(), other_tab.unwrap_or_else(|| self.handle.clone())];
        let mut doings = Vec::new();
        for (act, tab) in [one, other].into_iter().zip(tabs) {
            let way = self.way();
            doings.push(match act {
                Act::Refresh => Doing::Refresh(way, tab),
                Act::LogOut => {
                    let everywhere = self.random.chance(200);
                    Doing::End(way, if everywhere { Ending::Everywhere } else { Ending::This })
                }
                Act::Callback => {
                    let account = self.account();
                    let way = Way { patience: 10_000, ..way };
                    Doing::Callback(way, self.person().begin_sign_in(&self.world, way, account, false).await?)
                }
                Act::Expiry | Act::Send => Doing::Nothing,
            });
        }
        doings.try_into().ok()
    }

    fn other_tab(&self) -> Option<Arc<Handle>> {
        let is_other = |tab: &&Arc<Handle>| tab.person.name == self.handle.person.name && tab.who != self.handle.who;
        self.world.tabs.iter().find(is_other).cloned()
    }

    /// Somebody who has seen the ticket uses it, too: one of the two is refused.
    pub(super) fn use_again(&mut self, upgrade: &Upgrade) {
        let Some(ticket) = upgrade.ticket.clone() else { return };
        let (world, way) = (self.world.clone(), self.way());
        let task = async move {
            let observer = world.clone();
            let answer = Node::request(&world, way.node, ("a ticket again", way.patience), |services| async move {
                observed::redeemed(&observer, &services, &ticket).await.map(|_| ())
            });
            if let Some(Err(_)) = answer.await {
                world.counters.count(Sometimes::TicketAgain);
            }
        };
        self.world.executor.spawn(crate::executor::Group::WORLD, "a ticket again", task);
    }
}

async fn perform(world: &Arc<World>, person: &crate::person::Person, doing: Doing, at: u64) {
    world.executor.sleep_until(at).await;
    match doing {
        Doing::Nothing => {}
        Doing::Refresh(way, tab) => person.refresh(world, &tab.turn, way).await,
        Doing::End(way, ending) => person.end(world, way, ending, true).await,
        Doing::Callback(way, callback) => {
            let _ = person.complete_sign_in(world, way, callback, false).await;
        }
    }
}

/// So far ahead somebody may wait for the end of a token.
const FORESIGHT: u64 = 6_000;
