//! What happened to a session, for its owner to read.

use std::fmt;

use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub user: UserId,
    /// In which session.
    pub session: Option<SessionId>,
    /// What.
    pub event: AuditEvent,
    /// From which network address.
    pub address: String,
    /// What else there is to say, such as a connection's name and its close code; often nothing.
    /// At most [`crate::limits::AUDIT_DETAIL_BYTES_MAX`] bytes.
    pub detail: String,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditEvent {
    /// A sign-in was completed.
    SignedIn,
    /// A refresh token was exchanged for the next.
    Refreshed,
    /// Two tabs refreshed at once.
    Concurrent,
    /// A refresh was repeated because its answer was lost.
    LostResponse,
    /// An old refresh token came back: the session was ended.
    Reuse,
    /// The user logged out.
    LoggedOut,
    /// Something was refused.
    Denied,
    /// A socket was opened.
    SocketOpened,
    /// A socket was closed.
    SocketClosed,
}

impl AuditEvent {
    const ALL: [Self; 9] = [
        Self::SignedIn,
        Self::Refreshed,
        Self::Concurrent,
        Self::LostResponse,
        Self::Reuse,
        Self::LoggedOut,
        Self::Denied,
        Self::SocketOpened,
        Self::SocketClosed,
    ];

    /// The name in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "SIGNED_IN",
            Self::Refreshed => "REFRESHED",
            Self::Concurrent => "CONCURRENT",
            Self::LostResponse => "LOST_RESPONSE",
            Self::Reuse => "REUSE",
            Self::LoggedOut => "LOGGED_OUT",
            Self::Denied => "DENIED",
            Self::SocketOpened => "SOCKET_OPENED",
            Self::SocketClosed => "SOCKET_CLOSED",
        }
    }

    /// The event of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

impl fmt::Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
