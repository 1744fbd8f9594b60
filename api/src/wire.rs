//! The only file that knows which adapter stands behind which port: it reads the configuration and chooses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use transtalk_adapters::memory::{MemoryBus, MemoryPresence, MemoryRateLimits, MemoryStore};
use transtalk_adapters::oauth::DevProvider;
use transtalk_adapters::signer::KeyFileSigner;
#[cfg(feature = "sqlite")]
use transtalk_adapters::sqlite::{SqliteOptions, SqliteStore};
use transtalk_adapters::system::{SystemClock, SystemEntropy, TokioTimer};
use transtalk_adapters::translators::{Apertium, Chain, Phrases, Pseudo};
use transtalk_core::app::{Pipeline, Services, Settings};
use transtalk_core::auth::Lifetimes;
use transtalk_core::chat::delivery::Hub;
use transtalk_core::ports::{
    Audit, AuthorizationEndpoint, Clock, Cursors, Entropy, Grants, IdentityProvider, Messages, Rooms, Sessions,
    SingleUse, Translator, Users,
};
use transtalk_core::stomp::SessionSettings;
use transtalk_core::translate::Language;

use crate::app::own_pages;
use crate::config::{Config, ConfigError};

/// What was chosen.
pub(crate) struct Wired {
    pub(crate) services: Arc<Services>,
    pub(crate) sign_in_page: Option<Arc<dyn AuthorizationEndpoint>>,
    /// For the start-up lines: what stands behind the ports.
    pub(crate) chosen: Vec<(&'static str, String)>,
    store: Store,
}

impl Wired {
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
    let data = data_folder(&config.storage.data)?;
    let keys = data.join("keys.json");
    let signer = KeyFileSigner::open(&keys, &config.auth.issuer, &config.auth.issuer, entropy.as_ref())?;
    let store = open_store(config, &data).await?;
    let (translator, engines) = translators(config)?;
    let mut redirect_uris = own_pages(address);
    redirect_uris.push(config.auth.redirect_uri.clone());
    redirect_uris.retain(|uri| !uri.is_empty());
    let dev = DevProvider::new("/dev/authorize".to_owned(), redirect_uris, clock.clone(), entropy.clone());
    let dev = Arc::new(dev);
    let identity: Arc<dyn IdentityProvider> = dev.clone();
    let sign_in_page: Arc<dyn AuthorizationEndpoint> = dev;
    let remote = config.auth.providers.dev.allow_remote;
    let chosen = vec![
        ("storage", store.describe()),
        ("bus", "in this process".to_owned()),
        ("translation", engines),
        ("sign-in", format!("dev ({})", if remote { "anybody, from anywhere" } else { "this machine only" })),
        ("keys", keys.display().to_string()),
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
        identity,
        signer: Arc::new(signer),
        clock,
        timer: Arc::new(TokioTimer),
        entropy,
        settings: settings(config)?,
        hub: Hub::default(),
        pipeline: Pipeline::default(),
    };
    Ok(Wired { services: Arc::new(services), sign_in_page: Some(sign_in_page), chosen, store })
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

fn settings(config: &Config) -> anyhow::Result<Settings> {
    let languages = config.translation.languages.iter().map(|tag| Language::new(tag)).collect::<Result<_, _>>()?;
    Ok(Settings {
        languages,
        lifetimes: Lifetimes {
            access: config.auth.access_ttl,
            refresh: config.auth.refresh_ttl,
            absolute: config.auth.absolute_ttl,
            grace: config.auth.refresh_grace,
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
