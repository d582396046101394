//! What a tenant may have at a time: bots, places in line, requests.

use std::num::NonZeroU32;

use axum::http::Method;
use muster_server::config::{Beyond, Tier, Tiers};
use muster_server::roles::control::{self, Schedule};
use muster_session::{BotId, EndReason, TenantId};
use serde_json::{Value, json};

use super::harness::{Api, MEET, OPERATOR_KEY, OTHER_KEY};

const LATER: &str = "2026-09-21T18:00:00.000Z";

fn tier(concurrency: u64) -> Tier {
    Tier { concurrency: Some(concurrency), ..Tier::default() }
}

async fn start(tier: Tier) -> Api {
    Api::start_limited(true, Tiers::new(Tier::default(), [(TenantId::new("first"), tier)])).await
}

/// One pass of the control role.
async fn pass(api: &Api) {
    control::step(&api.backend, &mut Schedule::default()).await.unwrap();
}

async fn detail(api: &Api, bot: BotId) -> Value {
    api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200)["bot_details"].take()
}

/// Bots whose jobs are on their way to a worker.
async fn sent(api: &Api) -> Vec<BotId> {
    api.state.store.outbox(api.now(), 100).await.unwrap().into_iter().map(|entry| entry.job.bot()).collect()
}

#[tokio::test]
async fn beyond_its_limit_a_bot_waits_in_line_until_another_is_out() {
    let api = start(tier(2)).await;
    let (first, second) = (api.bot().await, api.bot().await);
    let reply = api.create(&json!({"meeting_link": MEET})).await.expect(201);
    assert_eq!(reply["status"], "Active", "as any other");
    let third: BotId = reply["bot_id"].as_str().unwrap().parse().unwrap();
    let fourth = api.bot().await;
    assert_eq!(sent(&api).await, [first, second]);
    let queue = detail(&api, fourth).await["queue"].take();
    assert_eq!((&queue["waits_for"], &queue["ahead"], &queue["position"]), (&json!("place"), &json!(3), &json!(4)));
    assert_eq!(queue["eta_seconds"], Value::Null, "there is no worker");
    let queue = detail(&api, first).await["queue"].take();
    assert_eq!((&queue["waits_for"], &queue["ahead"]), (&json!("worker"), &json!(1)));
    // Another tenant has its own.
    let (auth, body) = ("Token mst_key-of-the-other-tenant", json!({"meeting_link": MEET}).to_string());
    let reply = api.call(Method::POST, "/api/v1/bots/create_bot", &[("authorization", auth)], body).await.expect(201);
    assert_eq!(sent(&api).await[2].to_string(), reply["bot_id"]);

    pass(&api).await;
    assert!(api.session(third).await.held && sent(&api).await.len() == 3, "nobody is out yet");
    api.record(first).await;
    assert_eq!(detail(&api, first).await.get("queue"), None, "it does not wait");
    api.end(first, EndReason::HostEnded).await;
    pass(&api).await;
    assert_eq!(sent(&api).await.iter().filter(|bot| **bot == third).count(), 1, "the longest waiting");
    assert!(!api.session(third).await.held && api.session(fourth).await.held);
    api.acquire(third).await;
    // One that is asked to leave while it waits is over at once.
    api.get(&format!("/api/v1/bots/{fourth}/remove_bot")).await.expect(200);
    assert_eq!(detail(&api, fourth).await["Status"], "Done");
    let loads = api.state.store.loads().await.unwrap();
    assert_eq!(loads.iter().map(|load| (load.taken, load.held)).collect::<Vec<_>>(), [(2, 0), (1, 0)]);
}

#[tokio::test]
async fn who_wants_no_line_is_refused_and_told_when_to_try_again() {
    let api = start(Tier { beyond: Beyond::Refuse, ..tier(1) }).await;
    let body = json!({"meeting_link": MEET});
    let first = api.create_with_key("once", &body).await.expect(201);
    let refused = api.create(&body).await;
    assert_eq!(refused.headers["retry-after"], "1800", "as long as a call is thought to take");
    let message = refused.refusal(429);
    assert!(message.contains("concurrency") && message.contains(" 1 bots"), "{message}");
    // What was answered is answered again.
    assert_eq!(api.create_with_key("once", &body).await.expect(507)["bot_id"], first["bot_id"]);
    // A scheduled bot takes no place yet; one that is to come at once does.
    let later = api.bot_with(json!({"join_at": LATER})).await;
    let path = format!("/api/v1/calendar/scheduled_bots/{later}");
    let now = json!({"scheduled_join_time": "2020-01-01T00:00:00Z"});
    let refused = api.with_body(Method::PATCH, &path, &now).await;
    assert_eq!(refused.headers["retry-after"], "1800", "as for a create");
    let message = refused.refusal(429);
    assert!(message.contains("concurrency") && message.contains(" 1 bots"), "{message}");
    assert_eq!(detail(&api, later).await["join_at"], LATER, "nothing was changed");
    let first = first["bot_id"].as_str().unwrap().parse().unwrap();
    api.record(first).await;
    api.end(first, EndReason::HostEnded).await;
    api.with_body(Method::PATCH, &path, &now).await.expect(200);
    assert!(sent(&api).await.contains(&later));
    assert_eq!(api.create(&body).await.status, 429);
}

/// Where the fleet is full and not the tenant, a bot waits for the fleet; but no more than the tenant may have.
#[tokio::test]
async fn who_wants_no_line_has_no_more_in_it_than_its_limit() {
    const HALF: u64 = muster_fleet::fair::AHEAD / 2;
    let api = start(Tier { beyond: Beyond::Refuse, ..tier(12) }).await;
    let body = json!({"meeting_link": MEET});
    // There is no worker. The other tenant wants more than may be on its way to one, of which each has half.
    let (auth, text) = (format!("Token {OTHER_KEY}"), body.to_string());
    for _ in 0..=muster_fleet::fair::AHEAD {
        let headers = [("authorization", auth.as_str())];
        api.call(Method::POST, "/api/v1/bots/create_bot", &headers, text.clone()).await.expect(201);
    }
    let later = api.bot_with(json!({"join_at": LATER})).await;
    let mut bots = Vec::new();
    for _ in 0..11 {
        bots.push(api.bot().await);
    }
    let last = api.create_with_key("once", &body).await.expect(201);
    let own = async || {
        let loads = api.state.store.loads().await.unwrap();
        loads.iter().find(|load| load.tenant.as_str() == "first").map(|load| (load.taken, load.held)).unwrap()
    };
    assert_eq!(own().await, (HALF, 12 - HALF), "they wait for the fleet");
    for _ in 0..2 {
        let refused = api.create(&body).await;
        assert_eq!(refused.headers["retry-after"], "225", "the eighth part of 1,800 s: the next of its own to end");
        let message = refused.refusal(429);
        assert!(message.contains("concurrency") && message.contains(" 12 bots"), "{message}");
    }
    assert_eq!(api.create_with_key("once", &body).await.expect(507)["bot_id"], last["bot_id"]);
    let path = format!("/api/v1/calendar/scheduled_bots/{later}");
    let now = json!({"scheduled_join_time": "2020-01-01T00:00:00Z"});
    let refused = api.with_body(Method::PATCH, &path, &now).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"225".parse().unwrap()));
    assert_eq!(own().await, (HALF, 12 - HALF), "nothing was added");
    // One ends, and there is room in line for one more.
    api.record(bots[0]).await;
    api.end(bots[0], EndReason::HostEnded).await;
    api.with_body(Method::PATCH, &path, &now).await.expect(200);
    assert!(api.session(later).await.held);
    assert_eq!(api.create(&body).await.status, 429);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused() {
    let api = start(Tier { max_waiting: 2, ..tier(1) }).await;
    let body = json!({"meeting_link": MEET});
    api.bot().await;
    let waits = api.create_with_key("once", &body).await.expect(201);
    api.bot().await;
    let refused = api.create(&body).await;
    assert!(refused.headers.contains_key("retry-after"));
    let message = refused.refusal(429);
    assert!(message.contains("max_waiting") && message.contains(" 2 "), "{message}");
    assert_eq!(api.create_with_key("once", &body).await.expect(507)["bot_id"], waits["bot_id"]);
    api.bot_with(json!({"join_at": LATER})).await;
}

#[tokio::test]
async fn a_bot_rescheduled_to_now_waits_in_line_if_there_is_no_place() {
    let api = start(tier(1)).await;
    let (first, later) = (api.bot().await, api.bot_with(json!({"join_at": LATER})).await);
    let path = format!("/api/v1/calendar/scheduled_bots/{later}");
    let now = json!({"scheduled_join_time": "2020-01-01T00:00:00Z", "bot_username": "Early"});
    api.with_body(Method::PATCH, &path, &now).await.expect(200);
    let session = api.session(later).await;
    assert!(session.held && session.bot_name == "Early", "{session:?}");
    assert_eq!(sent(&api).await, [first]);
    api.delete(&path).await.refusal(404);
}

#[tokio::test]
async fn every_answer_under_a_key_says_how_many_requests_are_left() {
    let requests_per_minute = NonZeroU32::new(3);
    let api = start(Tier { requests_per_minute, ..Tier::default() }).await;
    for left in ["2", "1", "0"] {
        let reply = api.get("/api/v1/bots/no-bot/detail").await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.headers["x-ratelimit-remaining"], left);
        assert_eq!(reply.headers["x-ratelimit-limit"], "3");
        assert_eq!(reply.headers["ratelimit-policy"], "\"requests\";q=3;w=60");
        assert!(reply.headers["ratelimit"].to_str().unwrap().starts_with(&format!("\"requests\";r={left};t=")));
        let reset: i64 = reply.headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&(reset - api.now().as_millis() / 1_000)), "{reset}");
    }
    let refused = api.get("/api/v1/bots").await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.headers["x-ratelimit-remaining"], "0");
    assert!(refused.refusal(429).contains("the limit is 3 in a minute"));
    // Others are others, and what has no key is not counted.
    assert_eq!(api.get_as_other("/api/v1/bots").await.status, 200);
    for (path, key) in [("/healthz", ""), ("/readyz", ""), ("/api/v1/bots", "Token wrong")] {
        let reply = api.call(Method::GET, path, &[("authorization", key)], "").await;
        assert!(!reply.headers.contains_key("x-ratelimit-limit"), "{path}");
        assert_ne!(reply.status, 429);
    }
}

#[tokio::test]
async fn the_operator_sees_the_line() {
    let api = start(Tier { weight: 3, ..tier(1) }).await;
    for _ in 0..2 {
        api.bot().await;
    }
    let message = api.get("/api/v1/fleet/line").await.refusal(403);
    assert!(message.contains("operator"), "{message}");
    let auth = format!("Token {OPERATOR_KEY}");
    let line = api.call(Method::GET, "/api/v1/fleet/line", &[("authorization", &auth)], "").await.expect(200);
    let wanted = json!({
        "capacity": 0, "running": 0, "wanting": 0, "stay_seconds": 1_800, "lead_seconds": null,
        "tenants": [{"tenant": "first", "taken": 1, "held": 1, "limit": 1, "weight": 3}],
    });
    assert_eq!(line, wanted);
}
