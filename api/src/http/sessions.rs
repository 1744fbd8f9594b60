//! The sessions that a user can see, and end.

use std::sync::Arc;

use poem::http::header::SET_COOKIE;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use transtalk_core::app::{audit_trail, end_my_session, list_sessions};
use transtalk_core::{ErrorCode, SessionId};

use super::auth::uncut;
use super::schema::{AuditLine, AuditResponse, Nothing, SessionLine, SessionsResponse, Tag};
use super::signed::Signed;
use super::{Answer, nothing, ok};
use crate::app::App;
use crate::caller::Caller;
use crate::cookie::REFRESH;

pub(crate) struct SessionsApi;

#[OpenApi(tag = "Tag::Auth")]
impl SessionsApi {
    /// My sessions
    ///
    /// Where I am signed in, the newest first. One of them is `current`: the one of this request's token.
    #[oai(path = "/sessions", method = "get", operation_id = "listSessions")]
    async fn list(&self, app: Data<&Arc<App>>, signed: Signed) -> Answer<SessionsResponse> {
        let sessions = list_sessions(&app.services, &signed.0).await?;
        let sessions = sessions.into_iter().map(|session| SessionLine::new(session, signed.0.session)).collect();
        Ok(ok(&app, SessionsResponse { sessions }))
    }

    /// End one of my sessions
    ///
    /// All its tokens are dead when this has answered, and its sockets close. To end one that has ended already is no error;
    /// `SESSION_NOT_FOUND` (404) is one that is not mine. To end the current one is to log out: its cookie goes, too.
    #[oai(path = "/sessions/:id", method = "delete", operation_id = "endSession")]
    async fn end(
        &self,
        app: Data<&Arc<App>>,
        signed: Signed,
        caller: Caller,
        /// Which one.
        id: Path<String>,
    ) -> Answer<Nothing> {
        let id: SessionId = id.0.parse().map_err(|_| ErrorCode::SessionNotFound)?;
        let services = app.services.clone();
        let is_current = id == signed.0.session;
        uncut(async move { end_my_session(&services, &signed.0, id, &caller.address()).await }).await?;
        let answer = nothing(&app);
        if is_current {
            return Ok(answer.header(SET_COOKIE, REFRESH.delete(app.config.auth.cookie_same_site)));
        }
        Ok(answer)
    }

    /// What happened in my sessions
    ///
    /// The newest first, at most 200 lines: who signed in from where, refreshes and what they were taken for, log-outs,
    /// refusals, sockets.
    #[oai(path = "/sessions/audit", method = "get", operation_id = "auditTrail")]
    async fn audit(&self, app: Data<&Arc<App>>, signed: Signed) -> Answer<AuditResponse> {
        let records = audit_trail(&app.services, &signed.0).await?;
        Ok(ok(&app, AuditResponse { records: records.into_iter().map(AuditLine::from).collect() }))
    }
}
