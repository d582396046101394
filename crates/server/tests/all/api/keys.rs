//! API keys of all tenants: made, listed and deleted by the operator.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use muster_faults::{Fault, Nth, Plan};
use muster_platform::pack::Packs;
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_redis::testing::Prefix;
use muster_server::clock::Clock;
use muster_server::roles::Backend;
use muster_server::{api, keys};
use muster_session::{TenantId, Timestamp};
use muster_store::embedded::EmbeddedStore;
use muster_store::faulty::FaultyStore;
use muster_store::memory::MemoryStore;
use muster_store::{RedisStore, SessionStore};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::harness::{KEY, MEET, OPERATOR_KEY, OTHER_KEY, START_MS, add_keys, state};

const KEYS: &str = "/api/v1/keys";

/// An API process over this store.
fn process(store: Arc<dyn SessionStore>) -> Router {
    let queue = JobQueue::new(Arc::new(MemoryQueue::new()));
    let backend = Backend::new(store, queue, Clock::new(|| Timestamp::from_millis(START_MS)));
    api::router(state(backend, Arc::new(Packs::builtin()), true))
}

/// The same, with the keys of three tenants.
async fn server() -> (Router, MemoryStore) {
    let store = MemoryStore::new();
    add_keys(&store).await;
    (process(Arc::new(store.clone())), store)
}

async fn ask(router: &Router, key: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Token {key}"));
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn get(router: &Router, key: &str, path: &str) -> (u16, Value) {
    ask(router, key, Method::GET, path, &Value::Null).await
}

/// A key that the operator made.
async fn made(router: &Router, tenant: &str) -> Value {
    let (status, body) = ask(router, OPERATOR_KEY, Method::POST, KEYS, &json!({"tenant": tenant})).await;
    assert_eq!(status, 201, "{body}");
    body
}

async fn delete(router: &Router, key: &str, named: &str) -> (u16, String) {
    let (status, body) = ask(router, key, Method::DELETE, &format!("{KEYS}/{named}"), &Value::Null).await;
    (status, body["message"].as_str().unwrap().to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn id_of(key: &str) -> String {
    keys::id(&keys::record(key, TenantId::new("any"), "", Timestamp::from_millis(0)))
}

#[tokio::test]
async fn a_tenant_is_made_by_making_a_key_of_it() {
    let (router, store) = server().await;
    let body = json!({"tenant": "acme", "name": " ci "});
    let (status, mut made) = ask(&router, OPERATOR_KEY, Method::POST, KEYS, &body).await;
    assert_eq!(status, 201);
    let taken = made["key"].take();
    let key = text(&taken);
    assert!(key.starts_with("mst_") && key.len() == 47, "256 bits");
    let item = json!({"key_id": id_of(key), "prefix": key[..12], "tenant": "acme", "name": "ci",
        "created_at": "2026-09-21T14:13:20.000Z"});
    made.as_object_mut().unwrap().remove("key");
    assert_eq!(made, item);
    let (_, all) = get(&router, OPERATOR_KEY, KEYS).await;
    assert_eq!(all["keys"].as_array().unwrap().len(), 4);
    for secret in [key, &keys::hash(key), KEY, &keys::hash(KEY)] {
        assert!(!all.to_string().contains(secret), "{all}");
    }
    assert_eq!(get(&router, OPERATOR_KEY, "/api/v1/keys?tenant=acme").await, (200, json!({"keys": [item]})));
    assert_eq!(store.key_by_hash(&keys::hash(key)).await.unwrap().unwrap().tenant, TenantId::new("acme"));

    // It has bots of its own, and sees no others.
    let create = json!({"meeting_link": MEET});
    let (status, bot) = ask(&router, key, Method::POST, "/api/v1/bots/create_bot", &create).await;
    assert_eq!(status, 201);
    let detail = format!("/api/v1/bots/{}/detail", text(&bot["bot_id"]));
    assert_eq!(get(&router, key, &detail).await.0, 200);
    assert_eq!(get(&router, KEY, &detail).await.0, 404);
    let (_, bots) = get(&router, KEY, "/api/v1/bots").await;
    assert_eq!(bots["bots"], json!([]));
}

#[tokio::test]
async fn only_the_operator_has_to_do_with_keys() {
    let (router, store) = server().await;
    let one = format!("{KEYS}/{}", id_of(OTHER_KEY));
    for (method, path) in [(Method::GET, KEYS), (Method::POST, KEYS), (Method::DELETE, &one)] {
        let (status, body) = ask(&router, KEY, method, path, &json!({"tenant": "first"})).await;
        assert_eq!(status, 403, "{path}");
        assert!(text(&body["message"]).contains("operator"), "{body}");
    }
    assert_eq!(store.keys().await.unwrap().len(), 3, "nothing was done");
}

#[tokio::test]
async fn a_wrong_request_is_told_what_is_wrong() {
    let (router, store) = server().await;
    let long = "x".repeat(101);
    for (body, want) in [
        (json!({}), "tenant: required: expected 1 to 64 letters, digits, - and _"),
        (json!([]), "body: expected a JSON object, got an array"),
        (json!({"tenant": "a b"}), "tenant: expected 1 to 64 letters, digits, - and _, got \"a b\""),
        (json!({"tenant": 7}), "tenant: expected 1 to 64 letters, digits, - and _, got 7"),
        (json!({"tenant": &long[..65]}), "tenant: expected 1 to 64 letters, digits, - and _, got \"xxx"),
        (json!({"tenant": "a", "name": long}), "name: expected a text of 1 to 100 characters, got \"xxx"),
        (json!({"tenant": "", "name": 1}), "; name: expected a text of 1 to 100 characters, got 1"),
    ] {
        let (status, answer) = ask(&router, OPERATOR_KEY, Method::POST, KEYS, &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(text(&answer["message"]).contains(want), "{answer}");
    }
    assert_eq!(store.keys().await.unwrap().len(), 3, "nothing was made");
}

#[tokio::test]
async fn there_are_five_thousand_keys_at_the_most() {
    let (router, store) = server().await;
    let now = Timestamp::from_millis(START_MS);
    for number in 3..4_999 {
        store.put_key(&keys::record(&number.to_string(), TenantId::new("many"), "", now)).await.unwrap();
    }
    made(&router, "acme").await;
    let (status, body) = ask(&router, OPERATOR_KEY, Method::POST, KEYS, &json!({"tenant": "acme"})).await;
    assert_eq!(status, 409);
    assert!(text(&body["message"]).contains("keys: expected at most 5000"), "{body}");
    assert_eq!(get(&router, OPERATOR_KEY, KEYS).await.1["keys"].as_array().unwrap().len(), 5_000, "one list has all");
    assert_eq!(delete(&router, OPERATOR_KEY, &id_of("3")).await.0, 200);
    made(&router, "acme").await;
}

/// What one process deletes is refused by the other, which knew it a moment ago.
async fn a_deleted_key_is_refused(one: Arc<dyn SessionStore>, other: Arc<dyn SessionStore>) {
    add_keys(&*one).await;
    let (one, other) = (process(one), process(other));
    let acme = made(&one, "acme").await;
    let key = text(&acme["key"]);
    for router in [&one, &other] {
        assert_eq!(get(router, key, "/api/v1/bots").await.0, 200);
    }
    let (status, message) = delete(&one, OPERATOR_KEY, text(&acme["key_id"])).await;
    assert_eq!((status, message), (200, format!("The key {} of the tenant acme was deleted", text(&acme["key_id"]))));
    for router in [&other, &one] {
        let (status, body) = get(router, key, "/api/v1/bots").await;
        assert_eq!((status, &body["message"]), (403, &json!("The API key is not valid")));
    }
    assert_eq!(delete(&other, OPERATOR_KEY, text(&acme["key_id"])).await.0, 404);
    assert_eq!(get(&one, KEY, "/api/v1/bots").await.0, 200, "others are valid");
}

#[tokio::test]
async fn a_deleted_key_is_refused_on_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), muster_embedded::Durability::Normal).unwrap();
    let store: Arc<dyn SessionStore> = Arc::new(store);
    a_deleted_key_is_refused(Arc::clone(&store), store).await;
}

#[tokio::test]
async fn a_deleted_key_is_refused_on_redis() {
    let Some(prefix) = Prefix::new() else { return };
    let (one, _) = RedisStore::open(prefix.settings()).await.unwrap();
    let (other, _) = RedisStore::open(prefix.settings()).await.unwrap();
    a_deleted_key_is_refused(Arc::new(one), Arc::new(other)).await;
}

#[tokio::test]
async fn the_operator_is_never_locked_out() {
    let (router, store) = server().await;
    let first = id_of(OPERATOR_KEY);
    let (status, message) = delete(&router, OPERATOR_KEY, &first).await;
    assert_eq!(status, 409);
    assert!(message.contains("last key of the tenant `default`") && message.contains("make one"), "{message}");
    let second = made(&router, "default").await;
    assert_eq!(delete(&router, OPERATOR_KEY, &first).await.0, 200, "it may delete itself");
    assert_eq!(get(&router, OPERATOR_KEY, KEYS).await.0, 403);
    assert_eq!(delete(&router, text(&second["key"]), text(&second["key_id"])).await.0, 409);
    // Those of others may all go.
    for key in [KEY, OTHER_KEY] {
        assert_eq!(delete(&router, text(&second["key"]), &id_of(key)).await.0, 200);
    }
    assert_eq!(store.keys().await.unwrap().len(), 1);
}

/// Every key is deleted after all were seen, 10 ms later, and what is left is looked for after all were deleted.
#[derive(Debug)]
struct Together {
    lists: std::sync::Mutex<u32>,
    look: Fault,
}

/// Two operators who delete their keys at once; the clients do not wait longer than this. How many were answered so, and how
/// many keys of theirs there are after all is done.
async fn both_deleted(look: Fault, wait: Duration) -> (Vec<u16>, usize) {
    let (router, store) = server().await;
    let second = made(&router, "default").await;
    let plan = Together { lists: std::sync::Mutex::default(), look };
    let slow = process(Arc::new(FaultyStore::new(Arc::new(store.clone()), Arc::new(plan))));
    let pairs = [(OPERATOR_KEY, id_of(OPERATOR_KEY)), (text(&second["key"]), text(&second["key_id"]).to_owned())];
    let all = join_all(pairs.iter().map(|(key, named)| delete(&slow, key, named)));
    let done = tokio::time::timeout(wait, all).await.unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = store.keys().await.unwrap().iter().filter(|key| key.tenant.as_str() == "default").count();
    (done.into_iter().map(|(status, _)| status).collect(), left)
}

impl Plan for Together {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        match operation {
            "delete_key" => Some(Fault::Delay(Duration::from_millis(10))),
            // The first of each of two is before its deletion.
            "keys" => {
                let mut lists = self.lists.lock().unwrap();
                *lists += 1;
                (*lists > 2).then_some(self.look)
            }
            _ => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_operators_who_delete_their_keys_at_once_leave_one() {
    let (look, patience) = (Fault::Delay(Duration::from_millis(10)), Duration::from_secs(1));
    let (done, left) = both_deleted(look, patience).await;
    let refused = done.iter().filter(|status| **status == 409).count();
    assert!(done.len() == 2 && left >= 1 && refused == left, "{done:?}, {left} left");
    // Both clients hang up between the deletions and the looks.
    let (done, left) = both_deleted(look, Duration::from_millis(15)).await;
    assert!(done.is_empty() && left >= 1, "{done:?}, {left} left");
    // Nobody can look.
    assert_eq!(both_deleted(Fault::Refuse, patience).await, (vec![503, 503], 2));
}

#[tokio::test]
async fn an_operators_key_whose_deletion_is_not_heard_of_is_put_back() {
    let (router, store) = server().await;
    made(&router, "default").await;
    let plan = Nth::new(1, Fault::LostAnswer).of("delete_key");
    let deaf = process(Arc::new(FaultyStore::new(Arc::new(store.clone()), Arc::new(plan))));
    assert_eq!(delete(&deaf, OPERATOR_KEY, &id_of(OPERATOR_KEY)).await.0, 503);
    assert!(store.key_by_hash(&keys::hash(OPERATOR_KEY)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_is_named_by_its_id_or_by_what_it_alone_begins_with() {
    let (router, store) = server().await;
    let now = Timestamp::from_millis(START_MS);
    let twins = ["our-key-of-2025", "our-key-of-2026"];
    for key in twins {
        store.put_key(&keys::record(key, TenantId::new("acme"), "", now)).await.unwrap();
    }
    let (status, message) = delete(&router, OPERATOR_KEY, "our-k").await;
    assert_eq!((status, &*message), (409, "key: 2 keys begin with our-k; say which by its key_id"));
    assert_eq!(delete(&router, OPERATOR_KEY, &id_of(twins[0])).await.0, 200);
    assert_eq!(delete(&router, OPERATOR_KEY, "our-k").await.0, 200);
    for unknown in ["our-k", "our", twins[0], "key_0", "%ff", &keys::hash(KEY)] {
        assert_eq!(delete(&router, OPERATOR_KEY, unknown).await, (404, "There is no such key".to_owned()), "{unknown}");
    }
}
