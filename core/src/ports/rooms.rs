//! Rooms and membership.

use async_trait::async_trait;

use super::StoreError;
use crate::chat::{Member, Room};
use crate::id::{RoomId, Seq, UserId};
use crate::time::Timestamp;

/// What [`Rooms::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The room is new.
    New(Room),
    /// The pair had a room in this language.
    Existing(Room),
}

/// Which rooms of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomQuery {
    /// Part of the other member's shown name, in any case of letters; empty for all. A filter is text, never a pattern.
    pub name: String,
    /// From 0.
    pub page: u32,
    /// Rooms on a page.
    pub size: u32,
}

/// A page of the room list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPage {
    /// The latest activity first; of two at the same moment, the greater id first.
    pub rooms: Vec<Room>,
    /// How many rooms match, on all pages.
    pub total: u64,
}

/// One room per pair of users and language. A room is in no list but its members'.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// The pair's room in this language: the one that exists, or this one, stored. Of two at once, both are given the same.
    async fn open(&self, room: &Room) -> Result<Opened, StoreError>;

    /// The room, if there is one.
    async fn find(&self, id: RoomId) -> Result<Option<Room>, StoreError>;

    /// Somebody's place in a room; `None` if there is no such room or they are not in it.
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError>;

    /// A user's rooms.
    async fn list(&self, user: UserId, query: &RoomQuery) -> Result<RoomPage, StoreError>;

    /// Notes that a message of this moment became visible. The moment only ever rises.
    async fn touch(&self, room: RoomId, at: Timestamp) -> Result<(), StoreError>;

    /// Notes how far a member has read. The mark only ever rises; says whether it rose.
    async fn mark_read(&self, room: RoomId, user: UserId, read: Seq) -> Result<bool, StoreError>;
}
