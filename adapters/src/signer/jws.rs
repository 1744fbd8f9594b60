//! Signatures in compact form (RFC 7515 section 7.1), below any claim.
//!
//! Whoever asks names the key and the one algorithm that is allowed; the token's header decides neither, it can only
//! disagree. What a header brings along as a key (`jwk`, `jku`, `x5u`, `x5c`) is never read. Claims and times are for
//! the caller: for our own tokens that is the module above, for ID tokens of providers the folder `oauth`.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

pub use super::algorithm::JwsAlgorithm;

/// Why a signature was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three parts of base64url, or its header is not JSON with unique members.
    #[error("it is not a JWS in compact form")]
    Malformed,
    /// Its header asks for something that this verifier does not do: `crit`, `b64`, `zip` or `enc`.
    #[error("its header asks for what is not supported")]
    NotSupported,
    /// Its header names another algorithm than the allowed one.
    #[error("it is signed with another algorithm than the allowed one")]
    WrongAlgorithm,
    /// No key fits: perhaps the key set is older than the token.
    #[error("no known key fits it")]
    UnknownKey,
    /// The key is not for this: another algorithm, type, curve or use, too short, or one of several that fit.
    #[error("the key is not one for verifying it")]
    UnfitKey,
    /// The signature is not one of this key over these bytes.
    #[error("its signature is wrong")]
    WrongSignature,
}

/// What an authentic token holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    /// `typ` of the header.
    pub typ: Option<String>,
    /// The bytes that were signed as payload.
    pub payload: Vec<u8>,
}

/// A payload may be personal.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("typ", &self.typ).finish_non_exhaustive()
    }
}

/// The token's payload, if this key signed it with this algorithm.
pub fn verify(jwk: &Jwk, algorithm: JwsAlgorithm, token: &str) -> Result<Verified, JwsError> {
    VerifyingKey::new(jwk, algorithm)?.verify(&CompactJws::parse(token)?)
}

/// As [`verify`], with the key of the set that fits the algorithm and the token's `kid`.
///
/// [`JwsError::UnknownKey`] means that the set should be fetched again: the signer may have a new key. A set that mixes
/// secrets and public keys is refused whole, since whoever published it has published its secrets.
pub fn verify_in(keys: &JwkSet, algorithm: JwsAlgorithm, token: &str) -> Result<Verified, JwsError> {
    let token = CompactJws::parse(token)?;
    if token.header.alg != algorithm.name() {
        return Err(JwsError::WrongAlgorithm);
    }
    let is_secret = |key: &Jwk| matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    let secrets = keys.keys.iter().filter(|key| is_secret(key)).count();
    if secrets != 0 && secrets != keys.keys.len() {
        return Err(JwsError::UnfitKey);
    }
    let named = |key: &&Jwk| token.kid().is_none() || key.common.key_id.as_deref() == token.kid();
    let mut fitting = keys.keys.iter().filter(named).filter_map(|key| VerifyingKey::new(key, algorithm).ok());
    let key = fitting.next().ok_or(JwsError::UnknownKey)?;
    // Trying one after the other would let whoever can add a key choose.
    if fitting.next().is_some() {
        return Err(JwsError::UnfitKey);
    }
    key.verify(&token)
}

/// A token that is taken apart, and not believed yet.
pub struct CompactJws<'a> {
    header: JoseHeader,
    /// Header and payload as they were signed.
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Takes a text apart.
    pub fn parse(text: &'a str) -> Result<Self, JwsError> {
        if text.len() > JWS_BYTES_MAX {
            return Err(JwsError::Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JwsError::Malformed)?;
        // RFC 7515 section 5.2 step 2: "following the restriction that no line breaks, whitespace, or other additional
        // characters have been used". A dot in the payload is one too, so a fourth part does not get past this.
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwsError::Malformed)?;
        let header = std::str::from_utf8(&header).map_err(|_| JwsError::Malformed)?;
        let header = serde_json::from_str(header).map_err(|_| JwsError::Malformed)?;
        Ok(Self { header, message, payload, signature })
    }

    /// Which key it claims to be signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }
}

/// A key that is fit for one algorithm.
pub struct VerifyingKey {
    algorithm: JwsAlgorithm,
    kid: Option<String>,
    key: DecodingKey,
}

impl VerifyingKey {
    /// The key, if everything that it says of itself agrees with this algorithm.
    pub fn new(jwk: &Jwk, algorithm: JwsAlgorithm) -> Result<Self, JwsError> {
        let common = &jwk.common;
        let is_meant = common.key_algorithm.is_none_or(|named| named == algorithm.into())
            && common.public_key_use.as_ref().is_none_or(|named| *named == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|named| named.contains(&KeyOperations::Verify));
        if !is_meant {
            return Err(JwsError::UnfitKey);
        }
        let key = decoding_key(&jwk.algorithm, algorithm).ok_or(JwsError::UnfitKey)?;
        Ok(Self { algorithm, kid: common.key_id.clone(), key })
    }

    /// The token's payload, if this key signed it.
    pub fn verify(&self, token: &CompactJws<'_>) -> Result<Verified, JwsError> {
        let header = &token.header;
        if header.alg != self.algorithm.name() {
            return Err(JwsError::WrongAlgorithm);
        }
        if header.asks_for_more {
            return Err(JwsError::NotSupported);
        }
        if self.kid.is_some() && header.kid.is_some() && self.kid != header.kid {
            return Err(JwsError::UnknownKey);
        }
        let message = token.message.as_bytes();
        match jsonwebtoken::crypto::verify(token.signature, message, &self.key, self.algorithm.into()) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(JwsError::WrongSignature),
        }
        let payload = URL_SAFE_NO_PAD.decode(token.payload).map_err(|_| JwsError::Malformed)?;
        Ok(Verified { typ: header.typ.clone(), payload })
    }
}

/// The library's key; it looks neither at the curve nor at the length of each coordinate, nor at that of a secret.
fn decoding_key(parameters: &AlgorithmParameters, algorithm: JwsAlgorithm) -> Option<DecodingKey> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let is_32_bytes = |text: &str| decode(text).is_some_and(|bytes| bytes.len() == 32);
    match (algorithm, parameters) {
        (JwsAlgorithm::EdDsa, AlgorithmParameters::OctetKeyPair(pair)) => {
            let fits = pair.curve == EllipticCurve::Ed25519 && is_32_bytes(&pair.x);
            fits.then(|| DecodingKey::from_ed_components(&pair.x).ok())?
        }
        (JwsAlgorithm::Es256, AlgorithmParameters::EllipticCurve(point)) => {
            let fits = point.curve == EllipticCurve::P256 && is_32_bytes(&point.x) && is_32_bytes(&point.y);
            fits.then(|| DecodingKey::from_ec_components(&point.x, &point.y).ok())?
        }
        // RFC 7518 section 3.2: "A key of the same size as the hash output (for instance, 256 bits for "HS256") or
        // larger MUST be used with this algorithm."
        (JwsAlgorithm::Hs256, AlgorithmParameters::OctetKey(secret)) => {
            let secret = decode(&secret.value)?;
            (secret.len() >= HS256_BYTES_MIN).then(|| DecodingKey::from_secret(&secret))
        }
        (JwsAlgorithm::Rs256 | JwsAlgorithm::Ps256, AlgorithmParameters::RSA(rsa)) => {
            let (modulus, exponent) = (decode(&rsa.n)?, decode(&rsa.e)?);
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let modulus = &modulus[zeros..];
            let unused = modulus.first()?.leading_zeros() as usize;
            // RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms."
            (modulus.len() * 8 - unused >= RSA_BITS_MIN)
                .then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
        }
        _ => None,
    }
}

/// What is read of a header (RFC 7515 section 4.1).
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// RFC 7515 section 4.1.11: what is marked critical must be understood, and we understand none of it. An unencoded
    /// payload (RFC 7797) and compression (RFC 8725 section 3.6) are refused even if nobody marks them.
    asks_for_more: bool,
}

impl<'de> Deserialize<'de> for JoseHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = JoseHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<JoseHeader, M::Error> {
        let (mut alg, mut kid, mut typ, mut asks_for_more) = (None, None, None, false);
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "alg" => alg = Some(map.next_value::<String>()?),
                "kid" => kid = Some(map.next_value::<String>()?),
                "typ" => typ = Some(map.next_value::<String>()?),
                "crit" | "b64" | "zip" | "enc" => {
                    map.next_value::<IgnoredAny>()?;
                    asks_for_more = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            // RFC 7515 section 4: "The Header Parameter names within the JOSE Header MUST be unique".
            if !seen.insert(name) {
                return Err(de::Error::custom("a member stands there twice"));
            }
        }
        let alg = alg.ok_or_else(|| de::Error::missing_field("alg"))?;
        Ok(JoseHeader { alg, kid, typ, asks_for_more })
    }
}

/// Our own tokens are far shorter; those of providers carry groups and addresses.
const JWS_BYTES_MAX: usize = 16 * 1024;
pub(super) const HS256_BYTES_MIN: usize = 32;
const RSA_BITS_MIN: usize = 2048;
