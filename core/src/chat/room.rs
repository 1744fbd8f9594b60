//! Rooms, who is in them, and how far each has read.

use crate::id::{RoomId, Seq, UserId};
use crate::time::Timestamp;
use crate::translate::Language;

/// A chat room of two people. One pair has one room per language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Never reused.
    pub id: RoomId,
    /// The language that was chosen when the room was opened.
    pub language: Language,
    /// The members, in the order of their user ids.
    pub members: Vec<Member>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its last visible message was sent; the room list is ordered by it.
    pub last_message_at: Option<Timestamp>,
}

/// Somebody's place in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub joined_at: Timestamp,
    /// Everything up to here is read. It only ever rises.
    pub read: Seq,
}

/// Why a room cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a room needs two different people")]
pub struct RoomWithOneself;

impl Room {
    /// A room of two different people.
    pub fn new(
        id: RoomId,
        language: Language,
        (one, other): (UserId, UserId),
        now: Timestamp,
    ) -> Result<Self, RoomWithOneself> {
        if one == other {
            return Err(RoomWithOneself);
        }
        let member = |user| Member { user, joined_at: now, read: Seq::ZERO };
        let members = vec![member(one.min(other)), member(one.max(other))];
        Ok(Self { id, language, members, created_at: now, last_message_at: None })
    }

    /// Somebody's place, if they have one.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.iter().find(|member| member.user == user)
    }

    /// The other person. `None` for an outsider, who has no other.
    pub fn other(&self, user: UserId) -> Option<&Member> {
        self.member(user)?;
        self.members.iter().find(|member| member.user != user)
    }

    /// The moment by which the room list is ordered.
    pub fn active_at(&self) -> Timestamp {
        self.last_message_at.unwrap_or(self.created_at)
    }
}
