use std::collections::BTreeMap;

use serde_json::json;
use tokio::task::JoinSet;

use super::harness::{Api, MEET};

/// 100 first calls with one key, at once: one bot, one 201, 99 replays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_idempotent_creates_make_one_bot() {
    let api = std::sync::Arc::new(Api::start().await);
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let api = std::sync::Arc::clone(&api);
        calls.spawn(async move {
            let body = json!({"meeting_link": MEET, "bot_name": format!("Bot {number}")});
            let reply = api.create_with_key("one-key", &body).await;
            (reply.status, reply.json()["bot_id"].as_str().unwrap().to_owned())
        });
    }
    let replies = calls.join_all().await;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, bot) in &replies {
        *statuses.entry(*status).or_default() += 1;
        assert_eq!(bot, &replies[0].1);
    }
    assert_eq!(statuses, BTreeMap::from([(201, 1), (507, 99)]));
    let page = api.get("/api/v1/bots?limit=100").await.expect(200);
    assert_eq!(page["bots"].as_array().unwrap().len(), 1);
    assert_eq!(api.state.store.outbox(api.now(), 10).await.unwrap().len(), 1, "one job");
}
