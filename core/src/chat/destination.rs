//! Destinations, and what may be done with them.

use crate::id::{RoomId, UserId};

/// A destination that somebody might use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// `/topic/chat/{room}`: the room's messages. SUBSCRIBE, members only.
    Room(RoomId),
    /// `/topic/chat/{room}/events`: presence, typing, read marks, edits. SUBSCRIBE, members only.
    RoomEvents(RoomId),
    /// `/topic/users/{user}/chatRoom`: changes of the room list. SUBSCRIBE, that user only.
    RoomList(UserId),
    /// `/user/queue/{name}`: for this user alone. SUBSCRIBE.
    Own(String),
    /// `/app/chat/{room}...`: SEND, members only.
    App(RoomId, RoomAction),
}

/// What a SEND asks of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoomAction {
    /// `/app/chat/{room}`: say something.
    Say,
    /// `/app/chat/{room}/read`: mark as read.
    Read,
    /// `/app/chat/{room}/typing`: somebody is writing.
    Typing,
}

/// Not a destination of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a destination of this server")]
pub struct InvalidDestination;

/// The queues that a user has under `/user/queue/`.
const OWN_QUEUES: [&str; 2] = ["session", "errors"];

impl Destination {
    /// Reads a `destination` header. There is one spelling for each: no trailing slash, no leading zero, no escapes.
    pub fn parse(text: &str) -> Result<Self, InvalidDestination> {
        let segments: Vec<&str> = text.strip_prefix('/').ok_or(InvalidDestination)?.splitn(6, '/').collect();
        let room = |id: &str| id.parse().map_err(|_| InvalidDestination);
        match segments.as_slice() {
            ["topic", "chat", id] => Ok(Self::Room(room(id)?)),
            ["topic", "chat", id, "events"] => Ok(Self::RoomEvents(room(id)?)),
            ["topic", "users", id, "chatRoom"] => Ok(Self::RoomList(id.parse().map_err(|_| InvalidDestination)?)),
            ["user", "queue", name] if OWN_QUEUES.contains(name) => Ok(Self::Own((*name).to_owned())),
            ["app", "chat", id] => Ok(Self::App(room(id)?, RoomAction::Say)),
            ["app", "chat", id, "read"] => Ok(Self::App(room(id)?, RoomAction::Read)),
            ["app", "chat", id, "typing"] => Ok(Self::App(room(id)?, RoomAction::Typing)),
            _ => Err(InvalidDestination),
        }
    }

    /// Whether a SUBSCRIBE may name it, and what must hold for that.
    pub fn subscribe_rule(&self, user: UserId) -> Rule {
        match self {
            Self::Room(room) | Self::RoomEvents(room) => Rule::IfMember(*room),
            Self::RoomList(owner) if *owner == user => Rule::Always,
            Self::Own(_) => Rule::Always,
            Self::RoomList(_) | Self::App(..) => Rule::Never,
        }
    }

    /// Whether a SEND may name it, and what must hold for that. Nobody can publish to a topic or a queue.
    pub fn send_rule(&self) -> Rule {
        match self {
            Self::App(room, _) => Rule::IfMember(*room),
            Self::Room(_) | Self::RoomEvents(_) | Self::RoomList(_) | Self::Own(_) => Rule::Never,
        }
    }
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// This user may.
    Always,
    /// The members of this room may.
    IfMember(RoomId),
    /// Nobody may, or not this user.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn room(id: u64) -> RoomId {
        RoomId::new(id).unwrap()
    }

    #[test]
    fn who_may_use_which_destination() {
        let me = user(7);
        for (text, subscribe, send) in [
            ("/topic/chat/1", Rule::IfMember(room(1)), Rule::Never),
            ("/topic/chat/1/events", Rule::IfMember(room(1)), Rule::Never),
            ("/topic/users/7/chatRoom", Rule::Always, Rule::Never),
            ("/topic/users/8/chatRoom", Rule::Never, Rule::Never),
            ("/user/queue/session", Rule::Always, Rule::Never),
            ("/app/chat/1", Rule::Never, Rule::IfMember(room(1))),
            ("/app/chat/1/read", Rule::Never, Rule::IfMember(room(1))),
            ("/app/chat/1/typing", Rule::Never, Rule::IfMember(room(1))),
        ] {
            let destination = Destination::parse(text).unwrap();
            assert_eq!(destination.subscribe_rule(me), subscribe, "SUBSCRIBE {text}");
            assert_eq!(destination.send_rule(), send, "SEND {text}");
        }
    }

    #[test]
    fn a_destination_has_one_spelling() {
        for text in [
            "",
            "/",
            "topic/chat/1",
            "/topic/chat/",
            "/topic/chat/0",
            "/topic/chat/01",
            "/topic/chat/abc",
            "/topic/chat/1/",
            "/topic//chat/1",
            "/Topic/chat/1",
            "/topic/chat/1/events/x",
            "/topic/users/7",
            "/queue/x",
            "/topic/x",
            "/app/chat/1/other",
            "/user/queue/other",
            "/topic/chat/9007199254740992",
            "/topic/chat/%31",
        ] {
            assert_eq!(Destination::parse(text), Err(InvalidDestination), "{text:?}");
        }
    }
}
