//! Rooms in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use transtalk_core::chat::{Member, Room};
use transtalk_core::ports::{Opened, RoomPage, RoomQuery, Rooms, StoreError};
use transtalk_core::translate::Language;
use transtalk_core::{RoomId, Seq, Timestamp, User, UserId};

use super::{MemoryStore, lock, taken};

/// The rooms, the key that leads a pair to its room, and who is in which.
#[derive(Default)]
pub(super) struct Table {
    rooms: BTreeMap<RoomId, Room>,
    /// By members and language.
    pairs: BTreeMap<(BTreeSet<UserId>, Language), RoomId>,
    memberships: BTreeMap<UserId, BTreeSet<RoomId>>,
}

#[async_trait]
impl Rooms for MemoryStore {
    async fn open(&self, room: &Room) -> Result<Opened, StoreError> {
        let mut table = lock(&self.tables.rooms);
        let pair = (room.members.iter().map(|member| member.user).collect(), room.language.clone());
        if let Some(known) = table.pairs.get(&pair).and_then(|id| table.rooms.get(id)) {
            return Ok(Opened::Existing(known.clone()));
        }
        if table.rooms.contains_key(&room.id) {
            return Err(taken("the room id"));
        }
        for member in &room.members {
            table.memberships.entry(member.user).or_default().insert(room.id);
        }
        table.pairs.insert(pair, room.id);
        table.rooms.insert(room.id, room.clone());
        Ok(Opened::New(room.clone()))
    }

    async fn find(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        Ok(lock(&self.tables.rooms).rooms.get(&id).cloned())
    }

    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError> {
        Ok(lock(&self.tables.rooms).rooms.get(&room).and_then(|room| room.member(user)).cloned())
    }

    async fn list(&self, user: UserId, query: &RoomQuery) -> Result<RoomPage, StoreError> {
        let users = lock(&self.tables.users);
        let table = lock(&self.tables.rooms);
        let filter = query.name.to_lowercase();
        let name_matches = |room: &&Room| {
            let other = room.other(user).and_then(|other| users.find(other.user));
            filter.is_empty() || other.map(User::shown_name).is_some_and(|name| name.to_lowercase().contains(&filter))
        };
        let own = table.memberships.get(&user).into_iter().flatten().filter_map(|id| table.rooms.get(id));
        let mut rooms: Vec<&Room> = own.filter(name_matches).collect();
        rooms.sort_unstable_by_key(|room| Reverse((room.active_at(), room.id)));
        let (skip, size) = (query.page as usize * query.size as usize, query.size as usize);
        Ok(RoomPage { total: rooms.len() as u64, rooms: rooms.into_iter().skip(skip).take(size).cloned().collect() })
    }

    async fn touch(&self, room: RoomId, at: Timestamp) -> Result<(), StoreError> {
        if let Some(room) = lock(&self.tables.rooms).rooms.get_mut(&room) {
            room.last_message_at = room.last_message_at.max(Some(at));
        }
        Ok(())
    }

    async fn mark_read(&self, room: RoomId, user: UserId, read: Seq) -> Result<bool, StoreError> {
        let mut table = lock(&self.tables.rooms);
        let members = table.rooms.get_mut(&room).into_iter().flat_map(|room| &mut room.members);
        let Some(member) = members.into_iter().find(|member| member.user == user && member.read < read) else {
            return Ok(false);
        };
        member.read = read;
        Ok(true)
    }
}
