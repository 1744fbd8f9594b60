//! Whoever sends a request with an access token.

use poem::Request;
use poem_openapi::SecurityScheme;
use poem_openapi::auth::ApiKey;
use transtalk_core::app::{Principal, authenticate};

use crate::app::App;
use crate::error::ApiError;

/// The access token, with or without `Bearer `. Read as a plain header, because the first client sends both spellings.
#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_in = "header", key_name = "Authorization", rename = "accessToken", checker = "check")]
pub(super) struct Signed(pub(super) Principal);

async fn check(request: &Request, key: ApiKey) -> poem::Result<Principal> {
    let app = App::of(request)?;
    Ok(authenticate(&app.services, Some(&key.key)).await.map_err(ApiError::from)?)
}
