//! New keys beside older ones: `transtalk keys list | rotate`, and the first keys of all.
//!
//! A new key signs only after a while, so that every node has read the file before anybody meets its tokens; an older
//! one verifies on for as long as what it made may live.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::ThumbprintHash;
use transtalk_core::Timestamp;
use transtalk_core::ports::Entropy;

use super::algorithm::SigningAlgorithm;
use super::document::{Life, Secrets, StoredKey, StoredMac};
use super::key_file::{self, KeyFileError, Locked};

/// How keys are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotateOptions {
    /// What the new key signs with; `None` if a configured secret signs, so that only the server's other secrets change.
    pub algorithm: Option<SigningAlgorithm>,
    /// How long a replaced key verifies on: at least as long as the longest-lived thing that it made.
    pub overlap: Duration,
    /// How long the new key waits: at least until every node has read the file.
    pub activate_after: Duration,
    /// A key has leaked: the new one signs at once and all older ones are gone, with every token and every session.
    pub immediately: bool,
}

impl RotateOptions {
    /// With the usual wait of a minute.
    pub fn new(algorithm: Option<SigningAlgorithm>, overlap: Duration) -> Self {
        Self { algorithm, overlap, activate_after: Duration::from_mins(1), immediately: false }
    }
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The new keys.
    pub added: Vec<ListedKey>,
    /// The ids of those that are gone.
    pub dropped: Vec<String>,
}

/// What may be shown of a key. There is no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its `kid`, or the id of a server secret.
    pub kid: String,
    /// What it is for.
    pub usage: KeyUse,
    /// By what.
    pub algorithm: &'static str,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when, or from when on, it makes what is new.
    pub active_from: Timestamp,
    /// Since when, or from when on, it only verifies.
    pub retired_at: Option<Timestamp>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Access tokens and tickets.
    Signing,
    /// Refresh tokens, the cookie of a sign-in, and what is kept encrypted.
    Mac,
    /// Only to open what was encrypted with it, long after its codes have ended.
    Opening,
}

impl KeyUse {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Mac => "mac",
            Self::Opening => "opening",
        }
    }
}

/// All keys of the file: those that sign, then the server's other secrets, the newest of each first.
pub fn list(path: &Path) -> Result<Vec<ListedKey>, KeyFileError> {
    let secrets = key_file::parse(path, &key_file::read(path)?)?;
    Ok(secrets.keys.iter().map(listed_key).chain(secrets.macs.iter().map(listed_mac)).collect())
}

/// Adds a key and a server secret, and drops those that were replaced longer ago than the overlap. A dropped server secret still opens
/// what was encrypted with it: a provider's grant is given back when its user leaves, perhaps years later.
/// The file must exist. Two rotations at once happen one after the other.
pub fn rotate(
    path: &Path,
    now: Timestamp,
    options: &RotateOptions,
    entropy: &dyn Entropy,
) -> Result<Rotated, KeyFileError> {
    // Before the lock, which would leave its own file where there is no other.
    key_file::read(path)?;
    let locked = Locked::new(path)?;
    let mut secrets = locked.read()?;
    let active_from = if options.immediately { now } else { now.plus(options.activate_after) };
    let life = Life::new(now, active_from);
    let new_key = options.algorithm.map(|algorithm| new_key(path, algorithm, life, entropy)).transpose()?;
    let new_mac = new_mac(life, entropy);

    let mut dropped = Vec::new();
    let keeps = |life: &mut Life| {
        // A key that was replaced by an earlier rotation stays replaced since then.
        let retired_at = life.retired_at.map_or(active_from, |at| at.min(active_from));
        life.retired_at = Some(retired_at);
        !options.immediately && now.since(retired_at) <= options.overlap
    };
    secrets.keys.retain_mut(|key| {
        let is_kept = keeps(&mut key.life);
        if !is_kept {
            dropped.push(key.kid.clone());
        }
        is_kept
    });
    let mut opening = 0;
    secrets.macs.retain_mut(|mac| {
        if !mac.opens_only && keeps(&mut mac.life) {
            return true;
        }
        // The newest come first: of those that only open, so many are kept, unless they have leaked.
        mac.opens_only = true;
        opening += 1;
        let is_kept = !options.immediately && opening <= OPENING_MAX;
        if !is_kept {
            dropped.push(mac.id.to_string());
        }
        is_kept
    });

    let added = new_key.iter().map(listed_key).chain([listed_mac(&new_mac)]).collect();
    secrets.keys.splice(0..0, new_key);
    secrets.macs.insert(0, new_mac);
    locked.replace(&secrets, entropy)?;
    Ok(Rotated { added, dropped })
}

/// The file's bytes; it is made if there is none, and gets a key if none of this algorithm signs in it.
///
/// Such a key signs at once: that is what the configuration asks for. Where several nodes share a file, `rotate` with
/// the other algorithm before the configuration changes leaves nobody behind.
pub(super) fn open(
    path: &Path,
    algorithm: Option<SigningAlgorithm>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyFileError> {
    let life = Life::new(now, now);
    let mut bytes = match key_file::read(path) {
        Err(error) if error.is_missing() => {
            let keys = algorithm.map(|algorithm| new_key(path, algorithm, life, entropy)).transpose()?;
            let first = Secrets { keys: keys.into_iter().collect(), macs: vec![new_mac(life, entropy)] };
            key_file::create(path, &first, entropy)?;
            // What is there now counts: another process may have been faster.
            key_file::read(path)?
        }
        read => read?,
    };
    let lacking = |secrets: &Secrets| {
        let signs = |key: &StoredKey| Some(key.algorithm) == algorithm && !key.life.is_retired(now);
        algorithm.filter(|_| !secrets.keys.iter().any(signs))
    };
    if lacking(&key_file::parse(path, &bytes)?).is_some() {
        let locked = Locked::new(path)?;
        let mut secrets = locked.read()?;
        // Another process may have added it while this one waited.
        if let Some(algorithm) = lacking(&secrets) {
            secrets.keys.insert(0, new_key(path, algorithm, life, entropy)?);
            locked.replace(&secrets, entropy)?;
        }
        bytes = key_file::read(path)?;
    }
    Ok(bytes)
}

fn new_mac(life: Life, entropy: &dyn Entropy) -> StoredMac {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    StoredMac::new(secret, life)
}

fn new_key(
    path: &Path,
    algorithm: SigningAlgorithm,
    life: Life,
    entropy: &dyn Entropy,
) -> Result<StoredKey, KeyFileError> {
    let unwritable = |why| KeyFileError::Unwritable { path: path.to_owned(), source: std::io::Error::other(why) };
    let private = match algorithm {
        SigningAlgorithm::EdDsa => Some([ED25519_PKCS8_PREFIX, &seed(entropy)].concat()),
        // All but one in four thousand million seeds are keys.
        SigningAlgorithm::Es256 => (0..P256_TRIES_MAX).find_map(|_| p256_key(&seed(entropy))),
        SigningAlgorithm::Hs256 => Some(seed(entropy).to_vec()),
    };
    let private = private.ok_or_else(|| unwritable("no key could be made"))?;
    let mut key = StoredKey::new(String::new(), algorithm, &private, life).map_err(unwritable)?;
    key.kid = match algorithm {
        // A hash of a secret is for nobody to see (RFC 7638 section 7).
        SigningAlgorithm::Hs256 => URL_SAFE_NO_PAD.encode(&seed(entropy)[..16]),
        SigningAlgorithm::EdDsa | SigningAlgorithm::Es256 => {
            key.verifying.thumbprint(ThumbprintHash::SHA256).map_err(|_| unwritable("a key has no thumbprint"))?
        }
    };
    Ok(key)
}

fn seed(entropy: &dyn Entropy) -> [u8; 32] {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    seed
}

/// The key in PKCS#8, if the seed is a number between zero and the order of the curve.
fn p256_key(seed: &[u8; 32]) -> Option<Vec<u8>> {
    let public = PrivateKey::from_private_key(&ECDH_P256, seed).ok()?.compute_public_key().ok()?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, seed, public.as_ref()).ok()?;
    Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec())
}

fn listed_key(key: &StoredKey) -> ListedKey {
    listed(key.kid.clone(), KeyUse::Signing, key.algorithm.name(), key.life)
}

fn listed_mac(mac: &StoredMac) -> ListedKey {
    let usage = if mac.opens_only { KeyUse::Opening } else { KeyUse::Mac };
    listed(mac.id.to_string(), usage, "HMAC-SHA256", mac.life)
}

fn listed(kid: String, usage: KeyUse, algorithm: &'static str, life: Life) -> ListedKey {
    let Life { created_at, active_from, retired_at } = life;
    ListedKey { kid, usage, algorithm, created_at, active_from, retired_at }
}

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 section 7, without attributes).
const ED25519_PKCS8_PREFIX: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Secrets that are kept only to open what they sealed: five years of monthly rotations.
const OPENING_MAX: usize = 60;
const P256_TRIES_MAX: usize = 8;
