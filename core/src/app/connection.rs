//! One connection: the STOMP session, and the use cases that answer its questions. It does no I/O of its own.
//!
//! The shell hands in bytes and time, runs the [`Work`] that comes out and hands its [`Done`] back, and writes what the
//! [`Outbox`] holds. Questions are answered one after the other; SENDs that wait together are stored together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::authenticate::{Principal, claims, connecting, entitle};
use super::deliver::head;
use super::limit::{Limited, Payer, spend};
use super::read::{member, read, typing};
use super::send_message::{Draft, send_messages};
use super::{Services, mark_read};
use sha2::{Digest, Sha256};

use crate::auth::{AuditEvent, AuditRecord, Carried, Device, Entitlement, Generation};
use crate::chat::delivery::{Link, Outbox};
use crate::chat::{Destination, Rule};
use crate::error::{ErrorCode, Failure};
use crate::id::{ConnectionId, Seq};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::TokenKind;
use crate::stomp::{Ask, AskId, CloseCode, Input, Output, Reply, Session, Subscribe};
use crate::time::{Monotonic, Timestamp};

/// What the upgrade request said.
#[derive(Clone, Default)]
pub struct Handshake {
    /// Whose it is, if the upgrade carried a token or a ticket.
    pub principal: Option<Principal>,
    /// With which token that was: its key may be replaced before CONNECT comes.
    pub token: Option<(TokenKind, String)>,
    /// The refresh cookie, if the upgrade came from an allowed origin.
    pub cookie: Option<String>,
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
    admitted: Option<Admitted>,
    /// When the token ends, on the clock that never jumps.
    expires: Option<Monotonic>,
    /// When the client is told that it will.
    warn: Option<Monotonic>,
    /// The hash of the last token that a frame carried: the first client sends the same one on each.
    carried: Option<[u8; 32]>,
    questions: VecDeque<Question>,
    working: bool,
    stage: Stage,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Another user's token came: what was asked before it is still done, then the connection ends.
    Switched,
    Stopped,
    /// The trail knows that it has ended.
    Recorded,
}

/// Whose connection it is, and what it goes on by.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    principal: Principal,
    entitlement: Entitlement,
}

/// What waits to be done.
enum Question {
    Ask(AskId, Ask),
    /// A frame carried a token of a new generation.
    Acknowledge(Generation),
}

/// Something to run; it does not borrow the connection.
pub type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of a [`Work`].
pub struct Done {
    replies: Vec<(AskId, Reply)>,
    admitted: Option<Admitted>,
}

impl Connection {
    /// A connection that begins now.
    pub fn new(services: Arc<Services>, handshake: Handshake) -> Self {
        let now = services.clock.monotonic();
        let id = ConnectionId::mint(services.entropy.as_ref());
        Self {
            id,
            session: Session::new(now, services.settings.stomp, id.to_string()),
            outbox: Arc::default(),
            handshake,
            admitted: None,
            expires: None,
            warn: None,
            carried: None,
            questions: VecDeque::new(),
            working: false,
            stage: Stage::Open,
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
        // A room that never falls silent would keep the shell writing, and nothing else might look at the time.
        if self.has_expired() {
            return;
        }
        self.handle(Input::Wrote);
        if more_room {
            self.services.pipeline.need(self.services.hub.resume(self.id));
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        if self.has_expired() {
            return;
        }
        if self.warn.is_some_and(|warn| self.services.clock.monotonic() >= warn) {
            self.warn = None;
            self.tell("expiring");
        }
        self.handle(Input::Tick);
    }

    /// Ends it if its token has. Whatever keeps the shell busy, nothing is taken in or begun after that moment (invariant S1).
    fn has_expired(&mut self) -> bool {
        let now = self.services.clock.monotonic();
        let over = self.expires.is_some_and(|expires| now >= expires);
        if over {
            self.outbox.abort(CloseCode::TokenExpired);
            self.stop();
        }
        over
    }

    /// When [`tick`](Self::tick) is due at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.session.next_deadline().into_iter().chain(self.expires).chain(self.warn).min()
    }

    /// Whether more bytes should be read: not while too much waits to be done, and not after the end.
    pub fn wants_bytes(&self) -> bool {
        self.session.wants_bytes()
    }

    /// The next thing to run, if nothing is running.
    pub fn next_work(&mut self) -> Option<Work> {
        if self.working || self.is_stopped() || self.has_expired() {
            return None;
        }
        let Some(question) = self.questions.pop_front() else {
            if self.stage == Stage::Switched {
                self.end(CloseCode::AccountSwitched);
            }
            return None;
        };
        self.working = true;
        let services = self.services.clone();
        let admitted = self.admitted;
        let (id, ask) = match question {
            Question::Ask(id, ask) => (id, ask),
            Question::Acknowledge(generation) => {
                return Some(Box::pin(acknowledge(services, admitted, generation)));
            }
        };
        if let (Ask::Say { .. }, Some(admitted)) = (&ask, admitted) {
            let batch = self.take_says(id, ask);
            return Some(Box::pin(say(services, admitted.principal, batch)));
        }
        let (link, outbox, handshake) = (self.id, self.outbox.clone(), self.handshake.clone());
        Some(Box::pin(async move {
            match (ask, admitted) {
                (Ask::Authenticate { authorization }, _) => {
                    begin(&services, (link, outbox), id, &handshake, authorization.as_deref()).await
                }
                (ask, Some(admitted)) => {
                    let reply = answer(&services, link, &admitted, ask).await;
                    Done { replies: vec![(id, reply)], admitted: None }
                }
                // The session asks nothing else before CONNECTED.
                (_, None) => Done { replies: vec![(id, Reply::Refused(ErrorCode::Unauthorized))], admitted: None },
            }
        }))
    }

    /// What came of the work.
    pub fn complete(&mut self, done: Done) {
        self.working = false;
        if self.is_stopped() {
            return;
        }
        if let Some(admitted) = done.admitted {
            self.admitted = Some(admitted);
            self.last_until(admitted.entitlement.until());
            self.record(AuditEvent::SocketOpened, "");
        }
        for (id, reply) in done.replies {
            self.handle(Input::Reply(id, reply));
        }
    }

    /// The transport is gone, closed by the server with this code or by the client. What is running may end; its answer is dropped.
    pub fn close(&mut self, code: Option<CloseCode>) {
        self.stop();
        if self.stage < Stage::Recorded {
            self.stage = Stage::Recorded;
            let cause = match code {
                Some(code) => format!(", {} {}", code.code(), code.reason()),
                None => ", by the client".to_owned(),
            };
            self.record(AuditEvent::SocketClosed, &cause);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stage >= Stage::Stopped
    }

    fn stop(&mut self) {
        self.stage = self.stage.max(Stage::Stopped);
        self.expires = None;
        self.warn = None;
        self.questions.clear();
        self.services.hub.disconnect(self.id);
    }

    /// Ends it after what is queued.
    fn end(&mut self, code: CloseCode) {
        self.stop();
        self.outbox.close(code);
    }

    /// From now on it lasts until then, or as long as its session.
    fn last_until(&mut self, until: Option<Timestamp>) {
        let (now, clock) = (self.services.clock.now(), self.services.clock.monotonic());
        self.expires = until.map(|until| clock.plus(until.since(now)));
        // When less than that is left, the client is told as soon as it subscribes.
        let early = until.and_then(|until| until.since(now).checked_sub(limits::EXPIRY_WARNING));
        self.warn = early.filter(|early| !early.is_zero()).map(|early| clock.plus(early));
    }

    fn tell(&self, event: &str) {
        if let Some(until) = self.admitted.and_then(|admitted| admitted.entitlement.until()) {
            tell(&self.services, self.id, event, until);
        }
    }

    /// For the trail of the session, without waiting for the store.
    fn record(&self, event: AuditEvent, detail: &str) {
        if let Some(Admitted { principal, .. }) = self.admitted {
            self.services.pipeline.audit(AuditRecord {
                at: self.services.clock.now(),
                user: principal.user,
                session: Some(principal.session),
                event,
                address: self.handshake.device.address.clone(),
                detail: format!("connection {}{detail}", self.id),
            });
        }
    }

    /// A frame carried a token. Most carry the one that is known.
    fn carried(&mut self, authorization: &str) {
        let hash = Sha256::digest(authorization.as_bytes()).into();
        let Some(admitted) = self.admitted.filter(|_| self.carried != Some(hash)) else { return };
        // What cannot be verified yet, because its key is newer than this node's, can be later.
        let Ok(claims) = claims(&self.services, TokenKind::Access, Some(authorization)) else { return };
        self.carried = Some(hash);
        let now = self.services.clock.now();
        let Principal { user, session, generation, .. } = admitted.principal;
        let carried = admitted.entitlement.carried((user, session), &claims, now);
        if claims.session == session && claims.generation > generation && now < claims.expires_at {
            let principal = Principal { generation: claims.generation, ..admitted.principal };
            self.admitted = Some(Admitted { principal, ..admitted });
            self.questions.push_back(Question::Acknowledge(claims.generation));
        }
        match carried {
            Carried::Ignored => {}
            Carried::Renews(_) if planted(Mutant::RenewalForgotten) => {}
            Carried::Renews(until) => {
                if let Some(admitted) = &mut self.admitted {
                    admitted.entitlement = Entitlement::Token { until };
                }
                self.last_until(Some(until));
                self.tell("renewed");
            }
            Carried::Switched => {
                self.stage = self.stage.max(Stage::Switched);
                self.record(AuditEvent::Denied, ", a frame with another user's token");
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.services.clock.monotonic(), input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => self.outbox.push(bytes),
                // What came with another user's token, or behind it, is not done.
                Output::Ask(id, ask) if self.stage < Stage::Switched => {
                    self.questions.push_back(Question::Ask(id, ask));
                }
                Output::Ask(..) => {}
                Output::Carried(authorization) => self.carried(&authorization),
                Output::Refusing(code) => {
                    if is_denial(code) {
                        self.record(AuditEvent::Denied, &format!(", {}", code.as_str()));
                    }
                    self.questions.clear();
                    self.services.hub.disconnect(self.id);
                    let session = self.admitted.map(|admitted| admitted.principal.session);
                    let (now, delay) = (self.services.clock.monotonic(), self.services.settings.stomp.error_delay);
                    let address = &self.handshake.device.address;
                    let delay = self.services.pipeline.refusals().delay(address, session, now, delay);
                    self.session.handle(now, Input::RefuseAfter(delay));
                }
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
            let say = more && matches!(self.questions.front(), Some(Question::Ask(_, Ask::Say { .. })));
            next = match self.questions.pop_front_if(|_| say) {
                Some(Question::Ask(id, ask)) => Some((id, ask)),
                _ => None,
            };
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
    handshake: &Handshake,
    authorization: Option<&str>,
) -> Done {
    // The upgrade was one user's and the frame is another's: the account was switched in between.
    let sent = authorization.and_then(|token| claims(services, TokenKind::Access, Some(token)).ok());
    if let (Some(upgraded), Some(sent)) = (&handshake.principal, sent)
        && upgraded.user != sent.user
    {
        return Done { replies: vec![(id, Reply::Close(CloseCode::AccountSwitched))], admitted: None };
    }
    match admit(services, connection, outbox, handshake, authorization).await {
        Ok(admitted) => Done { replies: vec![(id, Reply::Done)], admitted: Some(admitted) },
        Err(failure) => {
            services.hub.disconnect(connection);
            Done { replies: vec![(id, refusal(&failure))], admitted: None }
        }
    }
}

async fn admit(
    services: &Services,
    connection: ConnectionId,
    outbox: Arc<Outbox>,
    handshake: &Handshake,
    authorization: Option<&str>,
) -> Result<Admitted, Failure> {
    // The upgrade's token comes first: whoever could set that header did so on purpose. It has been counted there.
    let principal = if let Some(principal) = handshake.principal {
        principal
    } else {
        let principal = connecting(services, authorization)?;
        spend(services, Limited::Connect, Payer::Account(principal.user)).await?;
        principal
    };
    // First the hub, then the keys and the store: an end meanwhile is either heard or seen (invariant T6).
    services.hub.connect(Link { connection, user: principal.user, session: principal.session, outbox });
    if let Some((kind, token)) = &handshake.token {
        claims(services, *kind, Some(token))?;
    } else if handshake.principal.is_none() {
        connecting(services, authorization)?;
    }
    let entitlement = entitle(services, &principal, handshake.cookie.as_deref()).await?;
    Ok(Admitted { principal, entitlement })
}

/// Best effort: while it has not been noted, the generation's predecessor is taken for a lost response a little longer.
async fn acknowledge(services: Arc<Services>, admitted: Option<Admitted>, generation: Generation) -> Done {
    if let Some(Admitted { principal, .. }) = admitted {
        let _ = services.sessions.acknowledge(principal.session, generation).await;
    }
    Done { replies: Vec::new(), admitted: None }
}

/// Says on `/user/queue/session` until when the connection lasts.
fn tell(services: &Services, connection: ConnectionId, event: &str, until: Timestamp) {
    let body = serde_json::json!({ "event": event, "expiresAt": until.to_string() });
    services.hub.tell_connection(connection, SESSION_QUEUE, &body.to_string().into());
}

/// The queue on which a connection is told of its own end.
const SESSION_QUEUE: &str = "session";

async fn say(services: Arc<Services>, principal: Principal, batch: Vec<(AskId, Draft)>) -> Done {
    let (ids, drafts): (Vec<AskId>, Vec<Draft>) = batch.into_iter().unzip();
    let answers = send_messages(&services, &principal, &drafts).await;
    let replies = answers.iter().map(|answer| match answer {
        Ok(()) => Reply::Done,
        Err(failure) => refusal(failure),
    });
    Done { replies: ids.into_iter().zip(replies).collect(), admitted: None }
}

async fn answer(services: &Services, connection: ConnectionId, admitted: &Admitted, ask: Ask) -> Reply {
    let principal = &admitted.principal;
    let result = match ask {
        Ask::Subscribe(subscribe) => start(services, connection, admitted, &subscribe).await,
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
    connection: ConnectionId,
    Admitted { principal, entitlement }: &Admitted,
    subscribe: &Subscribe,
) -> Result<(), Failure> {
    let allowed = match subscribe.destination.subscribe_rule(principal.user) {
        Rule::Always => Ok(()),
        Rule::IfMember(room) => member(services, principal, room).await,
        Rule::Never => Err(ErrorCode::DestinationRefused.into()),
    };
    allowed?;
    let head = match subscribe.destination {
        Destination::Room(room) if !services.hub.has_place(subscribe) => Some(head(services, room).await?),
        _ => None,
    };
    services.pipeline.need(services.hub.subscribe_from(connection, subscribe, head.as_ref()));
    let (now, until) = (services.clock.now(), entitlement.until());
    if let Some(until) = until.filter(|until| until.since(now) <= limits::EXPIRY_WARNING)
        && subscribe.destination == Destination::Own(SESSION_QUEUE.to_owned())
    {
        tell(services, connection, "expiring", until);
    }
    Ok(())
}

/// Leaving a room's page means having read what it showed.
async fn leave(services: &Services, principal: &Principal, destination: &Destination) -> Result<(), Failure> {
    let Destination::Room(room) = destination else { return Ok(()) };
    let published = services.messages.heads(&[*room]).await?.first().map_or(Seq::ZERO, |head| head.published);
    mark_read(services, principal, *room, published).await
}

/// Whether somebody wanted what is not theirs, rather than made a mistake.
fn is_denial(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DestinationRefused | ErrorCode::NotAMember | ErrorCode::RoomNotFound)
}

fn refusal(failure: &Failure) -> Reply {
    match failure {
        Failure::Refused(code) => Reply::Refused(*code),
        Failure::TooMany { .. } => Reply::Refused(ErrorCode::TooManyRequests),
        // Without a RECEIPT the client knows that it has to ask again.
        Failure::Unavailable { .. } => Reply::Close(CloseCode::Unavailable),
    }
}
