//! Codes and seals under the server's other secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use transtalk_core::ports::{MacPurpose, TokenSigner};

use crate::support::*;

#[test]
fn a_code_is_hmac_sha256_over_purpose_and_bytes() {
    let folder = Folder::new();
    let signer = folder.signer();
    let secret = STANDARD.decode(folder.document()["mac_secrets"][0]["secret"].as_str().unwrap()).unwrap();
    assert_eq!(secret.len(), 32);
    for purpose in [MacPurpose::Refresh, MacPurpose::SignIn] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(&[purpose.label().as_bytes(), b"\0", b"bytes"].concat());
        let code: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(signer.mac(purpose, b"bytes"), code);
        assert!(signer.mac_matches(purpose, b"bytes", &code));
    }
}

#[test]
fn no_other_code_matches() {
    let folder = Folder::new();
    let signer = folder.signer();
    let code = signer.mac(MacPurpose::Refresh, b"bytes");
    for bit in 0..256 {
        let mut altered = code;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!signer.mac_matches(MacPurpose::Refresh, b"bytes", &altered));
    }
    assert!(!signer.mac_matches(MacPurpose::SignIn, b"bytes", &code));
    assert!(!signer.mac_matches(MacPurpose::Refresh, b"byte", &code));
    assert!(!signer.mac_matches(MacPurpose::Refresh, b"bytes", &code[..31]));
    assert!(!signer.mac_matches(MacPurpose::Refresh, b"bytes", &[]));
    assert!(!Folder::new().signer().mac_matches(MacPurpose::Refresh, b"bytes", &code));
}

#[test]
fn what_was_sealed_opens_under_its_own_context_only() {
    let folder = Folder::new();
    let signer = folder.signer();
    for length in [0, 1, 15, 16, 17, 4_000] {
        let secret = vec![0x41; length];
        let sealed = signer.seal([9; 12], b"user 7, issuer x", &secret);
        assert_eq!(sealed.len(), 8 + 12 + length + 16);
        assert_eq!(signer.open(b"user 7, issuer x", &sealed), Some(secret.clone()));
        for other in [b"".as_slice(), b"user 8, issuer x", b"user 7, issuer x "] {
            assert_eq!(signer.open(other, &sealed), None);
        }
        assert_eq!(Folder::new().signer().open(b"user 7, issuer x", &sealed), None);
        if length > 16 {
            assert!(!sealed.windows(8).any(|window| window == &secret[..8]));
            assert_ne!(sealed[20..], signer.seal([8; 12], b"user 7, issuer x", &secret)[20..]);
        }
    }
}

#[test]
fn a_seal_with_any_one_bit_altered_or_cut_short_does_not_open() {
    let folder = Folder::new();
    let signer = folder.signer();
    let sealed = signer.seal([9; 12], b"context", b"a provider's token");
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(signer.open(b"context", &altered), None, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(signer.open(b"context", &sealed[..length]), None, "{length} bytes");
    }
    assert_eq!(signer.open(b"context", &[sealed.as_slice(), b"x"].concat()), None);
}

#[test]
fn the_key_of_a_seal_is_neither_the_secret_nor_a_code() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    let folder = Folder::new();
    let signer = folder.signer();
    let sealed = signer.seal([9; 12], b"context", b"a provider's token");
    let secret = STANDARD.decode(folder.document()["mac_secrets"][0]["secret"].as_str().unwrap()).unwrap();
    let codes = [MacPurpose::Refresh, MacPurpose::SignIn].map(|purpose| signer.mac(purpose, b"").to_vec());
    for key in codes.iter().chain([&secret]) {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let mut text = sealed[20..].to_vec();
        let nonce = Nonce::assume_unique_for_key([9; 12]);
        assert!(key.open_in_place(nonce, Aad::from(b"context"), &mut text).is_err());
    }
}
