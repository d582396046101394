//! Webhooks of a tenant: endpoints, ledger, replay, inbox.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use muster_hooks::sign::SigningSecret;
use muster_session::{BotId, EndpointId, Input, TenantId, WorkerId};
use muster_store::{
    Attempt, Commit, DeliveryState, DeliveryStatus, Disabled, Endpoint, EndpointSecret, InboxEntry, InboxOutcome,
};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::harness::{Api, KEY, OTHER_KEY};

const ENDPOINTS: &str = "/api/v1/webhook_endpoints";
const REPLAY: &str = "/api/v1/webhooks/replay";
const HOOK: &str = "https://example.com/hook";

async fn endpoint(api: &Api, more: Value) -> Value {
    let mut body = json!({"url": "https://example.com/all"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.post(ENDPOINTS, &body).await.expect(201)
}

fn at(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", endpoint["endpoint_id"].as_str().unwrap())
}

fn record(number: u128) -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(number)),
        tenant: TenantId::new("first"),
        version: 0,
        url: "https://example.com/all".parse().unwrap(),
        description: String::new(),
        events: Vec::new(),
        secrets: vec![EndpointSecret { secret: "whsec_x".into(), until: None }],
        created_at: muster_session::Timestamp::from_millis(1),
        failing_since: None,
        disabled: None,
    }
}

/// The bot is claimed, and its `bot.joining` goes to these endpoints too.
async fn joining(api: &Api, bot: BotId, endpoints: Vec<Endpoint>) {
    let mut session = api.session(bot).await;
    let acquire = Input::Acquire { owner: WorkerId::new("w1"), ttl: Duration::from_secs(60), attempt: 1 };
    session.apply(acquire, api.now()).unwrap();
    let report = muster_session::protocol::Report::Joining { at: api.now(), simulated: false };
    let fencing = session.fencing;
    let outcome = session.apply(Input::Report { fencing, report }, api.now()).unwrap();
    let commit = Commit { endpoints: endpoints.into(), ..Commit::new(session, outcome, api.now()) };
    api.state.store.commit(commit).await.unwrap();
}

/// Every pending delivery of the bot comes to this end.
async fn settle(api: &Api, bot: BotId, status: DeliveryStatus) {
    for delivery in api.state.store.pending_deliveries(bot, 10_000).await.unwrap() {
        let attempt =
            Attempt { at: api.now(), http_status: Some(500), latency_ms: 1, detail: String::new(), url: None };
        api.state.store.record_attempt(delivery.id, attempt, status).await.unwrap();
    }
}

async fn pending(api: &Api, bot: BotId) -> usize {
    let deliveries = api.state.store.deliveries(bot).await.unwrap();
    deliveries.iter().filter(|delivery| delivery.status.state() == DeliveryState::Pending).count()
}

#[tokio::test]
async fn an_endpoint_is_made_shown_changed_and_removed() {
    let api = Api::start().await;
    let made = endpoint(&api, json!({"events": ["bot.*", "bot.done", "bot.*"], "description": "for all"})).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    SigningSecret::parse(secret).unwrap();
    let mut want = made.clone();
    want.as_object_mut().unwrap().remove("secret");
    for (key, value) in [
        ("url", json!("https://example.com/all")),
        ("events", json!(["bot.*", "bot.done"])),
        ("description", json!("for all")),
        ("created_at", json!(api.now().to_rfc3339())),
        ("disabled", json!(false)),
        ("failing_since", Value::Null),
        ("old_secrets_until", Value::Null),
    ] {
        assert_eq!(want[key], value, "{key}");
    }
    assert_eq!(api.get(&at(&made)).await.expect(200), want, "the secret is shown once");
    assert_eq!(api.get(ENDPOINTS).await.expect(200), json!({"webhook_endpoints": [want]}));

    let change = json!({"url": "https://example.com/new", "events": [], "description": "", "disabled": true});
    let changed = api.with_body(Method::PATCH, &at(&made), &change).await.expect(200);
    for (key, value) in change.as_object().unwrap() {
        assert_eq!(changed[key], *value, "{key}");
    }
    assert_eq!(changed["disabled_at"], api.now().to_rfc3339());
    assert_eq!(api.get(&at(&made)).await.expect(200), changed);

    api.delete(&at(&made)).await.expect(200);
    for reply in [api.get(&at(&made)).await, api.delete(&at(&made)).await] {
        assert_eq!(reply.refusal(404), "There is no such webhook endpoint");
    }
    assert_eq!(api.get(ENDPOINTS).await.expect(200), json!({"webhook_endpoints": []}));
}

#[tokio::test]
async fn enabling_forgets_the_failures() {
    let api = Api::start().await;
    let made = endpoint(&api, json!({})).await;
    let id = made["endpoint_id"].as_str().unwrap().parse().unwrap();
    let mut stored = api.state.store.endpoint(id).await.unwrap().unwrap();
    stored.failing_since = Some(api.now());
    stored.disabled = Some(Disabled { at: api.now(), reason: "gone".into() });
    api.state.store.put_endpoint(stored).await.unwrap();
    let shown = api.get(&at(&made)).await.expect(200);
    assert_eq!((&shown["disabled"], &shown["disabled_reason"]), (&json!(true), &json!("gone")));
    let enabled = api.with_body(Method::PATCH, &at(&made), &json!({"disabled": false})).await.expect(200);
    for key in ["disabled_at", "disabled_reason", "failing_since"] {
        assert_eq!(enabled[key], Value::Null, "{key}");
    }
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let api = Api::start().await;
    let made = endpoint(&api, json!({})).await;
    let id: EndpointId = made["endpoint_id"].as_str().unwrap().parse().unwrap();
    let rotate = format!("{}/rotate_secret", at(&made));
    let rotated = api.post(&rotate, &json!({"overlap_seconds": 60})).await.expect(200);
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(rotated["old_secrets_until"], (api.now() + Duration::from_secs(60)).to_rfc3339());
    let signing = async || {
        let stored = api.state.store.endpoint(id).await.unwrap().unwrap();
        stored.secrets_at(api.now()).map(|secret| json!(secret)).collect::<Vec<_>>()
    };
    assert_eq!(signing().await, [rotated["secret"].clone(), made["secret"].clone()]);
    api.advance(Duration::from_secs(60));
    assert_eq!(signing().await, [rotated["secret"].clone()]);
    assert_eq!(api.get(&at(&made)).await.expect(200)["old_secrets_until"], Value::Null);
    let auth = format!("Token {KEY}");
    let again = api.call(Method::POST, &rotate, &[("authorization", &auth)], "").await.expect(200);
    let day = Duration::from_secs(86_400);
    assert_eq!(again["old_secrets_until"], (api.now() + day).to_rfc3339(), "a day unless asked for less");
}

#[tokio::test]
async fn a_test_reaches_the_endpoint_signed_and_leaves_nothing() {
    let api = Api::start().await;
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let receiver = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
        tell.send((headers, body)).unwrap();
        (StatusCode::ACCEPTED, "thanks")
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, receiver).await.unwrap() }));

    let made = endpoint(&api, json!({"events": ["bot.done"]})).await;
    let test = format!("{}/test", at(&made));
    let id = made["endpoint_id"].as_str().unwrap().parse().unwrap();
    let mut stored = api.state.store.endpoint(id).await.unwrap().unwrap();
    stored.url = url.parse().unwrap();
    stored.disabled = Some(Disabled { at: api.now(), reason: "for now".into() });
    api.state.store.put_endpoint(stored).await.unwrap();
    let answer = api.post(&test, &json!({})).await.expect(200);
    assert_eq!(
        (&answer["delivered"], &answer["http_status"], &answer["detail"]),
        (&json!(true), &json!(202), &json!("thanks"))
    );
    let (headers, body) = heard.recv().await.unwrap();
    SigningSecret::parse(made["secret"].as_str().unwrap()).unwrap().verify(&headers, &body, api.now()).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["event"], &body["endpoint_id"]), (&json!("webhook.test"), &made["endpoint_id"]));
    assert_eq!(api.get("/api/v1/webhooks").await.expect(200)["webhooks"], json!([]));

    let mut stored = api.state.store.endpoint(id).await.unwrap().unwrap();
    stored.url = "http://10.0.0.1/".parse().unwrap();
    api.state.store.put_endpoint(stored).await.unwrap();
    let refused = api.post(&test, &json!({})).await.expect(200);
    assert_eq!((&refused["delivered"], &refused["http_status"]), (&json!(false), &Value::Null));
    let auth = format!("Token {OTHER_KEY}");
    api.call(Method::POST, &test, &[("authorization", &auth)], "").await.refusal(404);
}

#[tokio::test]
async fn a_tenant_has_fifty_endpoints_however_many_ask_at_once() {
    let api = Api::start().await;
    for _ in 0..48 {
        endpoint(&api, json!({})).await;
    }
    let body = json!({"url": "https://example.com/all"});
    let replies = futures_util::future::join_all((0..8).map(|_| api.post(ENDPOINTS, &body))).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 2);
    assert!(replies.iter().all(|reply| matches!(reply.status, 201 | 409)));
    assert!(api.post(ENDPOINTS, &body).await.refusal(409).contains("at most 50"));
    assert_eq!(api.get(ENDPOINTS).await.expect(200)["webhook_endpoints"].as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn another_tenant_sees_none_of_it() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"callback_url": HOOK})).await;
    let made = endpoint(&api, json!({})).await;
    joining(&api, bot, Vec::new()).await;
    settle(&api, bot, DeliveryStatus::Failed).await;
    api.state.store.receive(entry("theirs:1", InboxOutcome::Late, api.now())).await.unwrap();
    let event = api.get("/api/v1/webhooks").await.expect(200)["webhooks"][0]["event_id"].clone();
    let event = event.as_str().unwrap();
    for path in [at(&made), format!("/api/v1/webhooks/{event}"), "/api/v1/inbox/theirs:1".to_owned()] {
        api.get(&path).await.expect(200);
        api.get_as_other(&path).await.refusal(404);
    }
    assert_eq!(api.get_as_other(ENDPOINTS).await.expect(200)["webhook_endpoints"], json!([]));
    assert_eq!(api.get_as_other("/api/v1/webhooks").await.expect(200)["webhooks"], json!([]));
    let nothing = json!({"entries": [], "next_cursor": null, "counts": []});
    assert_eq!(api.get_as_other("/api/v1/inbox").await.expect(200), nothing);
    let auth = format!("Token {OTHER_KEY}");
    let as_other = async |method: Method, path: &str, body: Value| {
        api.call(method, path, &[("authorization", &auth)], body.to_string()).await
    };
    as_other(Method::PATCH, &at(&made), json!({"disabled": true})).await.refusal(404);
    as_other(Method::DELETE, &at(&made), json!({})).await.refusal(404);
    as_other(Method::POST, &format!("{}/rotate_secret", at(&made)), json!({})).await.refusal(404);
    as_other(Method::POST, REPLAY, json!({"event_id": event})).await.refusal(404);
    as_other(Method::POST, REPLAY, json!({"bot_id": bot.to_string()})).await.refusal(404);
    let range = as_other(Method::POST, REPLAY, json!({"from": "2026-01-01T00:00:00Z"})).await.expect(200);
    assert_eq!(range, json!({"replayed": 0, "next_cursor": null}));
    assert_eq!(pending(&api, bot).await, 0);
}

#[tokio::test]
async fn wrong_requests_name_what_is_wrong() {
    let api = Api::start().await;
    let made = endpoint(&api, json!({})).await;
    let (one, rotate) = (at(&made), format!("{}/rotate_secret", at(&made)));
    let url = "https://example.com/all";
    for (method, path, body, says) in [
        (Method::POST, ENDPOINTS, json!({}), "url: required"),
        (Method::POST, ENDPOINTS, json!([]), "body: expected a JSON object"),
        (Method::POST, ENDPOINTS, json!({"url": 5}), "url: expected a https:// or http:// URL"),
        (Method::POST, ENDPOINTS, json!({"url": "ftp://example.com"}), "url: expected a https://"),
        (Method::POST, ENDPOINTS, json!({"url": "http://10.0.0.1/"}), "url: "),
        (Method::POST, ENDPOINTS, json!({"url": url, "events": "bot.*"}), "events: expected an array"),
        (
            Method::POST,
            ENDPOINTS,
            json!({"url": url, "events": ["bot.done", "bot.dome"]}),
            "events[1]: expected one of bot.sch",
        ),
        (Method::POST, ENDPOINTS, json!({"url": url, "events": [7]}), "events[0]: "),
        (Method::POST, ENDPOINTS, json!({"url": url, "events": vec!["*"; 51]}), "events: expected at most 50"),
        (
            Method::POST,
            ENDPOINTS,
            json!({"url": url, "description": "x".repeat(501)}),
            "description: expected a text of 1 to 500",
        ),
        (Method::PATCH, &one, json!({}), "at least one of url, events, description, disabled"),
        (Method::PATCH, &one, json!({"disabled": "yes"}), "disabled: expected true or false"),
        (Method::PATCH, &one, json!({"url": "nowhere"}), "url: expected"),
        (
            Method::POST,
            &rotate,
            json!({"overlap_seconds": 604_801}),
            "overlap_seconds: expected an integer from 0 to 604800",
        ),
        (Method::POST, &rotate, json!({"overlap_seconds": -1}), "overlap_seconds: "),
        (Method::POST, REPLAY, json!({}), "event_id, bot_id, from: expected exactly one"),
        (Method::POST, REPLAY, json!({"event_id": "evt_1", "from": "2026-01-01T00:00:00Z"}), "expected exactly one"),
        (Method::POST, REPLAY, json!({"bot_id": "b"}), "bot_id: expected the id of a bot"),
        (Method::POST, REPLAY, json!({"from": "soon"}), "from: expected a time"),
        (
            Method::POST,
            REPLAY,
            json!({"bot_id": Uuid::nil(), "to": "2026-01-01T00:00:00Z"}),
            "to: expected a from with it",
        ),
        (
            Method::POST,
            REPLAY,
            json!({"from": "2026-01-01T00:00:00Z", "state": "pending"}),
            "state: expected one of failed",
        ),
        (
            Method::POST,
            REPLAY,
            json!({"from": "2026-01-01T00:00:00Z", "endpoint_id": 1}),
            "endpoint_id: expected the id",
        ),
        (Method::POST, REPLAY, json!({"from": "2026-01-01T00:00:00Z", "cursor": "x"}), "cursor: "),
        (Method::GET, "/api/v1/webhooks?state=sent", json!({}), "state: expected one of pending, delivered, failed"),
        (
            Method::GET,
            "/api/v1/webhooks?endpoint_id=x",
            json!({}),
            "endpoint_id: expected the id of a webhook endpoint",
        ),
        (Method::GET, "/api/v1/webhooks?from=x", json!({}), "from: expected a day"),
        (Method::GET, "/api/v1/webhooks?limit=101", json!({}), "limit: expected an integer from 1 to 100"),
        (Method::GET, "/api/v1/webhooks?cursor=x", json!({}), "cursor: "),
        (
            Method::GET,
            "/api/v1/inbox?outcome=x",
            json!({}),
            "outcome: expected one of applied, late, no_session, unknown",
        ),
        (Method::GET, "/api/v1/inbox?limit=0", json!({}), "limit: expected an integer from 1 to 100"),
        (Method::GET, "/api/v1/inbox?cursor=x", json!({}), "cursor: "),
    ] {
        let message = api.with_body(method.clone(), path, &body).await.refusal(400);
        assert!(message.contains(says), "{method} {path} {body}: {message}");
        assert!(message.len() < 2_000, "{message}");
    }
    for (method, path, body) in [
        (Method::GET, format!("{ENDPOINTS}/x"), json!({})),
        (Method::PATCH, format!("{ENDPOINTS}/{}", Uuid::nil()), json!({"disabled": true})),
        (Method::GET, "/api/v1/webhooks/evt_x".to_owned(), json!({})),
        (Method::GET, format!("/api/v1/webhooks/evt_{}_1", Uuid::nil().as_simple()), json!({})),
        (Method::GET, "/api/v1/inbox/x".to_owned(), json!({})),
        (Method::POST, REPLAY.to_owned(), json!({"event_id": "evt_x"})),
        (Method::POST, REPLAY.to_owned(), json!({"bot_id": Uuid::nil()})),
    ] {
        api.with_body(method, &path, &body).await.refusal(404);
    }
}

#[tokio::test]
async fn the_ledger_of_all_bots_is_filtered_and_paged() {
    let api = Api::start().await;
    let (known, other) = (record(7), record(8));
    let mut bots = Vec::new();
    for _ in 0..3 {
        let bot = api.bot_with(json!({"callback_url": HOOK})).await;
        joining(&api, bot, vec![known.clone()]).await;
        bots.push(bot);
        api.advance(Duration::from_secs(60));
    }
    settle(&api, bots[0], DeliveryStatus::Failed).await;
    let of = async |query: &str| {
        let page = api.get(&format!("/api/v1/webhooks?{query}")).await.expect(200);
        let bots: Vec<String> =
            page["webhooks"].as_array().unwrap().iter().map(|one| one["bot_id"].as_str().unwrap().to_owned()).collect();
        (bots, page["next_cursor"].clone())
    };
    let [first, second, third] = [0, 1, 2].map(|index| bots[index].to_string());
    let two = |bot: &String| vec![bot.clone(); 2];
    assert_eq!(of("").await, ([two(&third), two(&second), two(&first)].concat(), Value::Null));
    assert_eq!(of("state=failed").await.0, two(&first));
    assert_eq!(of("state=delivered").await.0, Vec::<String>::new());
    assert_eq!(of(&format!("endpoint_id={}", known.id)).await.0, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(of(&format!("endpoint_id={}", other.id)).await.0, Vec::<String>::new());
    assert_eq!(of("event=bot.joining&state=failed").await.0, two(&first));
    assert_eq!(of("event=bot.done").await.0, Vec::<String>::new());
    assert_eq!(of("from=2026-09-21T14:14:00Z&to=2026-09-21T14:15:00Z").await.0, two(&second));
    let (page, cursor) = of("limit=4").await;
    assert_eq!(page, [two(&third), two(&second)].concat());
    assert_eq!(of(&format!("limit=4&cursor={}", cursor.as_str().unwrap())).await, (two(&first), Value::Null));

    let all = api.get("/api/v1/webhooks?state=failed").await.expect(200);
    let event = all["webhooks"][0]["event_id"].as_str().unwrap();
    let shown = api.get(&format!("/api/v1/webhooks/{event}")).await.expect(200);
    assert_eq!(shown["event_id"], event);
    let mut addresses: Vec<_> =
        shown["deliveries"].as_array().unwrap().iter().map(|one| one["endpoint_id"].clone()).collect();
    addresses.sort_by_key(Value::is_string);
    assert_eq!(addresses, [Value::Null, json!(known.id.to_string())]);
}

#[tokio::test]
async fn webhooks_are_sent_again_by_event_bot_and_time() {
    let api = Api::start().await;
    let known = record(7);
    let bot = api.bot_with(json!({"callback_url": HOOK})).await;
    joining(&api, bot, vec![known.clone()]).await;
    let event = api.get("/api/v1/webhooks").await.expect(200)["webhooks"][0]["event_id"].clone();
    let replay = async |body: Value| api.post(REPLAY, &body).await.expect(200)["replayed"].as_u64().unwrap();
    let from = json!("2026-01-01T00:00:00Z");
    for (status, body, want) in [
        (None, json!({"event_id": event}), 0),
        (Some(DeliveryStatus::Failed), json!({"event_id": event, "endpoint_id": known.id}), 1),
        (Some(DeliveryStatus::Failed), json!({"event_id": event}), 2),
        (Some(DeliveryStatus::Delivered), json!({"bot_id": bot, "state": "failed"}), 0),
        (Some(DeliveryStatus::Delivered), json!({"bot_id": bot, "state": "delivered"}), 2),
        (Some(DeliveryStatus::Delivered), json!({"bot_id": bot}), 2),
        (Some(DeliveryStatus::Delivered), json!({"from": from}), 0),
        (Some(DeliveryStatus::Delivered), json!({"from": from, "state": "settled", "endpoint_id": known.id}), 1),
        (Some(DeliveryStatus::Failed), json!({"from": from, "to": "2026-02-01T00:00:00Z"}), 0),
        // The other one was delivered.
        (Some(DeliveryStatus::Failed), json!({"from": from}), 1),
    ] {
        if let Some(status) = status {
            settle(&api, bot, status).await;
        }
        assert_eq!(replay(body.clone()).await, want, "{body}");
    }
    assert_eq!(pending(&api, bot).await, 1);
}

#[tokio::test]
async fn a_long_replay_goes_on_where_it_stopped() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"callback_url": HOOK})).await;
    joining(&api, bot, (1..=1_200).map(record).collect()).await;
    for request in [json!({"bot_id": bot}), json!({"from": "2026-01-01T00:00:00Z"})] {
        settle(&api, bot, DeliveryStatus::Failed).await;
        let mut request = request;
        let first = api.post(REPLAY, &request).await.expect(200);
        assert_eq!(first["replayed"], 1_000);
        request["cursor"] = first["next_cursor"].clone();
        assert_eq!(api.post(REPLAY, &request).await.expect(200), json!({"replayed": 201, "next_cursor": null}));
        assert_eq!(pending(&api, bot).await, 1_201);
    }
}

fn entry(key: &str, outcome: InboxOutcome, at: muster_session::Timestamp) -> InboxEntry {
    InboxEntry {
        key: key.into(),
        tenant: TenantId::new("first"),
        source: key.split(':').next().unwrap().into(),
        event: "bot.joining".into(),
        outcome,
        bot: None,
        received_at: at,
        produced_at: Some(at - Duration::from_secs(1)),
        detail: "for people".into(),
        body: "{}".into(),
    }
}

#[tokio::test]
async fn the_inbox_is_filtered_paged_and_counted() {
    let api = Api::start().await;
    for (key, outcome) in [
        ("recall:msg_1", InboxOutcome::Applied),
        ("recall:msg/2 %41?", InboxOutcome::NoSession),
        ("zoom:3", InboxOutcome::Applied),
    ] {
        assert!(api.state.store.receive(entry(key, outcome, api.now())).await.unwrap());
        api.advance(Duration::from_secs(60));
    }
    let of = async |query: &str| {
        let page = api.get(&format!("/api/v1/inbox?{query}")).await.expect(200);
        let keys: Vec<String> =
            page["entries"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
        (keys, page["next_cursor"].clone())
    };
    assert_eq!(of("").await.0, ["zoom:3", "recall:msg/2 %41?", "recall:msg_1"]);
    assert_eq!(of("source=recall&outcome=applied").await.0, ["recall:msg_1"]);
    assert_eq!(of("from=2026-09-21T14:14:00Z&to=2026-09-21T14:15:00Z").await.0, ["recall:msg/2 %41?"]);
    let (page, cursor) = of("limit=2").await;
    assert_eq!(page, ["zoom:3", "recall:msg/2 %41?"]);
    let rest = of(&format!("limit=2&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(rest, (vec!["recall:msg_1".to_owned()], Value::Null));
    let mut counts = api.get("/api/v1/inbox").await.expect(200)["counts"].as_array().unwrap().clone();
    counts.sort_by_key(Value::to_string);
    assert_eq!(counts.len(), 3);
    assert!(counts.contains(&json!({"source": "recall", "outcome": "no_session", "count": 1})));

    let shown = api.get("/api/v1/inbox/recall%3Amsg%2F2%20%2541%3F").await.expect(200);
    let want = json!({
        "key": "recall:msg/2 %41?", "source": "recall", "event": "bot.joining", "outcome": "no_session", "bot_id": null,
        "received_at": "2026-09-21T14:14:20.000Z", "produced_at": "2026-09-21T14:14:19.000Z", "detail": "for people", "body": "{}",
    });
    assert_eq!(shown, want);
}
