//! What is not the contract: the demo page, the development sign-in, documents, health.

use std::fmt::Write;
use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::{Data, Path, Query};
use poem::{IntoResponse, Request, Response, handler};
use serde::Deserialize;
use transtalk_core::ErrorCode;
use transtalk_core::ports::AuthorizationRequest;

use crate::app::{App, SignInPage};
use crate::caller::Caller;
use crate::error::{ApiError, envelope};

/// The files of the demo page: name, media type, content.
const PAGE: [(&str, &str, &str); 10] = [
    ("index.html", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("sign-in.css", "text/css; charset=utf-8", include_str!("../page/sign-in.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../page/api.js")),
    ("room.js", "text/javascript; charset=utf-8", include_str!("../page/room.js")),
    ("state.js", "text/javascript; charset=utf-8", include_str!("../page/state.js")),
    ("stomp.js", "text/javascript; charset=utf-8", include_str!("../page/stomp.js")),
    ("texts.js", "text/javascript; charset=utf-8", include_str!("../page/texts.js")),
    ("view.js", "text/javascript; charset=utf-8", include_str!("../page/view.js")),
];

/// Nothing from elsewhere, no inline script: what people write can never run.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' data: https:; connect-src 'self' ws: wss:; \
                           base-uri 'none'; frame-ancestors 'none'; object-src 'none'";

/// The demo page.
#[handler]
pub(crate) fn index() -> Response {
    page_file("index.html").unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// A file of the demo page.
#[handler]
pub(crate) fn page(Path(name): Path<String>) -> Result<Response, ApiError> {
    page_file(&name).ok_or_else(|| ErrorCode::NotFound.into())
}

fn page_file(name: &str) -> Option<Response> {
    let (_, media_type, content) = PAGE.iter().find(|(known, ..)| *known == name)?;
    let response = Response::builder()
        .header(header::CONTENT_TYPE, *media_type)
        .header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::CACHE_CONTROL, "no-cache");
    Some(response.body(*content))
}

/// The process is alive.
#[handler]
pub(crate) fn livez() -> &'static str {
    "ok\n"
}

/// The server takes requests: the store is open and what a crash left behind is done.
#[handler]
pub(crate) fn readyz(Data(app): Data<&Arc<App>>) -> Response {
    if app.is_ready() {
        "ready\n".into_response()
    } else {
        envelope(ErrorCode::Unavailable, StatusCode::SERVICE_UNAVAILABLE, app.services.clock.now())
    }
}

/// The public keys of access tokens (RFC 7517 section 5).
#[handler]
pub(crate) fn jwks(Data(app): Data<&Arc<App>>) -> Response {
    Response::builder().content_type("application/jwk-set+json").body(app.services.signer.jwks())
}

/// What the browser brings to the development sign-in (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
#[derive(Deserialize)]
pub(crate) struct Authorize {
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
    /// Skips the page, for scripts.
    login_hint: Option<String>,
}

/// The development sign-in: choose who to be, and come back with a code. For browsers on this machine only, unless configured otherwise.
#[handler]
pub(crate) fn authorize(
    Data(app): Data<&Arc<App>>,
    request: &Request,
    Query(query): Query<Authorize>,
) -> Result<Response, ApiError> {
    let Some(SignInPage { provider, is_for_all }) = &app.sign_in_page else { return Err(ErrorCode::NotFound.into()) };
    if !Caller::of(request).is_local() && !is_for_all {
        return Err(ErrorCode::DevSignInClosed.into());
    }
    if query.response_type != "code" || query.code_challenge_method != "S256" {
        return Err(ErrorCode::BadRequest.into());
    }
    let request = AuthorizationRequest {
        redirect_uri: query.redirect_uri,
        state: query.state,
        nonce: query.nonce,
        code_challenge: query.code_challenge,
    };
    provider.check(&request).map_err(|_| ErrorCode::BadRequest)?;
    if let Some(name) = query.login_hint {
        let back = provider.authorize(&request, &name).map_err(|_| ErrorCode::BadRequest)?;
        return Ok(Response::builder().status(StatusCode::FOUND).header(header::LOCATION, back).finish());
    }
    let mut accounts = String::new();
    for account in provider.accounts() {
        let reads = account.language.map(|language| language.to_string()).unwrap_or_default();
        // The names are ours, so they need no escaping. Writing to a String does not fail.
        let _ = write!(
            accounts,
            "<button name=\"login_hint\" value=\"{0}\">{0} <small>{reads}</small></button>",
            account.name
        );
    }
    let mut fields = String::new();
    for (name, value) in [
        ("response_type", "code"),
        ("redirect_uri", &request.redirect_uri),
        ("state", &request.state),
        ("nonce", &request.nonce),
        ("code_challenge", &request.code_challenge),
        ("code_challenge_method", "S256"),
    ] {
        let _ = write!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value));
    }
    let html = include_str!("../page/sign-in.html").replace("{accounts}", &accounts).replace("{fields}", &fields);
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        // No form-action: the form's answer redirects to wherever the first client lives.
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'")
        .header(header::CACHE_CONTROL, "no-store")
        .body(html))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
