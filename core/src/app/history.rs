//! What was said in a room, page by page.

use std::collections::BTreeMap;

use super::read::mark_read;
use super::{Principal, Services};
use crate::chat::{ChatView, HistoryPage, Message, Room, chat_view};
use crate::error::{ErrorCode, Failure};
use crate::id::{RoomId, Seq, UserId};
use crate::limits;
use crate::user::User;

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// From 0, the newest.
    pub page: u32,
    /// Messages on a page.
    pub size: u32,
    /// With page 0: also what is still waiting for its translation.
    pub pending: bool,
}

/// A page of visible history, the newest first. Serving page 0 marks the room as read, and pins where the later pages
/// begin, so that they do not shift when messages arrive meanwhile.
pub async fn history(
    services: &Services,
    principal: &Principal,
    room: RoomId,
    query: HistoryQuery,
) -> Result<HistoryPage, Failure> {
    if query.page > limits::PAGE_NUMBER_MAX {
        return Err(ErrorCode::BadRequest.into());
    }
    let me = principal.user;
    let room = services.rooms.find(room).await?.ok_or(ErrorCode::RoomNotFound)?;
    let other = room.other(me).ok_or(ErrorCode::NotAMember)?;
    let size = query.size.clamp(1, limits::HISTORY_PAGE_MAX);
    let published = match services.messages.heads(&[room.id]).await?.first() {
        Some(head) => head.published,
        None => Seq::ZERO,
    };
    let anchor = services.pipeline.anchor(me, room.id, published, query.page);
    let page = services.messages.page(room.id, anchor, query.page, size).await?;
    let mut messages = page.messages;
    if query.pending && query.page == 0 {
        let mut hidden = services.messages.after(room.id, published, limits::HISTORY_PAGE_MAX, true).await?;
        hidden.reverse();
        hidden.append(&mut messages);
        messages = hidden;
    }
    let members: Vec<UserId> = room.members.iter().map(|member| member.user).collect();
    let users: BTreeMap<UserId, User> =
        services.users.find_many(&members).await?.into_iter().map(|user| (user.id, user)).collect();
    let chats = messages.iter().map(|message| view(&room, &users, message)).collect();
    if query.page == 0 {
        mark_read(services, principal, room.id, published).await?;
    }
    let recipient = users.get(&other.user);
    Ok(HistoryPage {
        chats,
        page: query.page,
        size,
        total: page.total,
        recipient_picture: recipient.and_then(User::shown_picture).map(str::to_owned),
        recipient_email: recipient.map(User::shown_email).unwrap_or_default(),
        recipient_name: recipient.map_or("(left)", User::shown_name).to_owned(),
    })
}

fn view(room: &Room, users: &BTreeMap<UserId, User>, message: &Message) -> ChatView {
    let sender = users.get(&message.sender).map(User::shown_email).unwrap_or_default();
    let is_read = room.other(message.sender).is_some_and(|reader| reader.read >= message.seq);
    chat_view(message, &sender, is_read)
}
