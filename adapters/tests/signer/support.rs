//! A folder with a key file, chance that repeats itself, and what a token says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use transtalk_adapters::signer::{
    Hs256Secret, KeyFileError, KeyFileSigner, RotateOptions, Rotated, SignerOptions, SigningAlgorithm, rotate,
};
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, Entropy, SignerError, TokenKind, TokenSigner};
use transtalk_core::{Timestamp, UserId};

#[track_caller]
pub(crate) fn check_accepted(signer: &KeyFileSigner, token: &str) {
    // Twice, since the second time it may be remembered.
    for _ in 0..2 {
        assert!(signer.verify(TokenKind::Access, token) == Ok(claims()), "{token}");
    }
}

#[track_caller]
pub(crate) fn check_refused(signer: &KeyFileSigner, token: &str) {
    for _ in 0..2 {
        assert!(signer.verify(TokenKind::Access, token) == Err(SignerError::Invalid), "{token}");
    }
}

pub(crate) fn claims() -> Claims {
    Claims {
        user: UserId::new(7).unwrap(),
        session: "000102030405060708090a0b0c0d0e0f".parse().unwrap(),
        generation: Generation(3),
        jti: "a-unique-name".to_owned(),
        issued_at: Timestamp::from_secs(1_700_000_000),
        expires_at: Timestamp::from_secs(1_700_001_800),
    }
}

pub(crate) fn payload() -> Value {
    json!({
        "sub": "7", "sid": "000102030405060708090a0b0c0d0e0f", "gen": 3, "jti": "a-unique-name",
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_001_800,
        "iss": ISSUER, "aud": AUDIENCE, "role": "user",
    })
}

/// The token's header, which nobody has verified.
pub(crate) fn header_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

pub(crate) fn open(options: SignerOptions) -> KeyFileSigner {
    KeyFileSigner::open(options, at(0), &TestEntropy(0)).unwrap()
}

/// So many seconds after all files were made.
pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW + secs)
}

/// The same bytes for the same seed, and others in every call.
pub(crate) struct TestEntropy(pub(crate) u64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::digest([self.0.to_le_bytes(), call.to_le_bytes()].concat());
        let length = bytes.len();
        bytes.copy_from_slice(&digest[..length]);
    }
}

/// A data folder of a test's own, which is gone after it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let name = format!("signer-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    pub(crate) fn options(&self) -> SignerOptions {
        SignerOptions {
            path: self.file(),
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            algorithm: SigningAlgorithm::EdDsa,
            hs256_secret: None,
            remember: true,
        }
    }

    pub(crate) fn signer(&self) -> KeyFileSigner {
        self.signer_of(SigningAlgorithm::EdDsa)
    }

    pub(crate) fn signer_of(&self, algorithm: SigningAlgorithm) -> KeyFileSigner {
        open(SignerOptions { algorithm, ..self.options() })
    }

    pub(crate) fn signer_of_secret(&self, secret: &str) -> KeyFileSigner {
        let secret = Hs256Secret::new(secret).unwrap();
        let algorithm = SigningAlgorithm::Hs256;
        open(SignerOptions { algorithm, hs256_secret: Some(secret), ..self.options() })
    }

    pub(crate) fn refused(&self) -> KeyFileError {
        KeyFileSigner::open(self.options(), at(0), &TestEntropy(0)).unwrap_err()
    }

    /// A rotation with an overlap of an hour.
    pub(crate) fn rotate(&self, secs: u64, change: impl FnOnce(&mut RotateOptions)) -> Rotated {
        let mut options = RotateOptions::new(Some(SigningAlgorithm::EdDsa), std::time::Duration::from_hours(1));
        change(&mut options);
        rotate(&self.file(), at(secs), &options, &TestEntropy(0)).unwrap()
    }

    pub(crate) fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap()
    }

    /// Keeps the mode of the file, if there is one.
    pub(crate) fn write(&self, text: &str) {
        if !self.file().exists() {
            self.signer();
        }
        fs::write(self.file(), text).unwrap();
    }

    /// A file as it was written before keys could be rotated: with these keys, the first of which signs.
    pub(crate) fn write_first_version(&self, keys: &[Value], mac_secret: &Value) {
        let key = |key: &Value| {
            let mut key = key.clone();
            key.as_object_mut().unwrap().retain(|name, _| name != "activates_at" && name != "retired_at");
            key
        };
        let keys: Vec<Value> = keys.iter().map(key).collect();
        self.write(&json!({"version": 1, "mac_secret": mac_secret, "keys": keys}).to_string());
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The newest key, which signs with this algorithm.
    pub(crate) fn key(&self) -> (Algorithm, EncodingKey, String) {
        let entry = &self.document()["keys"][0];
        let private = STANDARD.decode(entry["private_key"].as_str().unwrap()).unwrap();
        let kid = entry["kid"].as_str().unwrap().to_owned();
        match entry["algorithm"].as_str().unwrap() {
            "EdDSA" => (Algorithm::EdDSA, EncodingKey::from_ed_der(&private), kid),
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_der(&private), kid),
            "HS256" => (Algorithm::HS256, EncodingKey::from_secret(&private), kid),
            other => panic!("{other}"),
        }
    }

    /// A token that is signed with the file's own key, and yet bent.
    pub(crate) fn forge(&self, bend_header: impl FnOnce(&mut Header), bend_claims: impl FnOnce(&mut Value)) -> String {
        let (algorithm, key, kid) = self.key();
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(kid);
        let mut claims = payload();
        bend_header(&mut header);
        bend_claims(&mut claims);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    /// A token of exactly these texts, signed with the file's own key.
    pub(crate) fn forge_text(&self, header: &str, payload: &str) -> String {
        let (algorithm, key, _) = self.key();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// The header of a good token.
    pub(crate) fn header(&self) -> Value {
        let entry = &self.document()["keys"][0];
        json!({"typ": "at+jwt", "alg": entry["algorithm"], "kid": entry["kid"]})
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);
const NOW: u64 = 1_700_000_000;
pub(crate) const ISSUER: &str = "https://chat.example.org";
pub(crate) const AUDIENCE: &str = "transtalk";
pub(crate) const SECRET: &str = "q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2m";
pub(crate) const ALGORITHMS: [SigningAlgorithm; 3] =
    [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256];
