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
    /// The built-in identity provider's other side, unless a real one is configured.
    pub(crate) sign_in_page: Option<Arc<dyn AuthorizationEndpoint>>,
    pub(crate) config: Config,
    pub(crate) address: SocketAddr,
    ready: AtomicBool,
}

impl App {
    pub(crate) fn new(
        services: Arc<Services>,
        sign_in_page: Option<Arc<dyn AuthorizationEndpoint>>,
        config: Config,
        address: SocketAddr,
    ) -> Arc<Self> {
        Arc::new(Self { services, sign_in_page, config, address, ready: AtomicBool::new(false) })
    }

    /// The state that the router put into the request.
    pub(crate) fn of(request: &Request) -> Result<&Arc<Self>, ApiError> {
        request.data::<Arc<Self>>().ok_or_else(|| ErrorCode::Internal.into())
    }

    /// Where the provider sends this browser: as configured, or the page at `/` under the name by which the browser knows this machine.
    pub(crate) fn redirect_uri(&self, caller: &Caller) -> String {
        if !self.config.auth.redirect_uri.is_empty() {
            return self.config.auth.redirect_uri.clone();
        }
        let own = own_pages(self.address);
        let asked = format!("{}/", self.base(caller));
        own.iter().find(|page| **page == asked).or(own.first()).cloned().unwrap_or(asked)
    }

    /// An address of our own as the browser can follow it from any page.
    pub(crate) fn absolute(&self, caller: &Caller, url: String) -> String {
        if url.starts_with('/') { format!("{}{url}", self.base(caller)) } else { url }
    }

    /// Whether a browser's page of this origin may open a socket: a configured one, or our own.
    pub(crate) fn allows_origin(&self, caller: &Caller, origin: &str) -> bool {
        let own = caller.host.as_ref().is_some_and(|host| {
            origin.strip_prefix("http://").or(origin.strip_prefix("https://")).is_some_and(|rest| rest == host)
        });
        own || self.config.http.cors_origins.iter().any(|known| known == origin)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn base(&self, caller: &Caller) -> String {
        match &caller.host {
            Some(host) => format!("http://{host}"),
            None => format!("http://{}", self.address),
        }
    }
}

/// The page at `/` under each name that a browser on this machine may use.
pub(crate) fn own_pages(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("http://{host}:{port}/")).collect()
}
