//! Everything that one state of the key file, at one time, gives to a signer. It never changes: another one replaces it.

use std::cmp::Reverse;

use hmac::{Hmac, Mac};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use sha2::{Digest, Sha256};
use transtalk_core::Timestamp;

use super::algorithm::{JwsAlgorithm, SigningAlgorithm};
use super::document::{Life, SecretId, Secrets, StoredKey, StoredMac};
use super::jws::VerifyingKey;
use super::remembered::Remembered;
use super::sealed::SealingKey;
use super::secret::Hs256Secret;

/// The keys in use.
pub(super) struct Keys {
    /// Of the file's bytes.
    digest: [u8; 32],
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) signing: EncodingKey,
    verifying: Vec<(String, VerifyingKey)>,
    /// The one that makes what is new is the first.
    secrets: Vec<ServerSecret>,
    pub(super) jwks: String,
    pub(super) remembered: Option<Remembered>,
}

/// A secret of the server, ready for use.
pub(super) struct ServerSecret {
    id: SecretId,
    opens_only: bool,
    pub(super) mac: Hmac<Sha256>,
    pub(super) sealing: SealingKey,
}

impl Keys {
    /// Chooses from the file by time and configuration. The error says what is wrong with the file.
    pub(super) fn choose(
        bytes: &[u8],
        secrets: Secrets,
        algorithm: SigningAlgorithm,
        configured: Option<&Hs256Secret>,
        remember: bool,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let jwks = JwkSet { keys: secrets.keys.iter().filter_map(published).collect() };
        let jwks = serde_json::to_string(&jwks).map_err(|_| "its public keys cannot be written")?;
        let mut keys = secrets.keys;
        // A configured secret counts only while the configuration says that it signs.
        if let (SigningAlgorithm::Hs256, Some(secret)) = (algorithm, configured) {
            keys.insert(0, configured_key(secret)?);
        }
        let verifying = keys.iter().map(verifying).collect::<Result<_, _>>()?;
        let is_preferred = |key: &StoredKey| key.algorithm == algorithm;
        let active = active(&keys, now, |key| (key.life, is_preferred(key))).ok_or("there is no key in it")?;
        let StoredKey { kid, algorithm, signing, .. } = keys.swap_remove(active);

        let first = self::active(&secrets.macs, now, |mac| (mac.life, !mac.opens_only))
            .ok_or("there is no MAC secret in it")?;
        let mut macs = secrets.macs;
        macs[..=first].rotate_right(1);
        let secrets = macs.iter().map(ServerSecret::new).collect::<Result<_, _>>()?;

        let remembered = remember.then(Remembered::new);
        let digest = Sha256::digest(bytes).into();
        Ok(Self { digest, kid, algorithm, signing, verifying, secrets, jwks, remembered })
    }

    /// Whether the other would do just the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.digest, &self.kid, self.newest().id) == (other.digest, &other.kid, other.newest().id)
    }

    /// Whether a code of one is believed by the other.
    pub(super) fn shares_codes(&self, other: &Self) -> bool {
        self.believed().any(|one| other.believed().any(|another| one.id == another.id))
    }

    /// The key of this name.
    pub(super) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.verifying.iter().find(|(name, _)| name == kid).map(|(_, key)| key)
    }

    /// What makes new codes and seals.
    pub(super) fn newest(&self) -> &ServerSecret {
        // `choose` has found one.
        &self.secrets[0]
    }

    /// All whose seals still count, the newest first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &ServerSecret> {
        self.secrets.iter()
    }

    /// Those whose codes still count, too.
    pub(super) fn believed(&self) -> impl Iterator<Item = &ServerSecret> {
        self.secrets.iter().filter(|secret| !secret.opens_only)
    }
}

impl ServerSecret {
    fn new(stored: &StoredMac) -> Result<Self, &'static str> {
        let mac = Hmac::new_from_slice(&stored.secret).map_err(|_| "a MAC secret cannot be used")?;
        let opens_only = stored.opens_only;
        Ok(Self { id: stored.id, opens_only, mac, sealing: SealingKey::derive(stored.id, &stored.secret) })
    }
}

/// Which of them makes what is new: active before waiting, in service before retired, of the preferred algorithm before
/// others, and the latest of those. If the clock says that all of them are waiting, the one that waits least.
fn active<T>(all: &[T], now: Timestamp, look: impl Fn(&T) -> (Life, bool)) -> Option<usize> {
    let rank = |index: &usize| {
        let (life, is_preferred) = look(&all[*index]);
        let at = life.active_from.as_millis();
        let order = if life.is_active(now) { at } else { u64::MAX - at };
        (life.is_active(now), !life.is_retired(now), is_preferred, order, Reverse(*index))
    };
    (0..all.len()).max_by_key(rank)
}

fn verifying(key: &StoredKey) -> Result<(String, VerifyingKey), &'static str> {
    let verifying =
        VerifyingKey::new(&key.verifying, key.algorithm.into()).map_err(|_| "one of its keys cannot be used")?;
    Ok((key.kid.clone(), verifying))
}

fn configured_key(secret: &Hs256Secret) -> Result<StoredKey, &'static str> {
    let always = Life::new(Timestamp::default(), Timestamp::default());
    StoredKey::new(CONFIGURED_KID.to_owned(), SigningAlgorithm::Hs256, secret.as_bytes(), always)
}

/// A public key as it is shown to everybody; nothing for a secret.
fn published(key: &StoredKey) -> Option<Jwk> {
    let mut jwk = key.verifying.clone();
    if JwsAlgorithm::from(key.algorithm) == JwsAlgorithm::Hs256
        || matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_))
    {
        return None;
    }
    jwk.common.key_id = Some(key.kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Some(jwk)
}

/// Says nothing about the secret, as a hash of it would.
const CONFIGURED_KID: &str = "configured";
