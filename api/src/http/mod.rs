//! The routes of the wire contract under `/api/v1`, one file a resource, and what they exchange.
//! A handler reads the request, calls one use case and shapes its answer; it decides nothing.

mod auth;
mod chat_rooms;
mod me;
mod schema;
mod sessions;
mod signed;
pub(crate) mod site;

use poem::http::header::CACHE_CONTROL;
use poem_openapi::OpenApiService;
use poem_openapi::payload::{Json, Response};

use crate::app::App;
use crate::error::ApiError;
use schema::Envelope;

/// A successful answer in its envelope, or a refusal.
type Answer<T> = Result<Response<Json<Envelope<T>>>, ApiError>;

/// All routes of the contract.
pub(crate) type Api = (auth::AuthApi, sessions::SessionsApi, me::MeApi, chat_rooms::ChatRoomsApi);

/// The service of these routes.
pub(crate) fn service() -> OpenApiService<Api, ()> {
    let api = (auth::AuthApi, sessions::SessionsApi, me::MeApi, chat_rooms::ChatRoomsApi);
    OpenApiService::new(api, "TransTalk", env!("CARGO_PKG_VERSION")).description(DESCRIPTION).server("/api/v1")
}

fn ok<T: schema::Payload>(app: &App, data: T) -> Response<Json<Envelope<T>>> {
    answer(Envelope::ok(Some(data), app.services.clock.now()))
}

/// It is done, and there is nothing to say of it.
fn nothing(app: &App) -> Response<Json<Envelope<schema::Nothing>>> {
    answer(Envelope::ok(None, app.services.clock.now()))
}

/// Tokens and private things are in answers: nobody keeps them on the way (RFC 6749 section 5.1).
fn answer<T: schema::Payload>(envelope: Envelope<T>) -> Response<Json<Envelope<T>>> {
    Response::new(Json(envelope)).header(CACHE_CONTROL, "no-store")
}

const DESCRIPTION: &str = "Chat that is translated as it is spoken. What goes over the socket is in asyncapi.yaml.

How a web client keeps its user signed in: the access token goes into `Authorization` of each request, the refresh token is in a \
cookie that only the browser holds, so send all requests with `credentials: \"include\"`. On 401, `GET /auth/refresh` once (all \
requests that wait share it), then repeat the request. If the refresh is refused with 400 or 403, show the sign-in; on 429 and 503 \
keep everything and come again after `Retry-After` seconds.

Whatever changes something by a cookie must come from an allowed page: the server's own, or one of `http.cors_origins`.

Every answer has the header `X-Request-Id`, and every refusal has the same in `requestId`: it finds the request in the server's log.";
