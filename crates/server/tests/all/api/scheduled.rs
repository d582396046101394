use axum::http::Method;
use muster_session::Input;
use serde_json::{Value, json};

use super::harness::Api;

const LATER: &str = "2026-09-21T18:00:00.000Z";

fn path(bot: impl std::fmt::Display) -> String {
    format!("/api/v1/calendar/scheduled_bots/{bot}")
}

#[tokio::test]
async fn the_list_has_the_scheduled_ones_only() {
    let api = Api::start().await;
    api.bot().await;
    let bot = api.bot_with(json!({"join_at": LATER, "bot_name": "Later", "custom_attributes": {"a": "b"}})).await;
    let body = api.get("/api/v1/calendar/scheduled_bots").await.expect(200);
    let expected = json!([{
        "bot_id": bot.to_string(),
        "platform": "GMeet",
        "status": "Scheduled",
        "scheduled_join_time": LATER,
        "bot_username": "Later",
        "meeting_link": super::harness::MEET,
        "custom_attributes": {"a": "b"},
    }]);
    assert_eq!(body, json!({"scheduled_bots": expected}));
    assert_eq!(api.get_as_other("/api/v1/calendar/scheduled_bots").await.expect(200), json!({"scheduled_bots": []}));
    for limit in ["0", "101", "x", "-1"] {
        let message = api.get(&format!("/api/v1/calendar/scheduled_bots?limit={limit}")).await.refusal(400);
        assert!(message.contains("limit") && message.contains("1 to 100"), "{message}");
    }
    api.get("/api/v1/calendar/scheduled_bots?limit=1").await.expect(200);
}

#[tokio::test]
async fn time_name_and_attributes_can_be_changed() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER})).await;
    let time = json!({"scheduled_join_time": "2026-09-22T09:00:00Z"});
    let body = api.with_body(Method::PATCH, &path(bot), &time).await.expect(200);
    assert_eq!(body["bot_id"], bot.to_string());
    assert_eq!(body["updated_fields"], json!(["scheduled_join_time"]));
    assert_eq!(body["schedule_updated"], true);
    assert_eq!(api.session(bot).await.join_at.unwrap().to_rfc3339(), "2026-09-22T09:00:00.000Z");

    let rest = json!({"bot_username": "Renamed", "custom_attributes": {"n": 1}});
    let body = api.with_body(Method::PATCH, &path(bot), &rest).await.expect(200);
    assert_eq!(body["updated_fields"], json!(["bot_username", "custom_attributes"]));
    assert_eq!(body["schedule_updated"], false);
    let session = api.session(bot).await;
    assert_eq!(session.bot_name, "Renamed");
    assert_eq!(Value::Object(session.custom_attributes), json!({"n": 1}));
    assert_eq!(session.join_at.unwrap().to_rfc3339(), "2026-09-22T09:00:00.000Z", "unchanged");
}

#[tokio::test]
async fn a_change_is_bounded() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER})).await;
    let change = json!({"bot_username": "Renamed", "x": "x".repeat(70_000)});
    assert!(api.with_body(Method::PATCH, &path(bot), &change).await.refusal(413).contains("65536"));
    let change = json!({"bot_username": "Renamed", "x": "x".repeat(60_000)});
    api.with_body(Method::PATCH, &path(bot), &change).await.expect(200);
}

#[tokio::test]
async fn a_past_time_means_at_once() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER})).await;
    let past = json!({"scheduled_join_time": "2020-01-01T00:00:00Z"});
    api.with_body(Method::PATCH, &path(bot), &past).await.expect(200);
    assert_eq!(api.get(&format!("/api/v1/bots/{bot}/status")).await.expect(200)["status"], "Joining");
    assert_eq!(api.state.store.outbox(api.now(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn malformed_changes_are_400() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER})).await;
    for (body, field) in [
        (json!({}), "scheduled_join_time"),
        (json!({"join_at": LATER}), "scheduled_join_time"),
        (json!({"scheduled_join_time": 5}), "scheduled_join_time"),
        (json!({"scheduled_join_time": "soon"}), "scheduled_join_time"),
        (json!({"bot_username": ""}), "bot_username"),
        (json!({"custom_attributes": []}), "custom_attributes"),
        (json!([]), "body"),
    ] {
        let message = api.with_body(Method::PATCH, &path(bot), &body).await.refusal(400);
        assert!(message.contains(field), "{body}: {message}");
    }
    let auth = format!("Token {}", super::harness::KEY);
    api.call(Method::PATCH, &path(bot), &[("authorization", &auth)], "{").await.refusal(400);
}

#[tokio::test]
async fn a_removed_bot_is_gone_and_will_not_join() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER, "deduplication_key": "event-1"})).await;
    let body = api.delete(&path(bot)).await.expect(200);
    assert_eq!(body["bot_id"], bot.to_string());
    api.delete(&path(bot)).await.refusal(404);
    api.get(&format!("/api/v1/bots/{bot}/status")).await.refusal(404);
    let late = api.now() + std::time::Duration::from_secs(86_400);
    assert!(api.state.store.due(late, 10).await.unwrap().is_empty());
    // Its keys are free again.
    let again = api.bot_with(json!({"join_at": LATER, "deduplication_key": "event-1"})).await;
    assert_ne!(again, bot);
}

#[tokio::test]
async fn once_on_its_way_it_is_404() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"join_at": LATER})).await;
    api.apply(bot, Input::Due).await;
    let time = json!({"scheduled_join_time": "2026-09-22T09:00:00Z"});
    api.with_body(Method::PATCH, &path(bot), &time).await.refusal(404);
    api.delete(&path(bot)).await.refusal(404);
    let never_scheduled = api.bot().await;
    api.delete(&path(never_scheduled)).await.refusal(404);
    assert_eq!(api.session(bot).await.state, muster_session::State::Queued);
}
