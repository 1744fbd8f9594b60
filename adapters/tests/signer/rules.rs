//! The best current practices for JWTs (RFC 8725), rule by rule, on tokens that are otherwise right.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use transtalk_adapters::signer::{KeyFileSigner, SignerOptions, SigningAlgorithm};
use transtalk_core::limits;
use transtalk_core::ports::{SignerError, TokenKind, TokenSigner};

use crate::support::*;

#[test]
fn a_token_with_any_one_character_altered_or_cut_short_is_refused() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new();
        let signer = folder.signer_of(algorithm);
        let token = signer.sign(TokenKind::Access, &claims());
        check_accepted(&signer, &token);
        for position in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            check_refused(&signer, &String::from_utf8(altered).unwrap());
            check_refused(&signer, &token[..position]);
        }
    }
}

#[test]
fn a_text_that_is_no_token_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let token = signer.sign(TokenKind::Access, &claims());
    let padded = format!("{token}{}", "A".repeat(limits::TOKEN_BYTES_MAX));
    for text in ["", ".", "..", "...", "a.b.c", "é.é.é", &padded, &format!("{token}."), &format!(".{token}")] {
        check_refused(&signer, text);
    }
    let json = json!({"payload": token, "signatures": []}).to_string();
    check_refused(&signer, &json);
}

#[test]
fn whitespace_and_other_characters_outside_of_base64url_are_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let token = signer.sign(TokenKind::Access, &claims());
    let first = token.find('.').unwrap();
    for extra in [" ", "\t", "\n", "\r\n", "\0", "=", "==", "+", "/", "#", "%20", "\u{a0}"] {
        for position in [0, 1, first, first + 1, token.len() - 1, token.len()] {
            check_refused(&signer, &format!("{}{extra}{}", &token[..position], &token[position..]));
        }
    }
}

#[test]
fn a_token_that_is_too_long_is_refused_even_if_it_is_signed() {
    let folder = Folder::new();
    let signer = folder.signer();
    let fill = |length: usize| folder.forge(|_| (), |claims| claims["fill"] = json!("x".repeat(length)));
    let room = (limits::TOKEN_BYTES_MAX - fill(0).len()) * 3 / 4;
    check_accepted(&signer, &fill(room - 3));
    assert!(fill(room + 3).len() > limits::TOKEN_BYTES_MAX);
    check_refused(&signer, &fill(room + 3));
}

/// Section 3.1: "Perform Algorithm Verification".
#[test]
fn an_unsigned_token_is_refused() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new();
        let signer = folder.signer_of(algorithm);
        for alg in ["none", "None", "NONE", "nOnE", algorithm.name(), ""] {
            let mut header = folder.header();
            header["alg"] = json!(alg);
            let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
            check_refused(&signer, &format!("{}.{}.", encode(&header), encode(&payload())));
            check_refused(&signer, &format!("{}.{}", encode(&header), encode(&payload())));
            if alg != algorithm.name() {
                check_refused(&signer, &folder.forge_text(&header.to_string(), &payload().to_string()));
            }
        }
    }
}

/// Section 2.1: a header that says HS256, and a public key that is taken for the shared secret.
#[test]
fn a_public_key_is_no_secret_in_any_of_its_forms() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let folder = Folder::new();
        let signer = folder.signer_of(algorithm);
        let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
        let jwk = &jwks["keys"][0];
        let coordinate =
            |name: &str| jwk[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap_or_default();
        let (x, y) = (coordinate("x"), coordinate("y"));
        let forms = [
            x.clone(),
            [x.as_slice(), &y].concat(),
            [&[4], x.as_slice(), &y].concat(),
            jwk["x"].as_str().unwrap().as_bytes().to_vec(),
            jwk.to_string().into_bytes(),
            signer.jwks().into_bytes(),
            jwk["kid"].as_str().unwrap().as_bytes().to_vec(),
            Vec::new(),
        ];
        for secret in forms {
            for confused in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let mut header = Header::new(confused);
                header.typ = Some("at+jwt".to_owned());
                header.kid = jwk["kid"].as_str().map(str::to_owned);
                let token = jsonwebtoken::encode(&header, &payload(), &EncodingKey::from_secret(&secret)).unwrap();
                check_refused(&signer, &token);
            }
        }
    }
}

#[test]
fn a_token_that_names_another_algorithm_than_its_key_is_refused() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new();
        let signer = folder.signer_of(algorithm);
        for alg in ["EdDSA", "ES256", "HS256", "RS256", "PS256", "HS384", "ES384", "Ed25519", "eddsa"] {
            let mut header = folder.header();
            header["alg"] = json!(alg);
            let token = folder.forge_text(&header.to_string(), &payload().to_string());
            if alg == algorithm.name() {
                check_accepted(&signer, &token);
            } else {
                check_refused(&signer, &token);
            }
        }
    }
}

#[test]
fn the_name_of_another_key_does_not_make_a_token_of_that_key() {
    let folder = Folder::new();
    let tokens = ALGORITHMS.map(|algorithm| folder.signer_of(algorithm).sign(TokenKind::Access, &claims()));
    let signer = folder.signer();
    let keys = folder.document()["keys"].clone();
    let kids: Vec<&Value> = keys.as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert_eq!(kids.len(), 3);
    // The file's first key is the newest one, of HS256; each of the names is tried with it, and each header's `alg`.
    for kid in &kids {
        for algorithm in ALGORITHMS {
            let header = json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": kid});
            let token = folder.forge_text(&header.to_string(), &payload().to_string());
            if kid == &kids[0] && algorithm == SigningAlgorithm::Hs256 {
                check_accepted(&signer, &token);
            } else {
                check_refused(&signer, &token);
            }
        }
    }
    for token in &tokens {
        check_accepted(&signer, token);
    }
    for kid in [None, Some(""), Some("unknown"), Some("configured"), Some("../keys.json"), Some("' or 1=1")] {
        check_refused(&signer, &folder.forge(|header| header.kid = kid.map(str::to_owned), |_| ()));
    }
}

/// Section 3.11: "Use Explicit Typing".
#[test]
fn no_kind_passes_for_another() {
    let folder = Folder::new();
    let signer = folder.signer();
    for (signed, asked) in [(TokenKind::Access, TokenKind::WsTicket), (TokenKind::WsTicket, TokenKind::Access)] {
        assert!(signer.verify(asked, &signer.sign(signed, &claims())) == Err(SignerError::Invalid));
    }
    for typ in [None, Some("JWT"), Some("AT+JWT"), Some("application/at+jwt"), Some("at+jwt ")] {
        check_refused(&signer, &folder.forge(|header| header.typ = typ.map(str::to_owned), |_| ()));
    }
}

/// Sections 3.8 and 3.9: "Validate Issuer and Subject", "Use and Validate Audience".
#[test]
fn a_token_of_another_issuer_audience_or_key_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let other = |issuer: &str, audience: &str| {
        open(SignerOptions { issuer: issuer.to_owned(), audience: audience.to_owned(), ..folder.options() })
    };
    for other in [other("else", AUDIENCE), other(ISSUER, "else"), other("", ""), Folder::new().signer()] {
        check_refused(&signer, &other.sign(TokenKind::Access, &claims()));
        check_refused(&other, &signer.sign(TokenKind::Access, &claims()));
    }
}

#[test]
fn a_token_signed_by_the_right_key_is_refused_if_it_lacks_or_bends_a_claim() {
    let folder = Folder::new();
    let signer = folder.signer();
    for name in ["sub", "sid", "gen", "jti", "iat", "nbf", "exp", "iss", "aud", "role"] {
        check_refused(&signer, &folder.forge(|_| (), |claims| drop(claims.as_object_mut().unwrap().remove(name))));
        check_refused(&signer, &folder.forge(|_| (), |claims| claims[name] = Value::Null));
    }
    for (name, value) in [
        ("sub", json!("0")),
        ("sub", json!(7)),
        ("sid", json!("00")),
        ("gen", json!(-1)),
        ("gen", json!("1")),
        ("iat", json!(1_700_000_001)),
        ("exp", json!("1700001800")),
        ("exp", json!(-1)),
        ("exp", json!(1_700_001_800.5)),
        ("aud", json!([AUDIENCE, "else"])),
        ("aud", json!([AUDIENCE])),
        ("aud", json!([])),
        ("aud", json!("")),
        ("iss", json!([ISSUER])),
        ("iss", json!(format!("{ISSUER}/"))),
        ("role", json!("admin")),
    ] {
        check_refused(&signer, &folder.forge(|_| (), |claims| claims[name] = value.clone()));
    }
}

#[test]
fn odd_json_is_refused_even_if_it_is_signed() {
    let folder = Folder::new();
    let signer = folder.signer();
    let (header, payload) = (folder.header().to_string(), payload().to_string());
    check_accepted(&signer, &folder.forge_text(&header, &payload));
    for more in [r#""sub":"8","#, r#""sub":"7","#, r#""\u0073ub":"7","#, r#""exp":9999999999,"#] {
        check_refused(&signer, &folder.forge_text(&header, &payload.replacen('{', &format!("{{{more}"), 1)));
    }
    for more in [r#""alg":"none","#, r#""typ":"at+jwt","#, r#""kid":"else","#] {
        check_refused(&signer, &folder.forge_text(&header.replacen('{', &format!("{{{more}"), 1), &payload));
    }
    for tail in ["{}", "x", ",", "\0", &payload] {
        check_refused(&signer, &folder.forge_text(&header, &format!("{payload}{tail}")));
        check_refused(&signer, &folder.forge_text(&format!("{header}{tail}"), &payload));
    }
    for other in ["", "null", "[]", "7", "\"\"", &format!("[{payload}]"), &format!("\u{feff}{payload}")] {
        check_refused(&signer, &folder.forge_text(&header, other));
        check_refused(&signer, &folder.forge_text(other, &payload));
    }
}

/// Section 3.10, "Do Not Trust Received Claims": neither a key nor its address is taken from a header.
#[test]
fn a_key_in_the_header_is_ignored() {
    let (folder, evil) = (Folder::new(), Folder::new());
    let signer = folder.signer();
    evil.signer();
    let (algorithm, evil_key, _) = evil.key();
    let evil_jwk = Jwk::from_encoding_key(&evil_key, algorithm).unwrap();
    let address = || Some("https://evil.example/keys".to_owned());
    let bends: [&dyn Fn(&mut Header); 5] = [
        &|header| header.jwk = Some(evil_jwk.clone()),
        &|header| header.jku = address(),
        &|header| header.x5u = address(),
        &|header| header.x5c = Some(vec!["AAAA".to_owned()]),
        &|header| header.x5t = Some("AAAA".to_owned()),
    ];
    for bend in bends {
        // It does no harm to a token of ours, and no good to one of theirs.
        check_accepted(&signer, &folder.forge(bend, |_| ()));
        let theirs = evil.forge(
            |header| {
                bend(header);
                header.kid = Some(folder.key().2);
            },
            |_| (),
        );
        check_refused(&signer, &theirs);
    }
}

/// RFC 7515 section 4.1.11, and section 3.6 of RFC 8725: "Avoid Compression of Encryption Inputs".
#[test]
fn a_header_that_asks_for_more_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let mut header = folder.header();
        header[name] = value;
        check_refused(&signer, &folder.forge_text(&header.to_string(), &payload().to_string()));
    }
}

/// Section 3.5: "Ensure that Cryptographic Keys Have Sufficient Entropy".
#[test]
fn a_guessed_secret_is_not_believed() {
    let folder = Folder::new();
    let signer: KeyFileSigner = folder.signer_of(SigningAlgorithm::Hs256);
    let (_, _, kid) = folder.key();
    for secret in ["", "secret", "your-256-bit-secret", &kid] {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(kid.clone());
        let key = EncodingKey::from_secret(secret.as_bytes());
        check_refused(&signer, &jsonwebtoken::encode(&header, &payload(), &key).unwrap());
    }
}
