use std::collections::BTreeSet;
use std::time::Duration;

use muster_session::State;
use serde_json::{Value, json};

use super::harness::{Api, drive_to};

fn ids(page: &Value) -> Vec<String> {
    page["bots"].as_array().unwrap().iter().map(|bot| bot["bot_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_are_newest_first_and_complete() {
    let api = Api::start().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(api.bot().await.to_string());
        api.advance(Duration::from_secs(1));
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/bots?limit=3".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = api.get(&path).await.expect(200);
        assert_eq!(page.as_object().unwrap().keys().collect::<Vec<_>>(), ["bots", "hasNextPage", "nextCursor"]);
        sizes.push(ids(&page).len());
        seen.extend(ids(&page));
        assert_eq!(page["hasNextPage"], page["nextCursor"].is_string());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        path = format!("/api/v1/bots?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, made);
    assert_eq!(sizes, [3, 3, 1]);
}

#[tokio::test]
async fn an_item_has_what_clients_read() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"bot_name": "Notes", "custom_attributes": {"a": "b"}})).await;
    let page = api.get("/api/v1/bots").await.expect(200);
    let item = &page["bots"][0];
    assert_eq!(item["bot_id"], bot.to_string());
    for (key, value) in [
        ("bot_name", json!("Notes")),
        ("status", json!("Joining")),
        ("platform", json!("GMeet")),
        ("meeting_link", json!(super::harness::MEET)),
        ("meeting_url", json!(super::harness::MEET)),
        ("custom_attributes", json!({"a": "b"})),
        ("created_at", json!("2026-09-21T14:13:20.000Z")),
        ("join_at", Value::Null),
    ] {
        assert_eq!(item[key], value, "{key}");
    }
}

#[tokio::test]
async fn status_filters_select_by_state_in_any_case() {
    let api = Api::start().await;
    let mut bots = Vec::new();
    for state in [State::Joining, State::WaitingRoom, State::Recording, State::Processing] {
        let bot = api.bot().await;
        drive_to(&api, bot, state).await;
        bots.push(bot.to_string());
    }
    let scheduled = api.bot_with(json!({"join_at": "2027-01-01T00:00:00Z"})).await.to_string();
    for (status, expected) in [
        ("Joining", vec![&bots[0]]),
        ("inwaitingroom", vec![&bots[1]]),
        ("RECORDING", vec![&bots[2]]),
        ("MediaProcessing", vec![&bots[3]]),
        ("Stopped", vec![&bots[3]]),
        ("Error", vec![]),
        ("Scheduled", vec![&scheduled]),
        ("Active", vec![&bots[0], &bots[1], &bots[2]]),
        ("Done", vec![]),
    ] {
        let page = api.get(&format!("/api/v1/bots?status={status}")).await.expect(200);
        let got: BTreeSet<String> = ids(&page).into_iter().collect();
        assert_eq!(got, expected.into_iter().cloned().collect(), "{status}");
    }
}

#[tokio::test]
async fn days_platform_and_attributes_select() {
    let api = Api::start().await;
    let first = api.bot_with(json!({"custom_attributes": {"team": "sales", "n": 5}})).await.to_string();
    api.advance(Duration::from_secs(86_400));
    let second = api.bot_with(json!({"custom_attributes": {"team": "sales", "n": "5"}})).await.to_string();
    for (query, expected) in [
        ("", vec![&second, &first]),
        ("from=2026-09-22", vec![&second]),
        ("to=2026-09-21", vec![&first]),
        ("from=2026-09-21&to=2026-09-22", vec![&second, &first]),
        ("from=2026-09-23", vec![]),
        ("platform=GMeet", vec![&second, &first]),
        ("platform=gmeet", vec![&second, &first]),
        ("platform=google_meet", vec![&second, &first]),
        ("platform=Zoom", vec![]),
        ("custom_attr[team]=sales", vec![&second, &first]),
        ("custom_attr%5Bteam%5D=%22sales%22", vec![&second, &first]),
        ("custom_attr[team]=sales&custom_attr[n]=5", vec![&first]),
        ("custom_attr[n]=%225%22", vec![&second]),
        ("custom_attr[n]=6", vec![]),
        ("unknown=1&status=&limit=", vec![&second, &first]),
    ] {
        let page = api.get(&format!("/api/v1/bots?{query}")).await.expect(200);
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn malformed_queries_are_400_and_name_the_parameter() {
    let api = Api::start().await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("status=Asleep", "status"),
        ("from=yesterday", "from"),
        ("from=2026-02-30", "from"),
        ("to=21.09.2026", "to"),
        ("cursor=!!!", "cursor"),
    ] {
        let message = api.get(&format!("/api/v1/bots?{query}")).await.refusal(400);
        assert!(message.starts_with(name), "{query}: {message}");
    }
}
