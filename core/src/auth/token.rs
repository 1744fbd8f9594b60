//! The refresh token, which names its session and generation and proves that this server made it.
//! The store keeps no secret: whoever reads it can make no token.

use crate::auth::Generation;
use crate::id::SessionId;
use crate::limits;
use crate::ports::{MacPurpose, TokenSigner};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `SID.GENERATION.MAC`, where the code is over the two before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session.
    pub session: SessionId,
    /// Which of its refresh tokens.
    pub generation: Generation,
}

impl RefreshToken {
    /// The token as the cookie holds it. The same session and generation give the same text every time.
    pub fn encode(&self, signer: &dyn TokenSigner) -> String {
        let named = self.named();
        let code = signer.mac(MacPurpose::Refresh, named.as_bytes());
        format!("{named}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    /// What an authentic token names; `None` for anything else.
    pub fn decode(text: &str, signer: &dyn TokenSigner) -> Option<Self> {
        if text.len() > limits::TOKEN_BYTES_MAX {
            return None;
        }
        let (named, code) = text.rsplit_once('.')?;
        let (session, generation) = named.split_once('.')?;
        let token = Self { session: session.parse().ok()?, generation: Generation(generation.parse().ok()?) };
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        // The code is over the one spelling of the two parts, so "01" is no second name of 1.
        signer
            .mac_matches(MacPurpose::Refresh, token.named().as_bytes(), &code)
            .then_some(token)
            .filter(|_| named == token.named())
    }

    fn named(&self) -> String {
        format!("{}.{}", self.session, self.generation)
    }
}

/// The token of an `Authorization` value, with or without `Bearer ` (RFC 6750 section 2.1; the first client sends both).
pub fn bearer(value: &str) -> &str {
    let value = value.trim();
    match value.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => value.get(7..).unwrap_or_default().trim(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_may_come_bare() {
        for (value, token) in
            [("Bearer x.y", "x.y"), ("bearer  x.y ", "x.y"), ("x.y", "x.y"), ("", ""), ("Bearer", "Bearer")]
        {
            assert_eq!(bearer(value), token);
        }
    }
}
