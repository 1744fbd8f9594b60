//! What a request says about whoever sent it: tokens, cookies, device, and from where.

use std::net::IpAddr;

use poem::http::header;
use poem::{FromRequest, Request, RequestBody, Result};
use transtalk_core::auth::Device;
use transtalk_core::limits;

/// The name of the refresh token's cookie.
pub(crate) const REFRESH_COOKIE: &str = "refreshToken";
/// The name of the cookie that ties a sign-in to its browser.
pub(crate) const SIGN_IN_COOKIE: &str = "signIn";

/// Somebody who sent a request. Nothing of it is believed yet.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) authorization: Option<String>,
    pub(crate) refresh: Option<String>,
    pub(crate) sign_in: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) peer: Option<IpAddr>,
    /// Whether a proxy stands between.
    pub(crate) forwarded: bool,
    user_agent: String,
}

impl Caller {
    pub(crate) fn of(request: &Request) -> Self {
        let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let cookie = |name: &str| cookie(request, name);
        let forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
        Self {
            authorization: text(header::AUTHORIZATION).map(str::to_owned),
            refresh: cookie(REFRESH_COOKIE),
            sign_in: cookie(SIGN_IN_COOKIE),
            host: text(header::HOST).map(str::to_owned),
            origin: text(header::ORIGIN).map(str::to_owned),
            peer: request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical()),
            forwarded: forwarded.iter().any(|name| request.headers().contains_key(*name)),
            user_agent: text(header::USER_AGENT).unwrap_or_default().to_owned(),
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

    /// The network address, for the audit trail.
    pub(crate) fn address(&self) -> String {
        self.peer.map(|peer| peer.to_string()).unwrap_or_default()
    }

    /// Whether the browser is on this machine and nothing stands between.
    pub(crate) fn is_local(&self) -> bool {
        !self.forwarded && self.peer.is_some_and(|peer| peer.is_loopback()) && self.host_is_loopback()
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

/// A cookie's value (RFC 6265 section 5.4). Of two with one name the first counts.
fn cookie(request: &Request, name: &str) -> Option<String> {
    let lines = request.headers().get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// A `Set-Cookie` value. `SameSite=None`, because the first client lives on another site; scripts never see it.
pub(crate) fn set_cookie(name: &str, value: &str, path: &str, max_age_secs: u64) -> String {
    format!("{name}={value}; Max-Age={max_age_secs}; Path={path}; Secure; HttpOnly; SameSite=None")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, headers: &[(&'static str, &str)]) -> Caller {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut caller = Caller::of(&request.finish());
        caller.peer = peer.parse().ok();
        caller
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
        ] {
            assert_eq!(caller(peer, headers).is_local(), expect, "{peer} {headers:?}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let caller = caller("127.0.0.1", &[("cookie", "xrefreshToken=a; refreshToken=b; refreshToken=c; signIn=d=e")]);
        assert_eq!(caller.refresh.as_deref(), Some("b"));
        assert_eq!(caller.sign_in.as_deref(), Some("d=e"));
    }
}
