//! Who is signed in.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;

use super::schema::{Tag, UserResponse};
use super::signed::Signed;
use super::{Answer, ok};
use crate::app::App;

pub(crate) struct MeApi;

#[OpenApi(tag = "Tag::User")]
impl MeApi {
    /// Me
    ///
    /// `id` names the destination of the room list, `email` tells one's own messages from the others'.
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, app: Data<&Arc<App>>, signed: Signed) -> Answer<UserResponse> {
        let user = app.services.user(signed.0.user).await?;
        Ok(ok(&app, UserResponse::from(&user)))
    }
}
