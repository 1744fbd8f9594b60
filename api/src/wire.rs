//! The only file that knows which adapter stands behind which port: it reads the configuration and chooses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use transtalk_adapters::memory::{MemoryBus, MemoryPresence, MemoryRateLimits, MemoryStore};
use transtalk_adapters::oauth::{self, DevProvider, ProviderSettings};
use transtalk_adapters::signer::{
    self, Hs256Secret, KeyFileSigner, Reloaded, RotateOptions, SignerOptions, SigningAlgorithm,
};
#[cfg(feature = "sqlite")]
use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};
use transtalk_adapters::system::{SystemClock, SystemEntropy, TokioTimer};
use transtalk_adapters::translators::{Apertium, Chain, Phrases, Pseudo};
use transtalk_core::Timestamp;
use transtalk_core::app::{Limits, Pipeline, Services, Settings};
use transtalk_core::auth::Lifetimes;
use transtalk_core::chat::delivery::Hub;
use transtalk_core::ports::{
    Audit, Clock, Cursors, Entropy, Grants, IdentityProvider, Messages, Rooms, Sessions, SingleUse, Translator, Users,
};
use transtalk_core::stomp::{CloseCode, SessionSettings};
use transtalk_core::translate::Language;

use crate::app::{SignInPage, own_pages};
use crate::config::{Algorithm, Config, ConfigError, Kind, Provider};
use crate::keys::{Key, Rotation};

/// What was chosen.
pub(crate) struct Wired {
    pub(crate) services: Arc<Services>,
    pub(crate) sign_in_page: Option<SignInPage>,
    /// For the start-up lines: what stands behind the ports.
    pub(crate) chosen: Vec<(&'static str, String)>,
    signer: Arc<KeyFileSigner>,
    store: Store,
}

impl Wired {
    /// Looks at the key file now and then, for keys that `transtalk keys` has added, and for those whose time has come.
    pub(crate) fn watch_keys(&self) -> impl Future<Output = ()> + Send + use<> {
        let (signer, services) = (self.signer.clone(), self.services.clone());
        async move {
            // Whoever cannot read it goes on with the keys they have, and says so once.
            let mut is_broken = false;
            loop {
                tokio::time::sleep(KEYS_EVERY).await;
                let (signer, now) = (signer.clone(), services.clock.now());
                let Ok(read) = tokio::task::spawn_blocking(move || signer.reload(now)).await else { continue };
                match &read {
                    Ok(Reloaded::Changed) => tracing::info!("the keys have changed"),
                    Ok(Reloaded::Replaced) => {
                        // A key has leaked: a socket that was opened with it is nobody's to keep.
                        tracing::warn!("all keys were replaced: everybody has to sign in again");
                        services.hub.abort_all(CloseCode::SessionEnded);
                    }
                    Err(error) if !is_broken => {
                        tracing::error!(%error, "the key file cannot be used; the keys stay as they were");
                    }
                    Ok(Reloaded::Unchanged) | Err(_) => {}
                }
                is_broken = read.is_err();
            }
        }
    }

    /// Lets the store finish what it has begun.
    pub(crate) async fn close(&self) {
        match &self.store {
            Store::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Store::Sqlite(store, _) => store.close().await,
        }
    }
}

/// One engine for all storage ports.
enum Store {
    Memory(MemoryStore),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore, PathBuf),
}

/// Builds everything. A configured address is used or the server does not start.
pub(crate) async fn wire(config: &Config, address: SocketAddr) -> anyhow::Result<Wired> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let Identities { providers: identities, sign_in_page, names } = identities(config, address, &clock, &entropy)?;
    let options = signer_options(config, PathBuf::new())?;
    let data = data_folder(&config.storage.data)?;
    let keys = config.auth.keys.clone().unwrap_or_else(|| data.join(KEY_FILE));
    let signer = KeyFileSigner::open(SignerOptions { path: keys.clone(), ..options }, clock.now(), entropy.as_ref())?;
    let signer = Arc::new(signer);
    let store = open_store(config, &data).await?;
    let (translator, engines) = translators(config)?;
    let chosen = vec![
        ("storage", store.describe()),
        ("bus", "in this process".to_owned()),
        ("translation", engines),
        ("sign-in", names),
        ("keys", format!("{} ({})", keys.display(), config.auth.algorithm.name())),
    ];
    let ports = store.ports();
    let services = Services {
        users: ports.users,
        rooms: ports.rooms,
        messages: ports.messages,
        sessions: ports.sessions,
        single_use: ports.single_use,
        audit: ports.audit,
        grants: ports.grants,
        cursors: ports.cursors,
        presence: Arc::new(MemoryPresence::new()),
        rate_limits: Arc::new(MemoryRateLimits::new()),
        bus: Arc::new(MemoryBus::new()),
        translator,
        identities,
        signer: signer.clone(),
        clock,
        timer: Arc::new(TokioTimer),
        entropy,
        settings: settings(config)?,
        hub: Hub::default(),
        pipeline: Pipeline::default(),
    };
    Ok(Wired { services: Arc::new(services), sign_in_page, chosen, signer, store })
}

/// The folder, made if need be and then closed to others, by its full name: whoever reads it in the greeting should find it.
fn data_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let made = || {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        folder.canonicalize()
    };
    made().map_err(|error: std::io::Error| {
        anyhow::anyhow!("the data folder {} cannot be made: {error}", folder.display())
    })
}

/// Who people are, according to whom.
struct Identities {
    /// The first is the default.
    providers: Vec<Arc<dyn IdentityProvider>>,
    sign_in_page: Option<SignInPage>,
    /// For the start-up lines.
    names: String,
}

fn identities(
    config: &Config,
    address: SocketAddr,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Identities, ConfigError> {
    let (mut providers, mut names, mut sign_in_page) = (Vec::<Arc<dyn IdentityProvider>>::new(), Vec::new(), None);
    for (name, kind, settings) in config.auth.providers.all() {
        if kind == Kind::Dev {
            let mut redirect_uris = own_pages(address);
            redirect_uris.extend([settings.redirect_uri, config.auth.redirect_uri.clone()]);
            redirect_uris.retain(|uri| !uri.is_empty());
            let page = "/dev/authorize".to_owned();
            let dev = DevProvider::new(page, redirect_uris, clock.clone(), entropy.clone()).named(name);
            let dev = Arc::new(dev);
            providers.push(dev.clone());
            let is_for_all = settings.allow_remote;
            sign_in_page = Some(SignInPage { provider: dev, is_for_all });
            names.push(format!("{name} ({})", if is_for_all { "anybody, from anywhere" } else { "this machine only" }));
        } else {
            let wrong = |error: oauth::SettingsError| ConfigError::Meaning(error.to_string());
            let settings = provider_settings(kind, settings).ok_or_else(|| {
                ConfigError::Meaning(format!("auth.providers.{name}.kind: there is no {}", kind.name()))
            })?;
            providers.push(oauth::provider(name, &settings, clock.clone()).map_err(wrong)?);
            names.push(if name == kind.name() { name.to_owned() } else { format!("{name} ({})", kind.name()) });
        }
    }
    Ok(Identities { providers, sign_in_page, names: names.join(", ") })
}

fn provider_settings(kind: Kind, from: Provider) -> Option<ProviderSettings> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let kind = oauth::Kind::from_name(kind.name())?;
    Some(ProviderSettings {
        issuer: some(from.issuer),
        scopes: from.scopes,
        authorize_url: some(from.authorize_url),
        token_url: some(from.token_url),
        userinfo_url: some(from.userinfo_url),
        jwks_url: some(from.jwks_url),
        revoke_url: some(from.revoke_url),
        ..ProviderSettings::new(kind, from.client_id, from.client_secret.expose())
    })
}

fn signer_options(config: &Config, path: PathBuf) -> Result<SignerOptions, ConfigError> {
    let auth = &config.auth;
    let secret = Some(auth.hs256_secret.expose()).filter(|secret| !secret.is_empty()).map(Hs256Secret::new);
    Ok(SignerOptions {
        path,
        issuer: auth.issuer.clone(),
        audience: auth.issuer.clone(),
        algorithm: signing_algorithm(auth.algorithm),
        hs256_secret: secret.transpose().map_err(|error| ConfigError::Meaning(error.to_string()))?,
        remember: auth.remember_verified,
    })
}

fn signing_algorithm(algorithm: Algorithm) -> SigningAlgorithm {
    match algorithm {
        Algorithm::EdDsa => SigningAlgorithm::EdDsa,
        Algorithm::Es256 => SigningAlgorithm::Es256,
        Algorithm::Hs256 => SigningAlgorithm::Hs256,
    }
}

/// The keys in the file, for `transtalk keys list`.
pub(crate) fn list_keys(config: &Config) -> anyhow::Result<Vec<Key>> {
    Ok(signer::list(&key_file(config))?.into_iter().map(|key| Key::from_listed(key, SystemClock.now())).collect())
}

/// New keys beside those in the file, for `transtalk keys rotate`: those that were added, and the ids of those that are gone.
pub(crate) fn rotate_keys(config: &Config, rotation: &Rotation) -> anyhow::Result<(Vec<Key>, Vec<String>)> {
    let algorithm = rotation.algorithm.unwrap_or(config.auth.algorithm);
    // A configured secret signs, and is replaced in the configuration.
    let is_in_file = algorithm != Algorithm::Hs256 || config.auth.hs256_secret.is_empty();
    let mut options = RotateOptions::new(is_in_file.then(|| signing_algorithm(algorithm)), rotation.overlap);
    options.immediately = rotation.now;
    let now = SystemClock.now();
    let rotated = signer::rotate(&key_file(config), now, &options, &SystemEntropy)?;
    Ok((rotated.added.into_iter().map(|key| Key::from_listed(key, now)).collect(), rotated.dropped))
}

fn key_file(config: &Config) -> PathBuf {
    config.auth.keys.clone().unwrap_or_else(|| config.storage.data.join(KEY_FILE))
}

impl Key {
    fn from_listed(key: signer::ListedKey, now: Timestamp) -> Self {
        let state = match key.retired_at {
            Some(at) if at <= now => "retired",
            _ if key.active_from > now => "waiting",
            _ => "active",
        };
        Self {
            kid: key.kid,
            usage: key.usage.name(),
            algorithm: key.algorithm,
            state,
            created_at: key.created_at.to_string(),
            active_from: key.active_from.to_string(),
            retired_at: key.retired_at.map(|at| at.to_string()),
        }
    }
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    let languages = config.translation.languages.iter().map(|tag| Language::new(tag)).collect::<Result<_, _>>()?;
    Ok(Settings {
        languages,
        lifetimes: Lifetimes {
            access: config.auth.access_ttl,
            refresh: config.auth.refresh_ttl,
            absolute: config.auth.refresh_absolute_ttl,
            grace: config.auth.refresh_grace,
        },
        limits: Limits {
            sign_in: config.limits.sign_in,
            refresh: config.limits.refresh,
            ticket: config.limits.ticket,
            connect: config.limits.connect,
        },
        hold: config.translation.hold,
        stomp: SessionSettings { error_delay: config.gateway.error_delay, ..SessionSettings::default() },
    })
}

async fn open_store(config: &Config, data: &Path) -> anyhow::Result<Store> {
    let (scheme, rest) = config.storage.url.split_once(':').unwrap_or((config.storage.url.as_str(), ""));
    match scheme {
        "memory" => Ok(Store::Memory(MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let path = match rest.trim_start_matches("//") {
                "" => data.join("transtalk.db"),
                path => PathBuf::from(path),
            };
            Ok(Store::Sqlite(SqliteStore::open(&path, SqliteOptions::default()).await?, path))
        }
        // The address may hold a password: the scheme alone is named.
        _ => Err(ConfigError::Meaning(format!(
            "storage.url: {scheme:?} is not a store of this server; it has sqlite: and memory:{}",
            if rest.is_empty() { "" } else { " (the rest of the address is not shown)" }
        ))
        .into()),
    }
}

/// The storage ports of one engine.
struct Ports {
    users: Arc<dyn Users>,
    rooms: Arc<dyn Rooms>,
    messages: Arc<dyn Messages>,
    sessions: Arc<dyn Sessions>,
    single_use: Arc<dyn SingleUse>,
    audit: Arc<dyn Audit>,
    grants: Arc<dyn Grants>,
    cursors: Arc<dyn Cursors>,
}

impl Store {
    fn ports(&self) -> Ports {
        match self {
            Self::Memory(store) => Self::all(store),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store, _) => Self::all(store),
        }
    }

    fn all<S>(store: &S) -> Ports
    where
        S: Users + Rooms + Messages + Sessions + SingleUse + Audit + Grants + Cursors + Clone + 'static,
    {
        let store = Arc::new(store.clone());
        Ports {
            users: store.clone(),
            rooms: store.clone(),
            messages: store.clone(),
            sessions: store.clone(),
            single_use: store.clone(),
            audit: store.clone(),
            grants: store.clone(),
            cursors: store,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Memory(_) => "memory (everything is gone when the server stops)".to_owned(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_, path) => format!("sqlite {}", path.display()),
        }
    }
}

fn translators(config: &Config) -> anyhow::Result<(Arc<dyn Translator>, String)> {
    let mut engines: Vec<Arc<dyn Translator>> = Vec::new();
    for name in &config.translation.chain {
        engines.push(match name.as_str() {
            "phrases" => Arc::new(Phrases::new()),
            "pseudo" => Arc::new(Pseudo),
            "apertium" => {
                let settings = &config.translation.apertium;
                let engine = Apertium::new(&settings.url, settings.timeout);
                Arc::new(engine.map_err(|error| ConfigError::Meaning(format!("translation.apertium.url: {error}")))?)
            }
            other => {
                return Err(ConfigError::Meaning(format!(
                    "translation.chain: there is no engine {other:?}; there are apertium, phrases and pseudo"
                ))
                .into());
            }
        });
    }
    let names = config.translation.chain.join(", then ");
    Ok((Arc::new(Chain::new(engines)), names))
}

/// The key file's name in the data folder.
const KEY_FILE: &str = "keys.json";
/// How often it is looked at.
const KEYS_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn wired(toml: &str) -> Result<Identities, String> {
        let config = Config::from_toml(toml)?;
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        signer_options(&config, PathBuf::new()).map_err(|error| error.to_string())?;
        identities(&config, SocketAddr::from(([127, 0, 0, 1], 8080)), &clock, &entropy)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_provider_is_wired_under_its_name() {
        let wired = wired(
            "[auth.providers.work]\nkind = \"oidc\"\nissuer = \"https://id.example\"\nclient_id = \"a\"\n\
             [auth.providers.google]\nclient_id = \"b\"\nclient_secret = \"c\"\n\
             [auth.providers.kakao]\nclient_id = \"b\"\n\
             [auth.providers.naver]\nclient_id = \"b\"\nclient_secret = \"c\"\n\
             [auth.providers.github]\nclient_id = \"b\"\nclient_secret = \"c\"\n\
             [auth.providers.local]\nkind = \"dev\"",
        );
        let wired = wired.unwrap();
        let names: Vec<_> = wired.providers.iter().map(|provider| provider.name()).collect();
        assert_eq!(names, ["work", "google", "kakao", "naver", "github", "local"]);
        assert_eq!(wired.names, "work (oidc), google, kakao, naver, github, local (this machine only)");
        assert!(wired.sign_in_page.is_some());
    }

    #[test]
    fn without_the_development_provider_there_is_no_page_of_it() {
        let wired = wired("[auth.providers.github]\nclient_id = \"b\"\nclient_secret = \"c\"").unwrap();
        assert!(wired.sign_in_page.is_none());
    }

    #[test]
    fn what_a_provider_or_a_signer_cannot_use_is_named_and_not_shown() {
        let issuer = "issuer = \"https://id.example\"";
        for (toml, name) in [
            ("[auth.providers.oidc]\nclient_id = \"a\"", "auth.providers.oidc.issuer"),
            (&format!("[auth.providers.oidc]\n{issuer}") as &str, "auth.providers.oidc.client_id"),
            ("[auth.providers.oidc]\nissuer = \"id.example\"\nclient_id = \"a\"", "auth.providers.oidc.issuer"),
            ("[auth.providers.oidc]\nissuer = \"http://id.example\"\nclient_id = \"a\"", "auth.providers.oidc.issuer"),
            ("[auth.providers.google]\nclient_secret = \"s3cr3t\"", "auth.providers.google.client_id"),
            ("[auth.providers.google]\nclient_id = \"a\"", "auth.providers.google.client_secret"),
            ("[auth.providers.naver]\nclient_id = \"a\"", "auth.providers.naver.client_secret"),
            ("[auth.providers.github]\nclient_id = \"a\"", "auth.providers.github.client_secret"),
            (
                &format!("[auth.providers.work]\nkind = \"oidc\"\n{issuer}\nclient_id = \"a\"\ntoken_url = \"s3cr3t\""),
                "auth.providers.work.token_url",
            ),
            ("[auth]\nalgorithm = \"HS256\"\nhs256_secret = \"s3cr3t\"", "auth.hs256_secret"),
            ("[auth]\nhs256_secret = \"s3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3t\"", "auth.hs256_secret"),
        ] {
            let Err(error) = wired(toml) else { panic!("{toml} was taken") };
            assert!(error.contains(name), "{toml}: {error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }
}
