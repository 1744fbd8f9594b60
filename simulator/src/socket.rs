//! The client's side of a connection: STOMP over a simulated link.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use transtalk_core::auth::RefreshToken;
use transtalk_core::ports::Claims;
use transtalk_core::stomp::{CloseCode, Command, Decoder, Frame, FrameLimits, Version, encode};

use crate::counters::{Act, Sometimes};
use crate::executor::Group;
use crate::families::Begun;
use crate::inbox::{Effect, Expected, Inbox};
use crate::lines::Line;
use crate::model::Violation;
use crate::network::{Arrival, End};
use crate::observed::Access;
use crate::races::{Subject, UnderWay};
use crate::trace::Kind;
use crate::world::World;

/// A connection that a client opened.
pub(crate) struct Socket {
    world: Arc<World>,
    /// The tab's name in the story.
    pub(crate) who: Arc<str>,
    /// To which node.
    pub(crate) node: usize,
    /// The link's number.
    pub(crate) link: u64,
    /// What the token says that it was opened with.
    pub(crate) claims: Claims,
    person: &'static str,
    begun: Begun,
    end: End,
    inbox: Mutex<Inbox>,
    asked: Mutex<BTreeMap<String, Asked>>,
    waiting: Mutex<Vec<Waker>>,
}

/// What is known of a frame until its RECEIPT comes.
struct Asked {
    /// The token that it carried, and whether that was dead.
    carried: Option<(Claims, bool)>,
    /// A SEND ends with this.
    _under_way: Option<UnderWay>,
}

/// With what a connection is opened.
pub(crate) struct Opening {
    /// What the token says by which the connection is known: that of the upgrade, or else that of CONNECT.
    pub(crate) claims: Claims,
    /// The token of the CONNECT frame.
    pub(crate) connect: Option<String>,
    /// The cookie that the upgrade carried.
    pub(crate) cookie: Option<String>,
}

impl Socket {
    /// Opens the client's side: sends CONNECT, and reads from now on.
    pub(crate) fn open(
        world: &Arc<World>,
        (who, person): (&Arc<str>, &'static str),
        (node, end): (usize, End),
        Opening { claims, connect, cookie }: Opening,
        heart_beat: &str,
    ) -> Arc<Self> {
        let begun = world.begun(Some(claims.session));
        let cookie = cookie.and_then(|cookie| RefreshToken::decode(&cookie, world.signer.as_ref()));
        let cookie = cookie.map(|cookie| (cookie.session, cookie.generation.0));
        world.model().lines.open(end.link, Line::new(&claims, begun.row.as_ref(), cookie));
        let socket = Arc::new(Self {
            world: world.clone(),
            who: who.clone(),
            node,
            link: end.link,
            inbox: Mutex::new(Inbox::new(claims.user)),
            claims,
            person,
            begun,
            end,
            asked: Mutex::default(),
            waiting: Mutex::default(),
        });
        let mut frame =
            Frame::new(Command::Connect).with("accept-version", "1.2,1.1,1.0").with("heart-beat", heart_beat);
        if let Some(token) = connect {
            frame = frame.with("Authorization", token);
        }
        socket.send(&frame);
        world.executor.spawn(Group::WORLD, &format!("{who} reads"), read(socket.clone()));
        socket
    }

    /// Sends a frame.
    fn send(&self, frame: &Frame) {
        let what = frame.header("destination").or(frame.header("id")).unwrap_or_default();
        self.world.executor.tell(&self.who, format_args!("sends {} {what}", frame.command.as_str()));
        self.end.send(&encode(frame, Version::V1_2));
    }

    /// Sends a frame that is to be acknowledged, with this token, as the first client spells it. With another user's it must not be.
    pub(crate) fn ask(&self, frame: Frame, expected: Expected, access: Option<&Access>) -> String {
        let (id, is_forbidden) = {
            let mut model = self.world.model();
            let id = format!("r{}", model.observe());
            let now = self.world.now();
            (id, access.is_some_and(|access| model.lines.carry(self.link, &access.claims, now)))
        };
        let is_forbidden = is_forbidden || self.is_switched();
        let is_said = matches!(expected, Expected::Stored(_));
        let expected =
            if is_forbidden { Expected::Never("S6", "a frame behind another user's token") } else { expected };
        self.inbox().expected.insert(id.clone(), expected);
        let subject = Subject { person: self.person, session: Some(self.claims.session) };
        let asked = Asked {
            carried: access.map(|access| (access.claims.clone(), access.claims.expires_at <= self.world.now())),
            _under_way: is_said.then(|| UnderWay::begin(&self.world, Act::Send, subject)),
        };
        self.asked().insert(id.clone(), asked);
        let frame = match access {
            Some(access) => frame.with("Authorization", access.token.trim_start_matches("Bearer ")),
            None => frame,
        };
        self.send(&frame.with("receipt", id.as_str()));
        id
    }

    /// Whether a frame with another user's token was sent.
    pub(crate) fn is_switched(&self) -> bool {
        self.world.model().lines.get(self.link).is_some_and(|line| line.is_switched)
    }

    /// Closes without a word.
    pub(crate) fn close(&self) {
        self.end.close(None);
        self.over(None);
    }

    /// Nothing will come any more.
    fn over(&self, code: Option<CloseCode>) {
        self.inbox().close(code);
        let asked = std::mem::take(&mut *self.asked());
        drop(asked);
        self.wake();
    }

    /// What has come so far.
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may still be used.
    pub(crate) fn is_open(&self) -> bool {
        self.inbox().is_open()
    }

    /// Waits until something is the case, the connection ends, or the time is over. Says whether it is the case.
    pub(crate) async fn until(&self, millis: u64, holds: impl Fn(&Inbox) -> bool) -> bool {
        let mut sleep = Box::pin(self.world.executor.sleep(millis));
        std::future::poll_fn(|context| {
            {
                let inbox = self.inbox();
                if holds(&inbox) {
                    return Poll::Ready(true);
                }
                if !inbox.is_open() {
                    return Poll::Ready(false);
                }
            }
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(context.waker().clone());
            drop(waiting);
            sleep.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn take(&self, frame: &Frame) {
        let about = frame.header("message-id").or(frame.header("receipt-id")).or(frame.header("code"));
        let about = about.unwrap_or_default();
        self.world.executor.tell(&self.who, format_args!("receives {} {about}", frame.command.as_str()));
        self.acknowledged(frame);
        let effect = self.inbox().take(frame, &mut self.world.model(), &self.world.counters);
        if frame.command == Command::Connected {
            self.connected();
        }
        let checked = effect.and_then(|effect| match effect {
            Effect::None => Ok(()),
            Effect::Stored(text) => self.world.check_stored(&text),
            Effect::Began(began) => self.world.check_began(&self.who, &began),
        });
        self.world.check(checked);
    }

    /// The connection was accepted: its token was good, or its cookie was.
    fn connected(&self) {
        let checked = {
            let mut model = self.world.model();
            let is_lease = model.lines.get(self.link).is_some_and(|line| line.may_be_lease);
            if is_lease {
                let is_dead = self.claims.expires_at <= self.begun.at;
                self.world.counters.count(if is_dead { Sometimes::LeaseWithDeadToken } else { Sometimes::Lease });
            }
            let now = (model.observe(), self.world.now());
            model.families.accepted(now, &self.begun, &self.claims, is_lease)
        };
        self.world.check(checked);
    }

    /// A RECEIPT says that the token of its frame was looked at.
    fn acknowledged(&self, frame: &Frame) {
        if frame.command != Command::Receipt {
            return;
        }
        let asked = self.asked().remove(frame.header("receipt-id").unwrap_or_default());
        let Some((claims, is_dead)) = asked.and_then(|asked| asked.carried) else { return };
        if is_dead {
            self.world.counters.count(Sometimes::DeadTokenOnFrame);
        } else if self.world.model().lines.carried(self.link, &claims) {
            self.world.counters.count(Sometimes::Renewed);
        }
    }

    /// The server has closed and said why. That is true.
    fn closed(&self, code: CloseCode) {
        let (now, row) = (self.world.now(), self.world.row(self.claims.session));
        let (checked, told) = {
            let model = self.world.model();
            let told = model.families.end_of(self.claims.session);
            (model.lines.closed(self.link, code, now, row.as_ref()), told)
        };
        self.world.check(checked);
        match code {
            CloseCode::TokenExpired => self.world.counters.count(Sometimes::TokenEnded),
            CloseCode::AccountSwitched => self.world.counters.count(Sometimes::AccountSwitched),
            CloseCode::SessionEnded if told.is_some_and(|told| now.since(told) > Duration::from_secs(5)) => {
                self.world.counters.count(Sometimes::FoundByRecheck);
            }
            _ => {}
        }
        self.world.executor.note(Kind::Down, self.link, &code.code().to_le_bytes());
    }
}

async fn read(socket: Arc<Socket>) {
    let mut decoder = Decoder::new(FrameLimits::default());
    loop {
        match socket.end.receive().await {
            Arrival::Bytes(bytes) => decoder.push(&bytes),
            Arrival::Closed(code) => {
                let why = code.map_or("the link is gone", CloseCode::reason);
                socket.world.executor.tell(&socket.who, format_args!("is disconnected: {why}"));
                socket.end.close(None);
                if let Some(code) = code.filter(|_| socket.is_open()) {
                    socket.closed(code);
                }
                socket.over(code);
                return;
            }
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => socket.take(&frame),
                Ok(None) => break,
                Err(error) => {
                    socket.world.check(Err(Violation("wire", format!("the server sent no frame: {error}"))));
                    return;
                }
            }
        }
        socket.wake();
    }
}
