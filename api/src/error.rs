//! From what went wrong to what is answered: one status for each code, one envelope for all, from every layer.

use std::time::Duration;

use poem::error::{MethodNotAllowedError, NotFoundError, ParseJsonError, ResponseError, SizedLimitError};
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::error::{AuthorizationError, ContentTypeError, ParseRequestPayloadError};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use transtalk_core::{ErrorCode, Failure, Timestamp};

use crate::request_id::RequestId;

/// The status that goes with a code. `None` is never among the answers: a new code does not compile without a line here.
pub(crate) fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as C;
    match code {
        C::Unauthorized | C::TokenExpired | C::SessionEnded => StatusCode::UNAUTHORIZED,
        C::RefreshTokenReused | C::OriginNotAllowed | C::DevSignInClosed | C::NotAMember | C::DestinationRefused => {
            StatusCode::FORBIDDEN
        }
        C::NotFound | C::RoomNotFound | C::RecipientNotFound | C::SessionNotFound | C::UnknownProvider => {
            StatusCode::NOT_FOUND
        }
        C::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        C::TooLarge | C::FrameTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        C::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        C::MessageIdReused => StatusCode::CONFLICT,
        C::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        C::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        C::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        C::RefreshTokenMissing
        | C::RefreshTokenInvalid
        | C::CodeRefused
        | C::SignInNotBegun
        | C::StateRequired
        | C::BadRequest
        | C::BadJson
        | C::UnknownLanguage
        | C::RoomWithOneself
        | C::EmptyMessage
        | C::MessageTooLong
        | C::BadClientMessageId
        | C::BadLastSeq
        | C::BadFrame
        | C::UnexpectedFrame
        | C::BadHeader
        | C::NoCommonVersion
        | C::SubscriptionExists
        | C::SubscriptionUnknown
        | C::TooManySubscriptions => StatusCode::BAD_REQUEST,
    }
}

/// Every answer that is not 2xx.
#[derive(Object)]
struct Refusal {
    /// Always false.
    success: bool,
    /// For a person.
    message: String,
    /// Always null.
    data: Option<String>,
    /// RFC 3339, UTC.
    timestamp: String,
    /// The stable name of what went wrong.
    #[oai(rename = "errorCode")]
    error_code: String,
    /// The request's name, as in the header `X-Request-Id`: the server's log has it, too.
    #[oai(rename = "requestId")]
    request_id: String,
}

impl Refusal {
    fn new(code: ErrorCode, now: Timestamp) -> Self {
        Self {
            success: false,
            message: code.message().to_owned(),
            data: None,
            timestamp: now.to_string(),
            error_code: code.as_str().to_owned(),
            request_id: RequestId::current(),
        }
    }
}

/// A failure on its way out of a handler.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct ApiError {
    pub(crate) failure: Failure,
    pub(crate) status: StatusCode,
}

impl ApiError {
    /// For the refresh, which must never answer 401: the first client would wait for itself for ever (trap 1 of the wire contract).
    pub(crate) fn never_401(failure: Failure) -> Self {
        let error = Self::from(failure);
        match error.status {
            StatusCode::UNAUTHORIZED => Self { status: StatusCode::FORBIDDEN, ..error },
            _ => error,
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self { status: status(failure.code()), failure }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Failure::from(code).into()
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.status
    }
}

/// In the document, every operation may answer with these.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        let response = |status: u16, description: &'static str| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json; charset=utf-8",
                schema: <Refusal as Type>::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![
                response(400, "The request is not what is expected; `errorCode` says how."),
                response(
                    401,
                    "No access token, or one that is not valid (`UNAUTHORIZED`), expired (`TOKEN_EXPIRED`) or of a session that has \
                     ended (`SESSION_ENDED`): refresh once, then send the request again; if the refresh is refused, sign in \
                     again. Never on the refresh itself.",
                ),
                response(
                    403,
                    "Not for this user, or not from this page: `ORIGIN_NOT_ALLOWED` means that the page's origin is not in \
                     `http.cors_origins`. To refresh does not help.",
                ),
                response(404, "There is no such thing."),
                response(413, "The body is too large."),
                response(415, "The body is not JSON."),
                response(429, "Too many requests; `Retry-After` says in how many seconds to come again."),
                response(500, "A fault of the server; `requestId` finds it in the server's log."),
                response(
                    503,
                    "A part of the server is out of reach; `Retry-After` says in how many seconds to come again. Nobody is signed \
                     out by it: keep the tokens.",
                ),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        <Refusal as Type>::register(registry);
    }
}

/// Whatever went wrong in any layer, as the envelope. What the layer said stays in the log.
pub(crate) fn into_envelope(error: &poem::Error, now: Timestamp) -> Response {
    let (code, status) = classify(error);
    if status.is_server_error() {
        tracing::error!(code = code.as_str(), cause = %causes(error), "request failed");
    }
    let mut response = envelope(code, status, now);
    if let Some(ApiError { failure: Failure::TooMany { retry_after }, .. }) = error.downcast_ref() {
        response.headers_mut().insert(header::RETRY_AFTER, whole_secs(*retry_after).into());
    }
    response
}

/// Rounded up: whoever comes back then is not too early.
fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The envelope of a refusal.
pub(crate) fn envelope(code: ErrorCode, status: StatusCode, now: Timestamp) -> Response {
    let mut response = Json(Refusal::new(code, now)).with_status(status).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    response
}

fn classify(error: &poem::Error) -> (ErrorCode, StatusCode) {
    let code = if let Some(error) = error.downcast_ref::<ApiError>() {
        return (error.failure.code(), error.status);
    } else if error.is::<NotFoundError>() {
        ErrorCode::NotFound
    } else if error.is::<MethodNotAllowedError>() {
        ErrorCode::MethodNotAllowed
    } else if error.is::<SizedLimitError>() {
        ErrorCode::TooLarge
    } else if error.is::<AuthorizationError>() {
        ErrorCode::Unauthorized
    } else if error.is::<ContentTypeError>() {
        ErrorCode::UnsupportedMediaType
    } else if error.is::<ParseRequestPayloadError>() || error.is::<ParseJsonError>() {
        ErrorCode::BadJson
    } else {
        match error.status() {
            StatusCode::NOT_FOUND => ErrorCode::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
            status if status.is_client_error() => ErrorCode::BadRequest,
            _ => ErrorCode::Internal,
        }
    };
    (code, status(code))
}

/// The whole chain of causes, for the log.
fn causes(error: &poem::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.downcast_ref::<ApiError>().and_then(|error| std::error::Error::source(&error.failure));
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
