//! The client's side of a connection: STOMP over a simulated link.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use transtalk_core::SessionId;
use transtalk_core::auth::bearer;
use transtalk_core::ports::{TokenKind, TokenSigner};
use transtalk_core::stomp::{CloseCode, Command, Decoder, Frame, FrameLimits, Version, encode};

use crate::executor::Group;
use crate::inbox::{Effect, Expected, Inbox};
use crate::model::{Order, Violation};
use crate::network::{Arrival, End};
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
    session: SessionId,
    connect_sent: Order,
    end: End,
    inbox: Mutex<Inbox>,
    waiting: Mutex<Vec<Waker>>,
}

impl Socket {
    /// Opens the client's side: sends CONNECT, and reads from now on.
    pub(crate) fn open(
        world: &Arc<World>,
        (who, email): (&Arc<str>, &str),
        (node, end): (usize, End),
        (session, token): (SessionId, &str),
        heart_beat: &str,
    ) -> Arc<Self> {
        let socket = Arc::new(Self {
            world: world.clone(),
            who: who.clone(),
            node,
            link: end.link,
            session,
            connect_sent: world.model().observe(),
            end,
            inbox: Mutex::new(Inbox { email: email.to_owned(), ..Inbox::default() }),
            waiting: Mutex::default(),
        });
        let connect = Frame::new(Command::Connect)
            .with("accept-version", "1.2,1.1,1.0")
            .with("heart-beat", heart_beat)
            .with("Authorization", token);
        if let Ok(claims) = world.signer.verify(TokenKind::Access, bearer(token)) {
            world.model().ends.insert(socket.link, claims.expires_at);
        }
        socket.send(&connect);
        world.executor.spawn(Group::WORLD, &format!("{who} reads"), read(socket.clone()));
        socket
    }

    /// Sends a frame.
    pub(crate) fn send(&self, frame: &Frame) {
        let what = frame.header("destination").or(frame.header("id")).unwrap_or_default();
        self.world.executor.tell(&self.who, format_args!("sends {} {what}", frame.command.as_str()));
        self.end.send(&encode(frame, Version::V1_2));
    }

    /// Sends a frame that is to be acknowledged.
    pub(crate) fn ask(&self, frame: Frame, expected: Expected) -> String {
        let id = format!("r{}", self.world.model().observe());
        self.inbox().expected.insert(id.clone(), expected);
        self.send(&frame.with("receipt", id.as_str()));
        id
    }

    /// Closes without a word.
    pub(crate) fn close(&self) {
        self.end.close(None);
        self.inbox().close(None);
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

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn take(&self, frame: &Frame) {
        let about = frame.header("message-id").or(frame.header("receipt-id")).or(frame.header("code"));
        let about = about.unwrap_or_default();
        self.world.executor.tell(&self.who, format_args!("receives {} {about}", frame.command.as_str()));
        let effect = {
            let mut model = self.world.model();
            let from = (self.session, self.connect_sent);
            self.inbox().take(frame, &mut model, &self.world.counters, from)
        };
        let checked = effect.and_then(|effect| match effect {
            Effect::None => Ok(()),
            Effect::Stored(text) => self.world.check_stored(&text),
            Effect::Began(began) => self.world.check_began(&self.who, &began),
        });
        self.world.check(checked);
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
                socket.inbox().close(code);
                socket.wake();
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
