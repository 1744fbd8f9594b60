//! Signing in, refreshing, logging out.

use std::sync::Arc;
use std::time::Duration;

use poem::http::header::SET_COOKIE;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use poem_openapi::payload::{Json, Response};
use transtalk_core::app::{Tokens, begin_sign_in, complete_sign_in, log_out, refresh};
use transtalk_core::{ErrorCode, Failure, limits};

use super::schema::{Envelope, Nothing, SignInResponse, Tag, TokenResponse, UserResponse};
use super::{Answer, ok};
use crate::app::App;
use crate::caller::{Caller, REFRESH_COOKIE, SIGN_IN_COOKIE, set_cookie};
use crate::error::ApiError;

pub(crate) struct AuthApi;

/// The sign-in's cookie goes to these routes and nowhere else.
const SIGN_IN_PATH: &str = "/api/v1/auth";

#[expect(clippy::unused_async, reason = "every operation of a poem API is async")]
#[OpenApi(tag = "Tag::Auth")]
impl AuthApi {
    /// Where to sign in
    ///
    /// The address of the identity provider's page, for the browser to go to. A cookie ties the sign-in to this browser:
    /// send it along, and send it again with the code. The sign-in has to be completed within ten minutes.
    #[oai(path = "/auth", method = "get", operation_id = "beginSignIn")]
    async fn begin(&self, app: Data<&Arc<App>>, caller: Caller) -> Answer<String> {
        let begun = begin_sign_in(&app.services, &app.redirect_uri(&caller));
        let cookie = set_cookie(SIGN_IN_COOKIE, &begun.cookie, SIGN_IN_PATH, limits::SIGN_IN_DEADLINE.as_secs());
        Ok(ok(&app, app.absolute(&caller, begun.url)).header(SET_COOKIE, cookie))
    }

    /// Complete the sign-in
    ///
    /// Exchanges the code that the provider sent back. It works once, and only in the browser that began. The refresh
    /// token comes as a cookie.
    #[oai(path = "/auth/token", method = "get", operation_id = "completeSignIn")]
    async fn token(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        /// The authorization code, as the provider returned it.
        code: Query<Option<String>>,
        /// The provider's `state`, from clients that return it.
        state: Query<Option<String>>,
    ) -> Answer<SignInResponse> {
        let code = code.0.ok_or(ErrorCode::BadRequest)?;
        let sign_in = caller.sign_in.as_deref();
        let done = complete_sign_in(&app.services, &code, state.as_deref(), sign_in, caller.device()).await?;
        tracing::info!(user = %done.user.id, "signed in");
        let body =
            SignInResponse { user: UserResponse::from(&done.user), tokens: TokenResponse::new(&done.tokens.access) };
        Ok(ok(&app, body)
            .header(SET_COOKIE, refresh_cookie(&app, &done.tokens))
            .header(SET_COOKIE, set_cookie(SIGN_IN_COOKIE, "", SIGN_IN_PATH, 0)))
    }

    /// Refresh the access token
    ///
    /// By the cookie alone. Two tabs that refresh at once are given the same new refresh token. This never answers 401:
    /// 400 and 403 mean that the user has to sign in again.
    #[oai(path = "/auth/refresh", method = "get", operation_id = "refresh")]
    async fn refresh(&self, app: Data<&Arc<App>>, caller: Caller) -> Answer<TokenResponse> {
        match refresh(&app.services, caller.refresh.as_deref(), &caller.address()).await {
            Ok(tokens) => {
                Ok(ok(&app, TokenResponse::new(&tokens.access)).header(SET_COOKIE, refresh_cookie(&app, &tokens)))
            }
            Err(Failure::Refused(code)) if app.config.compat.legacy_200_errors => {
                Ok(Response::new(Json(Envelope::refused(code, app.services.clock.now()))))
            }
            Err(failure) => Err(ApiError::never_401(failure)),
        }
    }

    /// Log out
    ///
    /// Ends the session: every token that it ever gave is dead when this has answered, and its sockets close. An expired
    /// access token is enough, and so is the cookie alone.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn logout(&self, app: Data<&Arc<App>>, caller: Caller) -> Answer<Nothing> {
        let services = app.services.clone();
        // In a task of its own: a client that goes away does not cut it off between the store and the sockets.
        let ended = tokio::spawn(async move {
            let (access, cookie) = (caller.authorization.as_deref(), caller.refresh.as_deref());
            log_out(&services, access, cookie, &caller.address()).await
        });
        ended.await.map_err(|_| ErrorCode::Internal)??;
        Ok(ok(&app, Nothing {}).header(SET_COOKIE, set_cookie(REFRESH_COOKIE, "", "/", 0)))
    }
}

fn refresh_cookie(app: &App, tokens: &Tokens) -> String {
    let left = tokens.refresh_until.since(app.services.clock.now());
    // Rounded up: a moment has passed since the token was made.
    set_cookie(REFRESH_COOKIE, &tokens.refresh, "/", (left + Duration::from_millis(999)).as_secs())
}
