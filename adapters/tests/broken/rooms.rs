//! Broken rooms.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::chat::{Member, Room};
use transtalk_core::contract::{rooms::LAWS, run};
use transtalk_core::ports::{Opened, RoomPage, RoomQuery, Rooms, StoreError, Users};
use transtalk_core::{RoomId, Seq, Timestamp, User, UserId};

use crate::{bugs, check, others_first};

bugs! {
    Forgets,
    FindsAnother,
    OpensTwice,
    IgnoresLanguages,
    RacesToOpen,
    ForgetsPlaces,
    AdmitsEverybody,
    ListsStrangersRooms,
    ListsOldestFirst,
    ListsSmallerIdFirst,
    IgnoresPages,
    CountsThePage,
    FilterKnowsCase,
    FilterKnowsCaseBeyondAscii,
    FilterIsAPattern,
    FilterMatchesOneself,
    FilterMatchesHiddenNames,
    FilterKeepsNames,
    FiltersThePage,
    ActivityFalls,
    MarkFalls,
    EveryMarkRises,
    MarksBothMembers,
    MarksOutsiders,
    RacesToMark,
}

struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    opened: Mutex<Vec<Room>>,
    /// As they were shown when a room was opened.
    names: Mutex<BTreeMap<UserId, String>>,
    touched: Mutex<BTreeMap<RoomId, Timestamp>>,
    marked: Mutex<BTreeMap<(RoomId, UserId), Seq>>,
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn opened(&self, matches: impl Fn(&Room) -> bool) -> Option<Room> {
        self.opened.lock().unwrap().iter().find(|room| matches(room)).cloned()
    }

    /// A list whose filter is somebody else's idea.
    async fn filtered(
        &self,
        user: UserId,
        query: &RoomQuery,
        matches: impl Fn(&User, &str) -> bool + Send,
    ) -> Result<RoomPage, StoreError> {
        let all = self.store.list(user, &RoomQuery { name: String::new(), page: 0, size: 1000 }).await?;
        let mut rooms = Vec::new();
        for room in all.rooms {
            let other = room.other(user).map(|member| member.user);
            let other = Users::find(&self.store, other.unwrap()).await?;
            if query.name.is_empty() || other.is_some_and(|other| matches(&other, &query.name)) {
                rooms.push(room);
            }
        }
        let (skip, size) = (query.page as usize * query.size as usize, query.size as usize);
        Ok(RoomPage { total: rooms.len() as u64, rooms: rooms.into_iter().skip(skip).take(size).collect() })
    }
}

fn users_of(room: &Room) -> Vec<UserId> {
    room.members.iter().map(|member| member.user).collect()
}

#[async_trait]
impl Rooms for Broken {
    async fn open(&self, room: &Room) -> Result<Opened, StoreError> {
        let of_pair = self.opened(|known| users_of(known) == users_of(room));
        if let Some(known) = of_pair.clone().filter(|_| self.is(Bug::IgnoresLanguages)) {
            return Ok(Opened::Existing(known));
        }
        if self.is(Bug::RacesToOpen) {
            others_first().await;
        }
        for user in Users::find_many(&self.store, &users_of(room)).await? {
            self.names.lock().unwrap().insert(user.id, user.shown_name().to_lowercase());
        }
        let opened = self.store.open(room).await?;
        self.opened.lock().unwrap().push(room.clone());
        let claims_new = self.is(Bug::OpensTwice) || (self.is(Bug::RacesToOpen) && of_pair.is_none());
        Ok(if claims_new { Opened::New(room.clone()) } else { opened })
    }

    async fn find(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let mut found = Rooms::find(&self.store, id).await?;
        match self.bug {
            Some(Bug::Forgets) => found = None,
            Some(Bug::FindsAnother) => found = found.or_else(|| self.opened(|_| true)),
            Some(Bug::ActivityFalls) => {
                let touched = self.touched.lock().unwrap().get(&id).copied();
                found = found.map(|room| Room { last_message_at: touched, ..room });
            }
            _ => {}
        }
        Ok(found)
    }

    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError> {
        let mut member = self.store.membership(room, user).await?;
        match self.bug {
            Some(Bug::ForgetsPlaces) => {
                let found = Rooms::find(&self.store, room).await?;
                member = member.filter(|_| found.is_some_and(|room| room.members[0].user == user));
            }
            Some(Bug::AdmitsEverybody) => {
                let found = Rooms::find(&self.store, room).await?;
                member = member.or_else(|| found.map(|room| room.members[0].clone()));
            }
            _ => {}
        }
        let marked = self.marked.lock().unwrap().get(&(room, user)).copied();
        if let (Some(member), Some(read)) = (&mut member, marked) {
            member.read = read;
        }
        Ok(member)
    }

    async fn list(&self, user: UserId, query: &RoomQuery) -> Result<RoomPage, StoreError> {
        let mut query = query.clone();
        match self.bug {
            Some(Bug::IgnoresPages) => query.page = 0,
            Some(Bug::FilterIsAPattern) if query.name == "%" => query.name.clear(),
            Some(Bug::FilterMatchesOneself) => {
                let own = Users::find(&self.store, user).await?;
                if own.is_some_and(|own| own.name.contains(&query.name)) {
                    query.name.clear();
                }
            }
            Some(Bug::FilterKnowsCase) => {
                return self.filtered(user, &query, |other, filter| other.shown_name().contains(filter)).await;
            }
            Some(Bug::FilterKnowsCaseBeyondAscii) => {
                let folds = |other: &User, filter: &str| {
                    other.shown_name().to_ascii_lowercase().contains(&filter.to_ascii_lowercase())
                };
                return self.filtered(user, &query, folds).await;
            }
            Some(Bug::FilterMatchesHiddenNames) => {
                let folds = |other: &User, filter: &str| other.name.to_lowercase().contains(&filter.to_lowercase());
                return self.filtered(user, &query, folds).await;
            }
            Some(Bug::FilterKeepsNames) => {
                let names = self.names.lock().unwrap().clone();
                let kept = |other: &User, filter: &str| {
                    names.get(&other.id).is_some_and(|name| name.contains(&filter.to_lowercase()))
                };
                return self.filtered(user, &query, kept).await;
            }
            Some(Bug::FiltersThePage) => {
                let matching = self.store.list(user, &RoomQuery { page: 0, size: 1000, ..query.clone() }).await?;
                query.name.clear();
                let mut page = self.store.list(user, &query).await?;
                page.rooms.retain(|room| matching.rooms.contains(room));
                return Ok(page);
            }
            _ => {}
        }
        let mut page = self.store.list(user, &query).await?;
        match self.bug {
            Some(Bug::ListsStrangersRooms) => {
                page.rooms.extend(self.opened(|room| room.member(user).is_none()));
            }
            Some(Bug::ListsOldestFirst) => page.rooms.reverse(),
            Some(Bug::ListsSmallerIdFirst) => page.rooms.sort_by_key(|room| (Reverse(room.active_at()), room.id)),
            Some(Bug::CountsThePage) => page.total = page.rooms.len() as u64,
            _ => {}
        }
        Ok(page)
    }

    async fn touch(&self, room: RoomId, at: Timestamp) -> Result<(), StoreError> {
        self.touched.lock().unwrap().insert(room, at);
        self.store.touch(room, at).await
    }

    async fn mark_read(&self, room: RoomId, user: UserId, read: Seq) -> Result<bool, StoreError> {
        let before = self.membership(room, user).await?;
        let rises = before.as_ref().is_some_and(|member| member.read < read);
        match self.bug {
            Some(Bug::MarkFalls) => {
                self.marked.lock().unwrap().insert((room, user), read);
            }
            Some(Bug::RacesToMark) if rises => {
                others_first().await;
                self.marked.lock().unwrap().insert((room, user), read);
            }
            Some(Bug::MarksBothMembers) => {
                for member in Rooms::find(&self.store, room).await?.into_iter().flat_map(|room| room.members) {
                    self.store.mark_read(room, member.user, read).await?;
                }
                return Ok(rises);
            }
            Some(Bug::MarksOutsiders) if before.is_none() => return Ok(true),
            Some(Bug::EveryMarkRises) if before.is_some() => {
                self.store.mark_read(room, user, read).await?;
                return Ok(true);
            }
            _ => {}
        }
        self.store.mark_read(room, user, read).await
    }
}

#[test]
fn every_law_of_rooms_catches_a_broken_variant() {
    check("rooms", LAWS, BUGS, |law, bug| {
        let store = MemoryStore::new();
        let (opened, names) = (Mutex::default(), Mutex::default());
        let (touched, marked) = (Mutex::default(), Mutex::default());
        run(law(&Broken { store: store.clone(), bug, opened, names, touched, marked }, &store));
    });
}
