//! The upgrade request: is it one, may it come from there, and whose is it?

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, HeaderName, StatusCode, header};
use poem::web::Data;
use poem::{Request, Response, handler};
use sha1::{Digest, Sha1};
use tracing::Instrument;
use transtalk_core::ErrorCode;
use transtalk_core::app::{Handshake, Limited, Payer, authenticate, redeem_ticket, spend};
use transtalk_core::ports::TokenKind;

use super::driver::drive;
use crate::app::App;
use crate::caller::Caller;
use crate::error::{ApiError, envelope};
use crate::server::Upgrade;

/// The versions of STOMP as WebSocket subprotocols.
const SUBPROTOCOL: &str = "v12.stomp";

/// `GET /ws-connect`. A browser's page must be of an allowed origin; an `Authorization` header or a ticket that is not valid is refused
/// here, and so is one connection too many. Nothing is held back: a first client that is not connected soon falls back to something else.
#[handler]
pub(crate) async fn upgrade(request: &Request, app: Data<&Arc<App>>) -> Result<Response, ApiError> {
    let caller = Caller::of(request);
    let headers = request.headers();
    if !has_token(headers, &header::UPGRADE, "websocket") || !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(ErrorCode::BadRequest.into());
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).map(header::HeaderValue::as_bytes) != Some(b"13") {
        // RFC 6455 section 4.4: say which version is spoken.
        let mut answer = envelope(ErrorCode::BadRequest, StatusCode::UPGRADE_REQUIRED, app.services.clock.now());
        answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        return Ok(answer);
    }
    if caller.origin.as_deref().is_some_and(|origin| !app.allows_origin(&caller, origin)) {
        return Err(ErrorCode::OriginNotAllowed.into());
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(ErrorCode::BadRequest)?;
    let services = &app.services;
    spend(services, Limited::Connect, Payer::Address(&caller.address())).await?;
    let token = match (caller.authorization.clone(), ticket(request)) {
        (Some(token), _) => Some((TokenKind::Access, token)),
        (None, Some(ticket)) => Some((TokenKind::WsTicket, ticket)),
        (None, None) => None,
    };
    let principal = match &token {
        Some((TokenKind::Access, token)) => Some(authenticate(services, Some(token)).await?),
        Some((TokenKind::WsTicket, ticket)) => Some(redeem_ticket(services, ticket).await?),
        None => None,
    };
    if let Some(principal) = &principal {
        spend(services, Limited::Connect, Payer::Account(principal.user)).await?;
    }
    // Only a page of an allowed origin may go on by its browser's cookie: any site can make a browser send it.
    let cookie = caller.refresh.clone().filter(|_| caller.trusted_site(&app));
    let handshake = Handshake { principal, token, cookie, device: caller.device() };
    let upgrade = request.extensions().get::<Upgrade>().cloned().ok_or(ErrorCode::Internal)?;
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()));
    if has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer = answer.header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    }
    let services = app.services.clone();
    let socket = async move {
        if let Some((stream, early)) = upgrade.stream().await {
            drive(stream, early, services, handshake).await;
        }
    };
    // Its lines in the log name the request, too.
    tokio::spawn(socket.in_current_span());
    Ok(answer.finish())
}

/// The one-time ticket of the address, for browsers, which cannot set a header here.
fn ticket(request: &Request) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket.into_owned())
}

/// The answer to a client's key (RFC 6455 section 4.2.2, item 5.4).
fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_rfc_6455() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
