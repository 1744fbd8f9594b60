//! The routes of the wire contract under `/api/v1`, one file a resource, and what they exchange.
//! A handler reads the request, calls one use case and shapes its answer; it decides nothing.

mod auth;
mod chat_rooms;
mod me;
mod schema;
mod signed;
pub(crate) mod site;

use poem_openapi::OpenApiService;
use poem_openapi::payload::{Json, Response};

use crate::app::App;
use crate::error::ApiError;
use schema::Envelope;

/// A successful answer in its envelope, or a refusal.
type Answer<T> = Result<Response<Json<Envelope<T>>>, ApiError>;

/// All routes of the contract.
pub(crate) type Api = (auth::AuthApi, me::MeApi, chat_rooms::ChatRoomsApi);

/// The service of these routes.
pub(crate) fn service() -> OpenApiService<Api, ()> {
    let api = (auth::AuthApi, me::MeApi, chat_rooms::ChatRoomsApi);
    OpenApiService::new(api, "TransTalk", env!("CARGO_PKG_VERSION"))
        .description("Chat that is translated as it is spoken. What goes over the socket is in asyncapi.yaml.")
        .server("/api/v1")
}

fn ok<T: schema::Payload>(app: &App, data: T) -> Response<Json<Envelope<T>>> {
    Response::new(Json(Envelope::ok(data, app.services.clock.now())))
}
