//! A name for each request: in its answer, in the error that a browser's console shows, and on every line of the log that it caused.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use poem::http::{HeaderName, HeaderValue};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use tracing::Instrument;
use transtalk_core::ports::Entropy;

use crate::app::App;
use crate::forwarded::is_trusted;

/// A request's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(String);

tokio::task_local! {
    static CURRENT: RequestId;
}

impl RequestId {
    /// The header, in answers and from trusted proxies.
    pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The name of the request that is being answered, for whoever writes its answer.
    pub(crate) fn current() -> String {
        CURRENT.try_with(|id| id.0.clone()).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn mint(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self(format!("{:016x}", u64::from_be_bytes(bytes)))
    }

    /// A name that a proxy gave, if it is plain enough for a log.
    fn given(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ((1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    async fn scope<F: Future>(self, answer: F) -> F::Output {
        CURRENT.scope(self, answer).await
    }
}

/// Names each request, and logs one line about it. Outside of everything else.
pub(crate) struct Named(pub(crate) Arc<App>);

impl<E: Endpoint> Middleware<E> for Named {
    type Output = NamedEndpoint<E>;

    fn transform(&self, inner: E) -> NamedEndpoint<E> {
        NamedEndpoint { inner, app: self.0.clone() }
    }
}

/// An endpoint behind [`Named`].
pub(crate) struct NamedEndpoint<E> {
    inner: E,
    app: Arc<App>,
}

impl<E: Endpoint> Endpoint for NamedEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let services = &self.app.services;
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        let is_proxy = peer.is_some_and(|peer| is_trusted(peer, &self.app.config.http.trusted_proxies));
        let given = request.headers().get(RequestId::HEADER).filter(|_| is_proxy).and_then(RequestId::given);
        let id = given.unwrap_or_else(|| RequestId::mint(services.entropy.as_ref()));
        request.set_data(id.clone());
        // Never the query: codes and tickets are in it.
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let begun = services.clock.monotonic();
        // At the highest level, so that whatever is logged at all carries it.
        let span = tracing::error_span!("request", id = id.as_str());
        let answered = async {
            let mut response = self.inner.call(request).await?.into_response();
            if let Ok(value) = HeaderValue::from_str(id.as_str()) {
                response.headers_mut().insert(RequestId::HEADER, value);
            }
            let millis = services.clock.monotonic().as_millis().saturating_sub(begun.as_millis());
            let status = response.status().as_u16();
            // What was refused can be looked up without asking for more of a log than there is.
            if status >= 400 {
                tracing::info!(%method, path, status, millis, "refused");
            } else {
                tracing::debug!(%method, path, status, millis, "answered");
            }
            Ok(response)
        };
        id.clone().scope(answered).instrument(span).await
    }
}

const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_proxy_gave_is_kept_if_it_is_plain() {
        for (text, is_kept) in [
            ("7f3a", true),
            ("Root_1-67.a", true),
            (&"a".repeat(64) as &str, true),
            (&"a".repeat(65), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("<b>", false),
            ("a=b", false),
        ] {
            let given = RequestId::given(&HeaderValue::from_str(text).unwrap());
            assert_eq!(given.as_ref().map(RequestId::as_str), is_kept.then_some(text), "{text}");
        }
    }
}
