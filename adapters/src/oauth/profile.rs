//! One profile, whatever a provider leaves out or puts in.
//!
//! What is missing stays missing here: the core has a rule for each. What is hostile counts as missing, or loses what is
//! hostile in it.

use serde::Deserialize;
use serde_json::Value;
use transtalk_core::ports::Profile;
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, limits};
use url::Url;

/// What a provider told of somebody, as it was told.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) email: Option<&'a str>,
    pub(super) email_verified: bool,
    /// The first of these that is a name.
    pub(super) names: [Option<&'a str>; 3],
    pub(super) picture: Option<&'a str>,
    pub(super) language: Option<&'a str>,
}

impl Told<'_> {
    /// The profile of this person; `None` if nobody can be kept apart by this subject.
    pub(super) fn profile(&self, issuer: &str, subject: &str) -> Option<Profile> {
        if !is_subject(subject) {
            return None;
        }
        let email = self.email.and_then(email);
        Some(Profile {
            identity: Identity { issuer: issuer.to_owned(), subject: subject.to_owned() },
            email_verified: self.email_verified && email.is_some(),
            email,
            name: self.names.iter().flatten().find_map(|text| name(text)),
            picture: self.picture.and_then(picture),
            language: self.language.and_then(|tag| Language::new(&tag.trim().replace('_', "-")).ok()),
        })
    }
}

/// The standard claims about a person (OpenID Connect Core section 5.1). One of another type than it should be is missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Person {
    name: Value,
    nickname: Value,
    preferred_username: Value,
    picture: Value,
    email: Value,
    email_verified: Value,
    locale: Value,
}

impl Person {
    /// Whether there is something left to be asked for.
    pub(super) fn lacks_something(&self) -> bool {
        [&self.name, &self.email, &self.picture].into_iter().any(|claim| !claim.is_string())
    }

    /// What is told here, and from there what is not.
    pub(super) fn told<'a>(&'a self, more: &'a Self) -> Told<'a> {
        let either = |one: &'a Value, other: &'a Value| one.as_str().or_else(|| other.as_str());
        // An address and whether it is vouched for belong together.
        let speaks = self.email.is_string() && (!self.email_verified.is_null() || !more.email.is_string());
        let of_email = if speaks { self } else { more };
        Told {
            email: of_email.email.as_str(),
            // Some say it in a string.
            email_verified: of_email.email_verified == true || of_email.email_verified == "true",
            names: [
                either(&self.name, &more.name),
                either(&self.nickname, &more.nickname),
                either(&self.preferred_username, &more.preferred_username),
            ],
            picture: either(&self.picture, &more.picture),
            language: either(&self.locale, &more.locale),
        }
    }
}

/// OpenID Connect Core section 2: `sub` "MUST NOT exceed 255 ASCII characters in length".
pub(super) fn is_subject(text: &str) -> bool {
    (1..=SUBJECT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn email(text: &str) -> Option<String> {
    // An address that reads backwards is nobody's.
    let email = Email::new(text).ok().filter(|email| !email.as_str().chars().any(is_unseen))?;
    Some(email.as_str().to_owned())
}

/// Shown as one line that runs one way and ends somewhere.
fn name(text: &str) -> Option<String> {
    let spaced = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c });
    let mut name = String::new();
    for c in spaced.filter(|c| !is_direction(*c)).take(NAME_READ_MAX) {
        if c != ' ' || !(name.is_empty() || name.ends_with(' ')) {
            name.push(c);
        }
    }
    let name: String = name.chars().take(limits::NAME_CHARS_MAX).collect();
    let name = name.trim_end();
    let seen = name.chars().any(|c| !is_unseen(c) && c != ' ');
    seen.then(|| name.to_owned())
}

fn picture(text: &str) -> Option<String> {
    let text = text.trim();
    let url = Url::parse(text).ok().filter(|_| text.len() <= limits::PICTURE_BYTES_MAX)?;
    let plain = url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none();
    let url = String::from(url);
    (plain && url.len() <= limits::PICTURE_BYTES_MAX).then_some(url)
}

/// What turns the direction of the text after it, and marks that are nothing but such.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What shows nothing by itself. Joiners and selectors are part of some scripts and of emoji, but no name by themselves.
fn is_unseen(c: char) -> bool {
    is_direction(c)
        || matches!(
            c,
            '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        )
        || matches!(c, '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

const SUBJECT_CHARS_MAX: usize = 255;
/// What lies behind it is not even looked at.
const NAME_READ_MAX: usize = 1_000;
