use muster_session::protocol::Report;
use muster_store::{Attempt, DeliveryStatus};
use serde_json::{Value, json};

use super::harness::Api;

async fn ledger(api: &Api, bot: impl std::fmt::Display) -> Value {
    api.get(&format!("/api/v1/bots/{bot}/events")).await.expect(200)["events"].take()
}

#[tokio::test]
async fn the_ledger_shows_every_webhook_and_attempt() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"callback_url": "https://example.com/hook"})).await;
    assert_eq!(ledger(&api, bot).await, json!([]));
    api.acquire(bot).await;
    api.report(bot, Report::Admitted { at: api.now() }).await;
    let pending = api.state.store.pending_deliveries(bot, 10).await.unwrap();
    let url = Some("https://example.com/moved".parse().unwrap());
    let attempt = Attempt { at: api.now(), http_status: Some(503), latency_ms: 12, detail: "busy".into(), url };
    let next_at = api.now() + std::time::Duration::from_secs(5);
    api.state.store.record_attempt(pending[0].id, attempt, DeliveryStatus::Pending { next_at }).await.unwrap();

    let events = ledger(&api, bot).await;
    assert_eq!(events.as_array().unwrap().len(), 2);
    let first = &events[0];
    for (key, value) in [
        ("event", json!("bot.joining")),
        ("bot_event", json!("bot.joining")),
        ("sequence", json!(1)),
        ("url", json!("https://example.com/hook")),
        ("status", json!("pending")),
        ("next_attempt_at", json!(next_at.to_rfc3339())),
        ("event_id", first["body"]["event_id"].clone()),
        (
            "attempts",
            json!([{"at": api.now().to_rfc3339(), "http_status": 503, "latency_ms": 12, "detail": "busy",
                "url": "https://example.com/moved"}]),
        ),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(first["body"]["bot_id"], bot.to_string());
}

#[tokio::test]
async fn settled_webhooks_can_be_sent_again() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"callback_url": "https://example.com/hook"})).await;
    api.acquire(bot).await;
    api.report(bot, Report::Admitted { at: api.now() }).await;
    let replay = format!("/api/v1/bots/{bot}/events/replay");
    assert_eq!(api.post(&replay, &json!({})).await.expect(200)["replayed"], 0, "nothing is settled yet");
    for (delivery, status) in api
        .state
        .store
        .pending_deliveries(bot, 10)
        .await
        .unwrap()
        .iter()
        .zip([DeliveryStatus::Delivered, DeliveryStatus::Failed])
    {
        let attempt =
            Attempt { at: api.now(), http_status: Some(200), latency_ms: 1, detail: String::new(), url: None };
        api.state.store.record_attempt(delivery.id, attempt, status).await.unwrap();
    }
    let statuses = |events: &Value| -> Vec<String> {
        events.as_array().unwrap().iter().map(|e| e["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&ledger(&api, bot).await), ["delivered", "failed"]);
    let body = api.post(&replay, &json!({"sequence": 2})).await.expect(200);
    assert_eq!(body, json!({"bot_id": bot.to_string(), "replayed": 1}));
    assert_eq!(statuses(&ledger(&api, bot).await), ["delivered", "pending"]);
    let auth = format!("Token {}", super::harness::KEY);
    let reply = api.call(axum::http::Method::POST, &replay, &[("authorization", &auth)], "").await;
    assert_eq!(reply.expect(200)["replayed"], 1, "no body means everything");
    for body in [json!({"sequence": 0}), json!({"sequence": "1"}), json!([])] {
        api.post(&replay, &body).await.refusal(400);
    }
}
