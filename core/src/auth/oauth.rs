//! What ties a sign-in to the browser that began it.
//!
//! The first client returns only the `code`, so `state` alone cannot protect it. A cookie that only the browser
//! holds carries the PKCE verifier, the nonce, the state and where to return to (RFC 9700 section 2.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::ports::{Entropy, MacPurpose, TokenSigner};
use crate::time::Timestamp;

/// A sign-in under way.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInCookie {
    /// The sign-in's own name; it can be completed once.
    pub id: String,
    /// At which provider: a code of another one is not taken (RFC 9700 section 4.4).
    pub provider: String,
    /// The secret of PKCE (RFC 7636 section 4.1): 43 characters.
    pub verifier: String,
    /// For the ID token.
    pub nonce: String,
    /// For clients that return it.
    pub state: String,
    /// Where the provider was asked to send the browser; the exchange names the same place (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
    /// It is worthless from then on.
    pub expires_at: Timestamp,
}

impl SignInCookie {
    /// A sign-in that begins now.
    pub fn begin(entropy: &dyn Entropy, provider: &str, redirect_uri: &str, expires_at: Timestamp) -> Self {
        let text = || {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        Self {
            id: text(),
            provider: provider.to_owned(),
            verifier: text(),
            nonce: text(),
            state: text(),
            redirect_uri: redirect_uri.to_owned(),
            expires_at,
        }
    }

    /// The cookie's value.
    pub fn encode(&self, signer: &dyn TokenSigner) -> String {
        let [provider, redirect_uri] = [&self.provider, &self.redirect_uri].map(|text| URL_SAFE_NO_PAD.encode(text));
        let expires_at = self.expires_at.as_millis();
        let Self { id, verifier, nonce, state, .. } = self;
        let fields = format!("{id}.{provider}.{verifier}.{nonce}.{state}.{redirect_uri}.{expires_at}");
        let code = signer.mac(MacPurpose::SignIn, fields.as_bytes());
        format!("{fields}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    /// An authentic cookie that is not over; `None` for anything else.
    pub fn decode(value: &str, signer: &dyn TokenSigner, now: Timestamp) -> Option<Self> {
        let (fields, code) = value.rsplit_once('.')?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        if !signer.mac_matches(MacPurpose::SignIn, fields.as_bytes(), &code) {
            return None;
        }
        let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let parts: Vec<&str> = fields.split('.').collect();
        let [id, provider, verifier, nonce, state, redirect_uri, expires_at] = parts.as_slice() else { return None };
        let expires_at = Timestamp::from_millis(expires_at.parse().ok()?);
        let begun = Self {
            id: (*id).to_owned(),
            provider: text(provider)?,
            verifier: (*verifier).to_owned(),
            nonce: (*nonce).to_owned(),
            state: (*state).to_owned(),
            redirect_uri: text(redirect_uri)?,
            expires_at,
        };
        (now < expires_at).then_some(begun)
    }
}

/// BASE64URL(SHA-256(verifier)), the method S256 of RFC 7636 section 4.2.
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(code_challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
