//! What is signed, with each algorithm, and what is published of the keys.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use transtalk_adapters::signer::{SignerOptions, SigningAlgorithm};
use transtalk_core::Timestamp;
use transtalk_core::ports::{Claims, TokenKind, TokenSigner};

use crate::support::*;

#[test]
fn a_token_reads_back_with_each_algorithm_and_with_a_configured_secret() {
    let (folder, configured) = (Folder::new(), Folder::new());
    let signers = ALGORITHMS.map(|algorithm| folder.signer_of(algorithm));
    for signer in signers.iter().chain([&configured.signer_of_secret(SECRET)]) {
        for kind in [TokenKind::Access, TokenKind::WsTicket] {
            let token = signer.sign(kind, &claims());
            assert!(signer.verify(kind, &token) == Ok(claims()));
            assert!(signer.verify(kind, &token) == Ok(claims()), "remembered");
        }
    }
}

#[test]
fn a_token_says_what_is_documented_and_nothing_personal() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new();
        let token = folder.signer_of(algorithm).sign(TokenKind::Access, &claims());
        let kid = &folder.document()["keys"][0]["kid"];
        assert_eq!(header_of(&token), json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": kid}));
        let says = token.split('.').nth(1).unwrap();
        assert_eq!(header_of(says), payload());
    }
}

#[test]
fn the_configuration_chooses_the_algorithm_and_a_fresh_file_holds_that_key_only() {
    for algorithm in ALGORITHMS {
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
        let folder = Folder::new();
        folder.signer_of(algorithm);
        let document = folder.document();
        assert_eq!(document["keys"].as_array().unwrap().len(), 1);
        assert_eq!(document["keys"][0]["algorithm"], algorithm.name());
    }
    assert_eq!(SigningAlgorithm::default(), SigningAlgorithm::EdDsa);
    for name in ["", "eddsa", "RS256", "PS256", "HS512", "none"] {
        let error = name.parse::<SigningAlgorithm>().unwrap_err();
        assert_eq!(error.to_string(), "auth.algorithm must be EdDSA, ES256 or HS256");
    }
}

#[test]
fn a_configured_secret_signs_instead_of_a_key_in_the_file() {
    let folder = Folder::new();
    let signer = folder.signer_of_secret(SECRET);
    assert_eq!(folder.document()["keys"], json!([]));
    let token = signer.sign(TokenKind::Access, &claims());
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims, payload());
    // The name of the key says nothing about it.
    assert_eq!(header_of(&token)["kid"], "configured");

    let other = folder.signer_of_secret("0c7Vd1XGJm2z4yqPpE8rUuJtTn6bWk3h");
    check_refused(&other, &token);
    check_accepted(&folder.signer_of_secret(SECRET), &token);
    assert!(!format!("{:?}", folder.options()).contains(SECRET));
}

#[test]
fn a_configured_secret_counts_for_hs256_only() {
    let folder = Folder::new();
    let options = |algorithm| {
        let hs256_secret = Some(transtalk_adapters::signer::Hs256Secret::new(SECRET).unwrap());
        SignerOptions { algorithm, hs256_secret, ..folder.options() }
    };
    let before = open(options(SigningAlgorithm::Hs256));
    let token = before.sign(TokenKind::Access, &claims());
    let after = open(options(SigningAlgorithm::EdDsa));
    assert_eq!(header_of(&after.sign(TokenKind::Access, &claims()))["alg"], "EdDSA");
    check_refused(&after, &token);
}

#[test]
fn milliseconds_are_cut_off_so_that_a_token_dies_no_later_than_asked() {
    let folder = Folder::new();
    let signer = folder.signer();
    let mut asked = claims();
    asked.expires_at = Timestamp::from_millis(1_700_001_800_999);
    let believed = signer.verify(TokenKind::Access, &signer.sign(TokenKind::Access, &asked)).unwrap();
    assert_eq!(believed.expires_at, Timestamp::from_secs(1_700_001_800));
}

#[test]
fn time_is_not_looked_at() {
    let folder = Folder::new();
    let signer = folder.signer();
    let times = [(1, 2), (9_000_000_000, 9_000_000_001)];
    for (issued_at, expires_at) in times.map(|(from, to)| (Timestamp::from_secs(from), Timestamp::from_secs(to))) {
        let asked = Claims { issued_at, expires_at, ..claims() };
        assert!(signer.verify(TokenKind::Access, &signer.sign(TokenKind::Access, &asked)) == Ok(asked));
    }
}

#[test]
fn the_published_keys_are_public_ones_and_verify_a_token() {
    let members = [
        (SigningAlgorithm::EdDsa, vec!["alg", "crv", "kid", "kty", "use", "x"], ["EdDSA", "OKP", "Ed25519"]),
        (SigningAlgorithm::Es256, vec!["alg", "crv", "kid", "kty", "use", "x", "y"], ["ES256", "EC", "P-256"]),
    ];
    for (algorithm, expect, values) in members {
        let folder = Folder::new();
        let signer = folder.signer_of(algorithm);
        let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
        let key = &jwks["keys"][0];
        let names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, expect);
        assert_eq!([&key["alg"], &key["kty"], &key["crv"]], values);
        assert_eq!(key["use"], "sig");

        let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
        let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
        let mut validation = Validation::new(algorithm.name().parse().unwrap());
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let token = signer.sign(TokenKind::Access, &claims());
        assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims, payload());
    }
}

#[test]
fn a_symmetric_key_is_never_published() {
    let folder = Folder::new();
    let secrets: Vec<Value> = ALGORITHMS
        .map(|algorithm| {
            folder.signer_of(algorithm);
            folder.document()["keys"][0]["private_key"].clone()
        })
        .into();
    let jwks = folder.signer_of(SigningAlgorithm::Hs256).jwks();
    let set: JwkSet = serde_json::from_str(&jwks).unwrap();
    assert_eq!(set.keys.len(), 2);
    assert!(!jwks.contains("oct") && !jwks.contains(r#""k":"#) && !jwks.contains("HS256"), "{jwks}");
    for secret in &secrets {
        assert!(!jwks.contains(secret.as_str().unwrap().trim_end_matches('=')));
    }
    assert_eq!(Folder::new().signer_of_secret(SECRET).jwks(), r#"{"keys":[]}"#);
    assert_eq!(Folder::new().signer_of(SigningAlgorithm::Hs256).jwks(), r#"{"keys":[]}"#);
}

#[test]
fn what_is_remembered_is_what_would_be_verified() {
    let folder = Folder::new();
    for remember in [true, false] {
        let signer = open(SignerOptions { remember, ..folder.options() });
        let token = signer.sign(TokenKind::Access, &claims());
        check_accepted(&signer, &token);
        assert!(signer.verify(TokenKind::WsTicket, &token).is_err());
        // The signature's last character holds two bits that must be zero.
        let last = token.chars().last().unwrap();
        for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_', '=', ' ']) {
            if other != last {
                check_refused(&signer, &format!("{}{other}", &token[..token.len() - 1]));
            }
        }
        check_accepted(&signer, &token);
    }
}

#[test]
fn nothing_of_a_signer_is_shown() {
    assert_eq!(format!("{:?}", Folder::new().signer()), "KeyFileSigner");
}
