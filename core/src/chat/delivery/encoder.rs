//! One publication into MESSAGE frames: its body once, its bytes once for each subscription id.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::chat::chat_json;
use crate::id::{RoomId, Seq, SubscriptionId};
use crate::ports::Publication;
use crate::stomp::{Command, Frame, Version, encode};

/// The frames of one publication, made as they are asked for.
pub(super) struct Encoder {
    publication: Arc<Publication>,
    body: Option<Bytes>,
    frames: BTreeMap<SubscriptionId, Bytes>,
    /// How many frames were made.
    pub(super) encoded: u64,
}

impl Encoder {
    pub(super) fn new(publication: Arc<Publication>) -> Self {
        Self { publication, body: None, frames: BTreeMap::new(), encoded: 0 }
    }

    /// The frame for this subscription id: the same bytes for everybody who uses it.
    pub(super) fn frame(&mut self, id: &SubscriptionId) -> Bytes {
        if let Some(frame) = self.frames.get(id) {
            return frame.clone();
        }
        let body = self.body.get_or_insert_with(|| chat_json(&self.publication).into());
        let message = &self.publication.message;
        // "message-id: a unique identifier for that message": room, place, state and subscription (invariant C4).
        let frame = Frame::new(Command::Message)
            .with("subscription", id.as_str())
            .with("message-id", format!("{}-{}-{}@{id}", message.room, message.seq, message.revision))
            .with("destination", format!("/topic/chat/{}", message.room))
            .with("seq", message.seq.to_string())
            .with("content-type", "application/json")
            .with_body(body.clone());
        let bytes = encode(&frame, Version::V1_2);
        self.encoded += 1;
        self.frames.insert(id.clone(), bytes.clone());
        bytes
    }
}

/// "What you have is too old, or from elsewhere: load the history, then go on from HEAD."
pub(super) fn reset_frame(room: RoomId, id: &SubscriptionId, head: Seq) -> Bytes {
    let frame = Frame::new(Command::Message)
        .with("subscription", id.as_str())
        .with("message-id", format!("{room}-reset-{head}@{id}"))
        .with("destination", format!("/topic/chat/{room}"))
        .with("reset", "true")
        .with("seq", head.to_string())
        .with("content-type", "application/json")
        .with_body(Bytes::from_static(b"{}"));
    encode(&frame, Version::V1_2)
}

/// A MESSAGE that belongs to no place in a room. `number` is unique on this node.
pub(super) fn plain_frame(destination: &str, id: &SubscriptionId, number: u64, body: Bytes) -> Bytes {
    let frame = Frame::new(Command::Message)
        .with("subscription", id.as_str())
        .with("message-id", format!("n{number}@{id}"))
        .with("destination", destination)
        .with("content-type", "application/json")
        .with_body(body);
    encode(&frame, Version::V1_2)
}
