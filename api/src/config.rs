//! The configuration: defaults < file (TOML) < environment < flags. An unknown key is refused by its name.
//!
//! A variable is `TRANSTALK_` and the key in capitals with `__` between levels: `TRANSTALK_AUTH__ACCESS_TTL=30m`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::Deserialize;

use crate::duration;

/// Everything that may be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) http: Http,
    pub(crate) storage: Storage,
    pub(crate) auth: Auth,
    pub(crate) translation: Translation,
    pub(crate) gateway: Gateway,
    pub(crate) compat: Compat,
    pub(crate) log: Log,
}

/// `http`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The web clients that may use the server from another origin.
    #[serde(deserialize_with = "duration::list")]
    pub(crate) cors_origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            cors_origins: vec!["http://localhost:5173".to_owned()],
        }
    }
}

/// `storage`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Storage {
    /// The folder of the key file and of the embedded database.
    pub(crate) data: PathBuf,
    /// `sqlite:` for a file in the data folder, `sqlite:PATH`, or `memory:`.
    pub(crate) url: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self { data: PathBuf::from("data"), url: "sqlite:".to_owned() }
    }
}

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
    /// How long a session lives at most.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) absolute_ttl: Duration,
    /// How long the predecessor of a refresh token is taken for a second tab's.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) refresh_grace: Duration,
    /// Where the identity provider sends the browser; empty for the page at `/`.
    pub(crate) redirect_uri: String,
    /// The `iss` and `aud` of access tokens.
    pub(crate) issuer: String,
    pub(crate) providers: Providers,
}

impl Default for Auth {
    fn default() -> Self {
        let lifetimes = transtalk_core::auth::Lifetimes::default();
        Self {
            access_ttl: lifetimes.access,
            refresh_ttl: lifetimes.refresh,
            absolute_ttl: lifetimes.absolute,
            refresh_grace: lifetimes.grace,
            redirect_uri: String::new(),
            issuer: "transtalk".to_owned(),
            providers: Providers::default(),
        }
    }
}

/// `auth.providers`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Providers {
    pub(crate) dev: DevProvider,
}

/// `auth.providers.dev`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DevProvider {
    /// Lets other machines sign in as anybody. For demonstrations only.
    pub(crate) allow_remote: bool,
}

/// `translation`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Translation {
    /// The languages that are offered.
    #[serde(deserialize_with = "duration::list")]
    pub(crate) languages: Vec<String>,
    /// The engines, in the order in which they are asked.
    #[serde(deserialize_with = "duration::list")]
    pub(crate) chain: Vec<String>,
    /// How long a message waits for its translation before it is shown without.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) hold: Duration,
    pub(crate) apertium: Apertium,
}

impl Default for Translation {
    fn default() -> Self {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Self {
            languages: list(&["ko", "en-us", "ja", "zh", "es"]),
            chain: list(&["phrases", "pseudo"]),
            hold: Duration::from_millis(800),
            apertium: Apertium::default(),
        }
    }
}

/// `translation.apertium`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Apertium {
    /// The address of an Apertium server.
    pub(crate) url: String,
    /// How long one translation may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) timeout: Duration,
}

impl Default for Apertium {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:2737".to_owned(), timeout: Duration::from_secs(5) }
    }
}

/// `gateway`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gateway {
    /// How long the ERROR to a refused CONNECT is held back.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) error_delay: Duration,
    /// How long connections have to end when the server stops.
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) drain_timeout: Duration,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { error_delay: Duration::from_secs(3), drain_timeout: Duration::from_secs(10) }
    }
}

/// `compat`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compat {
    /// Answers refusals of `POST /chatRooms` and of the refresh with 200 and `success: false`, as the first server did.
    pub(crate) legacy_200_errors: bool,
}

/// `log`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Which lines, as in `info` or `transtalk=debug,info`.
    pub(crate) filter: String,
    /// JSON lines instead of text.
    pub(crate) json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

/// What the command line sets.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) data: Option<PathBuf>,
}

/// Why the configuration is not usable: plain words, with the key and where it was set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the configuration file {0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("the configuration is not valid: {}", one_line(.0))]
    Invalid(Box<figment::Error>),
    #[error("the configuration is not valid: {0}")]
    Meaning(String),
}

impl Config {
    /// Puts the four layers together.
    pub(crate) fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = &flags.config {
            readable(path)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(environment());
        if let Some(listen) = flags.listen {
            figment = figment.merge(Serialized::default("http.listen", listen));
        }
        if let Some(data) = &flags.data {
            figment = figment.merge(Serialized::default("storage.data", data));
        }
        let config: Self = figment.extract().map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    /// What the types alone do not say.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Meaning(text));
        for (key, ttl) in [("auth.access_ttl", self.auth.access_ttl), ("auth.refresh_ttl", self.auth.refresh_ttl)] {
            if ttl < Duration::from_secs(1) {
                return wrong(format!("{key} is shorter than one second"));
            }
        }
        if let Some(tag) =
            self.translation.languages.iter().find(|tag| transtalk_core::translate::Language::new(tag).is_err())
        {
            return wrong(format!("translation.languages: {tag:?} is not a language tag such as ko or en-us"));
        }
        if self.translation.languages.is_empty() || self.translation.chain.is_empty() {
            return wrong("translation.languages and translation.chain need at least one entry".to_owned());
        }
        for origin in &self.http.cors_origins {
            let exact = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !exact {
                return wrong(format!(
                    "http.cors_origins: {origin:?} is not an origin such as https://chat.example.com"
                ));
            }
        }
        let redirect = &self.auth.redirect_uri;
        if !redirect.is_empty() && url::Url::parse(redirect).is_err() {
            return wrong(format!("auth.redirect_uri: {redirect:?} is not an absolute URL"));
        }
        Ok(())
    }
}

/// The error without the lines that it quotes: they may hold a secret.
fn one_line(error: &figment::Error) -> String {
    let is_quotation = |line: &str| {
        line.split_once('|').is_some_and(|(margin, _)| margin.bytes().all(|b| b.is_ascii_digit() || b == b' '))
    };
    let text = error.to_string().replace("`one of", "one of").replace("``", "`").replace("\"default.", "\"");
    text.lines().filter(|line| !is_quotation(line)).map(str::trim).collect::<Vec<_>>().join(" ")
}

fn readable(path: &Path) -> Result<(), ConfigError> {
    std::fs::read_to_string(path).map(drop).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))
}

/// `TRANSTALK_SKIP` and `TRANSTALK_TEST_*` belong to the tests.
fn environment() -> Env {
    Env::prefixed("TRANSTALK_").filter(|key| key != "skip" && !key.starts_with("test_")).split("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<Config, String> {
        let config: Config = Figment::new().merge(Toml::string(toml)).extract().map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let config = check("").unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.auth.access_ttl, Duration::from_mins(30));
        assert_eq!(config.translation.chain, ["phrases", "pseudo"]);
    }

    #[test]
    fn lists_and_durations_are_read_in_both_spellings() {
        let config =
            check("[http]\ncors_origins = \"http://a.example, https://b.example\"\n[auth]\naccess_ttl = 5").unwrap();
        assert_eq!(config.http.cors_origins, ["http://a.example", "https://b.example"]);
        assert_eq!(config.auth.access_ttl, Duration::from_secs(5));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (toml, name) in [
            ("[htpp]\nlisten = \"127.0.0.1:1\"", "htpp"),
            ("[http]\nlisen = 1", "lisen"),
            ("[auth]\naccess_ttl = \"soon\"", "access_ttl"),
            ("[auth]\naccess_ttl = 0", "access_ttl"),
            ("[http]\ncors_origins = [\"http://a.example/\"]", "cors_origins"),
            ("[translation]\nlanguages = \"k\"", "languages"),
            ("[auth]\nredirect_uri = \"callback\"", "redirect_uri"),
        ] {
            let error = check(toml).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
