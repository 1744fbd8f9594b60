//! Users and how they are told apart: by issuer and subject, never by an e-mail.

use std::fmt;

use crate::id::UserId;
use crate::limits;
use crate::time::Timestamp;
use crate::translate::Language;

/// Who a provider says that somebody is (OpenID Connect Core section 5.7): the key of an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The person, by the provider's own unchanging name.
    pub subject: String,
}

/// An e-mail address, folded to lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// A text that is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmail;

impl Email {
    /// One `@` with something on both sides, no blanks or control characters, of bearable length.
    /// Whether mail arrives there is for the provider to say.
    pub fn new(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        let plain = text.len() <= limits::EMAIL_BYTES_MAX && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        match text.rsplit_once('@') {
            Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() => Ok(Self(text.to_lowercase())),
            _ => Err(InvalidEmail),
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never reused.
    pub id: UserId,
    /// The key by which the provider's answer is matched.
    pub identity: Identity,
    /// The address, if the provider gave one.
    pub email: Option<Email>,
    /// Whether the provider vouched for the address and no other account holds it.
    pub email_verified: bool,
    /// What others see.
    pub name: String,
    /// The address of a picture.
    pub picture: Option<String>,
    /// The language the user reads, if one was chosen; else the room's is taken.
    pub language: Option<Language>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the user left. Name, address and picture are gone from then on.
    pub withdrawn_at: Option<Timestamp>,
}

impl User {
    /// The account after its user has left: nothing personal is in it, and its identity is free, so that the same person may come
    /// again as somebody new. The number stays, because messages and rooms name it.
    #[must_use]
    pub fn withdrawn(&self, at: Timestamp) -> Self {
        Self {
            id: self.id,
            identity: Identity { issuer: "withdrawn".to_owned(), subject: self.id.to_string() },
            email: None,
            email_verified: false,
            name: String::new(),
            picture: None,
            language: None,
            created_at: self.created_at,
            withdrawn_at: Some(at),
        }
    }

    /// The address as others see it: an unverified, missing or withdrawn one shows as a placeholder that no mail reaches.
    pub fn shown_email(&self) -> String {
        match &self.email {
            Some(email) if self.email_verified && self.withdrawn_at.is_none() => email.to_string(),
            _ => format!("user-{}@users.invalid", self.id),
        }
    }

    /// The name as others see it.
    pub fn shown_name(&self) -> &str {
        if self.withdrawn_at.is_some() { "(left)" } else { &self.name }
    }

    /// The picture as others see it.
    pub fn shown_picture(&self) -> Option<&str> {
        if self.withdrawn_at.is_some() { None } else { self.picture.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_folded_and_checked() {
        assert_eq!(Email::new(" Bob@Example.COM ").unwrap().as_str(), "bob@example.com");
        let long = format!("{}@example.com", "x".repeat(250));
        for bad in ["", "bob", "@example.com", "bob@", "b ob@example.com", "bob@exa\nmple.com", &long] {
            assert!(Email::new(bad).is_err(), "{bad:?}");
        }
    }
}
