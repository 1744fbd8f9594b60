//! An ID token is believed only if everything in it is right.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use transtalk_adapters::oauth::Kind;

use crate::support::{ACCESS, CLIENT_ID, EC, ED, Key, NOW, OTHER, RSA, RSA_PSS, SECRET, World, merged};

#[tokio::test]
async fn every_algorithm_that_is_advertised_and_accepted_is_believed() {
    for key in [&RSA, &RSA_PSS, &EC, &ED] {
        let world = World::new(Kind::Oidc).await;
        world.openid(json!({})).await;
        world.keys(&[&OTHER, key]).await;
        world.tokens(Some(key.sign(&complete(&world)))).await;
        assert_eq!(world.profile().await.identity.subject, "248289761001", "{}", key.kid);
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_advertised_is_refused() {
    for key in [&RSA_PSS, &EC, &ED] {
        let world = World::new(Kind::Oidc).await;
        world.metadata(json!({ "id_token_signing_alg_values_supported": ["RS256"] })).await;
        world.keys(&[&RSA, key]).await;
        world.tokens(Some(key.sign(&complete(&world)))).await;
        world.check_refused(key.kid).await;
    }
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    let claims = URL_SAFE_NO_PAD.encode(complete(&world).to_string());
    for alg in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "kid": RSA.kid }).to_string());
        let signature = RSA.sign(&complete(&world)).rsplit('.').next().unwrap().to_owned();
        for token in
            [format!("{header}.{claims}."), format!("{header}.{claims}"), format!("{header}.{claims}.{signature}")]
        {
            world.tokens(Some(token)).await;
            world.check_refused(alg).await;
        }
    }
}

#[tokio::test]
async fn neither_the_client_secret_nor_a_public_key_is_a_secret_key() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    let modulus = RSA.public()["n"].as_str().unwrap().to_owned();
    for (what, secret) in [("secret", SECRET.to_owned()), ("modulus", modulus), ("pem", RSA.pem.to_owned())] {
        for kid in [None, Some(RSA.kid.to_owned())] {
            let header = Header { kid, ..Header::new(Algorithm::HS256) };
            let key = EncodingKey::from_secret(secret.as_bytes());
            world.tokens(Some(jsonwebtoken::encode(&header, &complete(&world), &key).unwrap())).await;
            world.check_refused(what).await;
        }
    }
}

#[tokio::test]
async fn a_token_of_a_foreign_key_is_refused() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    let foreign = Key { kid: RSA.kid, ..OTHER_COPY };
    world.tokens(Some(foreign.sign(&complete(&world)))).await;
    world.check_refused("under a known key's name").await;
    world.tokens(Some(OTHER.sign(&complete(&world)))).await;
    world.check_refused("under its own name").await;
    // RFC 8725 section 3.10: what a token says of its key is not believed.
    let mut header = Header::new(Algorithm::RS256);
    header.jwk = Some(serde_json::from_value(OTHER.public()).unwrap());
    world.tokens(Some(OTHER.sign_with(&header, &complete(&world)))).await;
    world.check_refused("with the key inside").await;
}

#[tokio::test]
async fn an_altered_token_is_refused() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    let token = RSA.sign(&complete(&world));
    let parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(merged(complete(&world), json!({ "sub": "1" })).to_string());
    for (what, altered) in [
        ("claims", format!("{}.{claims}.{}", parts[0], parts[2])),
        ("signature", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len()))),
        ("nothing", String::new()),
        ("dots", "...".to_owned()),
        ("padding", format!("{token}=")),
        ("large", format!("{token}{}", "A".repeat(20_000))),
    ] {
        world.tokens(Some(altered)).await;
        world.check_refused(what).await;
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let uri = World::new(Kind::Oidc).await;
    for iss in [
        "https://id.example".to_owned(),
        format!("{}/", uri.server.uri()),
        uri.server.uri().to_uppercase(),
        String::new(),
    ] {
        check_claims(json!({ "iss": iss }), false).await;
    }
    check_claims(json!({ "iss": null }), false).await;
}

#[tokio::test]
async fn a_token_for_another_client_is_refused() {
    for (aud, azp, good) in [
        (json!(CLIENT_ID), None, true),
        (json!([CLIENT_ID]), None, true),
        (json!(CLIENT_ID), Some(CLIENT_ID), true),
        (json!([CLIENT_ID, "other"]), Some(CLIENT_ID), true),
        (json!([CLIENT_ID, "other"]), None, false),
        (json!([CLIENT_ID, "other"]), Some("other"), false),
        (json!(CLIENT_ID), Some("other"), false),
        (json!(["other"]), Some(CLIENT_ID), false),
        (json!("other"), None, false),
        (json!("client-12345"), None, false),
        (json!([]), None, false),
        (json!(null), None, false),
        (json!(7), None, false),
    ] {
        check_claims(json!({ "aud": aud, "azp": azp }), good).await;
    }
}

#[tokio::test]
async fn a_token_is_good_in_its_time_give_or_take_a_minute() {
    for (change, good) in [
        (json!({ "exp": NOW - 59 }), true),
        (json!({ "exp": NOW - 60 }), false),
        (json!({ "exp": 1_699_999_940.5 }), true),
        (json!({ "exp": null }), false),
        (json!({ "exp": "soon" }), false),
        (json!({ "exp": -1 }), false),
        (json!({ "iat": NOW + 60 }), true),
        (json!({ "iat": NOW + 61 }), false),
        (json!({ "iat": null }), false),
        (json!({ "nbf": NOW + 60 }), true),
        (json!({ "nbf": NOW + 61 }), false),
        (json!({ "nbf": "never" }), false),
    ] {
        check_claims(change, good).await;
    }
}

#[tokio::test]
async fn a_token_of_another_sign_in_is_refused() {
    for nonce in [json!(null), json!(""), json!("another"), json!(7), json!(["the-nonce-of-this-sign-in"])] {
        check_claims(json!({ "nonce": nonce }), false).await;
    }
}

#[tokio::test]
async fn a_token_that_belongs_to_another_access_token_is_refused() {
    let short = URL_SAFE_NO_PAD.encode(&Sha256::digest(ACCESS)[..16]);
    let long = URL_SAFE_NO_PAD.encode(&Sha512::digest(ACCESS)[..32]);
    let other = URL_SAFE_NO_PAD.encode(&Sha256::digest("another")[..16]);
    for (key, hash, good) in [
        (&RSA, &short, true),
        (&RSA_PSS, &short, true),
        (&EC, &short, true),
        (&ED, &long, true),
        (&ED, &short, false),
        (&RSA, &long, false),
        (&RSA, &other, false),
        (&RSA, &String::new(), false),
    ] {
        let world = World::new(Kind::Oidc).await;
        world.openid(json!({})).await;
        world.keys(&[key]).await;
        world.tokens(Some(key.sign(&merged(complete(&world), json!({ "at_hash": hash }))))).await;
        if good { drop(world.profile().await) } else { world.check_refused(key.kid).await }
    }
}

#[tokio::test]
async fn a_subject_has_1_to_255_characters() {
    for (sub, good) in [
        (json!("x".repeat(255)), true),
        (json!("x".repeat(256)), false),
        (json!(""), false),
        (json!("a\u{0}b"), false),
        (json!("a\nb"), false),
        (json!(null), false),
        (json!(7), false),
    ] {
        check_claims(json!({ "sub": sub }), good).await;
    }
}

#[tokio::test]
async fn an_answer_without_an_id_token_is_none() {
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    world.tokens(None).await;
    world.check_unavailable("its answer has no ID token").await;
}

/// A sign-in with these claims changed is good or not.
async fn check_claims(change: Value, good: bool) {
    let what = change.to_string();
    let world = World::new(Kind::Oidc).await;
    world.openid(json!({})).await;
    world.tokens(Some(RSA.sign(&merged(complete(&world), change)))).await;
    if good {
        let signed_in = world.exchange().await;
        assert!(signed_in.is_ok(), "{what} {signed_in:?}");
    } else {
        world.check_refused(&what).await;
    }
}

/// With these, nothing else is asked for.
fn complete(world: &World) -> Value {
    merged(
        world.claims(),
        json!({ "name": "Alice", "email": "alice@example.com", "picture": "https://example.com/a.png" }),
    )
}

const OTHER_COPY: Key = Key { kid: "", algorithm: Algorithm::RS256, pem: include_str!("keys/rsa_other.pem") };
