use axum::http::Method;
use muster_session::WorkerId;
use muster_session::job::Job;
use muster_store::{Ending, WorkerRecord};
use serde_json::Value;

use super::harness::{Api, KEY, OPERATOR_KEY};

const PATH: &str = "/api/v1/fleet/scaling";

/// What KEDA and others read: numbers, there in every answer.
const FIGURES: [&str; 14] = [
    "queued_unclaimed",
    "held",
    "waiting",
    "due_soon",
    "running",
    "slots",
    "free_slots",
    "active_percent",
    "workers",
    "workers_draining",
    "desired_workers",
    "workers_to_add",
    "workers_total",
    "launch_seconds",
];

async fn worker(api: &Api, id: &str, running: u32) {
    let now = api.state.clock.now();
    let record = WorkerRecord {
        id: WorkerId::new(id),
        host: "h".into(),
        version: "1".into(),
        capacity: 8,
        running,
        room: Some(8 - running),
        cpu_percent: None,
        memory_percent: Some(50),
        launch_ms: None,
        idle_since: None,
        bots: Value::Null,
        simulated: false,
        ending: Ending::Stays,
        started_at: now,
        seen_at: now,
        beat_ms: Some(2_000),
    };
    api.state.store.beat(&record).await.unwrap();
}

#[tokio::test]
async fn what_is_wanted_is_numbers_at_the_same_places_always() {
    let api = Api::start().await;
    let ask = async || api.call(Method::GET, PATH, &[("x-api-key", OPERATOR_KEY)], "").await.expect(200);
    let empty = ask().await;
    for figure in FIGURES {
        assert!(empty[figure].is_u64(), "{figure}: {empty}");
    }
    assert_eq!((empty["workers"].as_u64(), empty["workers_to_add"].as_u64()), (Some(0), Some(1)), "{empty}");
    assert_eq!((&empty["reason"], &empty["history"]), (&"bounds".into(), &Value::Array(Vec::new())));
    worker(&api, "a", 8).await;
    worker(&api, "b", 5).await;
    worker(&api, "c", 1).await;
    api.state.store.drain_worker(&WorkerId::new("c")).await.unwrap();
    for _ in 0..12 {
        let job = Job::Run { bot: api.bot().await, attempt: 1 };
        api.state.queue.send(&job, std::time::Duration::ZERO, None).await.unwrap();
    }
    let full = ask().await;
    for figure in FIGURES {
        assert!(full[figure].is_u64(), "{figure}: {full}");
    }
    let figures =
        ["queued_unclaimed", "running", "slots", "free_slots", "workers", "workers_draining", "active_percent"];
    assert_eq!(figures.map(|figure| full[figure].as_u64().unwrap()), [12, 14, 16, 3, 2, 1, 81], "{full}");
    // 13 run with those that take bots and 12 wait: 25 in fours of eight, of which two are there.
    let wanted = ["desired_workers", "workers_to_add", "workers_total"].map(|figure| full[figure].as_u64().unwrap());
    assert_eq!((wanted, full["reason"].as_str()), ([4, 2, 5], Some("queue")), "{full}");
    assert_eq!((&full["cpu_percent"], &full["memory_percent"]), (&Value::Null, &50.into()));
}

#[tokio::test]
async fn only_the_operator_is_told() {
    let api = Api::start().await;
    let ask = async |header: (&str, &str)| api.call(Method::GET, PATH, &[header], "").await.status;
    assert_eq!(ask(("x-api-key", OPERATOR_KEY)).await, 200);
    assert_eq!(ask(("authorization", &format!("Token {OPERATOR_KEY}"))).await, 200);
    assert_eq!(ask(("authorization", &format!("Token {KEY}"))).await, 403);
    assert_eq!(ask(("x-api-key", KEY)).await, 403);
    assert_eq!(ask(("x-api-key", "nobody's")).await, 403);
    assert_eq!(ask(("accept", "*/*")).await, 401);
    // Only here: elsewhere it is no key.
    let elsewhere = api.call(Method::GET, "/api/v1/workers", &[("x-api-key", OPERATOR_KEY)], "").await;
    assert_eq!(elsewhere.status, 401);
}
