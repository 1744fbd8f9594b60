//! Tokens and codes that only this server can make.

use std::fmt;

use crate::auth::Generation;
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// What a signed token is for. No kind passes for another (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenKind {
    /// For HTTP requests and CONNECT frames.
    Access,
    /// For one upgrade to a WebSocket.
    WsTicket,
}

impl TokenKind {
    /// The `typ` of the token's header (RFC 9068 section 2.1 for access tokens).
    pub fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::WsTicket => "ws-ticket+jwt",
        }
    }
}

/// What a token says. Nothing in it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`.
    pub user: UserId,
    /// `sid`.
    pub session: SessionId,
    /// `gen`.
    pub generation: Generation,
    /// `jti`: unique among all tokens.
    pub jti: String,
    /// `iat` and `nbf`.
    pub issued_at: Timestamp,
    /// `exp`. The token is dead at this second.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("user", &self.user).field("session", &self.session).finish_non_exhaustive()
    }
}

/// Why a token was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Not ours: malformed, of another kind, issuer or audience, with another algorithm, or altered.
    #[error("the token is not valid")]
    Invalid,
}

/// What a message authentication code is for, so that none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacPurpose {
    /// Refresh tokens.
    Refresh,
    /// The cookie that binds a sign-in to its browser.
    SignIn,
}

impl MacPurpose {
    /// A prefix that keeps purposes apart.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refresh => "transtalk refresh v1",
            Self::SignIn => "transtalk sign-in v1",
        }
    }
}

/// Signs and verifies. It never waits.
pub trait TokenSigner: Send + Sync {
    /// A signed token (JWT, RFC 7519).
    fn sign(&self, kind: TokenKind, claims: &Claims) -> String;

    /// What an authentic token of this kind says. **Time is not looked at**: whoever asks compares `expires_at` and `issued_at`.
    fn verify(&self, kind: TokenKind, token: &str) -> Result<Claims, SignerError>;

    /// A code over these bytes, made with the newest secret of the server.
    fn mac(&self, purpose: MacPurpose, bytes: &[u8]) -> [u8; 32];

    /// Whether the code is the one for these bytes under the newest secret, or an earlier one that is still kept; in constant time.
    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool;

    /// Encrypts and authenticates (AEAD, RFC 5116): only this server opens it again, and only under the same context.
    /// The nonce must be fresh chance, 12 bytes.
    fn seal(&self, nonce: [u8; 12], context: &[u8], secret: &[u8]) -> Vec<u8>;

    /// What was sealed under this context; `None` for anything else.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;

    /// The public keys as a JSON Web Key Set (RFC 7517 section 5). Never a symmetric one.
    fn jwks(&self) -> String;
}
