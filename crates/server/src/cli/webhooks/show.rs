use jiff::tz::TimeZone;
use serde_json::Value;

use super::list::answer;
use crate::cli::bots::client::Client;
use crate::cli::bots::text::{date_time, print_line, short, table};

const DETAIL_CHARS: usize = 80;

pub(super) async fn run(client: &Client, event: &str, json: bool) -> anyhow::Result<()> {
    let (_, shown) = client.get(&format!("webhooks/{event}"), &[]).await?;
    match json {
        true => print_line(&shown.to_string()),
        false => lines(&shown, &TimeZone::system()).iter().for_each(|line| print_line(line)),
    }
    Ok(())
}

fn lines(shown: &Value, zone: &TimeZone) -> Vec<String> {
    let deliveries = shown["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(first) = deliveries.first() else { return Vec::new() };
    let mut lines = vec![
        format!("{}: {}", text(first, "event_id"), text(first, "bot_event")),
        format!("  Bot   {}", text(first, "bot_id")),
        format!("  Time  {}", date_time(text(first, "timestamp"), zone)),
    ];
    for delivery in deliveries {
        let next = delivery["next_attempt_at"].as_str().map(|at| format!(", next try {}", date_time(at, zone)));
        lines.push(format!("\n{}: {}{}", text(delivery, "url"), text(delivery, "status"), next.unwrap_or_default()));
        if let Some(endpoint) = delivery["endpoint_id"].as_str() {
            lines.push(format!("  Endpoint {endpoint}"));
        }
        lines.extend(attempts(delivery, zone).into_iter().map(|line| format!("  {line}")));
    }
    lines.push("\nBody".to_owned());
    lines.extend(format!("{:#}", first["body"]).lines().map(|line| format!("  {line}")));
    lines
}

fn attempts(delivery: &Value, zone: &TimeZone) -> Vec<String> {
    let row = |attempt: &Value| {
        vec![
            date_time(text(attempt, "at"), zone),
            answer(attempt),
            format!("{} ms", attempt["latency_ms"]),
            short(text(attempt, "detail"), DETAIL_CHARS),
        ]
    };
    table(&delivery["attempts"].as_array().into_iter().flatten().map(row).collect::<Vec<_>>())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_address_and_attempt_is_shown() {
        let shown = json!({"event_id": "evt_1", "deliveries": [
            {"event_id": "evt_1", "bot_event": "bot.done", "bot_id": "b", "timestamp": "2026-01-31T09:00:00Z", "url": "https://a/",
             "status": "pending", "next_attempt_at": "2026-01-31T09:00:05Z", "endpoint_id": "e", "body": {"event": "bot.done"},
             "attempts": [{"at": "2026-01-31T09:00:00Z", "http_status": 503, "latency_ms": 12, "detail": "busy\n"}]},
            {"url": "https://b/", "status": "delivered", "next_attempt_at": null, "endpoint_id": null, "attempts": []},
        ]});
        let want = [
            "evt_1: bot.done",
            "  Bot   b",
            "  Time  2026-01-31 09:00:00",
            "\nhttps://a/: pending, next try 2026-01-31 09:00:05",
            "  Endpoint e",
            "  2026-01-31 09:00:00  HTTP 503  12 ms  busy",
            "\nhttps://b/: delivered",
            "\nBody",
            "  {",
            "    \"event\": \"bot.done\"",
            "  }",
        ];
        assert_eq!(lines(&shown, &TimeZone::UTC), want);
    }
}
