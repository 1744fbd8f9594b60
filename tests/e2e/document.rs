//! The documents say what the server does: the OpenAPI document of every answer, the AsyncAPI document of every frame.

mod messages;
mod routes;

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{binary, repository};

/// The document of the routes, as it lies in the repository.
struct Document(Value);

impl Document {
    fn read() -> Self {
        Self(serde_json::from_str(&file("openapi/openapi.json")).expect("openapi.json is JSON"))
    }

    /// What this operation may answer with this status: one media type, one schema. Fails if it may not.
    fn answer(&self, method: &str, path: &str, status: u16) -> (&str, &Value) {
        let operation = &self.0["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not in the document");
        let content = operation["responses"][status.to_string()]["content"].as_object();
        let content = content.unwrap_or_else(|| panic!("{method} {path} answers {status}: not in the document"));
        let (media_type, media) = content.iter().next().expect("a media type");
        (media_type, &media["schema"])
    }

    /// Validates against a schema of the document, in which an object has what is declared and nothing else.
    fn validate(&self, schema: &Value, instance: &Value) {
        let schema =
            json!({ "allOf": [closed(schema)], "components": { "schemas": closed(&self.0["components"]["schemas"]) } });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let errors: Vec<String> =
            validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?} in {instance:#}");
    }

    fn error_codes(&self) -> Vec<&str> {
        let codes = self.0["components"]["schemas"]["Refusal"]["properties"]["errorCode"]["enum"].as_array();
        codes.expect("a list of codes").iter().filter_map(Value::as_str).collect()
    }
}

/// From OpenAPI 3.0 to JSON Schema: `nullable` becomes a choice, and what is not declared is not allowed.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(closed).collect(),
        Value::Object(members) => {
            let mut plain: serde_json::Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            // A property of that name is a schema; the keyword is a flag.
            let nullable = plain.get("nullable") == Some(&Value::Bool(true)) && plain.remove("nullable").is_some();
            let is_object = plain.get("type").is_some_and(|kind| kind == "object");
            if is_object && !plain.contains_key("additionalProperties") {
                plain.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            let plain = Value::Object(plain);
            if nullable { json!({ "anyOf": [plain, { "type": "null" }] }) } else { plain }
        }
        other => other.clone(),
    }
}

#[test]
fn the_documents_in_the_repository_are_those_that_the_binary_prints() {
    for (name, arguments) in [("openapi.json", &["openapi"][..]), ("openapi.yaml", &["openapi", "--yaml"])] {
        let printed = Command::new(binary("transtalk")).args(arguments).output().expect("the binary runs");
        assert!(printed.status.success());
        let printed = String::from_utf8(printed.stdout).expect("text");
        let stored = file(&format!("openapi/{name}"));
        assert!(
            printed == stored,
            "openapi/{name} is stale: run `just openapi`, or `cargo run -- {} > openapi/{name}`",
            arguments.join(" ")
        );
    }
}

#[test]
fn a_closed_schema_refuses_what_is_not_declared_or_missing_or_wrongly_null() {
    let document = Document(json!({ "components": { "schemas": { "Point": {
        "type": "object",
        "required": ["x", "y"],
        "properties": { "x": { "type": "integer" }, "y": { "type": "integer", "nullable": true } }
    } } } }));
    let schema = json!({ "$ref": "#/components/schemas/Point" });
    document.validate(&schema, &json!({ "x": 1, "y": null }));
    for wrong in [json!({ "x": 1 }), json!({ "x": null, "y": 1 }), json!({ "x": 1, "y": 1, "z": 1 }), json!([])] {
        let refused = std::panic::catch_unwind(|| document.validate(&schema, &wrong));
        assert!(refused.is_err(), "{wrong}");
    }
}

fn file(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
