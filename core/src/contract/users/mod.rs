//! The laws of [`Users`]. A user's end is the end of their [`Sessions`], with records in the trail, which [`Audit`] reads: [`withdrawal`].

use futures_util::future::{BoxFuture, join_all};

use super::{RACERS, address, at, language, somebody, somebody_at, user_id};
use crate::ports::{Audit, Sessions, Users};
use crate::user::{Identity, User};

pub mod withdrawal;

pub use withdrawal::*;

/// One law.
pub type Law = for<'a> fn(&'a dyn Users, &'a dyn Sessions, &'a dyn Audit) -> BoxFuture<'a, ()>;

contract!($, users, users_contract, (users, sessions, audit), [
    a_registered_user_is_found_as_given,
    nobody_is_found_who_was_not_registered,
    an_identity_registered_again_is_the_first_account_unchanged,
    concurrent_registrations_of_an_identity_give_one_account,
    identities_differ_by_issuer_and_by_letter_case,
    an_address_is_verified_for_one_account_only,
    concurrent_registrations_of_an_address_verify_it_once,
    an_unverified_address_is_not_found_and_keeps_nobody_from_verifying_it,
    a_withdrawn_user_is_found_by_id_alone,
    unknown_users_are_left_out_of_many,
    a_language_is_set_and_cleared_and_nothing_else,
    the_language_of_nobody_is_not_set,
    a_withdrawn_account_is_empty_and_its_number_stays,
    a_withdrawal_ends_every_session_with_its_record,
    a_withdrawal_leaves_out_what_has_ended_and_other_users,
    a_user_withdraws_once,
    the_withdrawal_of_nobody_ends_nothing,
    whoever_left_comes_again_as_somebody_new,
    an_address_is_free_when_its_holder_has_left,
    an_address_stays_with_its_holder_when_others_leave,
    no_language_is_set_for_one_who_left,
    no_session_of_one_who_left_rotates,
    of_concurrent_withdrawals_one_does_it,
    a_rotation_beside_a_withdrawal_ends_revoked,
    a_revocation_beside_a_withdrawal_leaves_one_record,
    a_session_that_comes_beside_a_withdrawal_is_ended_by_it_or_comes_after_it,
    a_withdrawal_is_seen_whole,
]);

pub async fn a_registered_user_is_found_as_given(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let user = User {
        name: "Zoë 'O''Brien' 김 🦊".to_owned(),
        picture: Some("https://example.com/a%20b.png?x=1&y=2".to_owned()),
        language: Some(language("pt-br")),
        created_at: at(7),
        ..somebody_at(&address(), true)
    };
    assert_eq!(users.register(&user).await.unwrap(), user);
    assert_eq!(users.find(user.id).await.unwrap().as_ref(), Some(&user));
    assert_eq!(users.find_by_identity(&user.identity).await.unwrap().as_ref(), Some(&user));
    assert_eq!(users.find_by_email(user.email.as_ref().unwrap()).await.unwrap(), Some(user));
}

pub async fn nobody_is_found_who_was_not_registered(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    users.register(&somebody_at(&address(), true)).await.unwrap();
    assert_eq!(users.find(user_id()).await.unwrap(), None);
    assert_eq!(users.find_by_email(&address()).await.unwrap(), None);
    assert_eq!(users.find_by_identity(&somebody("Nobody").identity).await.unwrap(), None);
}

pub async fn an_identity_registered_again_is_the_first_account_unchanged(
    users: &dyn Users,
    _: &dyn Sessions,
    _: &dyn Audit,
) {
    let first = somebody("First");
    let second = User { identity: first.identity.clone(), created_at: at(9), ..somebody("Second") };
    users.register(&first).await.unwrap();
    assert_eq!(users.register(&second).await.unwrap(), first);
    assert_eq!(users.find(first.id).await.unwrap(), Some(first));
    assert_eq!(users.find(second.id).await.unwrap(), None, "the second account was stored");
}

pub async fn concurrent_registrations_of_an_identity_give_one_account(
    users: &dyn Users,
    _: &dyn Sessions,
    _: &dyn Audit,
) {
    let identity = somebody("Racer").identity;
    let racers: Vec<User> =
        (0..RACERS).map(|_| User { identity: identity.clone(), ..somebody_at(&address(), true) }).collect();
    let given = join_all(racers.iter().map(|user| users.register(user))).await;
    let given: Vec<User> = given.into_iter().map(Result::unwrap).collect();
    assert!(given.iter().all(|user| *user == given[0]), "several accounts were given for one identity");
    for racer in racers {
        let found = users.find(racer.id).await.unwrap();
        assert_eq!(found.is_some(), racer.id == given[0].id, "an account was stored that nobody was given");
    }
}

pub async fn identities_differ_by_issuer_and_by_letter_case(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let user = somebody("One");
    let subject = format!("Abc-{}", user.id);
    let identity = |issuer: &str, subject: &str| Identity { issuer: issuer.to_owned(), subject: subject.to_owned() };
    let identities = [
        identity("https://one.example", &subject),
        identity("https://two.example", &subject),
        identity("https://one.example", &subject.to_lowercase()),
    ];
    for identity in identities {
        let user = User { identity: identity.clone(), ..somebody("One") };
        assert_eq!(users.register(&user).await.unwrap(), user);
        assert_eq!(users.find_by_identity(&identity).await.unwrap(), Some(user));
    }
}

pub async fn an_address_is_verified_for_one_account_only(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let email = address();
    let (first, second) = (somebody_at(&email, true), somebody_at(&email, true));
    users.register(&first).await.unwrap();
    let expect = User { email_verified: false, ..second.clone() };
    assert_eq!(users.register(&second).await.unwrap(), expect);
    assert_eq!(users.find(second.id).await.unwrap(), Some(expect));
    assert_eq!(users.find_by_email(&email).await.unwrap(), Some(first));
}

pub async fn concurrent_registrations_of_an_address_verify_it_once(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let email = address();
    let racers: Vec<User> = (0..RACERS).map(|_| somebody_at(&email, true)).collect();
    let given = join_all(racers.iter().map(|user| users.register(user))).await;
    let verified: Vec<User> = given.into_iter().map(Result::unwrap).filter(|user| user.email_verified).collect();
    assert_eq!(verified.len(), 1, "an address was verified for {} accounts", verified.len());
    let ids: Vec<_> = racers.iter().map(|user| user.id).collect();
    let stored = users.find_many(&ids).await.unwrap();
    assert_eq!(stored.len(), RACERS);
    assert_eq!(stored.iter().filter(|user| user.email_verified).count(), 1);
    assert_eq!(users.find_by_email(&email).await.unwrap().as_ref(), verified.first());
}

pub async fn an_unverified_address_is_not_found_and_keeps_nobody_from_verifying_it(
    users: &dyn Users,
    _: &dyn Sessions,
    _: &dyn Audit,
) {
    let email = address();
    let (unverified, verified) = (somebody_at(&email, false), somebody_at(&email, true));
    users.register(&unverified).await.unwrap();
    assert_eq!(users.find_by_email(&email).await.unwrap(), None);
    assert_eq!(users.register(&verified).await.unwrap(), verified);
    assert_eq!(users.find_by_email(&email).await.unwrap(), Some(verified));
}

pub async fn a_withdrawn_user_is_found_by_id_alone(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let email = address();
    let user = User { withdrawn_at: Some(at(5)), ..somebody_at(&email, true) };
    users.register(&user).await.unwrap();
    assert_eq!(users.find(user.id).await.unwrap().as_ref(), Some(&user));
    assert_eq!(users.find_many(&[user.id]).await.unwrap().as_slice(), std::slice::from_ref(&user));
    assert_eq!(users.find_by_email(&email).await.unwrap(), None);
    assert_eq!(users.find_by_identity(&user.identity).await.unwrap(), None);
}

pub async fn unknown_users_are_left_out_of_many(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let (one, two) = (somebody("One"), somebody("Two"));
    users.register(&one).await.unwrap();
    users.register(&two).await.unwrap();
    users.register(&somebody("Not asked for")).await.unwrap();
    let mut found = users.find_many(&[two.id, user_id(), one.id]).await.unwrap();
    found.sort_by_key(|user| user.id);
    assert_eq!(found, [one, two]);
    assert_eq!(users.find_many(&[]).await.unwrap(), []);
}

pub async fn a_language_is_set_and_cleared_and_nothing_else(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let (user, other) = (somebody_at(&address(), true), somebody("Other"));
    users.register(&user).await.unwrap();
    users.register(&other).await.unwrap();
    for language in [Some(language("ko")), Some(language("en-us")), None] {
        assert!(users.set_language(user.id, language.as_ref()).await.unwrap());
        assert_eq!(users.find(user.id).await.unwrap(), Some(User { language, ..user.clone() }));
    }
    assert_eq!(users.find(other.id).await.unwrap(), Some(other));
}

pub async fn the_language_of_nobody_is_not_set(users: &dyn Users, _: &dyn Sessions, _: &dyn Audit) {
    let nobody = user_id();
    assert!(!users.set_language(nobody, Some(&language("ko"))).await.unwrap());
    assert_eq!(users.find(nobody).await.unwrap(), None);
}
