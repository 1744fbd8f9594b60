//! The signer and its key file: what it signs it believes, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use transtalk_adapters::signer::{KeyFileError, KeyFileSigner};
use transtalk_core::auth::Generation;
use transtalk_core::ports::{Claims, Entropy, MacPurpose, SignerError, TokenKind, TokenSigner};
use transtalk_core::{Timestamp, UserId, limits};

#[test]
fn a_token_reads_back() {
    let folder = Folder::new();
    let signer = folder.signer();
    for kind in [TokenKind::Access, TokenKind::WsTicket] {
        let token = signer.sign(kind, &claims());
        assert!(signer.verify(kind, &token) == Ok(claims()));
    }
}

#[test]
fn a_token_says_what_is_documented_and_nothing_personal() {
    let folder = Folder::new();
    let token = folder.signer().sign(TokenKind::Access, &claims());
    let part = |index| -> Value {
        let text = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"typ": "at+jwt", "alg": "EdDSA", "kid": folder.document()["keys"][0]["kid"]}));
    assert_eq!(part(1), payload());
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
fn a_token_with_any_one_character_altered_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let token = signer.sign(TokenKind::Access, &claims());
    for position in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
        check_refused(&signer, &String::from_utf8(altered).unwrap());
        check_refused(&signer, &token[..position]);
    }
}

#[test]
fn a_text_that_is_no_token_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let token = signer.sign(TokenKind::Access, &claims());
    let padded = format!("{token}{}", "A".repeat(limits::TOKEN_BYTES_MAX));
    for text in ["", ".", "..", "...", "a.b.c", "é.é.é", &padded, &format!("{token}."), &format!(" {token}")] {
        check_refused(&signer, text);
    }
}

#[test]
fn no_kind_passes_for_another() {
    let folder = Folder::new();
    let signer = folder.signer();
    for (signed, asked) in [(TokenKind::Access, TokenKind::WsTicket), (TokenKind::WsTicket, TokenKind::Access)] {
        assert!(signer.verify(asked, &signer.sign(signed, &claims())) == Err(SignerError::Invalid));
    }
    for typ in [None, Some("JWT"), Some("AT+JWT"), Some("application/at+jwt")] {
        check_refused(&signer, &folder.forge(|header| header.typ = typ.map(str::to_owned), |_| ()));
    }
}

#[test]
fn a_token_of_another_issuer_audience_or_key_is_refused() {
    let folder = Folder::new();
    let signer = folder.signer();
    let open = |issuer, audience| KeyFileSigner::open(&folder.file(), issuer, audience, &TestEntropy(0)).unwrap();
    for other in [open("else", AUDIENCE), open(ISSUER, "else"), open("", ""), Folder::new().signer_of_seed(9)] {
        check_refused(&signer, &other.sign(TokenKind::Access, &claims()));
        check_refused(&other, &signer.sign(TokenKind::Access, &claims()));
    }
}

#[test]
fn an_algorithm_is_never_taken_from_the_token() {
    let folder = Folder::new();
    let signer = folder.signer();
    check_accepted(&signer, &folder.forge(|_| (), |_| ()));

    let kid = folder.document()["keys"][0]["kid"].clone();
    let header = |alg: &str| json!({"typ": "at+jwt", "alg": alg, "kid": kid});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    for alg in ["none", "None", "NONE", "EdDSA", ""] {
        let unsigned = format!("{}.{}.", encode(&header(alg)), encode(&payload()));
        check_refused(&signer, &unsigned);
    }

    // The public key is known to everybody, in every form that somebody may have taken for a secret.
    let jwks = signer.jwks();
    let set: JwkSet = serde_json::from_str(&jwks).unwrap();
    let AlgorithmParameters::OctetKeyPair(public) = &set.keys[0].algorithm else { panic!("not an Ed25519 key") };
    let raw = URL_SAFE_NO_PAD.decode(&public.x).unwrap();
    for secret in [raw.as_slice(), public.x.as_bytes(), jwks.as_bytes(), b""] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = Header::new(algorithm);
            header.typ = Some("at+jwt".to_owned());
            header.kid = kid.as_str().map(str::to_owned);
            let token = jsonwebtoken::encode(&header, &payload(), &EncodingKey::from_secret(secret)).unwrap();
            check_refused(&signer, &token);
        }
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
        ("aud", json!([AUDIENCE, "else"])),
        ("aud", json!([AUDIENCE])),
        ("iss", json!([ISSUER])),
        ("role", json!("admin")),
    ] {
        check_refused(&signer, &folder.forge(|_| (), |claims| claims[name] = value.clone()));
    }
    for kid in [None, Some(""), Some("unknown")] {
        check_refused(&signer, &folder.forge(|header| header.kid = kid.map(str::to_owned), |_| ()));
    }
    check_refused(&signer, &folder.forge(|header| header.crit = Some(vec!["b64".to_owned()]), |_| ()));
}

#[test]
fn the_same_file_opened_twice_believes_the_other_s_tokens() {
    let folder = Folder::new();
    let first = folder.signer();
    let bytes = fs::read(folder.file()).unwrap();
    let second = folder.signer_of_seed(9);
    assert_eq!(fs::read(folder.file()).unwrap(), bytes);
    check_accepted(&second, &first.sign(TokenKind::Access, &claims()));
    check_accepted(&first, &second.sign(TokenKind::Access, &claims()));
    assert_eq!(first.mac(MacPurpose::Refresh, b"x"), second.mac(MacPurpose::Refresh, b"x"));
}

#[test]
fn processes_that_start_at_once_end_up_with_the_same_keys() {
    let folder = Folder::new();
    let signers: Vec<KeyFileSigner> = std::thread::scope(|scope| {
        let folder = &folder;
        let open = |seed| scope.spawn(move || folder.signer_of_seed(seed));
        let threads: Vec<_> = (0..8).map(open).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for signer in &signers {
        assert_eq!(signer.jwks(), signers[0].jwks());
    }
    assert_eq!(folder.names(), ["keys.json"]);
}

#[test]
fn an_older_key_still_verifies_and_the_first_one_signs() {
    let (old, new) = (Folder::new(), Folder::new());
    let old_token = old.signer().sign(TokenKind::Access, &claims());
    new.signer_of_seed(9);
    let mut document = new.document();
    document["keys"].as_array_mut().unwrap().push(old.document()["keys"][0].clone());
    new.write(&document.to_string());

    let both = new.signer();
    check_accepted(&both, &old_token);
    check_refused(&old.signer(), &both.sign(TokenKind::Access, &claims()));
    let set: JwkSet = serde_json::from_str(&both.jwks()).unwrap();
    assert_eq!(set.keys.len(), 2);
}

#[test]
fn the_published_keys_are_public_ones_and_verify_a_token() {
    let folder = Folder::new();
    let signer = folder.signer();
    let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
    let key = &jwks["keys"][0];
    let names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!([&key["alg"], &key["kty"], &key["crv"], &key["use"]], ["EdDSA", "OKP", "Ed25519", "sig"]);

    let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_exp = false;
    let token = signer.sign(TokenKind::Access, &claims());
    assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims, payload());
}

#[test]
fn a_code_is_hmac_sha256_over_purpose_and_bytes() {
    let folder = Folder::new();
    let signer = folder.signer();
    let secret = STANDARD.decode(folder.document()["mac_secret"].as_str().unwrap()).unwrap();
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
    assert!(!Folder::new().signer_of_seed(9).mac_matches(MacPurpose::Refresh, b"bytes", &code));
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only_and_refused_if_it_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    folder.signer();
    let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(folder.names(), ["keys.json"]);

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
    let secret = good["mac_secret"].as_str().unwrap().to_owned();
    let bent = |pointer: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        document.to_string()
    };
    let mut twice = good.clone();
    twice["keys"].as_array_mut().unwrap().push(good["keys"][0].clone());
    let mut unknown = good.clone();
    unknown["extra"] = json!(1);

    for (text, words) in [
        (String::new(), "not the JSON"),
        ("{}".to_owned(), "not the JSON"),
        (good.to_string()[..40].to_owned(), "not the JSON"),
        (unknown.to_string(), "not the JSON"),
        (bent("/mac_secret", json!([secret])), "not the JSON"),
        (bent("/version", json!(2)), "version"),
        (bent("/mac_secret", json!("AAAA")), "MAC secret"),
        (bent("/mac_secret", json!("?")), "MAC secret"),
        (bent("/keys", json!([])), "no key"),
        (bent("/keys/0/algorithm", json!("HS256")), "not EdDSA"),
        (bent("/keys/0/kid", json!("")), "kid"),
        (bent("/keys/0/private_key", json!("?")), "not base64"),
        (bent("/keys/0/private_key", json!(STANDARD.encode([0; 48]))), "not an Ed25519 key"),
        (twice.to_string(), "same kid"),
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
    let open = |path: &Path| KeyFileSigner::open(path, ISSUER, AUDIENCE, &TestEntropy(0)).unwrap_err();
    assert!(matches!(open(&folder.0.join("missing/keys.json")), KeyFileError::Unwritable { .. }));
    assert!(matches!(open(&folder.0), KeyFileError::Malformed { .. }));
}

#[test]
fn nothing_of_a_signer_is_shown() {
    assert_eq!(format!("{:?}", Folder::new().signer()), "KeyFileSigner");
}

#[track_caller]
fn check_accepted(signer: &KeyFileSigner, token: &str) {
    assert!(signer.verify(TokenKind::Access, token) == Ok(claims()), "{token}");
}

#[track_caller]
fn check_refused(signer: &KeyFileSigner, token: &str) {
    assert!(signer.verify(TokenKind::Access, token) == Err(SignerError::Invalid), "{token}");
}

fn claims() -> Claims {
    Claims {
        user: UserId::new(7).unwrap(),
        session: "000102030405060708090a0b0c0d0e0f".parse().unwrap(),
        generation: Generation(3),
        jti: "a-unique-name".to_owned(),
        issued_at: Timestamp::from_secs(1_700_000_000),
        expires_at: Timestamp::from_secs(1_700_001_800),
    }
}

fn payload() -> Value {
    json!({
        "sub": "7", "sid": "000102030405060708090a0b0c0d0e0f", "gen": 3, "jti": "a-unique-name",
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_001_800,
        "iss": ISSUER, "aud": AUDIENCE, "role": "user",
    })
}

/// The same bytes for the same seed, and others in every call.
struct TestEntropy(u64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::digest([self.0.to_le_bytes(), call.to_le_bytes()].concat());
        let length = bytes.len();
        bytes.copy_from_slice(&digest[..length]);
    }
}

/// A data folder of a test's own, which is gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let name = format!("signer-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    fn signer(&self) -> KeyFileSigner {
        self.signer_of_seed(0)
    }

    fn signer_of_seed(&self, seed: u64) -> KeyFileSigner {
        KeyFileSigner::open(&self.file(), ISSUER, AUDIENCE, &TestEntropy(seed)).unwrap()
    }

    fn refused(&self) -> KeyFileError {
        KeyFileSigner::open(&self.file(), ISSUER, AUDIENCE, &TestEntropy(0)).unwrap_err()
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap()
    }

    /// Keeps the mode of the file.
    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// A token that is signed with the file's own key, and yet bent.
    fn forge(&self, bend_header: impl FnOnce(&mut Header), bend_claims: impl FnOnce(&mut Value)) -> String {
        let document = self.document();
        let der = STANDARD.decode(document["keys"][0]["private_key"].as_str().unwrap()).unwrap();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = document["keys"][0]["kid"].as_str().map(str::to_owned);
        let mut claims = payload();
        bend_header(&mut header);
        bend_claims(&mut claims);
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&der)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);
const ISSUER: &str = "https://chat.example.org";
const AUDIENCE: &str = "transtalk";
