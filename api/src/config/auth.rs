//! `auth`: lifetimes, keys, cookies, identity providers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::ConfigError;
use crate::duration;

/// `auth`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// How long an access token lives.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) access_ttl: Duration,
    /// How long a refresh token lives; each refresh begins it anew.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) refresh_ttl: Duration,
    /// How long a session lives at most, however often it is refreshed.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) refresh_absolute_ttl: Duration,
    /// How long the predecessor of a refresh token is taken for a second tab's.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) refresh_grace: Duration,
    /// What tokens are signed with.
    pub(crate) algorithm: Algorithm,
    /// The secret of HS256; without it one is made, and kept in the key file. Other algorithms do without.
    pub(crate) hs256_secret: Secret,
    /// The key file, if it is not in the data folder.
    pub(crate) keys: Option<PathBuf>,
    /// Whether a signature that was right once is not computed again. Sessions are looked at all the same.
    pub(crate) remember_verified: bool,
    /// Where the identity providers send the browser; empty for the page at `/`.
    pub(crate) redirect_uri: String,
    /// The `iss` and `aud` of access tokens.
    pub(crate) issuer: String,
    /// Whether the web client lives on another site than the server.
    pub(crate) cookie_same_site: SameSite,
    /// Who people are, according to whom.
    pub(crate) providers: Providers,
}

/// Two tabs that refresh at once do so within seconds.
const GRACE_MAX: Duration = Duration::from_mins(10);

impl Default for Auth {
    fn default() -> Self {
        let lifetimes = transtalk_core::auth::Lifetimes::default();
        Self {
            access_ttl: lifetimes.access,
            refresh_ttl: lifetimes.refresh,
            refresh_absolute_ttl: lifetimes.absolute,
            refresh_grace: lifetimes.grace,
            algorithm: Algorithm::default(),
            hs256_secret: Secret::default(),
            keys: None,
            remember_verified: true,
            redirect_uri: String::new(),
            issuer: "transtalk".to_owned(),
            cookie_same_site: SameSite::default(),
            providers: Providers::default(),
        }
    }
}

/// `auth.algorithm`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Algorithm {
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "HS256")]
    Hs256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Hs256];

    /// As the configuration spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }
}

/// `auth.cookie_same_site`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SameSite {
    /// For a web client on another site: the cookie is sent from there, and kept apart for each site that embeds it.
    #[default]
    None,
    /// For a web client on the server's own site.
    Lax,
}

/// `auth.providers`, in the order of the file; what the environment adds comes after it, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Providers(pub(super) Vec<(String, Provider)>);

impl Providers {
    /// The configured ones, of which the first is the default; the development provider when there is none.
    pub(crate) fn all(&self) -> Vec<(&str, Kind, Provider)> {
        if self.0.is_empty() {
            return vec![(Kind::Dev.name(), Kind::Dev, Provider::default())];
        }
        let known = self.0.iter().map(|(name, provider)| (name, provider.kind(name), provider));
        known.filter_map(|(name, kind, provider)| Some((name.as_str(), kind?, provider.clone()))).collect()
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, provider)| provider)
    }

    /// Puts those that are named first, in this order.
    pub(super) fn order(&mut self, names: &[String]) {
        // A stable sort: those that are not named stay in theirs.
        self.0.sort_by_key(|(name, _)| names.iter().position(|known| known == name).unwrap_or(names.len()));
    }
}

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table for each provider")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Providers, A::Error> {
                let mut providers = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    providers.push(entry);
                }
                Ok(Providers(providers))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// `auth.providers.NAME`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Provider {
    kind: Option<Kind>,
    /// The identifier of an OpenID provider; its documents are found below it.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    /// Instead of those that the kind asks for.
    #[serde(deserialize_with = "duration::words")]
    pub(crate) scopes: Vec<String>,
    /// Instead of `auth.redirect_uri`.
    pub(crate) redirect_uri: String,
    /// Lets other machines sign in as anybody. For demonstrations only.
    pub(crate) allow_remote: bool,
    pub(crate) authorize_url: String,
    pub(crate) token_url: String,
    pub(crate) userinfo_url: String,
    pub(crate) jwks_url: String,
    pub(crate) revoke_url: String,
}

impl Provider {
    /// The kind, which a name that is one says, too.
    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        self.kind.or_else(|| Kind::ALL.into_iter().find(|kind| kind.name() == name))
    }

    /// What can be seen without knowing the provider: the rest is for its adapter to say.
    fn check(&self, name: &str) -> Result<(), String> {
        let key = |key: &str| format!("auth.providers.{name}.{key}");
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
            return Err(format!("auth.providers: {name:?} is not a name of letters, digits, - and _"));
        }
        let Some(kind) = self.kind(name) else {
            return Err(format!("{} is missing: one of {}", key("kind"), Kind::names()));
        };
        if self.allow_remote && kind != Kind::Dev {
            return Err(format!("{} is for the kind dev only", key("allow_remote")));
        }
        web_address(&key("redirect_uri"), &self.redirect_uri)
    }
}

/// `auth.providers.NAME.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Google,
    Kakao,
    Naver,
    Github,
    Oidc,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Dev, Self::Google, Self::Kakao, Self::Naver, Self::Github, Self::Oidc];

    /// As the configuration spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Google => "google",
            Self::Kakao => "kakao",
            Self::Naver => "naver",
            Self::Github => "github",
            Self::Oidc => "oidc",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for whoever needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        // What is no text is refused in words of our own: the library's would quote it.
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom(NO_TEXT))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(NO_TEXT))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(NO_TEXT))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(NO_TEXT))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Auth {
    /// What the types alone do not say.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.checked().map_err(ConfigError::Meaning)
    }

    fn checked(&self) -> Result<(), String> {
        for (key, ttl) in [
            ("auth.access_ttl", self.access_ttl),
            ("auth.refresh_ttl", self.refresh_ttl),
            ("auth.refresh_absolute_ttl", self.refresh_absolute_ttl),
        ] {
            if ttl < Duration::from_secs(1) {
                return Err(format!("{key} is shorter than one second"));
            }
        }
        if self.refresh_grace > GRACE_MAX {
            return Err(
                "auth.refresh_grace is longer than 10 minutes: a stolen token would be taken for a second tab's"
                    .to_owned(),
            );
        }
        if self.issuer.is_empty() {
            return Err("auth.issuer is empty".to_owned());
        }
        web_address("auth.redirect_uri", &self.redirect_uri)?;
        for (name, provider) in &self.providers.0 {
            provider.check(name)?;
        }
        let is_dev = |(name, provider): &&(String, Provider)| provider.kind(name) == Some(Kind::Dev);
        if self.providers.0.iter().filter(is_dev).count() > 1 {
            return Err("auth.providers: there can be one of the kind dev".to_owned());
        }
        Ok(())
    }
}

/// An absolute address of the web, or nothing.
fn web_address(key: &str, text: &str) -> Result<(), String> {
    let is_web = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none();
    if text.is_empty() || url::Url::parse(text).is_ok_and(is_web) {
        return Ok(());
    }
    // It may hold a password, so it is not quoted.
    Err(format!("{key} is not an absolute URL such as https://chat.example.com/callback"))
}

const NO_TEXT: &str = "this is to be a text: put it in quotation marks";
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let provider = Provider { client_secret: Secret("hunter2".to_owned()), ..Provider::default() };
        assert!(!format!("{provider:?}").contains("hunter2"));
    }
}
