//! Somebody who is not in the room, knows its number, and tries everything. All of it must be refused (invariant C7).

use std::sync::Arc;

use transtalk_core::app::HistoryQuery;
use transtalk_core::chat::Destination;
use transtalk_core::stomp::{Command, Frame};
use transtalk_core::{Failure, RoomId};

use crate::counters::Sometimes;
use crate::inbox::{Expected, Subscription};
use crate::model::Violation;
use crate::node::{Node, Upgrade};
use crate::observed::Way;
use crate::person::{Person, Turn};
use crate::random::{Part, Random};
use crate::socket::{Opening, Socket};
use crate::world::{Phase, World, other_than};

/// Tries for as long as there is trouble.
pub(crate) async fn intrude(world: Arc<World>, person: Arc<Person>, number: u64) {
    let mut random = Random::child(world.seed, Part::Tab(number));
    let (who, turn): (Arc<str>, Turn) = (person.name.into(), Turn::default());
    while world.phase() == Phase::Trouble {
        let pause = random.between(200, 2_500);
        world.executor.sleep(pause).await;
        let way = Way { node: random.index(world.nodes.len()), patience: 5_000, gives_up: false };
        let Some(access) = person.access() else {
            person.sign_in(&world, way, person.name).await;
            continue;
        };
        let Some(room) = world.some_room() else { continue };
        if random.chance(200) {
            read(&world, &person, &turn, way, room).await;
            continue;
        }
        let Some(end) = Node::connect(&world, way.node, Upgrade::default()).await else { continue };
        let opening = Opening { claims: access.claims.clone(), connect: Some(access.token), cookie: None };
        let socket = Socket::open(&world, (&who, person.name), (way.node, end), opening, "0,0");
        if socket.until(15_000, |inbox| inbox.is_connected).await {
            trespass(&world, &person, &mut random, &socket, room).await;
        } else {
            person.refresh(&world, &turn, way).await;
        }
        socket.close();
    }
}

/// History by the room's number.
async fn read(world: &Arc<World>, person: &Person, turn: &Turn, way: Way, room: RoomId) {
    let query = HistoryQuery { page: 0, size: 200, pending: true };
    match person.history(world, turn, way, room, query).await {
        Some(Ok(_)) => {
            world.check(Err(Violation("C7", format!("{} read the history of {room}", person.name))));
        }
        Some(Err(Failure::Refused(_))) => world.counters.count(Sometimes::OutsiderRefused),
        _ => {}
    }
}

/// A frame that must lead to ERROR, or to nothing at all.
async fn trespass(world: &Arc<World>, person: &Person, random: &mut Random, socket: &Arc<Socket>, room: RoomId) {
    let other = world.user_of(other_than(person.name));
    let (frame, destination, what) = match random.between(0, 4) {
        0 => (Command::Subscribe, format!("/topic/chat/{room}"), "SUBSCRIBE of a room"),
        1 => (Command::Subscribe, format!("/topic/chat/{room}/events"), "SUBSCRIBE of a room's events"),
        2 => {
            let Some(other) = other else { return };
            (Command::Subscribe, format!("/topic/users/{other}/chatRoom"), "SUBSCRIBE of somebody's list")
        }
        3 => (Command::Send, format!("/app/chat/{room}"), "SEND to a room"),
        _ => (Command::Send, format!("/topic/chat/{room}"), "SEND to a topic"),
    };
    let frame = Frame::new(frame).with("destination", destination.as_str());
    let frame = match frame.command {
        Command::Send => frame.with_body(r#"{"content":"let me in"}"#),
        _ => frame.with("id", "sub-0").with("last-seq", "0").with("pending", "immediate"),
    };
    if let Ok(destination) = Destination::parse(&destination) {
        // So that a MESSAGE that should not come is seen for what it is.
        let subscription = Subscription::new(destination, true, Some(0));
        socket.inbox().subscriptions.insert("sub-0".to_owned(), subscription);
    }
    socket.ask(frame, Expected::Never("C7", what), None);
    if socket.until(10_000, |inbox| inbox.error.is_some()).await {
        world.counters.count(Sometimes::OutsiderRefused);
    }
}
