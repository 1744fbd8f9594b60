//! The gateway's transport: the WebSocket upgrade (RFC 6455 section 4.2), and the driver that moves bytes.

mod driver;
mod early;
mod handshake;

pub(crate) use handshake::upgrade;
