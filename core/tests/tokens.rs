//! Refresh tokens and sign-in cookies: only what this server wrote, in its one spelling, is read.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use transtalk_core::auth::{AuditEvent, Generation, RefreshToken, SignInCookie, bearer};
use transtalk_core::ports::{Claims, Entropy, MacPurpose, SignerError, TokenKind, TokenSigner};
use transtalk_core::{Timestamp, limits};

/// Codes only.
struct Codes(&'static str);

impl TokenSigner for Codes {
    fn sign(&self, _: TokenKind, _: &Claims) -> String {
        String::new()
    }

    fn verify(&self, _: TokenKind, _: &str) -> Result<Claims, SignerError> {
        Err(SignerError::Invalid)
    }

    fn mac(&self, purpose: MacPurpose, bytes: &[u8]) -> [u8; 32] {
        let parts = [self.0.as_bytes(), purpose.label().as_bytes(), bytes];
        parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0])).finalize().into()
    }

    fn mac_matches(&self, purpose: MacPurpose, bytes: &[u8], code: &[u8]) -> bool {
        self.mac(purpose, bytes) == code
    }

    fn seal(&self, _: [u8; 12], _: &[u8], _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn open(&self, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn jwks(&self) -> String {
        String::new()
    }
}

/// Never the same bytes twice.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

const OURS: Codes = Codes("ours");

/// Each way to change one byte of a text into another letter.
fn altered(text: &str) -> impl Iterator<Item = String> + '_ {
    (0..text.len()).map(|index| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
        String::from_utf8(bytes).unwrap()
    })
}

fn refresh_token() -> RefreshToken {
    RefreshToken { session: "00112233445566778899aabbccddeeff".parse().unwrap(), generation: Generation(12) }
}

#[test]
fn a_refresh_token_reads_back_and_is_the_same_every_time() {
    let token = refresh_token();
    let text = token.encode(&OURS);
    assert!(text.starts_with("00112233445566778899aabbccddeeff.12."), "{text}");
    assert_eq!(text, token.encode(&OURS));
    assert_eq!(RefreshToken::decode(&text, &OURS), Some(token));
}

#[test]
fn an_altered_or_foreign_refresh_token_is_none() {
    let text = refresh_token().encode(&OURS);
    for altered in altered(&text) {
        assert_eq!(RefreshToken::decode(&altered, &OURS), None, "{altered}");
    }
    assert_eq!(RefreshToken::decode(&text, &Codes("another server's")), None);
    let (named, code) = text.rsplit_once('.').unwrap();
    let (session, _) = named.split_once('.').unwrap();
    let padding = ".".repeat(limits::TOKEN_BYTES_MAX);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        named.to_owned(),
        format!("{named}."),
        format!("{session}.{code}"),
        // Another spelling of the same number.
        format!("{session}.012.{code}"),
        format!("{session}.+12.{code}"),
        format!("{}.12.{code}", session.to_uppercase()),
        format!("{text}{padding}"),
        format!("{padding}{text}"),
        format!(" {text}"),
        format!("{text}="),
    ] {
        assert_eq!(RefreshToken::decode(&bad, &OURS), None, "{bad:.60}");
    }
}

#[test]
fn a_text_that_is_too_long_is_not_read_at_all() {
    // Authentic, were it not for its length: the number's leading zeros are checked after the code.
    struct Believing;
    impl TokenSigner for Believing {
        fn sign(&self, kind: TokenKind, claims: &Claims) -> String {
            OURS.sign(kind, claims)
        }
        fn verify(&self, kind: TokenKind, token: &str) -> Result<Claims, SignerError> {
            OURS.verify(kind, token)
        }
        fn mac(&self, _: MacPurpose, _: &[u8]) -> [u8; 32] {
            [0; 32]
        }
        fn mac_matches(&self, _: MacPurpose, _: &[u8], _: &[u8]) -> bool {
            true
        }
        fn seal(&self, _: [u8; 12], _: &[u8], _: &[u8]) -> Vec<u8> {
            Vec::new()
        }
        fn open(&self, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
            None
        }
        fn jwks(&self) -> String {
            String::new()
        }
    }
    let named = "00112233445566778899aabbccddeeff.12.";
    let of = |length: usize| format!("{named}{}", "A".repeat(length - named.len()));
    // Base64 comes in fours of letters.
    let (fits, too_long) = (of(limits::TOKEN_BYTES_MAX), of(limits::TOKEN_BYTES_MAX + 4));
    assert_eq!((fits.len() - named.len()) % 4, 0);
    assert!(RefreshToken::decode(&fits, &Believing).is_some());
    assert!(RefreshToken::decode(&too_long, &Believing).is_none());
    // Believed or not, a number has one spelling.
    assert!(RefreshToken::decode(&fits.replacen(".12.", ".12A.", 1), &Believing).is_none());
    assert!(RefreshToken::decode(&of(80).replacen(".12.", ".012.", 1), &Believing).is_none());
}

#[test]
fn a_refresh_tokens_code_is_no_sign_in_cookies_code() {
    let now = Timestamp::from_secs(1_000);
    let cookie = begin(now).encode(&OURS);
    assert_eq!(RefreshToken::decode(&cookie, &OURS), None);
    assert!(SignInCookie::decode(&refresh_token().encode(&OURS), &OURS, now).is_none());
}

fn begin(now: Timestamp) -> SignInCookie {
    let until = now.plus(Duration::from_mins(1));
    SignInCookie::begin(&Counting::default(), "work", "https://chat.example/oauth/callback?a=b.c", until)
}

#[test]
fn a_sign_in_cookie_reads_back_until_it_ends() {
    let now = Timestamp::from_secs(1_000);
    let cookie = begin(now);
    let text = cookie.encode(&OURS);
    let last = cookie.expires_at;
    let just_before = Timestamp::from_millis(last.as_millis() - 1);
    for at in [now, just_before] {
        assert!(SignInCookie::decode(&text, &OURS, at).is_some_and(|read| read == cookie));
    }
    assert!(SignInCookie::decode(&text, &OURS, last).is_none());
    assert_eq!(cookie.provider, "work");
    assert_eq!(cookie.redirect_uri, "https://chat.example/oauth/callback?a=b.c");
    // Four texts by chance, none of them like another (RFC 7636 section 4.1 asks for 43 characters at least).
    let mut texts = vec![cookie.id, cookie.verifier, cookie.nonce, cookie.state];
    assert!(texts.iter().all(|text| text.len() == 43));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 4);
}

#[test]
fn an_altered_or_foreign_sign_in_cookie_is_none() {
    let now = Timestamp::from_secs(1_000);
    let text = begin(now).encode(&OURS);
    for altered in altered(&text) {
        assert!(SignInCookie::decode(&altered, &OURS, now).is_none(), "{altered}");
    }
    assert!(SignInCookie::decode(&text, &Codes("another server's"), now).is_none());
    for bad in ["", ".", "a.b", &text[1..], &text[..text.len() - 1]] {
        assert!(SignInCookie::decode(bad, &OURS, now).is_none(), "{bad}");
    }
    // Authentic, but of another form.
    for fields in ["a.b.c", "a.b.c.d.e.f.x", "a.b.c.d.e.f.1060000.g", "a.!.c.d.e.f.1060000"] {
        let code = OURS.mac(MacPurpose::SignIn, fields.as_bytes());
        let signed = format!("{fields}.{}", base64(&code));
        assert!(SignInCookie::decode(&signed, &OURS, now).is_none(), "{fields}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn a_bearer_scheme_is_a_word_of_its_own() {
    for (value, token) in
        [("Bearerx.y", "Bearerx.y"), ("Basic x", "Basic x"), ("BEARER x", "x"), ("Bearer  ", "Bearer")]
    {
        assert_eq!(bearer(value), token);
    }
}

#[test]
fn an_audit_event_has_one_name() {
    use AuditEvent as E;
    let names = [
        (E::SignedIn, "SIGNED_IN"),
        (E::Refreshed, "REFRESHED"),
        (E::Concurrent, "CONCURRENT"),
        (E::LostResponse, "LOST_RESPONSE"),
        (E::Reuse, "REUSE"),
        (E::LoggedOut, "LOGGED_OUT"),
        (E::Denied, "DENIED"),
        (E::SocketOpened, "SOCKET_OPENED"),
        (E::SocketClosed, "SOCKET_CLOSED"),
    ];
    for (event, name) in names {
        assert_eq!(event.to_string(), name);
        assert_eq!(AuditEvent::parse(name), Some(event));
    }
    assert_eq!(AuditEvent::parse("reuse"), None);
}
