//! A language as people name it on the wire: a BCP 47 tag in lower case, such as `ko` or `en-us`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;

/// A language tag, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(Arc<str>);

/// A text that is not a language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a language tag")]
pub struct InvalidLanguage;

impl Language {
    /// A tag by the grammar of BCP 47 (RFC 5646 section 2.1): subtags of 1 to 8 letters or digits joined by `-`, the first of 2 to 8 letters.
    pub fn new(tag: &str) -> Result<Self, InvalidLanguage> {
        let mut subtags = tag.split('-');
        let primary = subtags.next().unwrap_or_default();
        let primary_fits = (2..=8).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_alphabetic());
        let rest_fits = subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
        if primary_fits && rest_fits && tag.len() <= limits::LANGUAGE_BYTES_MAX {
            Ok(Self(tag.to_ascii_lowercase().into()))
        } else {
            Err(InvalidLanguage)
        }
    }

    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first subtag: `en` of `en-us`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// Whether a reader of one understands the other: British and American English are one here.
    pub fn same_primary(&self, other: &Self) -> bool {
        self.primary() == other.primary()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Language {
    type Err = InvalidLanguage;
    fn from_str(tag: &str) -> Result<Self, InvalidLanguage> {
        Self::new(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_folded_and_checked() {
        assert_eq!(Language::new("en-US").unwrap().as_str(), "en-us");
        assert_eq!(Language::new("zh-Hant-TW").unwrap().primary(), "zh");
        let long = format!("en{}", "-abcdefgh".repeat(5));
        for bad in ["", "k", "12", "en_us", "en-", "-en", "en us", "tlh-klingonese", &long] {
            assert!(Language::new(bad).is_err(), "{bad:?}");
        }
    }
}
