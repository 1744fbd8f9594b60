//! What every request can reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poem::Request;
use transtalk_core::ErrorCode;
use transtalk_core::app::Services;
use transtalk_core::ports::AuthorizationEndpoint;

use crate::caller::Caller;
use crate::config::Config;
use crate::error::ApiError;

/// The server's state: ports, configuration, and whether it is ready.
pub(crate) struct App {
    pub(crate) services: Arc<Services>,
    /// The built-in identity provider's other side, if it is configured.
    pub(crate) sign_in_page: Option<SignInPage>,
    pub(crate) config: Config,
    pub(crate) address: SocketAddr,
    ready: AtomicBool,
}

/// The development sign-in.
#[derive(Clone)]
pub(crate) struct SignInPage {
    pub(crate) provider: Arc<dyn AuthorizationEndpoint>,
    /// Whether other machines may use it.
    pub(crate) is_for_all: bool,
}

impl App {
    pub(crate) fn new(
        services: Arc<Services>,
        sign_in_page: Option<SignInPage>,
        config: Config,
        address: SocketAddr,
    ) -> Arc<Self> {
        Arc::new(Self { services, sign_in_page, config, address, ready: AtomicBool::new(false) })
    }

    /// The state that the router put into the request.
    pub(crate) fn of(request: &Request) -> Result<&Arc<Self>, ApiError> {
        request.data::<Arc<Self>>().ok_or_else(|| ErrorCode::Internal.into())
    }

    /// Where this provider sends this browser: as configured, or the page at `/` under the name by which the browser knows this server.
    pub(crate) fn redirect_uri(&self, caller: &Caller, provider: &str) -> String {
        let own = self.config.auth.providers.get(provider).map(|provider| &provider.redirect_uri);
        let configured = [own, Some(&self.config.auth.redirect_uri)].into_iter().flatten().find(|uri| !uri.is_empty());
        if let Some(uri) = configured {
            return uri.clone();
        }
        let asked = format!("{}/", self.base(caller));
        if caller.forwarded.host.is_some() {
            return asked;
        }
        // Nobody vouches for any other name: a code would follow wherever `Host` leads.
        let own = own_pages(self.address);
        own.iter().find(|page| **page == asked).or(own.first()).cloned().unwrap_or(asked)
    }

    /// An address of our own as the browser can follow it from any page.
    pub(crate) fn absolute(&self, caller: &Caller, url: String) -> String {
        if url.starts_with('/') { format!("{}{url}", self.base(caller)) } else { url }
    }

    /// Whether a browser's page of this origin may use the server: a configured one, or our own.
    pub(crate) fn allows_origin(&self, caller: &Caller, origin: &str) -> bool {
        self.config.http.cors_origins.iter().any(|known| known == origin) || is_own(caller, origin)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn base(&self, caller: &Caller) -> String {
        let scheme = caller.forwarded.scheme.unwrap_or("http");
        match caller.forwarded.host.as_ref().or(caller.host.as_ref()) {
            Some(host) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{}", self.address),
        }
    }
}

/// Whether the origin is the one under which the browser knows this server. Unless a trusted proxy says which, both schemes are ours: one
/// that is not trusted may stand between.
fn is_own(caller: &Caller, origin: &str) -> bool {
    let Some(host) = caller.forwarded.host.as_ref().or(caller.host.as_ref()) else { return false };
    let schemes = caller.forwarded.scheme.map_or_else(|| vec!["http", "https"], |scheme| vec![scheme]);
    let own = |scheme: &&str| url::Url::parse(&format!("{scheme}://{host}/")).ok();
    schemes.iter().filter_map(own).any(|own| own.origin().ascii_serialization() == origin)
}

/// The page at `/` under each name that a browser on this machine may use.
pub(crate) fn own_pages(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("http://{host}:{port}/")).collect()
}
