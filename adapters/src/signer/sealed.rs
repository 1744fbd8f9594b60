//! What only this server opens again: AES-256-GCM (RFC 5116) under a key that is derived from a server secret.
//!
//! A sealed text is the id of its secret (8 bytes), the nonce (12), the ciphertext and its tag (16).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

use super::document::SecretId;

/// The key for sealing that belongs to one server secret.
pub(super) struct SealingKey {
    id: SecretId,
    key: LessSafeKey,
}

impl SealingKey {
    /// Derives it (HKDF, RFC 5869), so that no code of this secret says anything about what is sealed.
    pub(super) fn derive(id: SecretId, secret: &[u8; 32]) -> Self {
        // HKDF refuses only outputs of more than 255 blocks, and this one is the length of the cipher's key.
        let pseudo_random = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let key = pseudo_random.expand(&[INFO], &AES_256_GCM).map(UnboundKey::from).expect("32 bytes are one block");
        Self { id, key: LessSafeKey::new(key) }
    }

    /// The text, for nobody else. A nonce must never be used twice.
    pub(super) fn seal(&self, nonce: [u8; NONCE_LEN], context: &[u8], secret: &[u8]) -> Vec<u8> {
        let mut text = secret.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut text)
            // The cipher refuses texts of 64 GiB and more.
            .expect("a text that fits into memory twice is sealed");
        [self.id.0.as_slice(), &nonce, &text].concat()
    }
}

/// The text, if one of these keys sealed it under this context.
pub(super) fn open<'a>(
    mut keys: impl Iterator<Item = &'a SealingKey>,
    context: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (id, rest) = sealed.split_first_chunk()?;
    let (nonce, text) = rest.split_first_chunk()?;
    let key = keys.find(|key| key.id.0 == *id)?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.key.open_in_place(nonce, Aad::from(context), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

const SALT: &[u8] = b"transtalk";
const INFO: &[u8] = b"transtalk sealing v1";
