//! Google (<https://developers.google.com/identity/openid-connect/openid-connect>).

use std::sync::Arc;

use transtalk_core::ports::Clock;

use super::discovery::Documented;
use super::oidc::{Character, Oidc, OpenIdFlow};
use super::settings::{Checked, SettingsError};
use super::token_endpoint::invalid_grant;

/// Google, which is an `OpenID` provider with two names.
pub(super) fn new(settings: Checked, clock: Arc<dyn Clock>) -> Result<Oidc, SettingsError> {
    let character = Character {
        // "iss: Always https://accounts.google.com or accounts.google.com for Google ID tokens."
        issuers: vec![ISSUER.to_owned(), "accounts.google.com".to_owned()],
        documented: Some(&DOCUMENTED),
        scopes: &["openid", "email", "profile"],
        is_about_the_code: invalid_grant,
    };
    // An access token is worthless after an hour, and nobody withdraws so soon: a refresh token can still be given back. It comes with
    // the user's first consent only.
    let flow = OpenIdFlow::new(settings, character, clock)?;
    Ok(Oidc { flow, more: &[("access_type", "offline")], refresh_comes_once: true })
}

const ISSUER: &str = "https://accounts.google.com";
/// What <https://accounts.google.com/.well-known/openid-configuration> says. It is asked for, unless an endpoint is configured.
const DOCUMENTED: Documented = Documented {
    authorize: "https://accounts.google.com/o/oauth2/v2/auth",
    token: "https://oauth2.googleapis.com/token",
    userinfo: Some("https://openidconnect.googleapis.com/v1/userinfo"),
    jwks: "https://www.googleapis.com/oauth2/v3/certs",
    revoke: Some("https://oauth2.googleapis.com/revoke"),
};
