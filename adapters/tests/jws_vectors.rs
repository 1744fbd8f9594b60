//! The signature layer against the vectors of Project Wycheproof, and one fresh token for each supported algorithm.
//! What the vectors are is in `vectors/README.md`.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use transtalk_adapters::signer::jws::{self, JwsAlgorithm, JwsError, Verified};

#[test]
fn every_signature_vector_comes_out_right() {
    let (mut run, mut contradictory, mut unsupported) = (0, Vec::new(), Vec::new());
    for (group, test) in tests_of(JWS) {
        run += 1;
        let number = test["tcId"].as_u64().unwrap();
        let token = test["jws"].as_str().unwrap();
        let answer = verify(key_of(&group), token);
        // Any verifier fails at one of the three: see below, and the folder's README.
        if CONTRADICTORY.contains(&number) {
            contradictory.push(number);
            continue;
        }
        let is_valid = test["result"] == "valid";
        if is_valid && !is_supported(&group, token) {
            assert!(answer.is_err(), "vector {number} is of an algorithm that is not supported");
            unsupported.push(number);
            continue;
        }
        assert_eq!(answer.is_ok(), is_valid, "vector {number}, {}: {answer:?}", test["comment"]);
        if let Ok(verified) = answer {
            assert_eq!(verified.payload, URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap());
        }
    }
    assert_eq!(run, 225);
    assert_eq!(contradictory, CONTRADICTORY);
    // Ten `valid` ones: RS384, RS512 (2), PS384 (3, two of them under a key that says PS256), PS512 (3), ES512.
    assert_eq!(unsupported, [266, 269, 271, 323, 325, 327, 328, 346, 350, 351]);
}

#[test]
fn two_vectors_contradict_a_third_and_what_they_mean_is_refused() {
    let all = tests_of(JWS);
    let find = |number: u64| all.iter().find(|(_, test)| test["tcId"] == number).unwrap();
    let (group, valid) = find(357);
    assert_eq!(valid["result"], "valid");
    for number in CONTRADICTORY {
        let (its_group, test) = find(number);
        assert_eq!(test["result"], "invalid");
        assert_eq!((its_group, &test["jws"]), (group, &valid["jws"]), "vector {number} has been mended: run it");
    }

    let token = valid["jws"].as_str().unwrap();
    let key = key_of(group);
    assert!(verify(key, token).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    for padded in 0..3 {
        for padding in ["=", "=="] {
            let part = |index: usize| format!("{}{}", parts[index], if index == padded { padding } else { "" });
            let token = [part(0), part(1), part(2)].join(".");
            assert!(verify(key, &token).is_err(), "{token}");
        }
    }
    // The same with a code that is right for the padded text.
    let secret = EncodingKey::from_secret(&[0; 32]);
    for message in [format!("{}.{}==", parts[0], parts[1]), format!("{}==.{}", parts[0], parts[1])] {
        let code = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
        assert_eq!(verify(key, &format!("{message}.{code}")), Err(JwsError::Malformed));
    }
}

#[test]
fn every_key_vector_comes_out_right() {
    let (mut run, mut unsupported) = (0, Vec::new());
    for (group, test) in tests_of(JWK) {
        run += 1;
        let number = test["tcId"].as_u64().unwrap();
        let token = test["jws"].as_str().unwrap();
        let keys = key_of(&group);
        let algorithm = keys["keys"].as_array().unwrap().iter().find_map(|key| key["alg"].as_str()).unwrap();
        let algorithm = JwsAlgorithm::from_name(algorithm);
        let answer = match (algorithm, serde_json::from_value::<JwkSet>(keys.clone())) {
            (Some(algorithm), Ok(keys)) => jws::verify_in(&keys, algorithm, token),
            _ => Err(JwsError::WrongAlgorithm),
        };
        let is_valid = test["result"] == "valid";
        if is_valid && algorithm.is_none() {
            unsupported.push(number);
            continue;
        }
        assert_eq!(answer.is_ok(), is_valid, "vector {number}, {}: {answer:?}", test["comment"]);
        if number == 1 {
            assert_eq!(answer, Err(JwsError::UnfitKey), "a set that publishes a secret is refused whole");
        }
        // The same without the set, and whatever algorithm is allowed.
        for key in keys["keys"].as_array().unwrap() {
            for algorithm in JwsAlgorithm::ALL {
                let Ok(key) = serde_json::from_value::<Jwk>(key.clone()) else { continue };
                let alone = jws::verify(&key, algorithm, token);
                assert!(alone.is_err() || is_valid || number == 1, "vector {number}: {algorithm:?}");
            }
        }
    }
    assert_eq!(run, 14);
    // One `valid` one, of HS384.
    assert_eq!(unsupported, [14]);
}

#[test]
fn a_fresh_token_of_each_algorithm_is_believed_by_its_own_key_and_algorithm_only() {
    let pairs = fresh_keys();
    for (index, (algorithm, signing)) in pairs.iter().enumerate() {
        let token = sign(*algorithm, signing, &json!({"a": 1}));
        for (other_index, (_, other)) in pairs.iter().enumerate() {
            for allowed in JwsAlgorithm::ALL {
                for says_alg in [true, false] {
                    let mut jwk = public(other, allowed);
                    if !says_alg {
                        jwk.common.key_algorithm = None;
                    }
                    let answer = jws::verify(&jwk, allowed, &token);
                    // RS256 and PS256 share a key here, so that only the algorithm keeps them apart.
                    let same_key = index == other_index || pairs[index].1.as_bytes() == other.as_bytes();
                    assert_eq!(answer.is_ok(), same_key && allowed == *algorithm, "{algorithm:?} {allowed:?}");
                }
            }
        }
        let verified = jws::verify(&public(signing, *algorithm), *algorithm, &token).unwrap();
        assert_eq!(verified, Verified { typ: Some("JWT".to_owned()), payload: br#"{"a":1}"#.to_vec() });
        assert!(!format!("{verified:?}").contains("payload"));
    }
}

#[test]
fn a_key_that_says_it_is_for_something_else_is_not_used() {
    for (algorithm, signing) in fresh_keys() {
        let token = sign(algorithm, &signing, &json!({}));
        let good = serde_json::to_value(public(&signing, algorithm)).unwrap();
        let check = |change: Value, expect: Result<(), JwsError>| {
            let mut jwk = good.clone();
            jwk.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let answer = serde_json::from_value(jwk)
                .map_or(Err(JwsError::UnfitKey), |jwk: Jwk| jws::verify(&jwk, algorithm, &token).map(|_| ()));
            assert_eq!(answer, expect, "{algorithm:?} {change}");
        };
        check(json!({}), Ok(()));
        check(json!({"use": "sig"}), Ok(()));
        check(json!({"use": "enc"}), Err(JwsError::UnfitKey));
        check(json!({"use": "tls"}), Err(JwsError::UnfitKey));
        check(json!({"key_ops": ["verify"]}), Ok(()));
        check(json!({"key_ops": ["sign", "verify"]}), Ok(()));
        check(json!({"key_ops": ["sign"]}), Err(JwsError::UnfitKey));
        check(json!({"key_ops": []}), Err(JwsError::UnfitKey));
        check(json!({"alg": "RS512"}), Err(JwsError::UnfitKey));
        check(json!({"alg": "RSA-OAEP"}), Err(JwsError::UnfitKey));
        check(json!({"alg": "something else"}), Err(JwsError::UnfitKey));
        check(json!({"kty": "none"}), Err(JwsError::UnfitKey));
        check(json!({"kid": "another"}), Err(JwsError::UnknownKey));
        match algorithm {
            JwsAlgorithm::EdDsa => {
                check(json!({"crv": "P-256"}), Err(JwsError::UnfitKey));
                check(json!({"x": "AAAA"}), Err(JwsError::UnfitKey));
            }
            JwsAlgorithm::Es256 => {
                check(json!({"crv": "P-384"}), Err(JwsError::UnfitKey));
                // Both coordinates together have the right length.
                let bytes = |name: &str| URL_SAFE_NO_PAD.decode(good[name].as_str().unwrap()).unwrap();
                let (x, y) = (bytes("x"), bytes("y"));
                let (short, long) = (&x[..31], [&x[31..], &y].concat());
                let shifted = json!({"x": URL_SAFE_NO_PAD.encode(short), "y": URL_SAFE_NO_PAD.encode(long)});
                check(shifted, Err(JwsError::UnfitKey));
            }
            JwsAlgorithm::Hs256 => check(json!({"k": URL_SAFE_NO_PAD.encode([7; 31])}), Err(JwsError::UnfitKey)),
            JwsAlgorithm::Rs256 | JwsAlgorithm::Ps256 => {
                let modulus = URL_SAFE_NO_PAD.decode(good["n"].as_str().unwrap()).unwrap();
                let padded = [&[0, 0], modulus.as_slice()].concat();
                check(json!({"n": URL_SAFE_NO_PAD.encode(padded)}), Ok(()));
                check(json!({"n": URL_SAFE_NO_PAD.encode(&modulus[..255])}), Err(JwsError::UnfitKey));
                let short = [&[0; 128], &modulus[..128]].concat();
                check(json!({"n": URL_SAFE_NO_PAD.encode(short)}), Err(JwsError::UnfitKey));
                check(json!({"n": ""}), Err(JwsError::UnfitKey));
                check(json!({"e": "AQ"}), Err(JwsError::WrongSignature));
            }
        }
    }
}

#[test]
fn a_set_gives_the_one_key_that_fits() {
    let pairs = fresh_keys();
    let (algorithm, signing) = &pairs[1];
    assert_eq!(*algorithm, JwsAlgorithm::Es256);
    let token = sign(*algorithm, signing, &json!({}));
    let named = |key: &EncodingKey, algorithm, kid: Option<&str>| {
        let mut jwk = public(key, algorithm);
        jwk.common.key_id = kid.map(str::to_owned);
        jwk
    };
    let check = |keys: Vec<Jwk>, expect: Result<(), JwsError>| {
        assert_eq!(jws::verify_in(&JwkSet { keys }, *algorithm, &token).map(|_| ()), expect);
    };
    let good = named(signing, *algorithm, Some(KID));
    let rsa = named(&pairs[3].1, JwsAlgorithm::Rs256, Some(KID));
    check(vec![good.clone()], Ok(()));
    check(vec![rsa.clone(), good.clone()], Ok(()));
    check(vec![rsa], Err(JwsError::UnknownKey));
    check(vec![], Err(JwsError::UnknownKey));
    check(vec![named(signing, *algorithm, Some("older"))], Err(JwsError::UnknownKey));
    check(vec![named(signing, *algorithm, None)], Err(JwsError::UnknownKey));
    check(vec![good.clone(), good.clone()], Err(JwsError::UnfitKey));
    let secret = named(&pairs[2].1, JwsAlgorithm::Hs256, Some("secret"));
    check(vec![good, secret], Err(JwsError::UnfitKey));
}

#[test]
fn a_header_that_is_odd_or_asks_for_more_is_refused_even_if_it_is_signed() {
    let secret = [7; 32];
    let signing = EncodingKey::from_secret(&secret);
    let jwk = public(&signing, JwsAlgorithm::Hs256);
    let answer = |header: &[u8]| {
        let message = format!("{}.e30", URL_SAFE_NO_PAD.encode(header));
        let code = jsonwebtoken::crypto::sign(message.as_bytes(), &signing, Algorithm::HS256).unwrap();
        jws::verify(&jwk, JwsAlgorithm::Hs256, &format!("{message}.{code}")).map(|_| ())
    };
    let check = |header: &str, expect: Result<(), JwsError>| assert_eq!(answer(header.as_bytes()), expect, "{header}");
    check(r#"{"alg":"HS256"}"#, Ok(()));
    check(r#"{"alg":"HS256","cty":"JWT","anything":[1,{"a":null}]}"#, Ok(()));
    // A key, or an address of one, in the header is not even read.
    for name in ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"] {
        for value in [r#""https://evil.example/keys""#, r#"{"kty":"oct","k":"AAAA"}"#, "[]", "7", "null"] {
            check(&format!(r#"{{"alg":"HS256","{name}":{value}}}"#), Ok(()));
        }
    }
    for more in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""zip":"DEF""#,
        r#""b64":false"#,
        r#""enc":"A256GCM""#,
    ] {
        check(&format!(r#"{{"alg":"HS256",{more}}}"#), Err(JwsError::NotSupported));
    }
    for alg in ["none", "None", "NONE", "hs256", "HS384", "RS256", "ES256", "", " HS256", "HS256\\u0000"] {
        check(&format!(r#"{{"alg":"{alg}"}}"#), Err(JwsError::WrongAlgorithm));
    }
    for malformed in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","\u0078":1,"x":1}"#,
        r#"{"alg":"HS256","crit":["exp"],"crit":["exp"]}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"{"alg":"HS256"}x"#,
        r#"{"alg":"HS256",}"#,
        r#"{"alg":"HS256"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "{}",
        "",
        "\u{feff}{\"alg\":\"HS256\"}",
    ] {
        check(malformed, Err(JwsError::Malformed));
    }
    assert_eq!(answer(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}"), Err(JwsError::Malformed));
    let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    // Nothing of it is read, and passing over it takes no stack.
    check(&deep, Ok(()));
    let long = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "x".repeat(20_000));
    check(&long, Err(JwsError::Malformed));
}

/// Every test with its group.
fn tests_of(file: &str) -> Vec<(Value, Value)> {
    let file: Value = serde_json::from_str(file).unwrap();
    let groups = file["testGroups"].as_array().unwrap();
    let all: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            let mut bare = group.clone();
            bare.as_object_mut().unwrap().remove("tests");
            group["tests"].as_array().unwrap().iter().map(move |test| (bare.clone(), test.clone()))
        })
        .collect();
    assert_eq!(all.len() as u64, file["numberOfTests"].as_u64().unwrap());
    all
}

/// The public key, or the secret.
fn key_of(group: &Value) -> &Value {
    group.get("public").unwrap_or(&group["private"])
}

fn verify(key: &Value, token: &str) -> Result<Verified, JwsError> {
    let key: Jwk = serde_json::from_value(key.clone()).map_err(|_| JwsError::UnfitKey)?;
    // A key without `alg`, or with one that nobody knows, is tried with everything that there is.
    let named = serde_json::to_value(key.common.key_algorithm).unwrap();
    let allowed: Vec<_> =
        JwsAlgorithm::ALL.into_iter().filter(|algorithm| named.is_null() || named == algorithm.name()).collect();
    let mut answer = Err(JwsError::WrongAlgorithm);
    for algorithm in allowed {
        answer = answer.or_else(|_| jws::verify(&key, algorithm, token));
    }
    answer
}

/// Whether both the key and the token are of algorithms that we have.
fn is_supported(group: &Value, token: &str) -> bool {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    [&header["alg"], &key_of(group)["alg"]]
        .into_iter()
        .all(|alg| JwsAlgorithm::from_name(alg.as_str().unwrap()).is_some())
}

/// One of each, in the order of [`JwsAlgorithm::ALL`].
fn fresh_keys() -> Vec<(JwsAlgorithm, EncodingKey)> {
    let ed = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = AsDer::<Pkcs8V1Der>::as_der(&rsa).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(rsa.as_ref()));
    let rsa = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    vec![
        (JwsAlgorithm::EdDsa, EncodingKey::from_ed_der(ed.as_ref())),
        (JwsAlgorithm::Es256, EncodingKey::from_ec_der(ec.as_ref())),
        (JwsAlgorithm::Hs256, EncodingKey::from_secret(&[7; 32])),
        (JwsAlgorithm::Rs256, rsa.clone()),
        (JwsAlgorithm::Ps256, rsa),
    ]
}

fn sign(algorithm: JwsAlgorithm, key: &EncodingKey, payload: &Value) -> String {
    let mut header = Header::new(algorithm.into());
    header.kid = Some(KID.to_owned());
    jsonwebtoken::encode(&header, payload, key).unwrap()
}

/// The public half, with `alg` (which may be one that the key is not for).
fn public(key: &EncodingKey, algorithm: JwsAlgorithm) -> Jwk {
    let own = match key.family() {
        jsonwebtoken::AlgorithmFamily::Hmac => Algorithm::HS256,
        jsonwebtoken::AlgorithmFamily::Rsa => Algorithm::RS256,
        jsonwebtoken::AlgorithmFamily::Ec => Algorithm::ES256,
        jsonwebtoken::AlgorithmFamily::Ed => Algorithm::EdDSA,
    };
    let mut jwk = Jwk::from_encoding_key(key, own).unwrap();
    jwk.common.key_algorithm = Some(algorithm.into());
    jwk
}

const JWS: &str = include_str!("vectors/jws.json");
const JWK: &str = include_str!("vectors/jwk.json");
const KID: &str = "a-key";
const CONTRADICTORY: [u64; 2] = [367, 370];
