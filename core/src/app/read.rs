//! How far somebody has read.

use serde::Deserialize;

use super::{Principal, Services};
use crate::error::{ErrorCode, Failure};
use crate::id::{RoomId, Seq};
use crate::mutant::{Mutant, planted};
use crate::ports::Event;

/// Notes that a member has read up to here, and tells the room's members if that is news.
pub async fn mark_read(services: &Services, principal: &Principal, room: RoomId, read: Seq) -> Result<(), Failure> {
    if services.rooms.mark_read(room, principal.user, read).await? {
        let body = serde_json::json!({ "type": "read", "userId": principal.user.get(), "seq": read.0 });
        // The bus may lose it; the next page of history has it.
        let _ = services.bus.publish(Event::Signal(room, body.to_string().into())).await;
    }
    Ok(())
}

/// SEND to `/app/chat/{room}/read` with `{"seq": 7}`, or with no body for all that is visible. Beyond what is visible nothing can be read.
pub(super) async fn read(services: &Services, principal: &Principal, room: RoomId, body: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Body {
        seq: u64,
    }
    member(services, principal, room).await?;
    let upto = if body.is_empty() {
        Seq(u64::MAX)
    } else {
        Seq(serde_json::from_slice::<Body>(body).map_err(|_| ErrorCode::BadJson)?.seq)
    };
    let published = services.messages.heads(&[room]).await?.first().map_or(Seq::ZERO, |head| head.published);
    mark_read(services, principal, room, upto.min(published)).await
}

/// SEND to `/app/chat/{room}/typing`: told to whoever listens, and forgotten.
pub(super) async fn typing(services: &Services, principal: &Principal, room: RoomId) -> Result<(), Failure> {
    member(services, principal, room).await?;
    let body = serde_json::json!({ "type": "typing", "userId": principal.user.get() });
    let _ = services.bus.publish(Event::Signal(room, body.to_string().into())).await;
    Ok(())
}

/// Refuses whoever is not in the room.
pub(super) async fn member(services: &Services, principal: &Principal, room: RoomId) -> Result<(), Failure> {
    if services.rooms.membership(room, principal.user).await?.is_some() || planted(Mutant::NoMembership) {
        Ok(())
    } else if services.rooms.find(room).await?.is_some() {
        Err(ErrorCode::NotAMember.into())
    } else {
        Err(ErrorCode::RoomNotFound.into())
    }
}
