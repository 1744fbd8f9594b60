//! The laws of [`Presence`]. That a dead node is forgotten is for the adapters to test that have nodes.

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, connection_id, user_id};
use crate::id::ConnectionId;
use crate::ports::Presence;

/// One law.
pub type Law = for<'a> fn(&'a dyn Presence) -> BoxFuture<'a, ()>;

contract!($, presence, presence_contract, (presence), [
    only_the_first_connection_is_the_first,
    only_the_last_connection_is_the_last,
    a_connection_that_was_not_there_changes_nothing,
    a_connection_belongs_to_one_user,
    who_returns_is_first_again,
    of_concurrent_arrivals_one_is_the_first,
    of_concurrent_departures_one_is_the_last,
]);

pub async fn only_the_first_connection_is_the_first(presence: &dyn Presence) {
    let user = user_id();
    assert_eq!(presence.count(user).await.unwrap(), 0);
    assert!(presence.enter(user, connection_id()).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 1);
    assert!(!presence.enter(user, connection_id()).await.unwrap());
    assert!(!presence.enter(user, connection_id()).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 3);
}

pub async fn only_the_last_connection_is_the_last(presence: &dyn Presence) {
    let (user, one, other) = (user_id(), connection_id(), connection_id());
    presence.enter(user, one).await.unwrap();
    presence.enter(user, other).await.unwrap();
    assert!(!presence.leave(user, one).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 1);
    assert!(presence.leave(user, other).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 0);
}

pub async fn a_connection_that_was_not_there_changes_nothing(presence: &dyn Presence) {
    let (user, connection) = (user_id(), connection_id());
    assert!(!presence.leave(user, connection).await.unwrap());
    presence.enter(user, connection).await.unwrap();
    assert!(!presence.leave(user, connection_id()).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 1);
    assert!(presence.leave(user, connection).await.unwrap());
    assert!(!presence.leave(user, connection).await.unwrap());
    assert_eq!(presence.count(user).await.unwrap(), 0);
}

pub async fn a_connection_belongs_to_one_user(presence: &dyn Presence) {
    let (one, other, connection) = (user_id(), user_id(), connection_id());
    assert!(presence.enter(one, connection).await.unwrap());
    assert!(presence.enter(other, connection_id()).await.unwrap());
    assert!(!presence.leave(other, connection).await.unwrap());
    assert_eq!(presence.count(one).await.unwrap(), 1);
    assert_eq!(presence.count(other).await.unwrap(), 1);
}

pub async fn who_returns_is_first_again(presence: &dyn Presence) {
    let (user, connection) = (user_id(), connection_id());
    for _ in 0..3 {
        assert!(presence.enter(user, connection).await.unwrap());
        assert!(presence.leave(user, connection).await.unwrap());
    }
}

pub async fn of_concurrent_arrivals_one_is_the_first(presence: &dyn Presence) {
    let user = user_id();
    let firsts = join_all((0..RACERS).map(|_| presence.enter(user, connection_id()))).await;
    assert_eq!(firsts.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
    assert_eq!(presence.count(user).await.unwrap(), RACERS as u64);
}

pub async fn of_concurrent_departures_one_is_the_last(presence: &dyn Presence) {
    let user = user_id();
    let connections: Vec<ConnectionId> = (0..RACERS).map(|_| connection_id()).collect();
    for connection in &connections {
        presence.enter(user, *connection).await.unwrap();
    }
    let lasts = join_all(connections.iter().map(|connection| presence.leave(user, *connection))).await;
    assert_eq!(lasts.into_iter().filter(|last| *last.as_ref().unwrap()).count(), 1);
    assert_eq!(presence.count(user).await.unwrap(), 0);
}
