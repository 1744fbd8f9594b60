//! The laws of [`Grants`]. Whose are left is known to [`Users`].

use futures_util::future::{BoxFuture, join_all};

use super::sessions::revocation;
use super::{RACERS, somebody, user_id};
use crate::id::UserId;
use crate::ports::{Grant, Grants, Users};
use crate::user::User;

/// One law.
pub type Law = for<'a> fn(&'a dyn Grants, &'a dyn Users) -> BoxFuture<'a, ()>;

contract!($, grants, grants_contract, (grants, users), [
    a_grant_is_kept_byte_for_byte,
    a_grant_replaces_the_one_before,
    grants_are_listed_by_issuer,
    a_grant_is_its_users_alone,
    a_grant_is_removed_once_and_alone,
    of_concurrent_removals_one_does_it,
    a_grant_outlives_its_users_account,
    the_grants_of_those_who_left_are_left,
    what_is_left_comes_by_user_and_issuer_and_is_limited,
    a_grant_that_comes_after_its_user_left_is_left,
]);

fn grant(user: UserId, issuer: &str, sealed: &[u8]) -> Grant {
    Grant { user, issuer: issuer.to_owned(), sealed: sealed.to_vec() }
}

/// Registered users in the order of their numbers.
async fn registered<const N: usize>(users: &dyn Users) -> [UserId; N] {
    let mut ids = [(); N].map(|()| user_id());
    ids.sort_unstable();
    for id in ids {
        users.register(&User { id, ..somebody("Somebody") }).await.unwrap();
    }
    ids
}

async fn withdraw(users: &dyn Users, id: UserId) {
    assert!(users.withdraw(id, &revocation(id, 10)).await.unwrap().is_some(), "there was nobody to leave");
}

pub async fn a_grant_is_kept_byte_for_byte(grants: &dyn Grants, _: &dyn Users) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for sealed in [every_byte.as_slice(), b"", b"\0", b"\xff\xfe\0"] {
        let grant = grant(user_id(), "https://issuer.example", sealed);
        grants.put(&grant).await.unwrap();
        assert_eq!(grants.list(grant.user).await.unwrap(), [grant]);
    }
}

pub async fn a_grant_replaces_the_one_before(grants: &dyn Grants, _: &dyn Users) {
    let user = user_id();
    grants.put(&grant(user, "a", b"first")).await.unwrap();
    grants.put(&grant(user, "b", b"other issuer")).await.unwrap();
    grants.put(&grant(user, "a", b"second")).await.unwrap();
    let expect = [grant(user, "a", b"second"), grant(user, "b", b"other issuer")];
    assert_eq!(grants.list(user).await.unwrap(), expect);
}

pub async fn grants_are_listed_by_issuer(grants: &dyn Grants, _: &dyn Users) {
    let user = user_id();
    for issuer in ["kakao", "google", "naver", "github"] {
        grants.put(&grant(user, issuer, issuer.as_bytes())).await.unwrap();
    }
    let issuers: Vec<String> = grants.list(user).await.unwrap().into_iter().map(|grant| grant.issuer).collect();
    assert_eq!(issuers, ["github", "google", "kakao", "naver"]);
}

pub async fn a_grant_is_its_users_alone(grants: &dyn Grants, _: &dyn Users) {
    let (one, other) = (grant(user_id(), "a", b"one"), grant(user_id(), "a", b"other"));
    grants.put(&one).await.unwrap();
    grants.put(&other).await.unwrap();
    assert_eq!(grants.list(one.user).await.unwrap(), [one]);
    assert_eq!(grants.list(other.user).await.unwrap(), [other]);
    assert_eq!(grants.list(user_id()).await.unwrap(), []);
}

pub async fn a_grant_is_removed_once_and_alone(grants: &dyn Grants, _: &dyn Users) {
    let user = user_id();
    let (gone, kept, strangers) = (grant(user, "a", b"1"), grant(user, "b", b"2"), grant(user_id(), "a", b"3"));
    for grant in [&gone, &kept, &strangers] {
        grants.put(grant).await.unwrap();
    }
    assert!(!grants.remove(user, "c").await.unwrap());
    assert!(!grants.remove(user_id(), "a").await.unwrap());
    assert!(grants.remove(user, "a").await.unwrap());
    assert!(!grants.remove(user, "a").await.unwrap());
    assert_eq!(grants.list(user).await.unwrap(), [kept]);
    assert_eq!(grants.list(strangers.user).await.unwrap(), [strangers]);
    grants.put(&gone).await.unwrap();
    assert!(grants.remove(user, "a").await.unwrap(), "a grant that came again was not removed");
}

pub async fn of_concurrent_removals_one_does_it(grants: &dyn Grants, _: &dyn Users) {
    let user = user_id();
    grants.put(&grant(user, "a", b"1")).await.unwrap();
    let removed = join_all((0..RACERS).map(|_| grants.remove(user, "a"))).await;
    assert_eq!(removed.into_iter().filter(|removed| *removed.as_ref().unwrap()).count(), 1);
}

pub async fn a_grant_outlives_its_users_account(grants: &dyn Grants, users: &dyn Users) {
    let [user] = registered(users).await;
    let grant = grant(user, "a", b"to be given back");
    grants.put(&grant).await.unwrap();
    withdraw(users, user).await;
    assert_eq!(grants.list(user).await.unwrap(), [grant]);
    assert!(grants.remove(user, "a").await.unwrap());
    assert_eq!(grants.list(user).await.unwrap(), []);
}

/// A grant of somebody who was never registered is nobody's to give back.
pub async fn the_grants_of_those_who_left_are_left(grants: &dyn Grants, users: &dyn Users) {
    let [gone, here] = registered(users).await;
    let left = grant(gone, "a", b"1");
    for grant in [&left, &grant(here, "a", b"2"), &grant(user_id(), "a", b"3")] {
        grants.put(grant).await.unwrap();
    }
    assert_eq!(grants.left(10).await.unwrap(), []);
    withdraw(users, gone).await;
    assert_eq!(grants.left(10).await.unwrap(), [left]);
    grants.remove(gone, "a").await.unwrap();
    assert_eq!(grants.left(10).await.unwrap(), []);
}

pub async fn what_is_left_comes_by_user_and_issuer_and_is_limited(grants: &dyn Grants, users: &dyn Users) {
    let [first, second, third] = registered(users).await;
    let expect = [
        grant(first, "b", b"1"),
        grant(second, "a", b"2"),
        grant(second, "b", b"3"),
        grant(second, "c", b"4"),
        grant(third, "a", b"5"),
    ];
    for index in [3, 1, 4, 0, 2] {
        grants.put(&expect[index]).await.unwrap();
    }
    for user in [second, third, first] {
        withdraw(users, user).await;
    }
    assert_eq!(grants.left(10).await.unwrap(), expect);
    assert_eq!(grants.left(5).await.unwrap(), expect);
    assert_eq!(grants.left(3).await.unwrap(), expect[..3]);
    assert_eq!(grants.left(0).await.unwrap(), []);
}

pub async fn a_grant_that_comes_after_its_user_left_is_left(grants: &dyn Grants, users: &dyn Users) {
    let [user] = registered(users).await;
    withdraw(users, user).await;
    let late = grant(user, "a", b"late");
    grants.put(&late).await.unwrap();
    assert_eq!(grants.left(10).await.unwrap(), [late]);
}
