//! The laws of [`Bus`]. It may lose events when it is overloaded or broken; in a law it is neither.
//!
//! Most laws publish more than they listen for: what is lost then shows by the event after it, and nobody waits for ever.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join};

use super::{at, language, room_id, session_id, settled, user_id};
use crate::chat::{Message, RoomEntry};
use crate::id::Seq;
use crate::ports::{Bus, Event, Events, Publication};

/// One law.
pub type Law = for<'a> fn(&'a dyn Bus) -> BoxFuture<'a, ()>;

contract!($, bus, bus_contract, (bus), [
    every_kind_of_event_arrives_as_it_was_published,
    every_listener_is_given_every_event,
    events_arrive_in_the_publishers_order_and_once,
    a_listener_hears_nothing_from_before_it_listened,
    a_listener_that_has_gone_disturbs_nobody,
    a_waiting_listener_is_woken,
]);

/// An event like no other.
fn event() -> Event {
    Event::SessionEnded(session_id())
}

async fn publish(bus: &dyn Bus, events: &[Event]) {
    for event in events {
        bus.publish(event.clone()).await.unwrap();
    }
}

async fn heard(listener: &mut Box<dyn Events>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.extend(listener.next().await);
    }
    events
}

pub async fn every_kind_of_event_arrives_as_it_was_published(bus: &dyn Bus) {
    let message = Message::stored(settled(room_id(), user_id(), "안녕 \0 🦊"), Seq(7));
    let publication = Arc::new(Publication { message, sender_email: "alice@example.com".to_owned() });
    let entry = RoomEntry {
        room: room_id(),
        language: language("en-us"),
        picture: None,
        name: "Bob".to_owned(),
        original: "hello".to_owned(),
        translated: String::new(),
        time: Some(at(5)),
        unread: 3,
        head: Seq(7),
    };
    let events = [
        Event::Appended(Arc::clone(&publication)),
        Event::Published(vec![Arc::clone(&publication), Arc::clone(&publication)]),
        Event::Published(vec![]),
        Event::Updated(publication),
        Event::Listed(user_id(), Arc::new(entry)),
        Event::Signal(room_id(), Bytes::from_static(br#"{"event":"TYPING"}"#)),
        Event::SessionEnded(session_id()),
        event(),
    ];
    let mut listener = bus.listen();
    publish(bus, &events).await;
    assert_eq!(heard(&mut listener, events.len()).await, events);
}

pub async fn every_listener_is_given_every_event(bus: &dyn Bus) {
    let mut listeners = [bus.listen(), bus.listen(), bus.listen()];
    let events: Vec<Event> = (0..6).map(|_| event()).collect();
    publish(bus, &events).await;
    for listener in &mut listeners {
        assert_eq!(heard(listener, 3).await, events[..3]);
    }
}

pub async fn events_arrive_in_the_publishers_order_and_once(bus: &dyn Bus) {
    let mut listener = bus.listen();
    let events: Vec<Event> = (0..100).map(|_| event()).collect();
    publish(bus, &events[..50]).await;
    let mut all = heard(&mut listener, 20).await;
    publish(bus, &events[50..]).await;
    all.extend(heard(&mut listener, 80).await);
    assert_eq!(all, events);
}

pub async fn a_listener_hears_nothing_from_before_it_listened(bus: &dyn Bus) {
    let _earlier = bus.listen();
    let [before, after] = [event(), event()];
    publish(bus, &[before]).await;
    let mut listener = bus.listen();
    publish(bus, std::slice::from_ref(&after)).await;
    assert_eq!(heard(&mut listener, 1).await, [after]);
}

pub async fn a_listener_that_has_gone_disturbs_nobody(bus: &dyn Bus) {
    let (leaving, mut staying) = (bus.listen(), bus.listen());
    let events = [event(), event()];
    publish(bus, &events[..1]).await;
    drop(leaving);
    publish(bus, &events[1..]).await;
    assert_eq!(heard(&mut staying, 2).await, events);
}

pub async fn a_waiting_listener_is_woken(bus: &dyn Bus) {
    let mut listener = bus.listen();
    let events = [event(), event()];
    let (heard, ()) = join(heard(&mut listener, 2), publish(bus, &events)).await;
    assert_eq!(heard, events);
}
