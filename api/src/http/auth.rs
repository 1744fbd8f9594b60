//! Signing in, refreshing, logging out, leaving.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use poem::http::header::SET_COOKIE;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use tracing::Instrument;
use transtalk_core::app::{
    Limited, Payer, Returned, Tokens, begin_sign_in, complete_sign_in, issue_ticket, log_out, log_out_everywhere,
    refresh, spend, withdraw,
};
use transtalk_core::{ErrorCode, Failure, limits};

use super::schema::{Envelope, Nothing, SignInResponse, Tag, TicketResponse, TokenResponse, UserResponse};
use super::signed::Signed;
use super::{Answer, answer, nothing, ok};
use crate::app::App;
use crate::caller::Caller;
use crate::cookie::{REFRESH, SIGN_IN};
use crate::error::ApiError;

pub(crate) struct AuthApi;

#[OpenApi(tag = "Tag::Auth")]
impl AuthApi {
    /// Where to sign in
    ///
    /// The address of the identity provider's page, for the browser to go to. A cookie ties the sign-in to this browser:
    /// send it along (`credentials: "include"`), and send it again with the code. The sign-in has to be completed within ten
    /// minutes. Errors: `UNKNOWN_PROVIDER` (404), `TOO_MANY_REQUESTS` (429), `UNAVAILABLE` (503: the provider does not answer).
    #[oai(path = "/auth", method = "get", operation_id = "beginSignIn")]
    async fn begin(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        /// Which one, by its name in the server's configuration; the first configured one without it.
        provider: Query<Option<String>>,
    ) -> Answer<String> {
        let asked = provider.0.as_deref().filter(|name| !name.is_empty());
        let provider = app.services.provider(asked).ok_or(ErrorCode::UnknownProvider)?;
        let redirect_uri = app.redirect_uri(&caller, provider.name());
        let begun = begin_sign_in(&app.services, Some(provider.name()), &redirect_uri, &caller.address()).await?;
        let same_site = app.config.auth.cookie_same_site;
        let cookie = SIGN_IN.set(&begun.cookie, limits::SIGN_IN_DEADLINE.as_secs(), same_site);
        Ok(ok(&app, app.absolute(&caller, begun.url)).header(SET_COOKIE, cookie))
    }

    /// Complete the sign-in
    ///
    /// Exchanges the code that the provider sent back. It works once, and only in the browser that began. The refresh
    /// token comes as a cookie. Whatever else the provider returned should be sent, too: `state` and `iss` are checked when
    /// they are there. Errors: `CODE_REFUSED`, `SIGN_IN_NOT_BEGUN` (400: begin again), `STATE_REQUIRED` (400: this provider's
    /// sign-in needs `state` returned), `TOO_MANY_REQUESTS` (429), `UNAVAILABLE` (503: the provider or the store does not
    /// answer; begin again later, since the code may be used up).
    #[oai(path = "/auth/token", method = "get", operation_id = "completeSignIn")]
    async fn token(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        /// The authorization code, as the provider returned it.
        code: Query<Option<String>>,
        /// The provider's `state`, from clients that return it.
        state: Query<Option<String>>,
        /// The provider's `iss` (RFC 9207), from clients that return it.
        iss: Query<Option<String>>,
    ) -> Answer<SignInResponse> {
        // A page that nobody knows must not use up somebody's sign-in.
        if !caller.source(&app).may_refresh() {
            return Err(ErrorCode::OriginNotAllowed.into());
        }
        let code = code.0.ok_or(ErrorCode::BadRequest)?;
        let services = app.services.clone();
        let same_site = app.config.auth.cookie_same_site;
        let done = uncut(async move {
            let returned = Returned { code: &code, state: state.0.as_deref(), issuer: iss.0.as_deref() };
            complete_sign_in(&services, returned, caller.sign_in.as_deref(), caller.device()).await
        });
        let done = done.await?;
        tracing::info!(user = %done.user.id, "signed in");
        let body =
            SignInResponse { user: UserResponse::from(&done.user), tokens: TokenResponse::new(&done.tokens.access) };
        Ok(ok(&app, body)
            .header(SET_COOKIE, refresh_cookie(&app, &done.tokens))
            .header(SET_COOKIE, SIGN_IN.delete(same_site)))
    }

    /// Refresh the access token
    ///
    /// By the cookie alone: no `Authorization`. When: after an answer 401, once, and then send the refused request again; or
    /// shortly before `exp`; or when the socket says that it is about to expire. Two tabs that refresh at once are given the same
    /// new refresh token, and a refresh whose answer was lost may be repeated.
    ///
    /// This never answers 401. `REFRESH_TOKEN_MISSING`, `REFRESH_TOKEN_INVALID` (400), `SESSION_ENDED` and
    /// `REFRESH_TOKEN_REUSED` (403) mean that the user has to sign in again; nothing else does. `ORIGIN_NOT_ALLOWED` (403): a page
    /// of another site that is not configured. `TOO_MANY_REQUESTS` (429): too many attempts without a cookie of this server. With
    /// one, the server waits up to 30 seconds for its store before it answers 503: allow for that.
    #[oai(path = "/auth/refresh", method = "get", operation_id = "refresh")]
    async fn refresh(&self, app: Data<&Arc<App>>, caller: Caller) -> Answer<TokenResponse> {
        if !caller.source(&app).may_refresh() {
            return Err(ErrorCode::OriginNotAllowed.into());
        }
        let services = app.services.clone();
        let done = uncut(async move { refresh(&services, caller.refresh.as_deref(), &caller.address()).await });
        match done.await {
            Ok(tokens) => {
                Ok(ok(&app, TokenResponse::new(&tokens.access)).header(SET_COOKIE, refresh_cookie(&app, &tokens)))
            }
            Err(Failure::Refused(code)) if app.config.compat.legacy_200_errors => {
                Ok(answer(Envelope::refused(code, app.services.clock.now())))
            }
            Err(failure) => Err(ApiError::never_401(failure)),
        }
    }

    /// Log out
    ///
    /// Ends the session: every token that it ever gave is dead when this has answered, and its sockets close. An expired
    /// access token is enough, and so is the cookie alone, from a page of an allowed origin. With both, the sessions of both end.
    /// `everywhere` needs a session that is still alive.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn logout(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        /// Also ends all other sessions of this user.
        everywhere: Query<Option<bool>>,
    ) -> Answer<Nothing> {
        let services = app.services.clone();
        let everywhere = everywhere.0.unwrap_or(false);
        let ended = uncut(async move {
            let (access, cookie) = (caller.authorization.as_deref(), caller.refresh.as_deref());
            if everywhere {
                log_out_everywhere(&services, access, cookie, &caller.address()).await
            } else {
                log_out(&services, access, cookie, &caller.address()).await
            }
        });
        ended.await?;
        Ok(ok(&app, Nothing {}).header(SET_COOKIE, REFRESH.delete(app.config.auth.cookie_same_site)))
    }

    /// Leave for good
    ///
    /// Empties the account and ends all its sessions; what the identity provider granted is given back. The rooms stay with the
    /// others, under a neutral name. Whoever signs in again later is somebody new.
    #[oai(path = "/auth/withdraw", method = "delete", operation_id = "withdraw")]
    async fn withdraw(&self, app: Data<&Arc<App>>, signed: Signed, caller: Caller) -> Answer<Nothing> {
        let services = app.services.clone();
        let left = uncut(async move { withdraw(&services, &signed.0, &caller.address()).await });
        left.await?;
        Ok(nothing(&app).header(SET_COOKIE, REFRESH.delete(app.config.auth.cookie_same_site)))
    }

    /// A ticket for a WebSocket
    ///
    /// For clients that cannot set headers on an upgrade and will not wait for CONNECT: open `/ws-connect?ticket=...` with it. It
    /// is good once, for `expiresIn` seconds, and the connection lasts as long as the access token that bought it.
    #[oai(path = "/auth/ws-ticket", method = "post", operation_id = "buyTicket")]
    async fn ticket(&self, app: Data<&Arc<App>>, signed: Signed, caller: Caller) -> Answer<TicketResponse> {
        spend(&app.services, Limited::Ticket, Payer::Address(&caller.address())).await?;
        spend(&app.services, Limited::Ticket, Payer::Account(signed.0.user)).await?;
        let ticket = issue_ticket(&app.services, &signed.0);
        Ok(ok(&app, TicketResponse { ticket, expires_in: limits::TICKET_LIFETIME.as_secs() }))
    }
}

/// Runs in a task of its own: a client that goes away does not cut it off between the store and what follows from it.
pub(super) async fn uncut<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work.in_current_span()).await.map_err(|_| ErrorCode::Internal)?
}

fn refresh_cookie(app: &App, tokens: &Tokens) -> String {
    let left = tokens.refresh_until.since(app.services.clock.now());
    // Rounded up: a moment has passed since the token was made.
    let secs = (left + Duration::from_millis(999)).as_secs();
    REFRESH.set(&tokens.refresh, secs, app.config.auth.cookie_same_site)
}
