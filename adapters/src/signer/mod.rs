//! Tokens as signed JWTs (RFC 7519), with the server's secrets in one file of the data folder.
//!
//! The keys decide the algorithm, never the token. No clock is read: whoever asks compares the times, and says what time
//! it is when keys are chosen. Signatures are in [`jws`], the file in `key_file` and `document`, how keys are replaced
//! in `rotation`, which of them is in use in `keys`.

pub mod algorithm;
mod document;
pub mod jws;
mod key_file;
mod keys;
mod remembered;
mod rotation;
mod sealed;
mod secret;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, Mac};
use jsonwebtoken::Header;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, Entropy, MacPurpose, SignerError, TokenKind, TokenSigner};
use transtalk_core::{Timestamp, limits};

pub use algorithm::{JwsAlgorithm, SigningAlgorithm};
pub use key_file::KeyFileError;
pub use rotation::{KeyUse, ListedKey, RotateOptions, Rotated, list, rotate};
pub use secret::{Hs256Secret, WeakSecret};

use jws::CompactJws;
use keys::Keys;
use remembered::Name;

/// What a signer is made of.
#[derive(Debug, Clone)]
pub struct SignerOptions {
    /// The key file. Its folder must exist.
    pub path: PathBuf,
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token.
    pub audience: String,
    /// What new tokens are signed with.
    pub algorithm: SigningAlgorithm,
    /// For HS256: signs instead of a secret in the key file. Without effect for other algorithms.
    pub hs256_secret: Option<Hs256Secret>,
    /// Whether a token that was verified once is recognized by its hash from then on.
    pub remember: bool,
}

/// Signs with the newest active key of a file, and believes every key in it.
pub struct KeyFileSigner {
    options: SignerOptions,
    keys: RwLock<Arc<Keys>>,
}

/// What [`KeyFileSigner::reload`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing new.
    Unchanged,
    /// Keys came or went, and some secret stayed.
    Changed,
    /// No secret stayed: nothing that was handed out before counts any more.
    Replaced,
}

impl KeyFileSigner {
    /// The signer of this file, which is made if there is none, and gets a key of the algorithm if it has none.
    /// Two processes that start at once on one folder end up with the same keys.
    pub fn open(options: SignerOptions, now: Timestamp, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        let is_configured = options.algorithm == SigningAlgorithm::Hs256 && options.hs256_secret.is_some();
        let algorithm = (!is_configured).then_some(options.algorithm);
        let bytes = rotation::open(&options.path, algorithm, now, entropy)?;
        let keys = choose(&options, &bytes, now)?;
        Ok(Self { options, keys: RwLock::new(Arc::new(keys)) })
    }

    /// Reads the file again, and looks which keys are active now. A file that cannot be used changes nothing.
    pub fn reload(&self, now: Timestamp) -> Result<Reloaded, KeyFileError> {
        let bytes = key_file::read(&self.options.path)?;
        let keys = choose(&self.options, &bytes, now)?;
        if self.keys().is_same(&keys) {
            return Ok(Reloaded::Unchanged);
        }
        let reloaded = if self.keys().shares_codes(&keys) { Reloaded::Changed } else { Reloaded::Replaced };
        // What was remembered goes with the keys that it was verified with.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(reloaded)
    }

    fn keys(&self) -> Arc<Keys> {
        // Only whole values are ever put in, wherever a thread may have died.
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`TokenSigner::verify`], with `None` for whatever is wrong: nobody is told what.
    fn believe(&self, kind: TokenKind, token: &str) -> Option<Claims> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return None;
        }
        let keys = self.keys();
        let Some(remembered) = &keys.remembered else { return self.believe_signature(&keys, kind, token) };
        let name = Name::of(kind, token);
        if let Some(claims) = remembered.find(name) {
            return Some(claims);
        }
        let claims = self.believe_signature(&keys, kind, token)?;
        remembered.keep(name, claims.clone());
        Some(claims)
    }

    fn believe_signature(&self, keys: &Keys, kind: TokenKind, token: &str) -> Option<Claims> {
        let token = CompactJws::parse(token).ok()?;
        let verified = keys.find(token.kid()?)?.verify(&token).ok()?;
        if verified.typ.as_deref() != Some(kind.typ()) {
            return None;
        }
        let says: TokenClaims = serde_json::from_slice(&verified.payload).ok()?;
        let is_ours = says.iss == self.options.issuer && says.aud == self.options.audience;
        if !is_ours || says.role != ROLE || says.nbf != says.iat {
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
        let keys = self.keys();
        let mut header = Header::new(JwsAlgorithm::from(keys.algorithm).into());
        header.typ = Some(kind.typ().to_owned());
        header.kid = Some(keys.kid.clone());
        let claims = TokenClaims {
            sub: claims.user.to_string(),
            sid: claims.session.to_string(),
            generation: claims.generation.0,
            jti: claims.jti.clone(),
            iat: claims.issued_at.as_secs(),
            nbf: claims.issued_at.as_secs(),
            exp: claims.expires_at.as_secs(),
            iss: self.options.issuer.clone(),
            aud: self.options.audience.clone(),
            role: ROLE.to_owned(),
        };
        // It fails for a key that is none (the file's reader derived the public half of this one)
        // and for claims that JSON cannot express (these are texts and whole numbers).
        jsonwebtoken::encode(&header, &claims, &keys.signing).expect("a checked key signs plain claims")
    }

    fn verify(&self, kind: TokenKind, token: &str) -> Result<Claims, SignerError> {
        self.believe(kind, token).ok_or(SignerError::Invalid)
    }

    fn mac(&self, purpose: MacPurpose, bytes: &[u8]) -> [u8; 32] {
        mac_over(&self.keys().newest().mac, purpose, bytes).finalize().into_bytes().into()
    }

    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool {
        self.keys().believed().any(|secret| mac_over(&secret.mac, purpose, bytes).verify_slice(code).is_ok())
    }

    fn seal(&self, nonce: [u8; 12], context: &[u8], secret: &[u8]) -> Vec<u8> {
        self.keys().newest().sealing.seal(nonce, context, secret)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        sealed::open(self.keys().secrets().map(|secret| &secret.sealing), context, sealed)
    }

    fn jwks(&self) -> String {
        self.keys().jwks.clone()
    }
}

/// Nothing of it is shown.
impl fmt::Debug for KeyFileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFileSigner")
    }
}

fn choose(options: &SignerOptions, bytes: &[u8], now: Timestamp) -> Result<Keys, KeyFileError> {
    let secrets = key_file::parse(&options.path, bytes)?;
    Keys::choose(bytes, secrets, options.algorithm, options.hs256_secret.as_ref(), options.remember, now)
        .map_err(|why| KeyFileError::Malformed { path: options.path.clone(), why })
}

fn mac_over(mac: &Hmac<Sha256>, purpose: MacPurpose, bytes: &[u8]) -> Hmac<Sha256> {
    // No label has a zero byte in it, so that no (purpose, bytes) reads as another.
    mac.clone().chain_update(purpose.label()).chain_update([0]).chain_update(bytes)
}

/// A token's payload. All of it is required, none of it may stand there twice, and a list for `iss` or `aud` is refused.
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

/// There is one role so far.
const ROLE: &str = "user";
