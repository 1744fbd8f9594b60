//! The configuration: defaults < file (TOML) < environment < flags. An unknown key is refused by its name.
//!
//! A variable is `TRANSTALK_` and the key in capitals with `__` between levels: `TRANSTALK_AUTH__ACCESS_TTL=30m`.

mod auth;

pub(crate) use auth::{Algorithm, Auth, Kind, Provider, SameSite};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::util::nest;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile};
use ipnet::IpNet;
use serde::Deserialize;
use transtalk_core::app::Limits;

use crate::duration;

/// Everything that may be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) http: Http,
    pub(crate) storage: Storage,
    pub(crate) auth: Auth,
    pub(crate) limits: LimitKeys,
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
    /// The networks of the proxies whose `Forwarded` and `X-Forwarded-*` are believed.
    #[serde(deserialize_with = "duration::networks")]
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            cors_origins: vec!["http://localhost:5173".to_owned()],
            trusted_proxies: Vec::new(),
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

/// `limits`: allowances a minute; 0 switches one off.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitKeys {
    /// Sign-ins of one address, and of one account.
    pub(crate) sign_in: u32,
    /// Refreshes of one session, and attempts without an authentic cookie from one address.
    pub(crate) refresh: u32,
    /// Tickets of one address, and of one account.
    pub(crate) ticket: u32,
    /// Connections from one address, and of one account.
    pub(crate) connect: u32,
}

impl Default for LimitKeys {
    fn default() -> Self {
        let Limits { sign_in, refresh, ticket, connect } = Limits::default();
        Self { sign_in, refresh, ticket, connect }
    }
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
        let mut file = String::new();
        if let Some(path) = &flags.config {
            file = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.clone(), error))?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(environment().filter(|key| !is_text(key.as_str())));
        for (key, text) in environment().iter().filter(|(key, _)| is_text(key.as_str())) {
            figment = figment.merge(Text { key: key.as_str().to_owned(), text });
        }
        if let Some(listen) = flags.listen {
            figment = figment.merge(Serialized::default("http.listen", listen));
        }
        if let Some(data) = &flags.data {
            figment = figment.merge(Serialized::default("storage.data", data));
        }
        Self::extract(&figment, &file)
    }

    /// The configuration of this file and nothing else.
    #[cfg(test)]
    pub(crate) fn from_toml(toml: &str) -> Result<Self, String> {
        Self::extract(&Figment::new().merge(Toml::string(toml)), toml).map_err(|error| error.to_string())
    }

    fn extract(figment: &Figment, file: &str) -> Result<Self, ConfigError> {
        let mut config: Self = figment.extract().map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.auth.providers.order(&providers_in_order(file));
        config.check()?;
        Ok(config)
    }

    /// What the types alone do not say.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Meaning(text));
        self.auth.check()?;
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

/// The providers as the file has them from top to bottom: the layers below sort what they merge.
fn providers_in_order(file: &str) -> Vec<String> {
    let table: toml::Table = file.parse().unwrap_or_default();
    let providers = table.get("auth").and_then(|auth| auth.get("providers")).and_then(toml::Value::as_table);
    providers.into_iter().flat_map(toml::Table::keys).cloned().collect()
}

/// `TRANSTALK_SKIP` and `TRANSTALK_TEST_*` belong to the tests.
fn environment() -> Env {
    Env::prefixed("TRANSTALK_").filter(|key| key != "skip" && !key.starts_with("test_")).split("__")
}

/// A variable that is a text whatever is in it. Any other one is read as a number where it looks like one, and a client's id or secret
/// may be all digits, the first of them zeros.
struct Text {
    key: String,
    text: String,
}

impl figment::Provider for Text {
    fn metadata(&self) -> Metadata {
        environment().metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = nest(&self.key, self.text.clone().into()).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

fn is_text(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    match key.split('.').collect::<Vec<_>>().as_slice() {
        ["auth", "providers", _, part] => *part != "allow_remote",
        ["auth", part] => matches!(*part, "hs256_secret" | "issuer" | "redirect_uri" | "keys"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<Config, String> {
        Config::from_toml(toml)
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let config = check("").unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.auth.access_ttl, Duration::from_mins(30));
        assert_eq!(config.translation.chain, ["phrases", "pseudo"]);
        assert_eq!(config.limits.connect, 12_000);
        let providers = config.auth.providers.all();
        assert!(matches!(providers.as_slice(), [("dev", Kind::Dev, _)]), "{providers:?}");
    }

    #[test]
    fn providers_come_in_the_order_of_the_file() {
        let config = check(
            "[auth.providers.work]\nkind = \"oidc\"\nissuer = \"https://id.example\"\nclient_id = \"a\"\n\
             [auth.providers.dev]\n[auth.providers.github]\nclient_id = \"b\"\nclient_secret = \"c\"",
        );
        let providers = config.unwrap().auth.providers;
        let names: Vec<_> = providers.all().into_iter().map(|(name, kind, _)| (name.to_owned(), kind)).collect();
        let name = str::to_owned;
        assert_eq!(names, [(name("work"), Kind::Oidc), (name("dev"), Kind::Dev), (name("github"), Kind::Github)]);
        assert_eq!(providers.get("github").map(|provider| provider.client_id.as_str()), Some("b"));
    }

    #[test]
    fn a_variable_that_is_a_text_keeps_its_digits() {
        for (key, expect) in [
            ("auth.providers.kakao.client_secret", true),
            ("AUTH.PROVIDERS.KAKAO.CLIENT_ID", true),
            ("auth.providers.dev.allow_remote", false),
            ("auth.providers.dev", false),
            ("auth.hs256_secret", true),
            ("auth.access_ttl", false),
            ("limits.refresh", false),
        ] {
            assert_eq!(is_text(key), expect, "{key}");
        }
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
            ("[auth]\nrefresh_grace = \"11m\"", "refresh_grace"),
            ("[auth]\naccess_ttl = 0", "access_ttl"),
            ("[http]\ncors_origins = [\"http://a.example/\"]", "cors_origins"),
            ("[translation]\nlanguages = \"k\"", "languages"),
            ("[http]\ntrusted_proxies = \"10.0.0.0/33\"", "trusted_proxies"),
            ("[auth]\nredirect_uri = \"callback\"", "auth.redirect_uri"),
            ("[auth]\nabsolute_ttl = \"30d\"", "absolute_ttl"),
            ("[auth]\nalgorithm = \"none\"", "algorithm"),
            ("[auth]\nalgorithm = \"RS256\"", "algorithm"),
            ("[auth]\nhs256_secret = 12345678", "hs256_secret"),
            ("[auth]\ncookie_same_site = \"strict\"", "cookie_same_site"),
            ("[limits]\nconnect = -1", "connect"),
            ("[auth.providers.work]\nclient_id = \"a\"", "auth.providers.work.kind"),
            ("[auth.providers.work]\nkind = \"saml\"", "auth.providers.work.kind"),
            ("[auth.providers.\"a b\"]\nkind = \"dev\"", "a b"),
            ("[auth.providers.a]\nkind = \"dev\"\n[auth.providers.dev]", "dev"),
            ("[auth.providers.naver]\nclient_id = \"a\"\nclient_secret = 12345678", "client_secret"),
            ("[auth.providers.kakao]\nredirect_uri = \"//s3cr3t\"", "auth.providers.kakao.redirect_uri"),
            ("[auth.providers.kakao]\nclient_id = \"a\"\nclient_secrett = \"s3cr3t\"", "client_secrett"),
            ("[auth.providers.kakao]\nclient_id = \"a\"\nallow_remote = true", "auth.providers.kakao.allow_remote"),
        ] {
            let error = check(toml).unwrap_err();
            assert!(error.contains(name), "{error}");
            assert!(!error.contains("s3cr3t") && !error.contains("12345678"), "{error}");
        }
    }
}
