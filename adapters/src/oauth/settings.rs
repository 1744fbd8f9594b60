//! What the configuration says about one provider, and what is wrong with it in words that name the key.

use std::fmt;
use std::time::Duration;

use url::{Host, Url};

use super::http::Http;

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Google.
    Google,
    /// Kakao.
    Kakao,
    /// Naver.
    Naver,
    /// GitHub.
    Github,
    /// Any `OpenID` provider, found by its issuer.
    Oidc,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Google, Self::Kakao, Self::Naver, Self::Github, Self::Oidc];

    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Kakao => "kakao",
            Self::Naver => "naver",
            Self::Github => "github",
            Self::Oidc => "oidc",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One provider's settings, `auth.providers.NAME` in the configuration.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Which provider.
    pub kind: Kind,
    /// The issuer. Needed for [`Kind::Oidc`] only; the others have one of their own.
    pub issuer: Option<String>,
    /// The number or name under which the provider knows this server.
    pub client_id: String,
    /// What proves it. Empty for a public client.
    pub client_secret: String,
    /// What to ask the user for; if empty, what a profile needs.
    pub scopes: Vec<String>,
    /// Where the browser goes, in place of the provider's own.
    pub authorize_url: Option<String>,
    /// Where codes are exchanged, in place of the provider's own.
    pub token_url: Option<String>,
    /// Where profiles are read, in place of the provider's own.
    pub userinfo_url: Option<String>,
    /// Where the keys of ID tokens are, in place of the provider's own.
    pub jwks_url: Option<String>,
    /// Where grants are given back, in place of the provider's own.
    pub revoke_url: Option<String>,
    /// How long one sign-in may wait for the provider, all requests together.
    pub timeout: Duration,
}

impl ProviderSettings {
    /// The least that must be said.
    pub fn new(kind: Kind, client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            kind,
            issuer: None,
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            scopes: Vec::new(),
            authorize_url: None,
            token_url: None,
            userinfo_url: None,
            jwks_url: None,
            revoke_url: None,
            timeout: TIMEOUT,
        }
    }
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings")
            .field("kind", &self.kind)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why there is no such provider.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is needed.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value is no address for secrets to go to.
    #[error("{key} must be an https address without query, fragment or password (http only for this machine itself)")]
    Address {
        /// The key.
        key: String,
    },
    /// A value has characters that cannot be sent.
    #[error("{key} has characters that no identifier or secret of a client has")]
    Characters {
        /// The key.
        key: String,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made for auth.providers.{name}")]
    Client {
        /// The provider.
        name: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// Settings that were looked at.
pub(super) struct Checked {
    pub(super) name: String,
    /// As it was written: it is compared character by character.
    pub(super) issuer: Option<String>,
    pub(super) credentials: Credentials,
    pub(super) scopes: Vec<String>,
    pub(super) endpoints: Endpoints,
    pub(super) timeout: Duration,
}

/// Who this server is to a provider.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    /// Empty for a public client.
    pub(super) secret: String,
}

/// Addresses that the configuration puts in place of the provider's own.
#[derive(Clone, Default)]
pub(super) struct Endpoints {
    pub(super) authorize: Option<Url>,
    pub(super) token: Option<Url>,
    pub(super) userinfo: Option<Url>,
    pub(super) jwks: Option<Url>,
    pub(super) revoke: Option<Url>,
}

impl Endpoints {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        [&self.authorize, &self.token, &self.userinfo, &self.jwks, &self.revoke].into_iter().any(Option::is_some)
    }
}

impl Checked {
    /// Looks at everything that can be looked at without asking the provider.
    pub(super) fn new(name: &str, settings: &ProviderSettings) -> Result<Self, SettingsError> {
        let key = |field: &str| format!("auth.providers.{name}.{field}");
        let credential = |field: &str, text: &str| {
            let text = text.trim();
            let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            if plain { Ok(text.to_owned()) } else { Err(SettingsError::Characters { key: key(field) }) }
        };
        let address = |field: &str, text: &Option<String>| match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => match endpoint(text) {
                Some(url) => Ok(Some(url)),
                None => Err(SettingsError::Address { key: key(field) }),
            },
        };
        let credentials = Credentials {
            client_id: credential("client_id", &settings.client_id)?,
            secret: credential("client_secret", &settings.client_secret)?,
        };
        if credentials.client_id.is_empty() {
            return Err(SettingsError::Missing { key: key("client_id") });
        }
        if credentials.secret.is_empty() && matches!(settings.kind, Kind::Google | Kind::Naver | Kind::Github) {
            return Err(SettingsError::Missing { key: key("client_secret") });
        }
        let issuer = settings.issuer.as_deref().map(str::trim).filter(|issuer| !issuer.is_empty());
        if let Some(issuer) = issuer {
            // OpenID Connect Discovery section 2: an issuer has no query or fragment.
            let fits = endpoint(issuer).is_some_and(|url| url.query().is_none());
            if !fits {
                return Err(SettingsError::Address { key: key("issuer") });
            }
        } else if settings.kind == Kind::Oidc {
            return Err(SettingsError::Missing { key: key("issuer") });
        }
        let scopes = settings.scopes.iter().flat_map(|scopes| scopes.split([' ', ',']));
        Ok(Self {
            name: name.to_owned(),
            issuer: issuer.map(str::to_owned),
            credentials,
            scopes: scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            endpoints: Endpoints {
                authorize: address("authorize_url", &settings.authorize_url)?,
                token: address("token_url", &settings.token_url)?,
                userinfo: address("userinfo_url", &settings.userinfo_url)?,
                jwks: address("jwks_url", &settings.jwks_url)?,
                revoke: address("revoke_url", &settings.revoke_url)?,
            },
            timeout: settings.timeout,
        })
    }

    /// A client for it.
    pub(super) fn http(&self) -> Result<Http, SettingsError> {
        Http::new(self.timeout).map_err(|source| SettingsError::Client { name: self.name.clone(), source })
    }

    /// What to ask for: what is configured, or this.
    pub(super) fn scopes_or(&self, default: &[&str]) -> String {
        if self.scopes.is_empty() { default.join(" ") } else { self.scopes.join(" ") }
    }
}

/// An address that secrets may go to: https, or this machine itself.
pub(super) fn endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let safe = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        _ => false,
    };
    (plain && safe).then_some(url)
}

/// Whether the address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Of an address of ours: it is a constant that a test has parsed.
pub(super) fn own(text: &'static str) -> Url {
    Url::parse(text).expect("the addresses of providers are constants, and each is parsed in a test")
}

const TIMEOUT: Duration = Duration::from_secs(10);
