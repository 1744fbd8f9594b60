//! A signer for simulations: tokens that say what a real one says, under a code of one fixed key.
//!
//! They are no JSON Web Tokens, and no server hands them out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use transtalk_core::Timestamp;
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, MacPurpose, SignerError, TokenKind, TokenSigner};

/// HMAC-SHA-256 (RFC 2104) for everything.
pub struct MemorySigner {
    key: [u8; 32],
}

impl MemorySigner {
    /// The same key makes the same tokens.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The code over a label and bytes. The label ends in a byte that no label contains, so no two inputs run together.
    fn code(&self, label: &str, bytes: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of any length (RFC 2104 section 3), so this cannot fail.
        let mut code = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length is taken");
        code.update(label.as_bytes());
        code.update(b"\0");
        code.update(bytes);
        code
    }

    /// Enciphers and deciphers: the bytes, mixed with a stream of codes over the nonce and a counter.
    fn cipher(&self, nonce: [u8; 12], text: &[u8]) -> Vec<u8> {
        let block = |number: u64| self.code(CIPHER_LABEL, &[nonce.as_slice(), &number.to_be_bytes()].concat());
        let stream = (0..).flat_map(|number| <[u8; 32]>::from(block(number).finalize().into_bytes()));
        text.iter().zip(stream).map(|(byte, mask)| byte ^ mask).collect()
    }

    /// The code over all that a seal stands for. The context's length keeps it apart from the text.
    fn seal_tag(&self, nonce: [u8; 12], context: &[u8], text: &[u8]) -> Hmac<Sha256> {
        let length = (context.len() as u64).to_be_bytes();
        self.code(SEAL_LABEL, &[nonce.as_slice(), &length, context, text].concat())
    }
}

impl TokenSigner for MemorySigner {
    fn sign(&self, kind: TokenKind, claims: &Claims) -> String {
        let Claims { user, session, generation, jti, issued_at, expires_at } = claims;
        let (issued, expires) = (issued_at.as_secs(), expires_at.as_secs());
        let body = format!("{}\n{user}\n{session}\n{generation}\n{issued}\n{expires}\n{jti}", kind.typ());
        let code = self.code(TOKEN_LABEL, body.as_bytes()).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(body), URL_SAFE_NO_PAD.encode(code))
    }

    fn verify(&self, kind: TokenKind, token: &str) -> Result<Claims, SignerError> {
        let decoded = token
            .split_once('.')
            .and_then(|(body, code)| Some((URL_SAFE_NO_PAD.decode(body).ok()?, URL_SAFE_NO_PAD.decode(code).ok()?)));
        let (body, code) = decoded.ok_or(SignerError::Invalid)?;
        self.code(TOKEN_LABEL, &body).verify_slice(&code).map_err(|_| SignerError::Invalid)?;
        std::str::from_utf8(&body).ok().and_then(|body| parse(kind, body)).ok_or(SignerError::Invalid)
    }

    fn mac(&self, purpose: MacPurpose, bytes: &[u8]) -> [u8; 32] {
        self.code(purpose.label(), bytes).finalize().into_bytes().into()
    }

    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool {
        self.code(purpose.label(), bytes).verify_slice(code).is_ok()
    }

    fn seal(&self, nonce: [u8; 12], context: &[u8], secret: &[u8]) -> Vec<u8> {
        let text = self.cipher(nonce, secret);
        let tag = self.seal_tag(nonce, context, &text).finalize().into_bytes();
        [nonce.as_slice(), &text, &tag].concat()
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk()?;
        let (text, tag) = rest.split_last_chunk::<32>()?;
        self.seal_tag(*nonce, context, text).verify_slice(tag).ok()?;
        Some(self.cipher(*nonce, text))
    }

    fn jwks(&self) -> String {
        r#"{"keys":[]}"#.to_owned()
    }
}

/// What an authentic body says, if it is of this kind.
fn parse(kind: TokenKind, body: &str) -> Option<Claims> {
    let mut lines = body.splitn(7, '\n');
    let mut line = || lines.next();
    if line()? != kind.typ() {
        return None;
    }
    Some(Claims {
        user: line()?.parse().ok()?,
        session: line()?.parse().ok()?,
        generation: Generation(line()?.parse().ok()?),
        issued_at: Timestamp::from_secs(line()?.parse().ok()?),
        expires_at: Timestamp::from_secs(line()?.parse().ok()?),
        jti: line()?.to_owned(),
    })
}

/// Keeps the codes of tokens apart from those of every [`MacPurpose`].
const TOKEN_LABEL: &str = "transtalk token v1";
const CIPHER_LABEL: &str = "transtalk cipher v1";
const SEAL_LABEL: &str = "transtalk seal v1";

#[cfg(test)]
mod tests {
    use transtalk_core::UserId;

    use super::*;

    fn claims() -> Claims {
        Claims {
            user: UserId::new(7).unwrap(),
            session: "00112233445566778899aabbccddeeff".parse().unwrap(),
            generation: Generation(3),
            jti: "any\ntext".to_owned(),
            issued_at: Timestamp::from_secs(1_000),
            expires_at: Timestamp::from_secs(2_800),
        }
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let signer = MemorySigner::new([1; 32]);
        let token = signer.sign(TokenKind::Access, &claims());
        assert!(signer.verify(TokenKind::Access, &token) == Ok(claims()));
        assert_eq!(token, signer.sign(TokenKind::Access, &claims()));
    }

    #[test]
    fn no_kind_passes_for_another() {
        let signer = MemorySigner::new([1; 32]);
        let token = signer.sign(TokenKind::Access, &claims());
        assert_eq!(signer.verify(TokenKind::WsTicket, &token), Err(SignerError::Invalid));
        let code = signer.mac(MacPurpose::Refresh, b"x");
        assert!(signer.mac_matches(MacPurpose::Refresh, b"x", &code));
        assert!(!signer.mac_matches(MacPurpose::SignIn, b"x", &code));
        assert!(!signer.mac_matches(MacPurpose::Refresh, b"x", &code[..31]));
    }

    #[test]
    fn an_altered_token_is_not_believed() {
        let signer = MemorySigner::new([1; 32]);
        let token = signer.sign(TokenKind::Access, &claims());
        assert_eq!(MemorySigner::new([2; 32]).verify(TokenKind::Access, &token), Err(SignerError::Invalid));
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert_eq!(signer.verify(TokenKind::Access, &altered), Err(SignerError::Invalid), "byte {index}");
        }
        for malformed in ["", ".", "x", "x.y", "🦊.🦊", &token[..token.len() - 1]] {
            assert_eq!(signer.verify(TokenKind::Access, malformed), Err(SignerError::Invalid), "{malformed:?}");
        }
    }

    #[test]
    fn what_was_sealed_opens_under_its_own_context_only() {
        let signer = MemorySigner::new([1; 32]);
        for length in [0, 1, 31, 32, 33, 1_000] {
            let secret = vec![0x41; length];
            let sealed = signer.seal([9; 12], b"context", &secret);
            assert_eq!(sealed, signer.seal([9; 12], b"context", &secret));
            assert_eq!(signer.open(b"context", &sealed), Some(secret.clone()));
            for other in [b"".as_slice(), b"contex", b"contextA", b"Context"] {
                assert_eq!(signer.open(other, &sealed), None);
            }
            assert_eq!(MemorySigner::new([2; 32]).open(b"context", &sealed), None);
            if length >= 31 {
                assert!(!sealed.windows(8).any(|window| window == &secret[..8]));
                assert_ne!(sealed[12..], signer.seal([8; 12], b"context", &secret)[12..]);
            }
        }
    }

    #[test]
    fn a_seal_with_any_one_bit_altered_or_cut_short_does_not_open() {
        let signer = MemorySigner::new([1; 32]);
        let sealed = signer.seal([9; 12], b"context", b"a provider's token");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(signer.open(b"context", &altered), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(signer.open(b"context", &sealed[..length]), None, "{length} bytes");
        }
    }
}
