//! Which address leads where, and the layers around all of them.

use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::error::{NotFoundError, SizedLimitError};
use poem::http::{HeaderValue, StatusCode, header};
use poem::middleware::CatchPanic;
use poem::{Endpoint, EndpointExt, IntoResponse, Middleware, Request, Response, Result, Route, get};
use transtalk_core::{ErrorCode, limits};

use crate::app::App;
use crate::cors::Cors;
use crate::error::{ApiError, envelope, into_envelope};
use crate::http::{service, site};
use crate::openapi;
use crate::ws;

/// Everything that the server answers.
pub(crate) fn endpoint(app: &Arc<App>) -> BoxEndpoint<'static, Response> {
    let (json, yaml) = (openapi::text(false), openapi::text(true));
    let routes = Route::new()
        .nest("/api/v1", service())
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

/// No body is read beyond the limit, whether it says its length or not.
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
        let length = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > limits::HTTP_BODY_BYTES_MAX as u64) {
            return Err(SizedLimitError::PayloadTooLarge.into());
        }
        if request.headers().contains_key(header::TRANSFER_ENCODING) {
            let bytes = request.take_body().into_bytes_limit(limits::HTTP_BODY_BYTES_MAX).await?;
            request.set_body(bytes);
        }
        if request.uri().path().len() > limits::OAUTH_PARAMETER_BYTES_MAX {
            return Err(NotFoundError.into());
        }
        self.0.call(request).await
    }
}
