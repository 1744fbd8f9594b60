//! Rooms, and what was said in them.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use transtalk_core::app::{HistoryQuery, history, list_rooms, open_room};
use transtalk_core::{ErrorCode, Failure, RoomId, limits};

use super::schema::{ChatRoomsResponse, ChatsResponse, Envelope, OpenRoomRequest, OpenRoomResponse, Tag};
use super::signed::Signed;
use super::{Answer, answer, ok};
use crate::app::App;

pub(crate) struct ChatRoomsApi;

#[OpenApi(tag = "Tag::Chat")]
impl ChatRoomsApi {
    /// My rooms
    ///
    /// The latest activity first.
    #[oai(path = "/chatRooms", method = "get", operation_id = "listRooms")]
    async fn list(
        &self,
        app: Data<&Arc<App>>,
        signed: Signed,
        /// From 0.
        page: Query<Option<u32>>,
        /// Rooms on a page: 20 unless told, 100 at most.
        size: Query<Option<u32>>,
        /// Part of the other person's name; empty for all.
        name: Query<Option<String>>,
    ) -> Answer<ChatRoomsResponse> {
        let (page, size) = (page.0.unwrap_or(0), size.0.unwrap_or(limits::ROOM_PAGE_DEFAULT));
        let name = name.0.unwrap_or_default();
        Ok(ok(&app, list_rooms(&app.services, &signed.0, &name, page, size).await?.into()))
    }

    /// Open a room
    ///
    /// With the person of this e-mail and in this language. The same pair and language have one room: asked again, this
    /// answers with it.
    #[oai(path = "/chatRooms", method = "post", operation_id = "openRoom")]
    async fn open(
        &self,
        app: Data<&Arc<App>>,
        signed: Signed,
        request: Json<OpenRoomRequest>,
    ) -> Answer<OpenRoomResponse> {
        match open_room(&app.services, &signed.0, &request.language, &request.recipient_email).await {
            Ok(room) => Ok(ok(&app, OpenRoomResponse { chat_room_id: room.get() })),
            Err(Failure::Refused(code)) if app.config.compat.legacy_200_errors => {
                Ok(answer(Envelope::refused(code, app.services.clock.now())))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// What was said
    ///
    /// The newest first. Page 0 marks the room as read and pins where the later pages begin: they do not shift when
    /// messages arrive.
    #[oai(path = "/chatRooms/:id/chats", method = "get", operation_id = "history")]
    async fn chats(
        &self,
        app: Data<&Arc<App>>,
        signed: Signed,
        /// Which room.
        id: Path<String>,
        /// From 0.
        page: Query<Option<u32>>,
        /// Messages on a page: 40 unless told, 200 at most.
        size: Query<Option<u32>>,
        /// With page 0: also what is still being translated.
        pending: Query<Option<bool>>,
    ) -> Answer<ChatsResponse> {
        let room: RoomId = id.0.parse().map_err(|_| ErrorCode::RoomNotFound)?;
        let query = HistoryQuery {
            page: page.0.unwrap_or(0),
            size: size.0.unwrap_or(limits::HISTORY_PAGE_DEFAULT),
            pending: pending.0.unwrap_or(false),
        };
        Ok(ok(&app, history(&app.services, &signed.0, room, query).await?.into()))
    }
}
