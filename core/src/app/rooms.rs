//! Opening a room, and the list of rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Principal, Services};
use crate::chat::{Room, RoomEntry, RoomList};
use crate::error::{ErrorCode, Failure};
use crate::id::{RoomId, UserId};
use crate::limits;
use crate::ports::{Event, Head, Opened, RoomQuery, Unread};
use crate::user::{Email, User};

/// The room of this pair and language: a new one, which the other person is told of at once, or the one that they have.
pub async fn open_room(
    services: &Services,
    principal: &Principal,
    language: &str,
    recipient_email: &str,
) -> Result<RoomId, Failure> {
    let language = services.language(language)?;
    let email = Email::new(recipient_email).map_err(|_| ErrorCode::RecipientNotFound)?;
    let recipient = services.users.find_by_email(&email).await?.ok_or(ErrorCode::RecipientNotFound)?;
    let id = RoomId::mint(services.entropy.as_ref());
    let room = Room::new(id, language, (principal.user, recipient.id), services.clock.now());
    let room = room.map_err(|_| ErrorCode::RoomWithOneself)?;
    match services.rooms.open(&room).await? {
        Opened::Existing(room) => Ok(room.id),
        Opened::New(room) => {
            push_entries(services, room.id).await?;
            Ok(room.id)
        }
    }
}

/// A page of somebody's rooms, the latest activity first.
pub async fn list_rooms(
    services: &Services,
    principal: &Principal,
    name: &str,
    page: u32,
    size: u32,
) -> Result<RoomList, Failure> {
    if page > limits::PAGE_NUMBER_MAX || name.len() > limits::FILTER_BYTES_MAX {
        return Err(ErrorCode::BadRequest.into());
    }
    let size = size.clamp(1, limits::ROOM_PAGE_MAX);
    let found = services.rooms.list(principal.user, &RoomQuery { name: name.to_owned(), page, size }).await?;
    let of_user: Vec<_> = found.rooms.iter().map(|room| (room, principal.user)).collect();
    let rooms = entries(services, &of_user).await?;
    Ok(RoomList { rooms, page, size, total: found.total })
}

/// Sends a room's line to the lists of its members.
pub(super) async fn push_entries(services: &Services, room: RoomId) -> Result<(), Failure> {
    let Some(room) = services.rooms.find(room).await? else { return Ok(()) };
    let of_users: Vec<_> = room.members.iter().map(|member| (&room, member.user)).collect();
    let entries = entries(services, &of_users).await?;
    for ((_, user), entry) in of_users.iter().zip(entries) {
        // The bus may lose it; the next one comes with the next message.
        let _ = services.bus.publish(Event::Listed(*user, Arc::new(entry))).await;
    }
    Ok(())
}

/// The lines of these rooms as these users see them: four questions to the stores, however many lines.
async fn entries(services: &Services, of: &[(&Room, UserId)]) -> Result<Vec<RoomEntry>, Failure> {
    let others: Vec<UserId> = of.iter().filter_map(|(room, user)| room.other(*user)).map(|other| other.user).collect();
    let users: BTreeMap<UserId, User> =
        services.users.find_many(&others).await?.into_iter().map(|user| (user.id, user)).collect();
    let ids: Vec<RoomId> = of.iter().map(|(room, _)| room.id).collect();
    let heads = services.messages.heads(&ids).await?;
    let unread: Vec<Unread> = of
        .iter()
        .filter_map(|(room, user)| room.member(*user).map(|me| Unread { room: room.id, reader: *user, after: me.read }))
        .collect();
    let unread = services.messages.unread(&unread).await?;
    let lines = of.iter().zip(heads.iter().zip(unread));
    Ok(lines.map(|((room, user), (head, unread))| entry(room, *user, &users, head, unread)).collect())
}

fn entry(room: &Room, user: UserId, users: &BTreeMap<UserId, User>, head: &Head, unread: u64) -> RoomEntry {
    let other = room.other(user).and_then(|other| users.get(&other.user));
    let last = head.last.as_ref();
    RoomEntry {
        room: room.id,
        language: room.language.clone(),
        picture: other.and_then(User::shown_picture).map(str::to_owned),
        name: other.map_or("(left)", User::shown_name).to_owned(),
        original: last.map(|message| message.text.as_str().to_owned()).unwrap_or_default(),
        translated: last.and_then(|message| message.shown_translation().1).unwrap_or_default().to_owned(),
        time: last.map(|message| message.sent_at),
        unread,
        head: head.published,
    }
}
