//! Tokens as signed JWTs (RFC 7519), with the server's secrets in one file of the data folder.
//!
//! Only Ed25519 (RFC 8037) signs, and the algorithm is never taken from the token. No clock is read: whoever asks
//! compares the times. The file itself is in `key_file`.

mod key_file;

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, Entropy, MacPurpose, SignerError, TokenKind, TokenSigner};
use transtalk_core::{Timestamp, limits};

pub use key_file::KeyFileError;
use key_file::{KeyFile, StoredKey};

/// Signs with the first key of a file, and believes every key in it.
pub struct KeyFileSigner {
    issuer: String,
    audience: String,
    kid: String,
    signing: EncodingKey,
    /// By `kid`, in the file's order.
    verifying: Vec<(String, DecodingKey)>,
    validation: Validation,
    mac: Hmac<Sha256>,
    jwks: String,
}

impl KeyFileSigner {
    /// The signer of this file, which is made if there is none. Its folder must exist.
    /// Two processes that start at once on one folder end up with the same keys.
    pub fn open(path: &Path, issuer: &str, audience: &str, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        let KeyFile { mac_secret, keys } = KeyFile::open(path, entropy)?;
        let malformed = |why| KeyFileError::Malformed { path: path.to_owned(), why };

        let mac = Hmac::new_from_slice(&mac_secret).map_err(|_| malformed("its MAC secret cannot be used"))?;
        let verifying = keys
            .iter()
            .map(|key| Ok((key.kid.clone(), DecodingKey::from_jwk(&key.public)?)))
            .collect::<Result<_, jsonwebtoken::errors::Error>>()
            .map_err(|_| malformed("one of its keys cannot be used"))?;
        let jwks = JwkSet { keys: keys.iter().map(published).collect() };
        let jwks = serde_json::to_string(&jwks).map_err(|_| malformed("its public keys cannot be written"))?;
        let StoredKey { kid, signing, .. } =
            keys.into_iter().next().ok_or_else(|| malformed("there is no key in it"))?;

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;

        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Ok(Self { issuer, audience, kid, signing, verifying, validation, mac, jwks })
    }

    fn mac_over(&self, purpose: MacPurpose, bytes: &[u8]) -> Hmac<Sha256> {
        // No label has a zero byte in it, so that no (purpose, bytes) reads as another.
        self.mac.clone().chain_update(purpose.label()).chain_update([0]).chain_update(bytes)
    }

    /// As [`TokenSigner::verify`], with `None` for whatever is wrong: nobody is told what.
    fn believe(&self, kind: TokenKind, token: &str) -> Option<Claims> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 section 4.1.11: what is marked critical must be understood, and we understand none of it.
        if header.typ.as_deref() != Some(kind.typ()) || header.crit.is_some() {
            return None;
        }
        let named = header.kid?;
        let (_, key) = self.verifying.iter().find(|(kid, _)| *kid == named)?;
        let says = jsonwebtoken::decode::<TokenClaims>(token, key, &self.validation).ok()?.claims;
        if says.iss != self.issuer || says.aud != self.audience || says.role != ROLE || says.nbf != says.iat {
            return None;
        }
        Some(Claims {
            user: says.sub.parse().ok()?,
            session: says.sid.parse().ok()?,
            generation: Generation(says.generation),
            jti: says.jti,
            issued_at: Timestamp::from_secs(says.iat),
            expires_at: Timestamp::from_secs(says.exp),
        })
    }
}

impl TokenSigner for KeyFileSigner {
    fn sign(&self, kind: TokenKind, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(kind.typ().to_owned());
        header.kid = Some(self.kid.clone());
        let claims = TokenClaims {
            sub: claims.user.to_string(),
            sid: claims.session.to_string(),
            generation: claims.generation.0,
            jti: claims.jti.clone(),
            iat: claims.issued_at.as_secs(),
            nbf: claims.issued_at.as_secs(),
            exp: claims.expires_at.as_secs(),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            role: ROLE.to_owned(),
        };
        // It fails for a key that is none (the file's reader derived the public half of this one)
        // and for claims that JSON cannot express (these are texts and whole numbers).
        jsonwebtoken::encode(&header, &claims, &self.signing).expect("a checked key signs plain claims")
    }

    fn verify(&self, kind: TokenKind, token: &str) -> Result<Claims, SignerError> {
        self.believe(kind, token).ok_or(SignerError::Invalid)
    }

    fn mac(&self, purpose: MacPurpose, bytes: &[u8]) -> [u8; 32] {
        self.mac_over(purpose, bytes).finalize().into_bytes().into()
    }

    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool {
        self.mac_over(purpose, bytes).verify_slice(code).is_ok()
    }

    fn jwks(&self) -> String {
        self.jwks.clone()
    }
}

/// Nothing of it is shown.
impl fmt::Debug for KeyFileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFileSigner")
    }
}

/// A token's payload. All of it is required, and a list for `iss` or `aud` is refused.
#[derive(Serialize, Deserialize)]
struct TokenClaims {
    sub: String,
    sid: String,
    #[serde(rename = "gen")]
    generation: u32,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    iss: String,
    aud: String,
    role: String,
}

fn published(key: &StoredKey) -> Jwk {
    let mut jwk = key.public.clone();
    jwk.common.key_id = Some(key.kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk
}

/// There is one role so far.
const ROLE: &str = "user";
