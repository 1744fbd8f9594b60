//! The laws of [`SingleUse`].

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, at, unique};
use crate::ports::{Consumed, SingleUse};

/// One law.
pub type Law = for<'a> fn(&'a dyn SingleUse) -> BoxFuture<'a, ()>;

contract!($, single_use, single_use_contract, (single_use), [
    a_thing_is_used_first_once,
    each_id_is_used_on_its_own,
    of_concurrent_uses_exactly_one_is_first,
    what_is_still_needed_survives_a_purge,
    what_is_no_longer_needed_is_purged_and_counted,
    a_second_use_does_not_shorten_the_memory,
]);

pub async fn a_thing_is_used_first_once(single_use: &dyn SingleUse) {
    let id = unique("ticket");
    assert_eq!(single_use.consume(&id, at(100)).await.unwrap(), Consumed::First);
    for _ in 0..3 {
        assert_eq!(single_use.consume(&id, at(100)).await.unwrap(), Consumed::Already);
    }
}

pub async fn each_id_is_used_on_its_own(single_use: &dyn SingleUse) {
    let id = unique("ticket-a");
    for other in [id.clone(), id.to_uppercase(), format!("{id} "), format!("{id}%"), id[..id.len() - 1].to_owned()] {
        assert_eq!(single_use.consume(&other, at(100)).await.unwrap(), Consumed::First, "{other:?}");
    }
}

pub async fn of_concurrent_uses_exactly_one_is_first(single_use: &dyn SingleUse) {
    let id = unique("ticket");
    let uses = join_all((0..RACERS * 2).map(|_| single_use.consume(&id, at(100)))).await;
    assert_eq!(uses.into_iter().filter(|used| *used.as_ref().unwrap() == Consumed::First).count(), 1);
}

pub async fn what_is_still_needed_survives_a_purge(single_use: &dyn SingleUse) {
    let id = unique("ticket");
    single_use.consume(&id, at(100)).await.unwrap();
    for now in [0, 50, 99] {
        single_use.purge(at(now)).await.unwrap();
        assert_eq!(single_use.consume(&id, at(100)).await.unwrap(), Consumed::Already, "purged at {now}");
    }
}

pub async fn what_is_no_longer_needed_is_purged_and_counted(single_use: &dyn SingleUse) {
    let (old, new) = (unique("ticket"), unique("ticket"));
    single_use.consume(&old, at(100)).await.unwrap();
    single_use.consume(&new, at(200)).await.unwrap();
    assert_eq!(single_use.purge(at(101)).await.unwrap(), 1);
    assert_eq!(single_use.purge(at(101)).await.unwrap(), 0);
    assert_eq!(single_use.consume(&old, at(300)).await.unwrap(), Consumed::First);
    assert_eq!(single_use.consume(&new, at(300)).await.unwrap(), Consumed::Already);
}

pub async fn a_second_use_does_not_shorten_the_memory(single_use: &dyn SingleUse) {
    let id = unique("ticket");
    single_use.consume(&id, at(100)).await.unwrap();
    single_use.consume(&id, at(10)).await.unwrap();
    single_use.purge(at(50)).await.unwrap();
    assert_eq!(single_use.consume(&id, at(100)).await.unwrap(), Consumed::Already);
}
