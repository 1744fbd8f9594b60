//! What stands in the key file, as JSON, and what it means.
//!
//! Version 2: `{"version": 2, "keys": [{"kid", "algorithm", "private_key", "created_at", "activates_at", "retired_at"},
//! ...], "mac_secrets": [{"id", "secret", "created_at", "activates_at", "retired_at"}, ...]}`, the newest first. A
//! private key is base64 of PKCS#8 DER, for HS256 of the secret itself; times are seconds since 1970; `retired_at` is
//! there only for what a newer one replaces. Version 1 had one `mac_secret` and `keys` without the last two; its first
//! key signs. It is still read, and becomes version 2 when something is added to it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use transtalk_core::Timestamp;

use super::algorithm::{JwsAlgorithm, SigningAlgorithm};
use super::jws::HS256_BYTES_MIN;

/// The server's secrets, read and checked. It has no `Debug`.
pub(super) struct Secrets {
    /// The newest first; there is none if another secret signs.
    pub(super) keys: Vec<StoredKey>,
    /// The newest first, and at least one.
    pub(super) macs: Vec<StoredMac>,
}

/// A key that signs tokens.
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) signing: EncodingKey,
    /// What verifies: the public half, or for HS256 the secret.
    pub(super) verifying: Jwk,
    pub(super) life: Life,
}

/// A secret for codes (refresh tokens, sign-in cookies) and for sealing.
pub(super) struct StoredMac {
    pub(super) id: SecretId,
    pub(super) secret: [u8; 32],
    pub(super) life: Life,
    /// Its codes count no longer. What it sealed may lie in the store for years, and is still opened.
    pub(super) opens_only: bool,
}

/// When a secret is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) created_at: Timestamp,
    /// From then on it makes what is new.
    pub(super) active_from: Timestamp,
    /// From then on a newer one does, and it only verifies what it made.
    pub(super) retired_at: Option<Timestamp>,
}

impl Life {
    /// Of a secret that is created now and used from then on.
    pub(super) fn new(created_at: Timestamp, active_from: Timestamp) -> Self {
        Self { created_at, active_from, retired_at: None }
    }

    fn from_secs(created_at: u64, activates_at: u64, retired_at: Option<u64>) -> Self {
        let [created_at, active_from] = [created_at, activates_at].map(Timestamp::from_secs);
        Self { created_at, active_from, retired_at: retired_at.map(Timestamp::from_secs) }
    }

    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.active_from <= now
    }

    pub(super) fn is_retired(&self, now: Timestamp) -> bool {
        self.retired_at.is_some_and(|at| at <= now)
    }
}

/// The name of a server secret, which says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SecretId(pub(super) [u8; 8]);

impl SecretId {
    /// The same secret always has the same name.
    pub(super) fn of(secret: &[u8; 32]) -> Self {
        // HMAC takes a key of any length (RFC 2104 section 3), and its code is 32 bytes.
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length is taken");
        let code: [u8; 32] = mac.chain_update(b"transtalk secret id v1").finalize().into_bytes().into();
        let mut id = [0; 8];
        id.copy_from_slice(&code[..8]);
        Self(id)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Secrets {
    /// Reads a file's bytes; what is wrong is said without quoting it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        // The parser's own words could quote a secret.
        let unexpected = |_| "it is not the JSON that is expected";
        let Version { version } = serde_json::from_slice(bytes).map_err(unexpected)?;
        let secrets = match version {
            1 => Self::from_first(&serde_json::from_slice(bytes).map_err(unexpected)?)?,
            2 => Self::from_second(&serde_json::from_slice(bytes).map_err(unexpected)?)?,
            _ => return Err("its version is neither 1 nor 2"),
        };
        let kids: Vec<&str> = secrets.keys.iter().map(|key| key.kid.as_str()).collect();
        if !is_unique(&kids) {
            return Err("two keys have the same kid");
        }
        let ids: Vec<SecretId> = secrets.macs.iter().map(|mac| mac.id).collect();
        if !is_unique(&ids) {
            return Err("two MAC secrets are the same");
        }
        Ok(secrets)
    }

    /// The file's bytes, of version 2.
    pub(super) fn write(&self) -> serde_json::Result<Vec<u8>> {
        let keys = self.keys.iter().map(|key| KeyEntry {
            kid: key.kid.clone(),
            algorithm: key.algorithm.name().to_owned(),
            private_key: STANDARD.encode(key.signing.as_bytes()),
            created_at: key.life.created_at.as_secs(),
            activates_at: key.life.active_from.as_secs(),
            retired_at: key.life.retired_at.map(Timestamp::as_secs),
        });
        let macs = self.macs.iter().map(|mac| MacEntry {
            id: mac.id.to_string(),
            secret: STANDARD.encode(mac.secret),
            created_at: mac.life.created_at.as_secs(),
            activates_at: mac.life.active_from.as_secs(),
            retired_at: mac.life.retired_at.map(Timestamp::as_secs),
            opens_only: mac.opens_only,
        });
        let document = Second { version: 2, keys: keys.collect(), mac_secrets: macs.collect() };
        let mut bytes = serde_json::to_vec_pretty(&document)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn from_first(document: &First) -> Result<Self, &'static str> {
        let newest = document.keys.first().ok_or("there is no key in it")?;
        let since = Timestamp::from_secs(newest.created_at);
        let key = |(index, entry): (usize, &FirstKey)| {
            let created_at = Timestamp::from_secs(entry.created_at);
            let retired_at = (index > 0).then_some(since);
            let life = Life { retired_at, ..Life::new(created_at, created_at) };
            StoredKey::check(&entry.kid, &entry.algorithm, &entry.private_key, life)
        };
        let keys = document.keys.iter().enumerate().map(key).collect::<Result<_, _>>()?;
        let macs = vec![StoredMac::check(&document.mac_secret, Life::new(since, since))?];
        Ok(Self { keys, macs })
    }

    fn from_second(document: &Second) -> Result<Self, &'static str> {
        let key = |entry: &KeyEntry| {
            StoredKey::check(
                &entry.kid,
                &entry.algorithm,
                &entry.private_key,
                Life::from_secs(entry.created_at, entry.activates_at, entry.retired_at),
            )
        };
        let keys = document.keys.iter().map(key).collect::<Result<_, _>>()?;
        let mac = |entry: &MacEntry| {
            let mut mac = StoredMac::check(
                &entry.secret,
                Life::from_secs(entry.created_at, entry.activates_at, entry.retired_at),
            )?;
            mac.opens_only = entry.opens_only;
            if mac.id.to_string() == entry.id { Ok(mac) } else { Err("a MAC secret's id is not its own") }
        };
        let macs: Vec<_> = document.mac_secrets.iter().map(mac).collect::<Result<_, _>>()?;
        if macs.iter().all(|mac| mac.opens_only) {
            return Err("there is no MAC secret in it");
        }
        Ok(Self { keys, macs })
    }
}

impl StoredKey {
    /// A key from its private half.
    pub(super) fn new(
        kid: String,
        algorithm: SigningAlgorithm,
        private: &[u8],
        life: Life,
    ) -> Result<Self, &'static str> {
        let (signing, unfit) = match algorithm {
            SigningAlgorithm::EdDsa => {
                (EncodingKey::from_ed_der(private), "a private key is not an Ed25519 key in PKCS#8")
            }
            SigningAlgorithm::Es256 => {
                (EncodingKey::from_ec_der(private), "a private key is not a P-256 key in PKCS#8")
            }
            SigningAlgorithm::Hs256 => (EncodingKey::from_secret(private), "a secret is shorter than 32 bytes"),
        };
        if algorithm == SigningAlgorithm::Hs256 && private.len() < HS256_BYTES_MIN {
            return Err(unfit);
        }
        // This derives the public half, and so is also the proof that the private one is whole.
        let verifying = Jwk::from_encoding_key(&signing, JwsAlgorithm::from(algorithm).into()).map_err(|_| unfit)?;
        Ok(Self { kid, algorithm, signing, verifying, life })
    }

    fn check(kid: &str, algorithm: &str, private: &str, life: Life) -> Result<Self, &'static str> {
        let algorithm = algorithm.parse().map_err(|_| "a key's algorithm is not EdDSA, ES256 or HS256")?;
        if kid.is_empty() || kid.len() > KID_BYTES_MAX {
            return Err("a key's kid is empty or too long");
        }
        let private = STANDARD.decode(private).map_err(|_| "a private key is not base64")?;
        Self::new(kid.to_owned(), algorithm, &private, life)
    }
}

impl StoredMac {
    /// A secret with the name that is its own.
    pub(super) fn new(secret: [u8; 32], life: Life) -> Self {
        Self { id: SecretId::of(&secret), secret, life, opens_only: false }
    }

    fn check(secret: &str, life: Life) -> Result<Self, &'static str> {
        let secret = STANDARD.decode(secret).ok().and_then(|secret| secret.try_into().ok());
        Ok(Self::new(secret.ok_or("a MAC secret is not 32 bytes of base64")?, life))
    }
}

fn is_unique<T: PartialEq>(all: &[T]) -> bool {
    all.iter().enumerate().all(|(index, one)| !all[..index].contains(one))
}

/// What is in the file has no `Debug`, since nearly all of it is secret.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Second {
    version: u32,
    keys: Vec<KeyEntry>,
    mac_secrets: Vec<MacEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    kid: String,
    algorithm: String,
    private_key: String,
    created_at: u64,
    activates_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MacEntry {
    id: String,
    secret: String,
    created_at: u64,
    activates_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    opens_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[expect(dead_code, reason = "it was looked at before, and no other member may be there")]
    version: u32,
    mac_secret: String,
    keys: Vec<FirstKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstKey {
    kid: String,
    algorithm: String,
    private_key: String,
    created_at: u64,
}

const KID_BYTES_MAX: usize = 128;
