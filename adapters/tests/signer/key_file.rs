//! The key file: who may read it, what may stand in it, and what is done about the rest.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};
use transtalk_adapters::signer::{KeyFileError, KeyFileSigner, SignerOptions, SigningAlgorithm};
use transtalk_core::ports::{MacPurpose, TokenKind, TokenSigner};

use crate::support::*;

#[test]
fn the_same_file_opened_twice_believes_the_other_s_tokens() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new();
        let first = folder.signer_of(algorithm);
        let bytes = fs::read(folder.file()).unwrap();
        let second = folder.signer_of(algorithm);
        assert_eq!(fs::read(folder.file()).unwrap(), bytes);
        check_accepted(&second, &first.sign(TokenKind::Access, &claims()));
        check_accepted(&first, &second.sign(TokenKind::Access, &claims()));
        assert_eq!(first.mac(MacPurpose::Refresh, b"x"), second.mac(MacPurpose::Refresh, b"x"));
    }
}

#[test]
fn processes_that_start_at_once_end_up_with_the_same_keys() {
    let folder = Folder::new();
    let signers: Vec<KeyFileSigner> = std::thread::scope(|scope| {
        let folder = &folder;
        let open =
            |seed| scope.spawn(move || KeyFileSigner::open(folder.options(), at(0), &TestEntropy(seed)).unwrap());
        let threads: Vec<_> = (0..8).map(open).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for signer in &signers {
        assert_eq!(signer.jwks(), signers[0].jwks());
    }
    assert_eq!(folder.names(), ["keys.json"]);
}

#[test]
fn a_file_says_what_is_documented() {
    let folder = Folder::new();
    let signer = folder.signer();
    let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
    let document = folder.document();
    let (key, mac) = (&document["keys"][0], &document["mac_secrets"][0]);
    assert_eq!(
        document,
        json!({
            "version": 2,
            "keys": [{
                "kid": jwks["keys"][0]["kid"], "algorithm": "EdDSA", "private_key": key["private_key"],
                "created_at": at(0).as_secs(), "activates_at": at(0).as_secs(),
            }],
            "mac_secrets": [{
                "id": mac["id"], "secret": mac["secret"],
                "created_at": at(0).as_secs(), "activates_at": at(0).as_secs(),
            }],
        })
    );
    // The kid is the thumbprint (RFC 7638), which everybody can compute from the public key.
    let set: JwkSet = serde_json::from_value(jwks).unwrap();
    assert_eq!(key["kid"], set.keys[0].thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap());
}

#[test]
fn a_file_of_the_first_version_is_read_and_left_as_it_is() {
    let (old, new, folder) = (Folder::new(), Folder::new(), Folder::new());
    let old_token = old.signer().sign(TokenKind::Access, &claims());
    let new_token = new.signer().sign(TokenKind::Access, &claims());
    let code = new.signer().mac(MacPurpose::Refresh, b"x");
    let keys = [new.document()["keys"][0].clone(), old.document()["keys"][0].clone()];
    folder.write_first_version(&keys, &new.document()["mac_secrets"][0]["secret"]);
    let bytes = fs::read(folder.file()).unwrap();

    let signer = folder.signer();
    check_accepted(&signer, &old_token);
    check_accepted(&signer, &new_token);
    assert_eq!(signer.mac(MacPurpose::Refresh, b"x"), code);
    // The first key signs.
    assert_eq!(header_of(&signer.sign(TokenKind::Access, &claims()))["kid"], keys[0]["kid"]);
    check_refused(&old.signer(), &signer.sign(TokenKind::Access, &claims()));
    assert_eq!(fs::read(folder.file()).unwrap(), bytes);
    assert_eq!(folder.names(), ["keys.json"]);

    // It becomes a file of the second version when something is added, and nothing is lost by that.
    let sealed = signer.seal([1; 12], b"context", b"secret");
    folder.rotate(0, |_| ());
    assert_eq!(folder.document()["version"], 2);
    let signer = folder.signer();
    check_accepted(&signer, &old_token);
    check_accepted(&signer, &new_token);
    assert!(signer.mac_matches(MacPurpose::Refresh, b"x", &code));
    assert_eq!(signer.open(b"context", &sealed).as_deref(), Some(b"secret".as_slice()));
}

#[test]
fn another_algorithm_in_the_configuration_adds_a_key_once_and_the_older_stay_valid() {
    let folder = Folder::new();
    let tokens = ALGORITHMS.map(|algorithm| {
        let signer = folder.signer_of(algorithm);
        let token = signer.sign(TokenKind::Access, &claims());
        assert_eq!(header_of(&token)["alg"], algorithm.name());
        token
    });
    let bytes = fs::read(folder.file()).unwrap();
    assert_eq!(folder.document()["keys"].as_array().unwrap().len(), 3);
    assert_eq!(folder.document()["mac_secrets"].as_array().unwrap().len(), 1);
    for algorithm in ALGORITHMS {
        let signer = folder.signer_of(algorithm);
        for token in &tokens {
            check_accepted(&signer, token);
        }
        assert_eq!(header_of(&signer.sign(TokenKind::Access, &claims()))["alg"], algorithm.name());
    }
    // Two servers with different configurations on one file do not go on adding keys.
    assert_eq!(fs::read(folder.file()).unwrap(), bytes);
}

#[test]
fn servers_that_want_another_algorithm_at_once_add_one_key() {
    let folder = Folder::new();
    folder.signer();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| folder.signer_of(SigningAlgorithm::Es256));
        }
    });
    assert_eq!(folder.document()["keys"].as_array().unwrap().len(), 2);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only_and_refused_if_it_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    folder.signer();
    let mode = |name: &str| fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("keys.json"), 0o600);
    assert_eq!(folder.names(), ["keys.json"]);
    folder.rotate(0, |_| ());
    assert_eq!(folder.names(), ["keys.json", "keys.json.lock"]);
    assert_eq!((mode("keys.json"), mode("keys.json.lock")), (0o600, 0o600));
    assert_eq!(fs::metadata(folder.0.join("keys.json.lock")).unwrap().len(), 0);

    for mode in [0o640, 0o604, 0o620, 0o602, 0o700, 0o644, 0o777] {
        fs::set_permissions(folder.file(), fs::Permissions::from_mode(mode)).unwrap();
        let error = folder.refused();
        assert!(matches!(error, KeyFileError::TooOpen { mode: seen, .. } if seen == mode), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("chmod 600") && text.contains(&format!("{mode:04o}")), "{text}");
    }
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o400)).unwrap();
    folder.signer();
}

#[test]
fn a_malformed_file_is_refused_in_plain_words_without_its_secrets() {
    let folder = Folder::new();
    folder.signer();
    let good = folder.document();
    let secret = good["mac_secrets"][0]["secret"].as_str().unwrap().to_owned();
    let bent = |pointer: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        document.to_string()
    };
    let twice = |list: &str| {
        let mut document = good.clone();
        let first = document[list][0].clone();
        document[list].as_array_mut().unwrap().push(first);
        document.to_string()
    };
    let extra = |pointer: &str| {
        let mut document = good.clone();
        document.pointer_mut(pointer).unwrap()["extra"] = json!(1);
        document.to_string()
    };
    let mut short = good.clone();
    short["keys"][0]["algorithm"] = json!("HS256");
    short["keys"][0]["private_key"] = json!(STANDARD.encode([7; 31]));

    for (text, words) in [
        (String::new(), "not the JSON"),
        ("{}".to_owned(), "not the JSON"),
        (good.to_string()[..40].to_owned(), "not the JSON"),
        (extra(""), "not the JSON"),
        (extra("/keys/0"), "not the JSON"),
        (extra("/mac_secrets/0"), "not the JSON"),
        (bent("/mac_secrets", json!([secret])), "not the JSON"),
        (bent("/keys/0/created_at", json!("now")), "not the JSON"),
        (bent("/keys/0/activates_at", json!(-1)), "not the JSON"),
        (bent("/version", json!(1)), "not the JSON"),
        (bent("/version", json!(3)), "version"),
        (bent("/mac_secrets/0/secret", json!("AAAA")), "MAC secret"),
        (bent("/mac_secrets/0/secret", json!("?")), "MAC secret"),
        (bent("/mac_secrets/0/id", json!("0000000000000000")), "id is not its own"),
        (bent("/mac_secrets", json!([])), "no MAC secret"),
        (bent("/keys/0/algorithm", json!("RS256")), "algorithm is not"),
        (bent("/keys/0/algorithm", json!("ES256")), "not a P-256 key"),
        (bent("/keys/0/kid", json!("")), "kid"),
        (bent("/keys/0/kid", json!("x".repeat(129))), "kid"),
        (bent("/keys/0/private_key", json!("?")), "not base64"),
        (bent("/keys/0/private_key", json!(STANDARD.encode([0; 48]))), "not an Ed25519 key"),
        (short.to_string(), "shorter than 32 bytes"),
        (twice("keys"), "same kid"),
        (twice("mac_secrets"), "are the same"),
        (json!({"version": 1, "mac_secret": secret, "keys": []}).to_string(), "no key"),
        (" ".repeat(100_000), "too large"),
    ] {
        folder.write(&text);
        let error = folder.refused();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{error:?}");
        let told = format!("{error} {error:?}");
        assert!(told.contains(words) && told.contains("keys.json"), "{words}: {told}");
        assert!(!told.contains(&secret));
        // It is left as it was: perhaps somebody can mend it.
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
    }
}

#[test]
fn a_folder_that_is_missing_or_stands_in_the_file_s_place_is_told() {
    let folder = Folder::new();
    let open = |path: &Path| {
        let options = SignerOptions { path: path.to_owned(), ..folder.options() };
        KeyFileSigner::open(options, at(0), &TestEntropy(0)).unwrap_err()
    };
    assert!(matches!(open(&folder.0.join("missing/keys.json")), KeyFileError::Unwritable { .. }));
    assert!(matches!(open(&folder.0), KeyFileError::Malformed { .. }));
}
