//! A room as one of its members sees it in the list, and pages of what they see.

use crate::chat::ChatView;
use crate::id::{RoomId, Seq};
use crate::time::Timestamp;
use crate::translate::Language;

/// A line of the room list (the wire's `ChatRoom`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEntry {
    /// Which room.
    pub room: RoomId,
    /// Its language.
    pub language: Language,
    /// The other member's picture.
    pub picture: Option<String>,
    /// The other member's name.
    pub name: String,
    /// The last visible message; empty when there is none.
    pub original: String,
    /// Its translation; empty when there is none.
    pub translated: String,
    /// When it was sent.
    pub time: Option<Timestamp>,
    /// How many messages of the other member are not read.
    pub unread: u64,
    /// The last visible number.
    pub head: Seq,
}

/// A page of the room list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomList {
    /// The lines.
    pub rooms: Vec<RoomEntry>,
    /// From 0.
    pub page: u32,
    /// Lines on a page.
    pub size: u32,
    /// On all pages.
    pub total: u64,
}

/// A page of a room's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The newest first.
    pub chats: Vec<ChatView>,
    /// From 0.
    pub page: u32,
    /// Messages on a page.
    pub size: u32,
    /// On all pages.
    pub total: u64,
    /// The other member's picture.
    pub recipient_picture: Option<String>,
    /// The other member's address.
    pub recipient_email: String,
    /// The other member's name.
    pub recipient_name: String,
}
