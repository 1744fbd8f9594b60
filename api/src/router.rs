//! Which address leads where, and the layers around all of them.

use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::error::{NotFoundError, ReadBodyError, SizedLimitError};
use poem::http::{HeaderValue, StatusCode, header};
use poem::middleware::CatchPanic;
use poem::{Body, Endpoint, EndpointExt, IntoResponse, Middleware, Request, Response, Result, Route, get};
use tokio::io::AsyncReadExt;
use transtalk_core::{ErrorCode, limits};

use crate::app::App;
use crate::cors::Cors;
use crate::error::{ApiError, envelope, into_envelope};
use crate::http::{service, site};
use crate::openapi;
use crate::origin::OriginRule;
use crate::request_id::Named;
use crate::ws;

/// Everything that the server answers.
pub(crate) fn endpoint(app: &Arc<App>) -> BoxEndpoint<'static, Response> {
    let (json, yaml) = (openapi::text(false), openapi::text(true));
    let routes = Route::new()
        .nest("/api/v1", service().with(OriginRule(app.clone())))
        .at("/ws-connect", get(ws::upgrade))
        .at("/", get(site::index))
        .at("/page/:name", get(site::page))
        .at("/dev/authorize", get(site::authorize))
        .at("/livez", get(site::livez))
        .at("/readyz", get(site::readyz))
        .at("/.well-known/jwks.json", get(site::jwks))
        .at("/openapi.json", text("application/json", json))
        .at("/openapi.yaml", text("application/yaml", yaml))
        .at("/asyncapi.yaml", text("application/yaml", include_str!("../../openapi/asyncapi.yaml").to_owned()))
        .at("/docs", text("text/html; charset=utf-8", openapi::page()));
    let clock = app.services.clock.clone();
    let panics = CatchPanic::new().with_handler(move |_| {
        tracing::error!("a handler panicked");
        ApiError::from(ErrorCode::Internal).as_envelope(clock.now())
    });
    routes
        .with(BodyLimit)
        .data(app.clone())
        .with(panics)
        .with(OneEnvelope { app: app.clone(), document: openapi::document().into() })
        .with(Cors { origins: app.config.http.cors_origins.clone().into() })
        .with(Named(app.clone()))
        .boxed()
}

/// Turns whatever went wrong in any layer into the one envelope.
struct OneEnvelope {
    app: Arc<App>,
    document: Arc<serde_json::Value>,
}

impl<E: Endpoint> Middleware<E> for OneEnvelope {
    type Output = OneEnvelopeEndpoint<E>;

    fn transform(&self, inner: E) -> OneEnvelopeEndpoint<E> {
        OneEnvelopeEndpoint { inner, app: self.app.clone(), document: self.document.clone() }
    }
}

struct OneEnvelopeEndpoint<E> {
    inner: E,
    app: Arc<App>,
    document: Arc<serde_json::Value>,
}

impl<E: Endpoint> Endpoint for OneEnvelopeEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let path = request.uri().path().to_owned();
        let error = match self.inner.call(request).await {
            Ok(answer) => return Ok(answer.into_response()),
            Err(error) => error,
        };
        let mut response = into_envelope(&error, self.app.services.clock.now());
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110 section 15.5.6: a 405 says which methods there are.
            let methods = openapi::allowed_methods(&self.document, &path).join(", ");
            if let Ok(methods) = HeaderValue::from_str(&methods) {
                response.headers_mut().insert(header::ALLOW, methods);
            }
        }
        Ok(response)
    }
}

fn text(media_type: &'static str, body: String) -> impl Endpoint<Output = Response> {
    get(poem::endpoint::make_sync(move |_| Response::builder().content_type(media_type).body(body.clone())))
        .map_to_response()
}

impl ApiError {
    fn as_envelope(&self, now: transtalk_core::Timestamp) -> Response {
        envelope(self.failure.code(), self.status, now)
    }
}

/// A body is read before its request is looked at, whether it says its length or not, and not beyond the limit.
struct BodyLimit;

impl<E: Endpoint> Middleware<E> for BodyLimit {
    type Output = BodyLimitEndpoint<E>;

    fn transform(&self, inner: E) -> BodyLimitEndpoint<E> {
        BodyLimitEndpoint(inner)
    }
}

struct BodyLimitEndpoint<E>(E);

impl<E: Endpoint> Endpoint for BodyLimitEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> Result<E::Output> {
        let says_so = |name| request.headers().contains_key(name);
        if says_so(header::CONTENT_LENGTH) || says_so(header::TRANSFER_ENCODING) {
            let body = read(request.take_body()).await?;
            request.set_body(body);
        }
        if request.uri().path().len() > limits::OAUTH_PARAMETER_BYTES_MAX {
            return Err(NotFoundError.into());
        }
        self.0.call(request).await
    }
}

/// A connection that is closed with something unread is reset, and its client may never see the answer: so what is too much is read, too,
/// and thrown away, unless that takes too long.
async fn read(body: Body) -> Result<Vec<u8>> {
    let mut reader = body.into_async_read();
    let mut bytes = Vec::new();
    let limit = limits::HTTP_BODY_BYTES_MAX as u64;
    let mut limited = (&mut reader).take(limit + 1);
    let whole = tokio::time::timeout(BODY_TIMEOUT, limited.read_to_end(&mut bytes)).await;
    whole.map_err(|_| ErrorCode::BadRequest).map_err(ApiError::from)?.map_err(ReadBodyError::Io)?;
    if bytes.len() > limits::HTTP_BODY_BYTES_MAX {
        let (mut rest, mut nowhere) = (reader.take(DISCARD_BYTES_MAX), tokio::io::sink());
        // Whether it ended well or not, the answer is the same.
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, tokio::io::copy(&mut rest, &mut nowhere)).await;
        return Err(SizedLimitError::PayloadTooLarge.into());
    }
    Ok(bytes)
}

/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body beyond the limit is read this far.
const DISCARD_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// And for so long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
