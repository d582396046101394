use std::path::PathBuf;

use axum::http::Method;
use serde_json::{Value, json};

use super::harness::{Api, MEET};

fn document() -> Value {
    serde_json::to_value(muster_server::api::openapi_document()).unwrap()
}

/// `docs/openapi.json` is the document of this code. `UPDATE_OPENAPI=1` writes it.
#[test]
fn the_checked_in_document_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == text, "docs/openapi.json is not current: run this test with UPDATE_OPENAPI=1");
}

#[tokio::test]
async fn the_document_is_served() {
    let api = Api::start().await;
    let served = api.call(Method::GET, "/api/v1/openapi.json", &[], "").await.expect(200);
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

/// Every documented operation exists, and asks for a key unless it says that it does not.
#[tokio::test]
async fn every_documented_operation_is_routed_and_guarded() {
    let api = Api::start().await;
    let document = document();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{bot_id}", "x")
            .replace("{transcript_id}", "x")
            .replace("{path}", "x")
            .replace("{worker_id}", "x")
            .replace("{topic}", "x")
            .replace("{letter_id}", "x")
            .replace("{endpoint_id}", "x")
            .replace("{event_id}", "x")
            .replace("{key}", "x")
            .replace("{source}", "x");
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let method: Method = method.to_uppercase().parse().unwrap();
            let reply = api.call(method.clone(), &concrete, &[], "").await;
            let open = operation.get("security") == Some(&json!([{}]));
            assert_eq!(reply.status == 401, !open, "{method} {path}: {}", reply.status);
            assert_ne!(reply.status, 405, "{method} {path}");
            // What is not there is another matter than what is not routed.
            let unrouted = reply.status == 404 && reply.refusal(404).contains(&format!("{method} {concrete}"));
            assert!(!unrouted, "{method} {path}");
        }
    }
    assert!(operations >= 32, "{operations}");
}

/// A value that is wrong for a schema, whatever it asks for.
fn wrong_for(schema: &Value) -> Value {
    let types = schema["type"].to_string();
    if types.contains("boolean") { json!("wrong") } else { json!(true) }
}

/// The request schema names what the reader reads: a wrong value in any documented field is refused by name.
#[tokio::test]
async fn every_documented_field_of_a_create_is_read() {
    let api = Api::start().await;
    let document = document();
    let schemas = &document["components"]["schemas"];
    let mut checked = 0;
    let mut queue = vec![("CreateBot".to_owned(), String::new())];
    while let Some((name, prefix)) = queue.pop() {
        for (field, schema) in schemas[&name]["properties"].as_object().unwrap() {
            let path = format!("{prefix}{field}");
            let nested =
                schema["oneOf"].as_array().into_iter().flatten().chain([schema]).find_map(|s| s["$ref"].as_str());
            if let Some(reference) = nested {
                queue.push((reference.rsplit('/').next().unwrap().to_owned(), format!("{path}.")));
            }
            if path.contains("realtime_endpoints") {
                continue;
            }
            let mut body = json!({"meeting_link": MEET});
            let mut slot = &mut body;
            for key in path.split('.') {
                slot = slot.as_object_mut().unwrap().entry(key).or_insert_with(|| json!({}));
            }
            *slot = wrong_for(schema);
            let message = api.create(&body).await.refusal(400);
            assert!(message.contains(&format!("{path}: ")), "{path}: {message}");
            checked += 1;
        }
    }
    assert!(checked >= 40, "{checked}");
}
