//! One task a connection: bytes in, work to run, frames out, time. All decisions are the core's.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Config, Error, Limits, Message, Payload, ServerBuilder, WebSocketStream};
use transtalk_core::app::{Connection, Handshake, Services, Work};
use transtalk_core::chat::delivery::Taken;
use transtalk_core::ports::Timer;
use transtalk_core::{ConnectionId, Monotonic, limits, stomp};

use super::early::Early;

/// A client that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// A client whose session has ended has so long to take what was being written then.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the client has to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<Early<TcpStream>>;

/// Runs a connection to its end.
pub(super) async fn drive(stream: TcpStream, early: Bytes, services: Arc<Services>, handshake: Handshake) {
    let max = limits::FRAME_HEAD_BYTES_MAX + limits::FRAME_BODY_BYTES_MAX + 1024;
    let mut socket = ServerBuilder::new()
        .limits(Limits::default().max_payload_len(Some(max)))
        .config(Config::default().flush_threshold(usize::MAX))
        .serve(Early::new(early, stream));
    let timer = services.timer.clone();
    let mut connection = Connection::new(services, handshake);
    let outbox = connection.outbox();
    let id = connection.id();
    tracing::info!(connection = %id, "socket opened");
    let mut work: Option<Work> = None;
    let (end, is_cut) = loop {
        if work.is_none() {
            work = connection.next_work();
        }
        let deadline = connection.next_deadline();
        let run = async {
            match &mut work {
                Some(work) => work.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            taken = poll_fn(|context| outbox.poll_take(context)) => {
                let more_room = taken.wants_more;
                match deliver(&mut socket, taken, &mut connection, timer.as_ref()).await {
                    Delivered::Whole(None) => connection.wrote(more_room),
                    Delivered::Whole(Some(code)) => break (Some(code), false),
                    Delivered::Gone => break (None, false),
                    Delivered::Cut(code) => break (Some(code), true),
                }
            }
            done = run => {
                work = None;
                connection.complete(done);
            }
            message = socket.next(), if connection.wants_bytes() => match message {
                Some(Ok(message)) if message.is_text() || message.is_binary() => connection.receive(message.as_payload()),
                Some(Ok(message)) if message.is_close() => break (None, false),
                Some(Ok(message)) => {
                    // A pong leaves before more is read, or pings alone would fill the memory.
                    if message.is_ping() {
                        match deliver(&mut socket, Taken::default(), &mut connection, timer.as_ref()).await {
                            Delivered::Whole(_) => {}
                            Delivered::Gone => break (None, false),
                            Delivered::Cut(code) => break (Some(code), true),
                        }
                    }
                    connection.receive(b"");
                }
                // What is not WebSocket, or too large: the library has queued a close frame, which leaves below.
                Some(Err(_)) | None => break (None, false),
            },
            () = sleep_until(timer.as_ref(), deadline) => connection.tick(),
        }
    };
    connection.close(end);
    tracing::info!(connection = %id, code = end.map_or(0, stomp::CloseCode::code), "socket closed");
    // Work that is under way finishes: what a SEND began is stored or not, never half. The client is not kept waiting for that: a
    // slow store must not hold back the end of a session (invariant T6).
    let finish = async {
        if let Some(work) = work {
            work.await;
        }
    };
    let leave = async {
        // An error here is a client that has gone already.
        let is_told = !is_cut && timeout(CLOSE_TIMEOUT, close(&mut socket, end, id)).await.is_ok();
        // Whoever has not read so far must not read what the system still holds for them, once their session or token has ended.
        if !is_told && matches!(end, Some(stomp::CloseCode::SessionEnded | stomp::CloseCode::TokenExpired)) {
            cut(socket);
        }
    };
    tokio::join!(finish, leave);
}

/// What became of what was taken.
enum Delivered {
    /// Written; to be closed with this code.
    Whole(Option<stomp::CloseCode>),
    /// The client is gone, or takes nothing.
    Gone,
    /// The session or the token ended while the client took nothing: nothing more may reach it.
    Cut(stomp::CloseCode),
}

/// Writes what was taken. A client that does not read holds up neither its log-out nor the end of its token (invariant S1).
async fn deliver(socket: &mut Socket, taken: Taken, connection: &mut Connection, timer: &dyn Timer) -> Delivered {
    let outbox = connection.outbox();
    let mut writing = pin!(timeout(WRITE_TIMEOUT, write(socket, taken)));
    loop {
        let deadline = connection.next_deadline();
        tokio::select! {
            biased;
            written = &mut writing => return match written {
                Ok(Ok(code)) => Delivered::Whole(code),
                Ok(Err(_)) | Err(_) => Delivered::Gone,
            },
            code = poll_fn(|context| outbox.poll_revoked(context)) => {
                // Most take the rest within a moment, and can then be told why.
                return match timeout(CUT_TIMEOUT, &mut writing).await {
                    Ok(Ok(Ok(code))) => Delivered::Whole(code),
                    Ok(Ok(Err(_)) | Err(_)) => Delivered::Gone,
                    Err(_) => Delivered::Cut(code),
                };
            }
            () = sleep_until(timer, deadline) => connection.tick(),
        }
    }
}

async fn sleep_until(timer: &dyn Timer, at: Option<Monotonic>) {
    match at {
        Some(at) => timer.sleep_until(at).await,
        None => pending().await,
    }
}

/// Throws away what the system still holds for the client: a close frame would only stand in line behind it.
fn cut(socket: Socket) {
    // If the system will not, the rest is what was written before the end.
    let _ = socket.into_inner().into_stream().set_zero_linger();
}

/// Feeds all that was taken, then flushes once: everything leaves in one vectored write. Answers with the code to close with.
async fn write(socket: &mut Socket, taken: Taken) -> Result<Option<stomp::CloseCode>, Error> {
    for frame in taken.frames {
        socket.feed(message(frame)).await?;
    }
    socket.flush().await?;
    Ok(taken.close)
}

/// Text where it is text: our own frames are, a relayed body may not be.
fn message(frame: Bytes) -> Message {
    if std::str::from_utf8(&frame).is_ok() {
        Message::text(Payload::from(frame))
    } else {
        Message::binary(Payload::from(frame))
    }
}

/// Says why, then reads what the client still sends: a plain drop would reset the connection before the reason is read.
async fn close(socket: &mut Socket, code: Option<stomp::CloseCode>, id: ConnectionId) -> Result<(), Error> {
    if let Some(code) = code {
        let number = CloseCode::try_from(code.code()).unwrap_or(CloseCode::NORMAL_CLOSURE);
        // The name is what the log knows the connection by. No reason comes near the 123 bytes that a close may hold.
        let reason = format!("{} [{id}]", code.reason());
        socket.send(Message::close(Some(number), &reason)).await?;
    }
    socket.flush().await?;
    while let Some(Ok(_)) = socket.next().await {}
    socket.close().await?;
    socket.get_mut().shutdown().await?;
    Ok(())
}
