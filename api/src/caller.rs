//! What a request says about whoever sent it: tokens, cookies, device, and from where.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use poem::http::header;
use poem::{FromRequest, Request, RequestBody, Result};
use transtalk_core::auth::Device;
use transtalk_core::limits;

use crate::app::App;
use crate::cookie;
use crate::forwarded::{self, Forwarded};
use crate::origin::{Site, Source};

/// Somebody who sent a request. Nothing of it is believed yet, but what a trusted proxy says of it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) authorization: Option<String>,
    pub(crate) refresh: Option<String>,
    pub(crate) sign_in: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) site: Site,
    /// Who sent the bytes.
    pub(crate) peer: Option<IpAddr>,
    /// Whether somebody says that a proxy stands between, trusted or not.
    pub(crate) is_forwarded: bool,
    /// What a trusted proxy says.
    pub(crate) forwarded: Forwarded,
    user_agent: String,
}

impl Caller {
    /// Whoever sent this request to the server.
    pub(crate) fn of(request: &Request) -> Self {
        let trusted = request.data::<Arc<App>>().map(|app| app.config.http.trusted_proxies.as_slice());
        let peer = request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical());
        Self::from_peer(peer, request, trusted.unwrap_or_default())
    }

    fn from_peer(peer: Option<IpAddr>, request: &Request, trusted: &[IpNet]) -> Self {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // What cannot be read is an origin that nobody knows, and not none.
        let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null").to_owned());
        Self {
            // What cannot be read is a token that nobody believes, and not none.
            authorization: headers.get("authorization").map(|value| value.to_str().unwrap_or_default().to_owned()),
            refresh: cookie::REFRESH.of(request),
            sign_in: cookie::SIGN_IN.of(request),
            host: text("host"),
            origin,
            site: Site::of(text("sec-fetch-site").as_deref()),
            peer,
            is_forwarded: forwarded::is_forwarded(headers),
            forwarded: peer.map(|peer| forwarded::read(peer, headers, trusted)).unwrap_or_default(),
            user_agent: text("user-agent").unwrap_or_default(),
        }
    }

    /// From what somebody signs in.
    pub(crate) fn device(&self) -> Device {
        let mut end = self.user_agent.len().min(limits::DEVICE_BYTES_MAX);
        while !self.user_agent.is_char_boundary(end) {
            end -= 1;
        }
        Device { name: self.user_agent[..end].to_owned(), address: self.address() }
    }

    /// The network address, for allowances and the audit trail: the peer's, or what a trusted proxy says.
    pub(crate) fn address(&self) -> String {
        self.forwarded.address.or(self.peer).map(|address| address.to_string()).unwrap_or_default()
    }

    /// From which page it comes.
    pub(crate) fn source(&self, app: &App) -> Source {
        Source { origin: self.origin.as_deref().map(|origin| app.allows_origin(self, origin)), site: self.site }
    }

    /// Whether its page may use the refresh cookie as a lease: its origin is allowed, or there is none and it is our own page.
    pub(crate) fn trusted_site(&self, app: &App) -> bool {
        self.source(app).is_trusted()
    }

    /// Whether the browser is on this machine and nothing stands between.
    pub(crate) fn is_local(&self) -> bool {
        !self.is_forwarded && self.peer.is_some_and(|peer| peer.is_loopback()) && self.host_is_loopback()
    }

    /// Whether `Host` is `localhost` or a loopback address: another name that leads here may be somebody's trick (DNS rebinding).
    fn host_is_loopback(&self) -> bool {
        let Some(host) = &self.host else { return false };
        match url::Url::parse(&format!("http://{host}/")).ok().as_ref().and_then(url::Url::host) {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        Ok(Self::of(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, headers: &[(&'static str, &str)]) -> Caller {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let trusted = ["127.0.0.2/32".parse().unwrap()];
        Caller::from_peer(peer.parse().ok(), &request.finish(), &trusted)
    }

    #[test]
    fn only_a_browser_on_this_machine_is_local() {
        for (peer, headers, expect) in [
            ("127.0.0.1", &[("host", "localhost:8080")][..], true),
            ("127.0.0.1", &[("host", "127.0.0.1:8080")], true),
            ("::1", &[("host", "[::1]:8080")], true),
            ("10.0.0.7", &[("host", "localhost:8080")], false),
            ("127.0.0.1", &[("host", "chat.example.com")], false),
            ("127.0.0.1", &[("host", "localhost.example.com")], false),
            ("127.0.0.1", &[], false),
            ("127.0.0.1", &[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")], false),
            ("127.0.0.1", &[("host", "localhost"), ("forwarded", "for=1.2.3.4")], false),
            // A trusted proxy's client is somewhere else, wherever it says that it is.
            ("127.0.0.2", &[("host", "localhost"), ("x-forwarded-for", "127.0.0.1")], false),
            ("127.0.0.2", &[("host", "localhost"), ("x-forwarded-proto", "http")], false),
        ] {
            assert_eq!(caller(peer, headers).is_local(), expect, "{peer} {headers:?}");
        }
    }

    #[test]
    fn the_address_is_the_peers_or_what_a_trusted_proxy_says() {
        for (peer, headers, expect) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &[("x-forwarded-for", "192.0.2.7")], "192.0.2.1"),
            ("127.0.0.2", &[("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
            ("127.0.0.2", &[("x-forwarded-for", "nonsense")], "127.0.0.2"),
            ("127.0.0.2", &[("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.8")], "127.0.0.2"),
            ("127.0.0.2", &[("x-real-ip", "192.0.2.7")], "127.0.0.2"),
        ] {
            assert_eq!(caller(peer, headers).address(), expect, "{peer} {headers:?}");
        }
    }
}
