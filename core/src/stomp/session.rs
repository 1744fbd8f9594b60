//! One connection's side of the protocol: what may come when, what is asked of the server, what is answered.
//!
//! [`Session::handle`] changes the state at once; what it wants waits in a queue that [`Session::poll_output`] reads.
//! The session never looks anything up: it **asks** ([`Output::Ask`]) and goes on with other bytes until the **reply** comes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{CloseCode, Command, Decoder, Frame, FrameError, FrameLimits, HeartBeat, Version, encode};
use crate::chat::{Destination, RoomAction};
use crate::error::ErrorCode;
use crate::id::{ClientMessageId, RoomId, Seq, SubscriptionId};
use crate::limits;
use crate::time::Monotonic;

/// Names a question until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(u64);

/// What the session needs to be told or done, in the order of the frames.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whose connection is this? The token is as it came, with or without `Bearer `.
    Authenticate {
        /// The `Authorization` header.
        authorization: Option<String>,
    },
    /// Deliver this from now on.
    Subscribe(Subscribe),
    /// Deliver this no longer. No MESSAGE with this id may follow the reply.
    Unsubscribe {
        /// Which.
        id: SubscriptionId,
        /// What it was subscribed to.
        destination: Destination,
    },
    /// A message for a room. The reply means *stored*.
    Say {
        /// Where.
        room: RoomId,
        /// The body as it came: JSON.
        body: Bytes,
        /// By which a repetition is known.
        client_id: Option<ClientMessageId>,
    },
    /// Somebody has read this far.
    Read {
        /// Where.
        room: RoomId,
        /// The body as it came: JSON.
        body: Bytes,
    },
    /// Somebody is writing.
    Typing {
        /// Where.
        room: RoomId,
    },
    /// Nothing more will come: end all subscriptions.
    Disconnect,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authenticate { .. } => f.write_str("Authenticate"),
            Self::Subscribe(subscribe) => write!(f, "{subscribe:?}"),
            Self::Unsubscribe { id, .. } => write!(f, "Unsubscribe({id})"),
            Self::Say { room, .. } => write!(f, "Say({room})"),
            Self::Read { room, .. } => write!(f, "Read({room})"),
            Self::Typing { room } => write!(f, "Typing({room})"),
            Self::Disconnect => f.write_str("Disconnect"),
        }
    }
}

/// A SUBSCRIBE frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Unique in the connection.
    pub id: SubscriptionId,
    /// What.
    pub destination: Destination,
    /// Replay what came after this first.
    pub last_seq: Option<Seq>,
    /// `pending: immediate`: the original at once, translations as updates.
    pub immediate: bool,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// No, and why: an ERROR frame, then the end.
    Refused(ErrorCode),
    /// The server ends the connection, without an ERROR frame.
    Close(CloseCode),
}

/// What a session is told.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Bytes came.
    Bytes(&'a [u8]),
    /// An answer came.
    Reply(AskId, Reply),
    /// The ERROR that was announced by [`Output::Refusing`] leaves after so long; until then the connection is silent.
    RefuseAfter(Duration),
    /// Something was written to the client.
    Wrote,
    /// Time has passed, perhaps up to [`Session::next_deadline`].
    Tick,
}

/// What a session wants.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes, behind everything that is queued.
    Send(Bytes),
    /// A frame carried this token, as it came; what the frame asks follows.
    Carried(String),
    /// A frame was refused: when may the ERROR leave ([`Input::RefuseAfter`])? Nothing else is to be sent or done.
    Refusing(ErrorCode),
    /// Find out or do this, in order.
    Ask(AskId, Ask),
    /// Send what is queued, then close. Nothing more will be wanted.
    Close(CloseCode),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(bytes) => f.debug_tuple("Send").field(bytes).finish(),
            Self::Carried(_) => f.write_str("Carried"),
            Self::Refusing(code) => f.debug_tuple("Refusing").field(code).finish(),
            Self::Ask(id, ask) => f.debug_tuple("Ask").field(id).field(ask).finish(),
            Self::Close(code) => f.debug_tuple("Close").field(code).finish(),
        }
    }
}

/// What a session is set up with.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// What a frame may measure.
    pub frames: FrameLimits,
    /// How long the ERROR to a refused CONNECT is held back, so that no client can loop fast.
    pub error_delay: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { frames: FrameLimits::default(), error_delay: Duration::from_secs(3) }
    }
}

#[derive(Debug)]
enum Phase {
    /// Nothing but CONNECT may come.
    New,
    /// CONNECT came and is being looked at.
    Connecting(AskId),
    /// CONNECTED went out.
    Connected,
    /// A frame was refused; the ERROR goes out at this moment, or when it is said when.
    Refusing(Option<Monotonic>, Bytes),
    /// A frame was refused; the ERROR goes out when everything that came before it is answered.
    Failing(ErrorCode, Bytes),
    /// DISCONNECT came.
    Disconnecting(AskId),
    /// Over.
    Ended,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    settings: SessionSettings,
    /// The connection's name, for both sides' logs.
    name: String,
    decoder: Decoder,
    phase: Phase,
    beat: HeartBeat,
    began: Monotonic,
    last_heard: Monotonic,
    last_sent: Monotonic,
    /// Since when the unfinished frame has been unfinished.
    frame_since: Option<Monotonic>,
    subscriptions: BTreeMap<SubscriptionId, Destination>,
    receipts: BTreeMap<AskId, Option<String>>,
    next_ask: u64,
    outputs: VecDeque<Output>,
}

/// A refusal on its way into an ERROR frame.
#[derive(Clone, Copy)]
struct Refusal(ErrorCode, &'static str);

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self(code, code.message())
    }
}

impl Session {
    /// A session that begins now.
    pub fn new(now: Monotonic, settings: SessionSettings, name: String) -> Self {
        Self {
            settings,
            name,
            decoder: Decoder::new(settings.frames),
            phase: Phase::New,
            beat: HeartBeat::default(),
            began: now,
            last_heard: now,
            last_sent: now,
            frame_since: None,
            subscriptions: BTreeMap::new(),
            receipts: BTreeMap::new(),
            next_ask: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. What follows from it waits in [`Session::poll_output`].
    pub fn handle(&mut self, now: Monotonic, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes),
            Input::Reply(id, reply) => self.reply(now, id, reply),
            Input::Wrote => self.last_sent = now,
            Input::RefuseAfter(delay) => {
                if let Phase::Refusing(at @ None, _) = &mut self.phase {
                    *at = Some(now.plus(delay));
                }
            }
            Input::Tick => {}
        }
        self.tick(now);
    }

    /// What it wants next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it has to be called again at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let phase = match &self.phase {
            Phase::New | Phase::Connecting(_) => Some(self.began.plus(limits::CONNECT_DEADLINE)),
            Phase::Refusing(at, _) => *at,
            Phase::Connected | Phase::Disconnecting(_) | Phase::Failing(..) => None,
            Phase::Ended => return None,
        };
        let frame = self.frame_since.map(|since| since.plus(limits::FRAME_DEADLINE));
        // A beat that is not due yet must not wake anybody.
        let beat = self.is_beating().then_some(self.beat);
        let send = beat.and_then(|beat| beat.send_by(self.last_sent));
        let dead = beat.and_then(|beat| beat.dead_by(self.last_heard));
        [phase, frame, send, dead].into_iter().flatten().min()
    }

    /// Whether more bytes should be read: not while CONNECT is looked at, nor while too much waits for an answer, nor after the end.
    pub fn wants_bytes(&self) -> bool {
        let open = !matches!(self.phase, Phase::Connecting(_) | Phase::Ended);
        open && self.receipts.len() < limits::PENDING_COMMANDS_MAX
    }

    fn bytes(&mut self, now: Monotonic, bytes: &[u8]) {
        self.last_heard = now;
        if !matches!(self.phase, Phase::New | Phase::Connecting(_) | Phase::Connected) {
            return;
        }
        self.decoder.push(bytes);
        self.decode(now);
    }

    /// Takes in the frames that are complete. Those that came behind CONNECT wait until it is answered.
    fn decode(&mut self, now: Monotonic) {
        while !matches!(self.phase, Phase::Connecting(_)) {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    self.frame_since = None;
                    if let Err(refusal) = self.frame(&frame) {
                        return self.refuse_in_turn(now, refusal, frame.header("receipt"));
                    }
                    if matches!(self.phase, Phase::Disconnecting(_)) {
                        // "Clients MUST NOT send any more frames after the DISCONNECT frame is sent."
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let code =
                        if error == FrameError::TooLarge { ErrorCode::FrameTooLarge } else { ErrorCode::BadFrame };
                    return self.refuse_in_turn(now, Refusal(code, frame_error(error)), None);
                }
            }
        }
        self.frame_since = self.decoder.is_inside_frame().then(|| self.frame_since.unwrap_or(now));
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), Refusal> {
        match (&self.phase, frame.command) {
            (Phase::New, Command::Connect | Command::Stomp) => self.connect(frame),
            (Phase::New, _) => Err(Refusal(ErrorCode::UnexpectedFrame, "the first frame has to be CONNECT")),
            (_, Command::Connect | Command::Stomp) => Err(Refusal(ErrorCode::UnexpectedFrame, "CONNECT came twice")),
            (Phase::Connected, command) => self.connected_frame(frame, command),
            // No frame is taken in while CONNECT is looked at, nor after the end.
            _ => Err(Refusal(ErrorCode::UnexpectedFrame, "this frame may not come now")),
        }
    }

    fn connect(&mut self, frame: &Frame) -> Result<(), Refusal> {
        // From here on a refusal is one of CONNECT, and held back.
        let id = AskId(self.next_ask);
        self.phase = Phase::Connecting(id);
        // "accept-version: The versions of the STOMP protocol the client supports."
        let offered = frame.header("accept-version").unwrap_or("1.0");
        if !offered.split(',').any(|version| version.trim() == Version::V1_2.as_str()) {
            return Err(ErrorCode::NoCommonVersion.into());
        }
        let malformed = Refusal(ErrorCode::BadHeader, "heart-beat is two numbers of milliseconds");
        self.beat = HeartBeat::negotiate(frame.header("heart-beat")).ok_or(malformed)?;
        let authorization = authorization(frame).map(str::to_owned);
        self.ask(Ask::Authenticate { authorization }, None);
        Ok(())
    }

    fn connected_frame(&mut self, frame: &Frame, command: Command) -> Result<(), Refusal> {
        if let Some(token) = authorization(frame) {
            self.outputs.push_back(Output::Carried(token.to_owned()));
        }
        let receipt = frame.header("receipt").map(str::to_owned);
        let ask = match command {
            Command::Send => Self::send(frame)?,
            Command::Subscribe => Ask::Subscribe(self.subscribe(frame)?),
            Command::Unsubscribe => self.unsubscribe(frame)?,
            Command::Disconnect => {
                let id = self.ask(Ask::Disconnect, receipt);
                self.phase = Phase::Disconnecting(id);
                return Ok(());
            }
            Command::Ack | Command::Nack | Command::Begin | Command::Commit | Command::Abort => {
                return Err(Refusal(ErrorCode::UnexpectedFrame, "acknowledgements and transactions are not offered"));
            }
            _ => return Err(Refusal(ErrorCode::UnexpectedFrame, "this frame is the server's")),
        };
        self.ask(ask, receipt);
        Ok(())
    }

    fn send(frame: &Frame) -> Result<Ask, Refusal> {
        if frame.header("transaction").is_some() {
            return Err(Refusal(ErrorCode::UnexpectedFrame, "acknowledgements and transactions are not offered"));
        }
        let body = frame.body.clone();
        match destination(frame)? {
            Destination::App(room, RoomAction::Say) => {
                let client_id = frame.header("client-message-id").map(ClientMessageId::new).transpose();
                let client_id = client_id.map_err(|_| ErrorCode::BadClientMessageId)?;
                Ok(Ask::Say { room, body, client_id })
            }
            Destination::App(room, RoomAction::Read) => Ok(Ask::Read { room, body }),
            Destination::App(room, RoomAction::Typing) => Ok(Ask::Typing { room }),
            _ => Err(Refusal(ErrorCode::DestinationRefused, "nobody can SEND to a topic or a queue")),
        }
    }

    fn subscribe(&mut self, frame: &Frame) -> Result<Subscribe, Refusal> {
        let destination = destination(frame)?;
        let missing = Refusal(ErrorCode::BadHeader, "SUBSCRIBE needs an id of 1 to 255 bytes");
        let id = frame.header("id").and_then(|id| SubscriptionId::new(id).ok()).ok_or(missing)?;
        if frame.header("ack").is_some_and(|ack| ack != "auto") {
            return Err(Refusal(ErrorCode::BadHeader, "only ack:auto is offered"));
        }
        let last_seq = match frame.header("last-seq") {
            None => None,
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) && (1..=16).contains(&text.len()) => {
                Some(Seq(text.parse().map_err(|_| ErrorCode::BadLastSeq)?))
            }
            Some(_) => return Err(ErrorCode::BadLastSeq.into()),
        };
        let immediate = match frame.header("pending") {
            None => false,
            Some("immediate") => true,
            Some(_) => return Err(Refusal(ErrorCode::BadHeader, "pending is immediate or nothing")),
        };
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX {
            return Err(ErrorCode::TooManySubscriptions.into());
        }
        if self.subscriptions.insert(id.clone(), destination.clone()).is_some() {
            return Err(ErrorCode::SubscriptionExists.into());
        }
        Ok(Subscribe { id, destination, last_seq, immediate })
    }

    fn unsubscribe(&mut self, frame: &Frame) -> Result<Ask, Refusal> {
        let id = frame.header("id").and_then(|id| SubscriptionId::new(id).ok());
        let known = id.and_then(|id| self.subscriptions.remove(&id).map(|destination| (id, destination)));
        let (id, destination) = known.ok_or(ErrorCode::SubscriptionUnknown)?;
        Ok(Ask::Unsubscribe { id, destination })
    }

    fn ask(&mut self, ask: Ask, receipt: Option<String>) -> AskId {
        let id = AskId(self.next_ask);
        self.next_ask += 1;
        self.receipts.insert(id, receipt);
        self.outputs.push_back(Output::Ask(id, ask));
        id
    }

    fn reply(&mut self, now: Monotonic, id: AskId, reply: Reply) {
        let Some(receipt) = self.receipts.remove(&id) else { return };
        match (&self.phase, reply) {
            (Phase::Ended | Phase::Refusing(..), _) => {}
            (_, Reply::Refused(code)) => self.refuse(now, code.into(), receipt.as_deref()),
            (_, Reply::Close(code)) => self.end(code),
            (Phase::Connecting(asked), Reply::Done) if *asked == id => {
                self.phase = Phase::Connected;
                let millis = |beat: Duration| beat.as_millis();
                let connected = Frame::new(Command::Connected)
                    .with("version", Version::V1_2.as_str())
                    .with("session", self.name.clone())
                    .with("server", concat!("transtalk/", env!("CARGO_PKG_VERSION")))
                    .with(
                        "heart-beat",
                        format!("{},{}", millis(limits::HEART_BEAT_SEND), millis(limits::HEART_BEAT_RECEIVE)),
                    );
                self.put(&connected);
                self.decode(now);
            }
            (phase, Reply::Done) => {
                let last = matches!(phase, Phase::Disconnecting(asked) if *asked == id);
                if let Some(receipt) = receipt {
                    self.put(&Frame::new(Command::Receipt).with("receipt-id", receipt));
                }
                if last {
                    self.end(CloseCode::Normal);
                }
                self.fail();
            }
        }
    }

    /// What came before the refused frame is answered before it.
    fn refuse_in_turn(&mut self, now: Monotonic, refusal: Refusal, receipt: Option<&str>) {
        if matches!(self.phase, Phase::Connected) {
            self.frame_since = None;
            self.phase = Phase::Failing(refusal.0, self.error_frame(refusal, receipt));
            self.fail();
        } else {
            self.refuse(now, refusal, receipt);
        }
    }

    fn fail(&mut self) {
        if let (Phase::Failing(code, error), true) = (&self.phase, self.receipts.is_empty()) {
            let (code, error) = (*code, error.clone());
            self.phase = Phase::Refusing(None, error);
            self.outputs.push_back(Output::Refusing(code));
        }
    }

    /// "The server MAY send ERROR frames if something goes wrong. In this case, it MUST then close the connection just after sending the ERROR frame."
    fn refuse(&mut self, now: Monotonic, refusal: Refusal, receipt: Option<&str>) {
        let error = self.error_frame(refusal, receipt);
        self.frame_since = None;
        if matches!(self.phase, Phase::Connecting(_)) {
            self.phase = Phase::Refusing(Some(now.plus(self.settings.error_delay)), error);
        } else {
            self.phase = Phase::Refusing(None, error);
            self.outputs.push_back(Output::Refusing(refusal.0));
        }
    }

    fn put(&mut self, frame: &Frame) {
        self.outputs.push_back(Output::Send(encode(frame, Version::V1_2)));
    }

    fn end(&mut self, code: CloseCode) {
        self.phase = Phase::Ended;
        self.frame_since = None;
        self.outputs.push_back(Output::Close(code));
    }

    fn error_frame(&self, Refusal(code, message): Refusal, receipt: Option<&str>) -> Bytes {
        let mut error = Frame::new(Command::Error)
            .with("code", code.as_str())
            .with("message", message)
            .with("connection", self.name.clone());
        if code == ErrorCode::NoCommonVersion {
            error = error.with("version", Version::V1_2.as_str());
        }
        if let Some(receipt) = receipt {
            error = error.with("receipt-id", receipt);
        }
        encode(&error.with("content-type", "text/plain").with_body(message), Version::V1_2)
    }

    /// Whether both sides owe each other a sign of life.
    fn is_beating(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::Disconnecting(_) | Phase::Failing(..))
    }

    fn tick(&mut self, now: Monotonic) {
        let past = |at: Option<Monotonic>| at.is_some_and(|at| now >= at);
        match &self.phase {
            Phase::Ended => return,
            Phase::New | Phase::Connecting(_) if past(Some(self.began.plus(limits::CONNECT_DEADLINE))) => {
                return self.end(CloseCode::ConnectTimeout);
            }
            Phase::Refusing(Some(at), error) if now >= *at => {
                let error = error.clone();
                self.outputs.push_back(Output::Send(error));
                return self.end(CloseCode::Refused);
            }
            _ => {}
        }
        if past(self.frame_since.map(|since| since.plus(limits::FRAME_DEADLINE))) {
            return self.refuse(now, Refusal(ErrorCode::BadFrame, "a frame was begun and not ended with NUL"), None);
        }
        if !self.is_beating() {
            return;
        }
        if past(self.beat.dead_by(self.last_heard)) {
            return self.end(CloseCode::HeartBeatMissed);
        }
        if past(self.beat.send_by(self.last_sent)) {
            self.last_sent = now;
            self.outputs.push_back(Output::Send(Bytes::from_static(b"\n")));
        }
    }
}

/// The header's name is that of HTTP; clients spell it in either case.
fn authorization(frame: &Frame) -> Option<&str> {
    ["Authorization", "authorization"].iter().find_map(|name| frame.header(name))
}

fn destination(frame: &Frame) -> Result<Destination, Refusal> {
    let text = frame.header("destination").ok_or(Refusal(ErrorCode::BadHeader, "a destination is missing"))?;
    Destination::parse(text).map_err(|_| ErrorCode::DestinationRefused.into())
}

fn frame_error(error: FrameError) -> &'static str {
    match error {
        FrameError::UnknownCommand => "unknown command",
        FrameError::BadHeaderLine => "a header line is malformed, or the frame has no blank line before its NUL",
        FrameError::NotUtf8 => "a header is not UTF-8",
        FrameError::BadEscape => "a header has an undefined escape",
        FrameError::BadContentLength => "content-length is malformed",
        FrameError::UnexpectedBody => "this frame may not have a body",
        FrameError::MissingNul => "the frame does not end with NUL where its content-length says",
        FrameError::TooLarge => "the frame is too large",
    }
}

#[cfg(test)]
mod tests;
