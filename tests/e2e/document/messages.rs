//! Live frames against the AsyncAPI document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Document, file};
use crate::support::{Frame, Server, Stomp, User, within};

/// The AsyncAPI document, as it lies in the repository.
fn asyncapi() -> Value {
    serde_yaml_ng::from_str(&file("openapi/asyncapi.yaml")).expect("asyncapi.yaml is YAML")
}

/// The payload of a message's first example.
fn example<'a>(document: &'a Value, message: &str) -> &'a Value {
    let payload = &document["components"]["messages"][message]["examples"][0]["payload"];
    assert!(payload.is_object(), "{message} has no example");
    payload
}

/// The names of all members, with their place: `translations.status`.
fn keys(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found.insert(name.clone());
                found.extend(keys(member).into_iter().map(|inner| format!("{name}.{inner}")));
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(keys)),
        _ => {}
    }
    found
}

/// Validates against a schema of the AsyncAPI document, which is JSON Schema as it stands.
fn validate(document: &Value, schema: &Value, instance: &Value) {
    let schema = serde_json::json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {instance:#}");
}

#[test]
fn every_example_fits_its_schema_and_every_channel_its_messages() {
    let document = asyncapi();
    for (name, message) in document["components"]["messages"].as_object().expect("messages") {
        let examples = message["examples"].as_array().unwrap_or_else(|| panic!("{name} has no examples"));
        for example in examples {
            validate(&document, &message["payload"], &example["payload"]);
        }
    }
    for (name, channel) in document["channels"].as_object().expect("channels") {
        assert!(channel["address"].as_str().is_some_and(|address| address.starts_with('/')), "{name}");
        for (_, message) in channel["messages"].as_object().into_iter().flatten() {
            let pointer = message["$ref"].as_str().expect("a reference").trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{name}: {pointer}");
        }
    }
}

#[tokio::test]
async fn live_frames_have_the_keys_of_the_documented_examples() {
    let document = asyncapi();
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut of_bob = Stomp::connect(&server, &bob).await;
    of_bob.subscribe("chat", &format!("/topic/chat/{room}"), &[]).await;
    of_bob.subscribe("events", &format!("/topic/chat/{room}/events"), &[]).await;
    of_bob.subscribe("list", &format!("/topic/users/{}/chatRoom", bob.id), &[]).await;
    let mut of_alice = Stomp::connect(&server, &alice).await;
    of_alice.say(room, "Hello", Some("m-1")).await;
    let chat = delivered(&mut of_bob, "chat").await;
    fits(&document, "chat", &chat);
    let headers = document["components"]["messages"]["chat"]["headers"]["required"].as_array().expect("headers");
    for name in headers.iter().filter_map(Value::as_str) {
        assert!(chat.header(name).is_some(), "{name} is missing in {chat:?}");
    }
    fits(&document, "chatRoom", &delivered(&mut of_bob, "list").await);
    of_alice.send(&format!("SEND\ndestination:/app/chat/{room}/typing\n\n{{}}\0")).await;
    fits(&document, "typing", &delivered(&mut of_bob, "events").await);
    of_alice.send(&format!("SEND\ndestination:/app/chat/{room}/read\n\n{}\0", example(&document, "markRead"))).await;
    fits(&document, "read", &delivered(&mut of_bob, "events").await);
    of_bob.subscribe("beyond", &format!("/topic/chat/{room}"), &[("last-seq", "99")]).await;
    let reset = delivered(&mut of_bob, "beyond").await;
    fits(&document, "reset", &reset);
    assert_eq!((reset.header("reset"), reset.header("seq")), (Some("true"), Some("1")));
}

/// A payload with the example's keys, which fits the schema.
fn fits(document: &Value, message: &str, frame: &Frame) {
    let payload = frame.json();
    assert_eq!(keys(&payload), keys(example(document, message)), "{message}");
    validate(document, &document["components"]["messages"][message]["payload"], &payload);
}

/// The next MESSAGE of this subscription. Others are passed over.
async fn delivered(socket: &mut Stomp, subscription: &str) -> Frame {
    within(subscription, async {
        loop {
            let frame = socket.next("MESSAGE").await;
            if frame.header("subscription") == Some(subscription) {
                return frame;
            }
        }
    })
    .await
}

#[test]
fn every_error_code_of_a_frame_is_in_the_document_of_the_routes_too() {
    let document = asyncapi();
    let routes = Document::read();
    let known = routes.error_codes();
    let listed = document["x-error-codes"].as_array().expect("a list");
    let codes: BTreeSet<&str> = listed.iter().filter_map(|entry| entry["code"].as_str()).collect();
    assert_eq!(codes.len(), listed.len(), "each once");
    assert!(codes.len() >= 20, "{codes:?}");
    for code in &codes {
        assert!(known.contains(code), "{code} is not in openapi.json");
    }
}

#[tokio::test]
async fn every_close_code_has_the_number_and_the_reason_that_are_documented() {
    let document = asyncapi();
    let listed: Vec<(u64, &str)> = document["x-close-codes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["code"].as_u64().expect("a number"), entry["reason"].as_str().expect("a text")))
        .collect();
    let numbers: Vec<u64> = listed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1000, 4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007, 4008]);
    let server = Server::start(&[]).await;
    let alice = server.sign_in("alice").await;
    for (number, end) in [(1000, "DISCONNECT\n\n\0"), (4007, "NONSENSE\n\n\0")] {
        let mut socket = Stomp::connect(&server, &alice).await;
        socket.send(end).await;
        assert_eq!(last_words(&mut socket).await, (number, reason(&listed, number)));
    }
    let mut socket = Stomp::connect(&server, &alice).await;
    log_out(&alice).await;
    assert_eq!(last_words(&mut socket).await, (4001, reason(&listed, 4001)));
}

fn reason(listed: &[(u64, &str)], number: u64) -> String {
    let found = listed.iter().find(|(listed, _)| *listed == number);
    found.map(|(_, reason)| (*reason).to_owned()).expect("it is listed")
}

async fn last_words(socket: &mut Stomp) -> (u64, String) {
    loop {
        if let crate::support::Came::Closed(code, reason) = socket.came().await {
            // The connection's name follows: ` [0011223344556677]`.
            let (reason, name) = reason.rsplit_once(" [").expect("the name of the connection");
            assert!(name.len() == 17 && name.ends_with(']'), "{name}");
            return (u64::from(code), reason.to_owned());
        }
    }
}

async fn log_out(user: &User) {
    let request = user.request(reqwest::Method::POST, "/api/v1/auth/logout");
    crate::support::data(within("log-out", request.send()).await.expect("an answer")).await;
}
