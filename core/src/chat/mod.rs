//! The rules of chat: rooms and membership, messages and their states, destinations, and the hub that delivers.

pub mod delivery;
mod destination;
mod entry;
mod message;
mod payload;
mod room;

pub use destination::{Destination, InvalidDestination, RoomAction, Rule};
pub use entry::{HistoryPage, RoomEntry, RoomList};
pub use message::{InvalidText, Message, NewMessage, Text, Translation, TranslationStatus};
pub use payload::{ChatView, TranslationView, chat_json, chat_view, entry_json};
pub use room::{Member, Room, RoomWithOneself};
