//! How the server ends a connection: a WebSocket close code of its own and a reason (RFC 6455 section 7.4.2).

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseCode {
    /// The client said DISCONNECT, or closed.
    Normal,
    /// The server is going down; connect again.
    Draining,
    /// The session ended: log-out, or an old refresh token came back.
    SessionEnded,
    /// The access token reached its end; refresh it and connect again.
    TokenExpired,
    /// The client reads more slowly than its rooms speak; connect again with `last-seq`.
    TooSlow,
    /// A store is out of reach; what has no RECEIPT should be sent again.
    Unavailable,
    /// No byte for several heart-beats.
    HeartBeatMissed,
    /// No CONNECT, or none that was accepted, in time.
    ConnectTimeout,
    /// An ERROR frame says why.
    Refused,
    /// A frame carried another user's token: the account was switched in this browser.
    AccountSwitched,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::Draining,
        Self::SessionEnded,
        Self::TokenExpired,
        Self::TooSlow,
        Self::Unavailable,
        Self::HeartBeatMissed,
        Self::ConnectTimeout,
        Self::Refused,
        Self::AccountSwitched,
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Draining => 4000,
            Self::SessionEnded => 4001,
            Self::TokenExpired => 4002,
            Self::TooSlow => 4003,
            Self::Unavailable => 4004,
            Self::HeartBeatMissed => 4005,
            Self::ConnectTimeout => 4006,
            Self::Refused => 4007,
            Self::AccountSwitched => 4008,
        }
    }

    /// The reason on the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::Draining => "the server is restarting: connect again",
            Self::SessionEnded => "the session has ended: sign in again",
            Self::TokenExpired => "the access token has expired: refresh it and connect again",
            Self::TooSlow => "too slow: connect again with last-seq",
            Self::Unavailable => "a store is out of reach: connect again and repeat what has no receipt",
            Self::HeartBeatMissed => "no heart-beat",
            Self::ConnectTimeout => "no CONNECT in time",
            Self::Refused => "refused: see the ERROR frame",
            Self::AccountSwitched => "another account has signed in: connect again",
        }
    }
}
