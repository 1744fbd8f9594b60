//! The laws of [`Grants`].

use futures_util::future::BoxFuture;

use super::user_id;
use crate::id::UserId;
use crate::ports::{Grant, Grants};

/// One law.
pub type Law = for<'a> fn(&'a dyn Grants) -> BoxFuture<'a, ()>;

contract!($, grants, grants_contract, (grants), [
    a_grant_is_kept_byte_for_byte,
    a_grant_replaces_the_one_before,
    grants_are_listed_by_issuer,
    a_grant_is_its_users_alone,
    all_grants_of_a_user_are_removed_and_counted,
]);

fn grant(user: UserId, issuer: &str, sealed: &[u8]) -> Grant {
    Grant { user, issuer: issuer.to_owned(), sealed: sealed.to_vec() }
}

pub async fn a_grant_is_kept_byte_for_byte(grants: &dyn Grants) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for sealed in [every_byte.as_slice(), b"", b"\0", b"\xff\xfe\0"] {
        let grant = grant(user_id(), "https://issuer.example", sealed);
        grants.put(&grant).await.unwrap();
        assert_eq!(grants.list(grant.user).await.unwrap(), [grant]);
    }
}

pub async fn a_grant_replaces_the_one_before(grants: &dyn Grants) {
    let user = user_id();
    grants.put(&grant(user, "a", b"first")).await.unwrap();
    grants.put(&grant(user, "b", b"other issuer")).await.unwrap();
    grants.put(&grant(user, "a", b"second")).await.unwrap();
    let expect = [grant(user, "a", b"second"), grant(user, "b", b"other issuer")];
    assert_eq!(grants.list(user).await.unwrap(), expect);
}

pub async fn grants_are_listed_by_issuer(grants: &dyn Grants) {
    let user = user_id();
    for issuer in ["kakao", "google", "naver", "github"] {
        grants.put(&grant(user, issuer, issuer.as_bytes())).await.unwrap();
    }
    let issuers: Vec<String> = grants.list(user).await.unwrap().into_iter().map(|grant| grant.issuer).collect();
    assert_eq!(issuers, ["github", "google", "kakao", "naver"]);
}

pub async fn a_grant_is_its_users_alone(grants: &dyn Grants) {
    let (one, other) = (grant(user_id(), "a", b"one"), grant(user_id(), "a", b"other"));
    grants.put(&one).await.unwrap();
    grants.put(&other).await.unwrap();
    assert_eq!(grants.list(one.user).await.unwrap(), [one]);
    assert_eq!(grants.list(other.user).await.unwrap(), [other]);
    assert_eq!(grants.list(user_id()).await.unwrap(), []);
}

pub async fn all_grants_of_a_user_are_removed_and_counted(grants: &dyn Grants) {
    let user = user_id();
    let stranger = grant(user_id(), "a", b"kept");
    grants.put(&grant(user, "a", b"1")).await.unwrap();
    grants.put(&grant(user, "b", b"2")).await.unwrap();
    grants.put(&stranger).await.unwrap();
    assert_eq!(grants.remove(user).await.unwrap(), 2);
    assert_eq!(grants.list(user).await.unwrap(), []);
    assert_eq!(grants.remove(user).await.unwrap(), 0);
    assert_eq!(grants.list(stranger.user).await.unwrap(), [stranger]);
}
