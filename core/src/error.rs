//! What can be refused, by one name each. HTTP status codes are none of it: `api` maps them once.

use std::time::Duration;

use crate::chat::InvalidText;
use crate::ports::{BoxError, MessagesError, StoreError};

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A refusal: the same request will be refused again.
    #[error("{0}")]
    Refused(ErrorCode),
    /// An allowance is used up: the same request may succeed then.
    #[error("{}", ErrorCode::TooManyRequests)]
    TooMany {
        /// After so long.
        retry_after: Duration,
    },
    /// A part of the server is out of reach: the same request may succeed later.
    #[error("{part} is not available")]
    Unavailable {
        /// Which part.
        part: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

impl Failure {
    /// The stable name.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code) => *code,
            Self::TooMany { .. } => ErrorCode::TooManyRequests,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl From<StoreError> for Failure {
    fn from(StoreError::Unavailable { store, source }: StoreError) -> Self {
        Self::Unavailable { part: store, source }
    }
}

impl From<MessagesError> for Failure {
    fn from(error: MessagesError) -> Self {
        match error {
            MessagesError::IdReused { .. } => Self::Refused(ErrorCode::MessageIdReused),
            MessagesError::Unavailable { store, source } => Self::Unavailable { part: store, source },
        }
    }
}

impl From<InvalidText> for Failure {
    fn from(error: InvalidText) -> Self {
        Self::Refused(match error {
            InvalidText::Empty => ErrorCode::EmptyMessage,
            InvalidText::TooLong => ErrorCode::MessageTooLong,
        })
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $message:expr;)*) => {
        /// The stable names of everything that can go wrong: the wire's `errorCode`, and the `code` header of an ERROR frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What a person is told.
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message),* }
            }
        }
    };
}

error_codes! {
    /// No token, or one that is not ours.
    Unauthorized = "UNAUTHORIZED", "sign in first";
    /// The access token is past its `exp`.
    TokenExpired = "TOKEN_EXPIRED", "the access token has expired: refresh it";
    /// The session of the token has ended.
    SessionEnded = "SESSION_ENDED", "the session has ended: sign in again";
    /// A refresh without a cookie.
    RefreshTokenMissing = "REFRESH_TOKEN_MISSING", "there is no refresh token: sign in again";
    /// A refresh with something that is no refresh token of ours.
    RefreshTokenInvalid = "REFRESH_TOKEN_INVALID", "the refresh token is not valid: sign in again";
    /// A refresh token that was replaced long ago came back; the session was ended.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED", "this refresh token was replaced already; the session was ended: sign in again";
    /// The returned code is wrong, used or expired.
    CodeRefused = "CODE_REFUSED", "the sign-in was refused: begin again";
    /// The code came back to a browser that did not begin the sign-in, or too late.
    SignInNotBegun = "SIGN_IN_NOT_BEGUN", "this sign-in was not begun in this browser, or took too long: begin again";
    /// A provider that is not configured.
    UnknownProvider = "UNKNOWN_PROVIDER", "this server knows no such sign-in provider";
    /// The client did not return `state`, and this provider protects its codes by nothing else.
    StateRequired = "STATE_REQUIRED", "this provider's sign-in needs its state returned: begin again";
    /// There is no such session, or it is somebody else's.
    SessionNotFound = "SESSION_NOT_FOUND", "you have no such session";
    /// A parameter, header or field is missing or malformed.
    BadRequest = "BAD_REQUEST", "the request is not well-formed";
    /// The body is not the JSON that is expected.
    BadJson = "BAD_JSON", "the body is not the JSON that is expected here";
    /// The body is larger than the limit.
    TooLarge = "TOO_LARGE", "the body is too large";
    /// There is no such route.
    NotFound = "NOT_FOUND", "there is nothing at this address";
    /// The route has other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", "this address does not know that method";
    /// The request's media type is not understood.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", "send JSON, with content-type: application/json";
    /// The page may not be used from another site.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", "this origin is not allowed";
    /// The built-in provider serves this machine alone.
    DevSignInClosed = "DEV_SIGN_IN_CLOSED", "the development sign-in serves this machine only";
    /// A language that the server does not offer.
    UnknownLanguage = "UNKNOWN_LANGUAGE", "this language is not offered here";
    /// Nobody has this e-mail.
    RecipientNotFound = "RECIPIENT_NOT_FOUND", "nobody here has this e-mail address";
    /// A room with oneself.
    RoomWithOneself = "ROOM_WITH_ONESELF", "a room needs somebody else";
    /// There is no such room.
    RoomNotFound = "ROOM_NOT_FOUND", "there is no such room";
    /// The room is other people's.
    NotAMember = "NOT_A_MEMBER", "you are not in this room";
    /// A message without text.
    EmptyMessage = "EMPTY_MESSAGE", "a message needs some text";
    /// A message with too much text.
    MessageTooLong = "MESSAGE_TOO_LONG", "the message is too long";
    /// A `client-message-id` outside its alphabet or length.
    BadClientMessageId = "BAD_CLIENT_MESSAGE_ID", "a client-message-id is 1 to 64 letters, digits, _ or -";
    /// A `client-message-id` that another text has.
    MessageIdReused = "MESSAGE_ID_REUSED", "this client-message-id belongs to another text";
    /// A destination that nobody may use this way.
    DestinationRefused = "DESTINATION_REFUSED", "this destination is not for you";
    /// A `last-seq` that is no number.
    BadLastSeq = "BAD_LAST_SEQ", "last-seq is a message number";
    /// The bytes are not STOMP.
    BadFrame = "BAD_FRAME", "this is not a STOMP frame";
    /// A frame beyond the limits.
    FrameTooLarge = "FRAME_TOO_LARGE", "the frame is too large";
    /// A frame that may not come now.
    UnexpectedFrame = "UNEXPECTED_FRAME", "this frame may not come now";
    /// A header is missing or malformed.
    BadHeader = "BAD_HEADER", "a header is missing or malformed";
    /// No version of STOMP is common.
    NoCommonVersion = "NO_COMMON_VERSION", "this server speaks STOMP 1.2";
    /// A subscription id that is in use.
    SubscriptionExists = "SUBSCRIPTION_EXISTS", "this subscription id is in use";
    /// A subscription id that is not in use.
    SubscriptionUnknown = "SUBSCRIPTION_UNKNOWN", "there is no such subscription";
    /// More subscriptions than a connection may have.
    TooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS", "this connection has too many subscriptions";
    /// More requests than are allowed.
    TooManyRequests = "TOO_MANY_REQUESTS", "too many requests: try again later";
    /// A part of the server is out of reach.
    Unavailable = "UNAVAILABLE", "the server cannot answer right now: try again";
    /// A fault of the server.
    Internal = "INTERNAL", "something went wrong on our side";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }
}
