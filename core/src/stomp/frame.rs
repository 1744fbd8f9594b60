//! A frame: command, headers, body.

use bytes::Bytes;

/// A version of the protocol. They differ in escapes, line ends and which headers are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// STOMP 1.0.
    V1_0,
    /// STOMP 1.1.
    V1_1,
    /// STOMP 1.2.
    V1_2,
}

impl Version {
    /// As `accept-version` and `version` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A frame's first line. Case matters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Command {
            $($(#[$doc])* $variant,)*
        }

        impl Command {
            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The command of this name.
            pub fn parse(name: &[u8]) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|command| command.as_str().as_bytes() == name)
            }
        }
    };
}

commands! {
    /// From a client: begin.
    Connect = "CONNECT";
    /// The same, by another name.
    Stomp = "STOMP";
    /// From a client: a message.
    Send = "SEND";
    /// From a client.
    Subscribe = "SUBSCRIBE";
    /// From a client.
    Unsubscribe = "UNSUBSCRIBE";
    /// From a client.
    Ack = "ACK";
    /// From a client.
    Nack = "NACK";
    /// From a client.
    Begin = "BEGIN";
    /// From a client.
    Commit = "COMMIT";
    /// From a client.
    Abort = "ABORT";
    /// From a client: end.
    Disconnect = "DISCONNECT";
    /// From the server: begun.
    Connected = "CONNECTED";
    /// From the server: a message.
    Message = "MESSAGE";
    /// From the server: done.
    Receipt = "RECEIPT";
    /// From the server: refused.
    Error = "ERROR";
}

impl Command {
    /// "Only the SEND, MESSAGE, and ERROR frames MAY have a body."
    pub fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }

    /// "C style string literal escapes are used to encode any CR, LF or colon that are found within the UTF-8 encoded
    /// headers [...] all frames except the CONNECT and CONNECTED frames."
    pub fn escapes_headers(self) -> bool {
        !matches!(self, Self::Connect | Self::Stomp | Self::Connected)
    }
}

/// A frame, with its headers unescaped and in the order in which they came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The first line.
    pub command: Command,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The body, without the closing NUL.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers and body.
    pub fn new(command: Command) -> Self {
        Self { command, headers: Vec::new(), body: Bytes::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A header's value. "If a client or a server receives repeated frame header entries, only the first header entry
    /// SHOULD be used as the value of header entry."
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Shows the names of the headers and nothing that a client wrote: values hold tokens, bodies hold what people say.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{} {names:?} ({} bytes)", self.command.as_str(), self.body.len())
    }
}
