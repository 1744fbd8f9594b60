//! The secret for HS256 that an operator chose: `auth.hs256_secret`.

use std::collections::BTreeSet;
use std::fmt;

use super::jws::HS256_BYTES_MIN;

/// A secret that is long enough, and not one that everybody knows.
#[derive(Clone)]
pub struct Hs256Secret(String);

impl Hs256Secret {
    /// Looks at it before anything is signed with it.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        if text.len() < HS256_BYTES_MIN {
            return Err(WeakSecret::TooShort);
        }
        if is_repetition(text.as_bytes()) {
            return Err(WeakSecret::Repeated);
        }
        let plain = plain(text);
        let is_known = WELL_KNOWN.iter().any(|known| plain == self::plain(known));
        if is_known || PLACEHOLDERS.iter().any(|placeholder| plain.contains(placeholder)) {
            return Err(WeakSecret::WellKnown);
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Nothing of it is shown.
impl fmt::Debug for Hs256Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hs256Secret")
    }
}

/// Why a secret is refused. None of it tells the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// RFC 7518 section 3.2 asks for 256 bits.
    #[error("auth.hs256_secret is shorter than 32 bytes; {WHAT_TO_DO}")]
    TooShort,
    /// Fewer than 32 bytes of it tell the rest.
    #[error("auth.hs256_secret says the same few bytes again and again; {WHAT_TO_DO}")]
    Repeated,
    /// It stands in a tutorial, a standard or a template, where attackers look first.
    #[error("auth.hs256_secret is a well-known example; {WHAT_TO_DO}")]
    WellKnown,
}

/// Whether a shorter text, repeated, gives this one, or hardly any characters occur in it.
fn is_repetition(bytes: &[u8]) -> bool {
    let has_period = |period: usize| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b);
    let distinct: BTreeSet<u8> = bytes.iter().copied().collect();
    // Once more in full: every sixteenth hexadecimal text ends as it began.
    let longest = (HS256_BYTES_MIN - 1).min(bytes.len() / 2);
    (1..=longest).any(has_period) || distinct.len() < DISTINCT_MIN
}

/// Letters and digits alone, so that a changed hyphen or capital hides nothing.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

const WHAT_TO_DO: &str =
    "make one with `openssl rand -base64 48`, or leave it empty: the server then keeps one in its key file";

/// A chance text of 32 characters, even a hexadecimal one, has more with all but certainty.
const DISTINCT_MIN: usize = 8;

/// Secrets that are printed somewhere for everybody.
const WELL_KNOWN: &[&str] = &[
    // jwt.io, as it is filled in there.
    "a-string-secret-at-least-256-bits-long",
    "a-string-secret-at-least-384-bits-long-which-is-longer",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    // RFC 7515 appendix A.1.
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    // RFC 7520 section 3.5.
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    // Project Wycheproof.
    "-ebuDNsVZ2iJtoZ-akfXTSCt4UO2cruLCsbWlBinggE",
    // The tutorial in FastAPI's documentation.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    // NestJS's documentation.
    "DO NOT USE THIS VALUE. INSTEAD, CREATE A COMPLEX SECRET AND KEEP IT SAFE OUTSIDE OF THE SOURCE CODE.",
    // PostgREST's tutorial.
    "reallyreallyreallyreallyverysafe",
    // Supabase's templates.
    "super-secret-jwt-token-with-at-least-32-characters-long",
    // Tutorials for Spring Security.
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "413F4428472B4B6250655368566D5970337336763979244226452948404D6351",
    "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
    "======================BezKoder=Spring===========================",
    // Tutorials for ASP.NET.
    "THIS IS USED TO SIGN AND VERIFY JWT TOKENS, REPLACE IT WITH YOUR OWN SECRET, IT CAN BE ANY STRING",
    "JWTAuthenticationHIGHsecuredPasswordVVVp1OH7Xzyr",
    "ByYM000OLlMQG6VVVp1OH7Xzyr7gHuw1qvUC5dcGt3SNM",
    "this is my custom Secret key for authentication",
    // Rows of a keyboard and of the alphabet.
    "abcdefghijklmnopqrstuvwxyz123456",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "0123456789abcdefghijklmnopqrstuvwxyz",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "qwertyuiopasdfghjklzxcvbnm123456",
    "1234567890qwertyuiopasdfghjklzxcvbnm",
];

/// What nobody leaves in a secret of his own.
const PLACEHOLDERS: &[&str] = &[
    "your256bit",
    "your384bit",
    "your512bit",
    "256bitsecret",
    "yoursecret",
    "yourjwtsecret",
    "yoursupersecret",
    "yourverysecret",
    "mysecretkey",
    "mysupersecret",
    "myjwtsecret",
    "thisisasecret",
    "thisisasupersecret",
    "thisismysecret",
    "supersecretkey",
    "supersecretjwt",
    "secretkeyforjwt",
    "jwtsecretkey",
    "changeme",
    "changethis",
    "changeinproduction",
    "replaceme",
    "djangoinsecure",
    "atleast32characters",
    "atleast32bytes",
    "atleast256bits",
    "secretsecret",
    "passwordpassword",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<WeakSecret>) {
        assert_eq!(Hs256Secret::new(text).err(), expect, "{text}");
    }

    #[test]
    fn a_secret_of_chance_is_taken() {
        for text in [
            "q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2m",
            "d0e5b1f46c0a3f97c2a84bb6e1790d5f",
            "7Jc/3m0kTq+0aVw1o2sZ8u5pXh9rB4eYdLnG6iKfEtQ=",
            "correct horse battery staple and nine more",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_secret_below_256_bits_is_refused() {
        for length in [0, 1, 16, 31] {
            check(&"q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2m"[..length], Some(WeakSecret::TooShort));
        }
    }

    #[test]
    fn a_secret_that_repeats_itself_is_refused() {
        for text in
            ["a".repeat(32), "\0".repeat(64), "secret".repeat(6), "0123456789abcdef".repeat(4), "ab1".repeat(30)]
        {
            check(&text, Some(WeakSecret::Repeated));
        }
        // The last repetition need not be whole, and 31 bytes are still fewer than 32.
        check(&"q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2".repeat(3)[..70], Some(WeakSecret::Repeated));
        check(&"q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2m".repeat(2), None);
        check("q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2q", None);
        check("aaaabbbbccccddddeeeeffffgggggaabcdefg", Some(WeakSecret::Repeated));
    }

    #[test]
    fn a_well_known_secret_is_refused_however_it_is_written() {
        for text in WELL_KNOWN.iter().filter(|text| text.len() >= HS256_BYTES_MIN) {
            for written in [(*text).to_owned(), text.to_uppercase(), text.replace('-', "_"), format!("  {text}\n")] {
                check(&written, Some(WeakSecret::WellKnown));
            }
        }
        for text in [
            "your-256-bit-secret-your-256-bit-secret!",
            "your-super-secret-jwt-token-with-at-least-32-characters-long",
            "django-insecure-0vn#4y^0j1d!0u2$p=",
            "CHANGE_ME_CHANGE_THIS_BEFORE_RELEASE_2026",
        ] {
            check(text, Some(WeakSecret::WellKnown));
        }
    }

    #[test]
    fn a_refusal_names_the_key_and_never_the_value() {
        for text in ["q1cDk0uXo", "secretsecretsecretsecretsecretsecret", "your-256-bit-secret-with-some-more"] {
            let error = Hs256Secret::new(text).unwrap_err();
            assert!(error.to_string().starts_with("auth.hs256_secret "), "{error}");
            assert!(!error.to_string().contains(text) && !format!("{error:?}").contains(text));
        }
        assert_eq!(format!("{:?}", Hs256Secret::new("q1cDk0uXoXrF1m9Gd7gfh4qk5tq4Yd2m").unwrap()), "Hs256Secret");
    }
}
