//! An ID token is believed only if everything in it is right (OpenID Connect Core sections 3.1.3.7 and 3.1.3.8).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use serde_json::Number;
use sha2::{Digest, Sha256, Sha512};
use transtalk_core::Timestamp;

use super::profile::{Person, is_subject};
use crate::signer::jws::{CompactJws, JwsAlgorithm, JwsError, verify_in};

/// What a token must agree with.
pub(super) struct Expected<'a> {
    /// The spellings of the one issuer.
    pub(super) issuers: &'a [String],
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The access token that came with it.
    pub(super) access_token: &'a str,
    /// What the provider may sign with. The token's header chooses among these only.
    pub(super) algorithms: &'a [JwsAlgorithm],
    pub(super) now: Timestamp,
}

/// What a believed token says.
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) person: Person,
}

/// Why a token was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("its ID token was not signed by it: {0}")]
    Signature(#[from] JwsError),
    #[error("its ID token does not have the claims that it must have")]
    Claims,
    #[error("its ID token is one of another issuer")]
    Issuer,
    #[error("its ID token is for another client")]
    Audience,
    #[error("its ID token has expired")]
    Expired,
    #[error("its ID token is from the future")]
    Early,
    #[error("its ID token is of another sign-in")]
    Nonce,
    #[error("its ID token belongs to another access token")]
    AccessToken,
    #[error("its ID token names nobody")]
    Subject,
}

impl Flaw {
    /// Whether newer keys could mend it: the key is not known, or the token does not say which it is.
    pub(super) fn may_be_rotation(self, token: &str) -> bool {
        match self {
            Self::Signature(JwsError::UnknownKey) => true,
            Self::Signature(JwsError::WrongSignature) => {
                CompactJws::parse(token).is_ok_and(|token| token.kid().is_none())
            }
            _ => false,
        }
    }
}

/// What the token says, if all of it is right.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Claims, Flaw> {
    let (algorithm, payload) = signed(token, keys, expected.algorithms)?;
    let claims: Payload = serde_json::from_slice(&payload).map_err(|_| Flaw::Claims)?;
    // 2: "The Issuer Identifier for the OpenID Provider MUST exactly match the value of the iss Claim".
    if !expected.issuers.contains(&claims.iss) {
        return Err(Flaw::Issuer);
    }
    // 3: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience".
    let (is_listed, is_only) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, true),
        Audience::Several(several) => (several.iter().any(|one| one == expected.client_id), several.len() == 1),
    };
    // 4 and 5: with several audiences, the authorized party says for whom it was made.
    let party_fits = claims.azp.as_deref().map_or(is_only, |party| party == expected.client_id);
    if !is_listed || !party_fits {
        return Err(Flaw::Audience);
    }
    in_time(&claims, expected.now)?;
    // 11: "The Client SHOULD check the nonce value for replay attacks"; here it also binds the token to the browser.
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(Flaw::Nonce);
    }
    if claims.at_hash.is_some_and(|hash| hash != at_hash(algorithm, expected.access_token)) {
        return Err(Flaw::AccessToken);
    }
    if !is_subject(&claims.sub) {
        return Err(Flaw::Subject);
    }
    let person = serde_json::from_slice(&payload).map_err(|_| Flaw::Claims)?;
    Ok(Claims { subject: claims.sub, person })
}

/// The bytes that one of these keys signed with one of these algorithms.
fn signed(token: &str, keys: &JwkSet, algorithms: &[JwsAlgorithm]) -> Result<(JwsAlgorithm, Vec<u8>), JwsError> {
    let mut flaw = JwsError::WrongAlgorithm;
    for algorithm in algorithms {
        match verify_in(keys, *algorithm, token) {
            Ok(verified) => return Ok((*algorithm, verified.payload)),
            Err(JwsError::WrongAlgorithm) => {}
            Err(other) => flaw = other,
        }
    }
    Err(flaw)
}

fn in_time(claims: &Payload, now: Timestamp) -> Result<(), Flaw> {
    let at = |number: &Number| number.as_f64().filter(|at| at.is_finite() && *at >= 0.0).ok_or(Flaw::Claims);
    // Both are far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "the seconds since 1970 and their skew are far below 2^53")]
    let (now, skew) = (now.as_secs() as f64, SKEW.as_secs() as f64);
    if at(&claims.exp)? + skew <= now {
        return Err(Flaw::Expired);
    }
    let begins = claims.nbf.as_ref().map(at).transpose()?.unwrap_or(0.0);
    if at(&claims.iat)? - skew > now || begins - skew > now {
        return Err(Flaw::Early);
    }
    Ok(())
}

/// Section 3.1.3.6: the left half of the access token's hash, made with the hash function of the signature.
fn at_hash(algorithm: JwsAlgorithm, access_token: &str) -> String {
    match algorithm {
        // Ed25519 hashes with SHA-512 (RFC 8032 section 5.1).
        JwsAlgorithm::EdDsa => URL_SAFE_NO_PAD.encode(&Sha512::digest(access_token)[..32]),
        _ => URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16]),
    }
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: Number,
    iat: Number,
    #[serde(default)]
    nbf: Option<Number>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// How far our clock and theirs may differ.
const SKEW: Duration = Duration::from_mins(1);
