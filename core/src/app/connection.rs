//! One connection: the STOMP session, and the use cases that answer its questions. It does no I/O of its own.
//!
//! The shell hands in bytes and time, runs the [`Work`] that comes out and hands its [`Done`] back, and writes what the
//! [`Outbox`] holds. Questions are answered one after the other; SENDs that wait together are stored together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::authenticate::{Principal, authenticate};
use super::deliver::head;
use super::read::{member, read, typing};
use super::send_message::{Draft, send_messages};
use super::{Services, mark_read};
use crate::auth::{AuditEvent, AuditRecord, Device};
use crate::chat::delivery::{Link, Outbox};
use crate::chat::{Destination, Rule};
use crate::error::{ErrorCode, Failure};
use crate::id::{ConnectionId, Seq};
use crate::limits;
use crate::stomp::{Ask, AskId, CloseCode, Input, Output, Reply, Session, Subscribe};
use crate::time::Monotonic;

/// What the upgrade request said.
#[derive(Debug, Clone, Default)]
pub struct Handshake {
    /// Whose it is, if the upgrade carried a token.
    pub principal: Option<Principal>,
    /// From what.
    pub device: Device,
}

/// A connection to the gateway.
pub struct Connection {
    id: ConnectionId,
    services: Arc<Services>,
    session: Session,
    outbox: Arc<Outbox>,
    handshake: Handshake,
    principal: Option<Principal>,
    /// When the token ends, on the clock that never jumps.
    expires: Option<Monotonic>,
    questions: VecDeque<(AskId, Ask)>,
    working: bool,
    closed: bool,
}

/// Something to run; it does not borrow the connection.
pub type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of a [`Work`].
pub struct Done {
    replies: Vec<(AskId, Reply)>,
    principal: Option<Principal>,
}

impl Connection {
    /// A connection that begins now.
    pub fn new(services: Arc<Services>, handshake: Handshake) -> Self {
        let now = services.clock.monotonic();
        Self {
            id: ConnectionId::mint(services.entropy.as_ref()),
            session: Session::new(now, services.settings.stomp),
            outbox: Arc::default(),
            handshake,
            principal: None,
            expires: None,
            questions: VecDeque::new(),
            working: false,
            closed: false,
            services,
        }
    }

    /// Its name in logs.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Where its frames wait to be written.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// Bytes came.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.has_expired() {
            self.handle(Input::Bytes(bytes));
        }
    }

    /// Something was written; with `more_room`, the outbox said that the hub should go on.
    pub fn wrote(&mut self, more_room: bool) {
        self.handle(Input::Wrote);
        if more_room {
            self.services.pipeline.need(self.services.hub.resume(self.id));
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        if !self.has_expired() {
            self.handle(Input::Tick);
        }
    }

    /// Ends it if its token has. Whatever keeps the shell busy, nothing is taken in or begun after that moment (invariant S1).
    fn has_expired(&mut self) -> bool {
        let now = self.services.clock.monotonic();
        let over = self.expires.is_some_and(|expires| now >= expires);
        if over {
            self.outbox.abort(CloseCode::TokenExpired);
            self.close();
        }
        over
    }

    /// When [`tick`](Self::tick) is due at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.session.next_deadline().into_iter().chain(self.expires).min()
    }

    /// Whether more bytes should be read: not while too much waits to be done, and not after the end.
    pub fn wants_bytes(&self) -> bool {
        self.session.wants_bytes()
    }

    /// The next thing to run, if nothing is running.
    pub fn next_work(&mut self) -> Option<Work> {
        if self.working || self.closed || self.has_expired() {
            return None;
        }
        let (id, ask) = self.questions.pop_front()?;
        self.working = true;
        let services = self.services.clone();
        let principal = self.principal;
        if let (Ask::Say { .. }, Some(principal)) = (&ask, principal) {
            let batch = self.take_says(id, ask);
            return Some(Box::pin(say(services, principal, batch)));
        }
        let (link, outbox, handshake) = (self.id, self.outbox.clone(), self.handshake.clone());
        Some(Box::pin(async move {
            match (ask, principal) {
                (Ask::Authenticate { authorization }, _) => {
                    let authorization = authorization.as_deref();
                    begin(&services, (link, outbox), id, handshake.principal, authorization).await
                }
                (ask, Some(principal)) => {
                    let reply = answer(&services, (link, &handshake.device.address), &principal, ask).await;
                    Done { replies: vec![(id, reply)], principal: None }
                }
                // The session asks nothing else before CONNECTED.
                (_, None) => Done { replies: vec![(id, Reply::Refused(ErrorCode::Unauthorized))], principal: None },
            }
        }))
    }

    /// What came of the work.
    pub fn complete(&mut self, done: Done) {
        self.working = false;
        if self.closed {
            return;
        }
        if let Some(principal) = done.principal {
            let clock = &self.services.clock;
            self.principal = Some(principal);
            self.expires = Some(clock.monotonic().plus(principal.expires_at.since(clock.now())));
        }
        for (id, reply) in done.replies {
            self.handle(Input::Reply(id, reply));
        }
    }

    /// The transport is gone. What is running may end; its answer is dropped.
    pub fn close(&mut self) {
        self.closed = true;
        self.expires = None;
        self.questions.clear();
        self.services.hub.disconnect(self.id);
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.services.clock.monotonic(), input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => self.outbox.push(bytes),
                Output::Ask(id, ask) => self.questions.push_back((id, ask)),
                Output::Close(code) => {
                    // What waits behind the end must not be done: it will come again, behind what was not done (invariant C6).
                    self.questions.clear();
                    // Nothing is delivered behind an ERROR (invariant S4).
                    self.services.hub.disconnect(self.id);
                    self.outbox.close(code);
                }
            }
        }
    }

    /// All SENDs that wait next to each other.
    fn take_says(&mut self, first: AskId, ask: Ask) -> Vec<(AskId, Draft)> {
        let mut batch = Vec::new();
        let mut next = Some((first, ask));
        while let Some((id, Ask::Say { room, body, client_id })) = next {
            batch.push((id, Draft { room, body, client_id }));
            let more = batch.len() < limits::SEND_BATCH_MAX;
            let say = more && matches!(self.questions.front(), Some((_, Ask::Say { .. })));
            next = if say { self.questions.pop_front() } else { None };
        }
        batch
    }
}

/// Whoever drops a connection without closing it leaves nothing behind.
impl Drop for Connection {
    fn drop(&mut self) {
        self.services.hub.disconnect(self.id);
    }
}

async fn begin(
    services: &Services,
    (connection, outbox): (ConnectionId, Arc<Outbox>),
    id: AskId,
    upgraded: Option<Principal>,
    authorization: Option<&str>,
) -> Done {
    // The upgrade's token comes first: whoever could set that header did so on purpose.
    let principal = match upgraded {
        Some(principal) => Ok(principal),
        None => authenticate(services, authorization).await,
    };
    let admitted = match principal {
        Ok(principal) => admit(services, connection, outbox, principal).await,
        Err(failure) => Err(failure),
    };
    match admitted {
        Ok(principal) => Done { replies: vec![(id, Reply::Done)], principal: Some(principal) },
        Err(failure) => {
            services.hub.disconnect(connection);
            Done { replies: vec![(id, refusal(&failure))], principal: None }
        }
    }
}

/// First the hub, then the store: a log-out meanwhile is either heard or seen (invariant T6).
async fn admit(
    services: &Services,
    connection: ConnectionId,
    outbox: Arc<Outbox>,
    principal: Principal,
) -> Result<Principal, Failure> {
    services.hub.connect(Link { connection, user: principal.user, session: principal.session, outbox });
    let now = services.clock.now();
    if principal.expires_at <= now {
        return Err(ErrorCode::TokenExpired.into());
    }
    let session = services.sessions.find(principal.session).await?;
    session.filter(|session| session.is_live(now)).ok_or(ErrorCode::SessionEnded)?;
    Ok(principal)
}

async fn say(services: Arc<Services>, principal: Principal, batch: Vec<(AskId, Draft)>) -> Done {
    let (ids, drafts): (Vec<AskId>, Vec<Draft>) = batch.into_iter().unzip();
    let answers = send_messages(&services, &principal, &drafts).await;
    let replies = answers.iter().map(|answer| match answer {
        Ok(()) => Reply::Done,
        Err(failure) => refusal(failure),
    });
    Done { replies: ids.into_iter().zip(replies).collect(), principal: None }
}

async fn answer(
    services: &Services,
    (connection, address): (ConnectionId, &str),
    principal: &Principal,
    ask: Ask,
) -> Reply {
    let result = match ask {
        Ask::Subscribe(subscribe) => start(services, (connection, address), principal, &subscribe).await,
        Ask::Unsubscribe { id, destination } => {
            services.hub.unsubscribe(connection, &id);
            leave(services, principal, &destination).await
        }
        Ask::Read { room, body } => read(services, principal, room, &body).await,
        Ask::Typing { room } => typing(services, principal, room).await,
        Ask::Disconnect => {
            services.hub.disconnect(connection);
            Ok(())
        }
        Ask::Say { .. } | Ask::Authenticate { .. } => Ok(()),
    };
    match result {
        Ok(()) => Reply::Done,
        Err(failure) => refusal(&failure),
    }
}

async fn start(
    services: &Services,
    (connection, address): (ConnectionId, &str),
    principal: &Principal,
    subscribe: &Subscribe,
) -> Result<(), Failure> {
    let allowed = match subscribe.destination.subscribe_rule(principal.user) {
        Rule::Always => Ok(()),
        Rule::IfMember(room) => member(services, principal, room).await,
        Rule::Never => Err(ErrorCode::DestinationRefused.into()),
    };
    if let Err(Failure::Refused(_)) = &allowed {
        let denied = AuditRecord {
            at: services.clock.now(),
            user: principal.user,
            session: Some(principal.session),
            event: AuditEvent::Denied,
            address: address.to_owned(),
        };
        services.audit.append(&denied).await?;
    }
    allowed?;
    let head = match subscribe.destination {
        Destination::Room(room) if !services.hub.has_place(subscribe) => Some(head(services, room).await?),
        _ => None,
    };
    services.pipeline.need(services.hub.subscribe_from(connection, subscribe, head.as_ref()));
    Ok(())
}

/// Leaving a room's page means having read what it showed.
async fn leave(services: &Services, principal: &Principal, destination: &Destination) -> Result<(), Failure> {
    let Destination::Room(room) = destination else { return Ok(()) };
    let published = services.messages.heads(&[*room]).await?.first().map_or(Seq::ZERO, |head| head.published);
    mark_read(services, principal, *room, published).await
}

fn refusal(failure: &Failure) -> Reply {
    match failure {
        Failure::Refused(code) => Reply::Refused(*code),
        // Without a RECEIPT the client knows that it has to ask again.
        Failure::Unavailable { .. } => Reply::Close(CloseCode::Unavailable),
    }
}
