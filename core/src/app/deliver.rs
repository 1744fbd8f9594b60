//! From the store to the listeners: publications onto the bus, and what the hub needs read.

use std::sync::Arc;

use super::Services;
use crate::chat::Message;
use crate::chat::delivery::{LaneKind, Need};
use crate::error::Failure;
use crate::id::{RoomId, Seq};
use crate::limits;
use crate::ports::{Event, Head, Publication};
use crate::user::User;

/// These messages of one room became visible, in this order.
pub(super) async fn published(services: &Services, messages: Vec<Message>) -> Result<(), Failure> {
    let Some(last) = messages.last() else { return Ok(()) };
    let (room, at) = (last.room, last.sent_at);
    for message in &messages {
        services.pipeline.shown(room, message.seq);
    }
    let publications = publications(services, messages).await?;
    // First the store: whoever has seen the message finds its room at the top of the list. But nobody waits for a message because the list cannot be sorted.
    let touched = services.rooms.touch(room, at).await;
    // What the bus loses is found by the comparison of heads.
    let _ = services.bus.publish(Event::Published(publications)).await;
    services.pipeline.room_changed(room);
    Ok(touched?)
}

/// This message was stored and is not yet visible.
pub(super) async fn appended(services: &Services, message: Message) -> Result<(), Failure> {
    for publication in publications(services, vec![message]).await? {
        let _ = services.bus.publish(Event::Appended(publication)).await;
    }
    Ok(())
}

/// This message has a new state, and was announced before.
pub(super) async fn updated(services: &Services, message: Message) -> Result<(), Failure> {
    let room = message.room;
    for publication in publications(services, vec![message]).await? {
        let _ = services.bus.publish(Event::Updated(publication)).await;
    }
    services.pipeline.room_changed(room);
    Ok(())
}

/// Messages with their senders' addresses as others see them.
async fn publications(services: &Services, messages: Vec<Message>) -> Result<Vec<Arc<Publication>>, Failure> {
    let mut senders: Vec<_> = messages.iter().map(|message| message.sender).collect();
    senders.sort_unstable();
    senders.dedup();
    let users = services.users.find_many(&senders).await?;
    let email = |message: &Message| {
        users.iter().find(|user| user.id == message.sender).map(User::shown_email).unwrap_or_default()
    };
    Ok(messages.into_iter().map(|message| Arc::new(Publication { sender_email: email(&message), message })).collect())
}

/// Reads what the hub needs and hands it over. Answers with what it needs next.
pub(super) async fn serve(services: &Services, need: &Need) -> Result<Vec<Need>, Failure> {
    let hub = &services.hub;
    Ok(match need {
        Need::Head { room, lane } => hub.head(*room, *lane, &head(services, *room).await?),
        Need::History { room, lane, after } => {
            hub.history(*room, *lane, &messages_after(services, *room, *lane, *after).await?)
        }
        Need::Replay { room, lane, connection, subscription, after } => {
            let head = head(services, *room).await?;
            let messages = messages_after(services, *room, *lane, *after).await?;
            hub.replay((*room, *lane), (*connection, subscription.clone()), *after, &head, &messages)
        }
    })
}

/// How far a room has come.
pub(super) async fn head(services: &Services, room: RoomId) -> Result<Head, Failure> {
    let heads = services.messages.heads(&[room]).await?;
    let none = Head { room, head: Seq::ZERO, published: Seq::ZERO, last: None, changed_at: services.clock.now() };
    Ok(heads.into_iter().next().unwrap_or(none))
}

async fn messages_after(
    services: &Services,
    room: RoomId,
    lane: LaneKind,
    after: Seq,
) -> Result<Vec<Arc<Publication>>, Failure> {
    let hidden = lane == LaneKind::Immediate;
    publications(services, services.messages.after(room, after, limits::REPLAY_STEP, hidden).await?).await
}
