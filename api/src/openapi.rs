//! The OpenAPI document: what the routes say of themselves, made exact.
//!
//! The library describes what may be left out; ours writes every field but one. So in answers every other field is required,
//! and those that may hold nothing are nullable. The codes are listed, and the token is what it is: a bearer token.

use serde_json::{Map, Value, json};
use transtalk_core::ErrorCode;

use crate::http::service;

/// The document, as JSON.
pub(crate) fn document() -> Value {
    let mut document: Value = serde_json::from_str(&service().spec()).unwrap_or_default();
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if !name.ends_with("Request") {
            exact(schema);
        }
    }
    document["components"]["headers"] = headers();
    let operations = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, path) in operations {
        for (_, operation) in path.as_object_mut().into_iter().flatten() {
            for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
                answer["headers"] = headers_of(status);
            }
        }
    }
    // Trap 1 of the wire contract: whatever is wrong with a refresh, it is not that.
    if let Some(answers) = document.pointer_mut("/paths/~1auth~1refresh/get/responses").and_then(Value::as_object_mut) {
        answers.remove("401");
    }
    if let Some(scheme) = document.pointer_mut("/components/securitySchemes/accessToken") {
        *scheme = json!({
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token as `data.accessToken` gave it. The word `Bearer` may be left out."
        });
    }
    document
}

/// The document as text: `json` or `yaml`.
pub(crate) fn text(yaml: bool) -> String {
    let document = document();
    if yaml {
        serde_yaml_ng::to_string(&document).unwrap_or_default()
    } else {
        // A Value always serializes.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }
}

/// A page to read and try it, with everything in it: it loads nothing.
pub(crate) fn page() -> String {
    // The library's page holds the library's document; ours takes its place.
    service().swagger_ui_html().replacen(&service().spec(), &text(false), 1)
}

/// The methods of the route that this path belongs to, for `Allow`.
pub(crate) fn allowed_methods(document: &Value, path: &str) -> Vec<String> {
    let Some(path) = path.strip_prefix("/api/v1") else { return vec!["GET".to_owned()] };
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len()
            && template.iter().zip(&path).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let paths = document.get("paths").and_then(Value::as_object);
    // A route without parameters goes before one with them, as in the router.
    let exact = paths.and_then(|paths| paths.get(path));
    let operations = exact.or_else(|| paths?.iter().find(|(template, _)| fits(template)).map(|(_, route)| route));
    operations.and_then(Value::as_object).into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect()
}

/// What every answer has, and what those have that say when to come again.
fn headers() -> Value {
    let header = |kind: &str, text: &str| json!({ "description": text, "schema": { "type": kind } });
    json!({
        "RequestId": header("string", "The request's name in the server's log."),
        "RetryAfter": header("integer", "Seconds to wait before the next try."),
        "WwwAuthenticate": header("string", "`Bearer`.")
    })
}

/// Which of them an answer with this status has.
fn headers_of(status: &str) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    let mut headers = json!({ "X-Request-Id": reference("RequestId") });
    match status {
        "429" | "503" => headers["Retry-After"] = reference("RetryAfter"),
        "401" => headers["WWW-Authenticate"] = reference("WwwAuthenticate"),
        _ => {}
    }
    headers
}

fn exact(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let required: Vec<String> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties.iter_mut() {
        if name == "errorCode" {
            let mut codes: Vec<Value> = ErrorCode::ALL.iter().map(|code| code.as_str().into()).collect();
            if !required.contains(name) {
                codes.push(Value::Null);
            }
            property["enum"] = codes.into();
        }
        if !required.contains(name) && !is_left_out(name) {
            nullable(property);
        }
    }
    let always = |name: &&String| required.contains(name) || !is_left_out(name);
    let all: Vec<Value> = properties.keys().filter(always).map(|name| name.clone().into()).collect();
    object.insert("required".to_owned(), all.into());
}

/// What is left out where there is nothing, and not null: a success has five keys, as the first client's server wrote it.
fn is_left_out(name: &str) -> bool {
    name == "requestId"
}

/// OpenAPI 3.0 reads nothing beside a `$ref`, so a nullable reference is wrapped.
fn nullable(property: &mut Value) {
    if property.get("$ref").is_some() {
        let reference = property.take();
        *property = json!({ "allOf": [reference] });
    }
    if let Some(property) = property.as_object_mut() {
        Map::insert(property, "nullable".to_owned(), true.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_parameters_goes_before_one_with_them() {
        let document = document();
        for (path, expect) in [
            ("/api/v1/sessions", &["GET"][..]),
            ("/api/v1/sessions/audit", &["GET"]),
            ("/api/v1/sessions/7", &["DELETE"]),
            ("/api/v1/chatRooms", &["GET", "POST"]),
            ("/api/v1/nothing", &[]),
            ("/livez", &["GET"]),
        ] {
            assert_eq!(allowed_methods(&document, path), expect, "{path}");
        }
    }

    #[test]
    fn a_refresh_never_answers_401_and_every_answer_has_a_name() {
        let document = document();
        let answers = document["paths"]["/auth/refresh"]["get"]["responses"].as_object().unwrap();
        assert!(answers.contains_key("403") && !answers.contains_key("401"));
        for (status, answer) in answers {
            assert!(answer["headers"]["X-Request-Id"].is_object(), "{status}");
        }
    }
}
