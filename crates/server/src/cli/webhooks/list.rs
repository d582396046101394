use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_session::EndpointId;
use serde_json::Value;

use super::pages::{fetch, more};
use super::{endpoint_id, moment};
use crate::cli::bots::client::Client;
use crate::cli::bots::text::{date_time, print_line, short, table};

const URL_CHARS: usize = 48;

/// Arguments of `muster webhooks list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only these.
    #[arg(long, value_parser = ["pending", "delivered", "failed"])]
    state: Option<String>,
    /// Only to this endpoint.
    #[arg(long, value_name = "ID", value_parser = endpoint_id)]
    endpoint: Option<EndpointId>,
    /// Only this event, by `event` or `bot_event`.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only what was made at or after this time, or so long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only what was made before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(super) async fn run(client: &Client, args: &ListArgs, json: bool) -> anyhow::Result<()> {
    let filters = [
        ("state", args.state.clone()),
        ("endpoint_id", args.endpoint.map(|id| id.to_string())),
        ("event", args.event.clone()),
        ("from", args.from.map(|at| at.to_string())),
        ("to", args.to.map(|at| at.to_string())),
    ];
    let (webhooks, cut, _) = fetch(client, "webhooks", "webhooks", &filters, args.limit).await?;
    if json {
        print_line(&Value::Array(webhooks).to_string());
        return Ok(());
    }
    lines(&webhooks, &TimeZone::system()).iter().for_each(|line| print_line(line));
    if cut {
        print_line(&more(args.limit));
    }
    Ok(())
}

fn lines(webhooks: &[Value], zone: &TimeZone) -> Vec<String> {
    if webhooks.is_empty() {
        return vec!["No webhooks.".to_owned()];
    }
    let mut rows = vec![["TIME", "EVENT", "STATUS", "TRIES", "LAST ANSWER", "TO", "ID"].map(str::to_owned).to_vec()];
    rows.extend(webhooks.iter().map(|webhook| {
        let text = |key: &str| webhook[key].as_str().unwrap_or_default();
        let attempts = webhook["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        vec![
            date_time(text("timestamp"), zone),
            text("bot_event").to_owned(),
            text("status").to_owned(),
            attempts.len().to_string(),
            attempts.last().map(answer).unwrap_or_default(),
            short(text("url"), URL_CHARS),
            text("event_id").to_owned(),
        ]
    }));
    table(&rows)
}

/// `HTTP 503`, or that there was none.
pub(super) fn answer(attempt: &Value) -> String {
    attempt["http_status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_is_a_line() {
        let webhook = json!({"event_id": "evt_1", "bot_event": "bot.done", "status": "failed", "url": "https://example.com/",
            "timestamp": "2026-01-31T09:00:00.000Z", "attempts": [{"http_status": 503}, {"http_status": null}]});
        let want = [
            "TIME                 EVENT     STATUS  TRIES  LAST ANSWER  TO                    ID",
            "2026-01-31 09:00:00  bot.done  failed  2      no answer    https://example.com/  evt_1",
        ];
        assert_eq!(lines(&[webhook], &TimeZone::UTC), want);
        assert_eq!(lines(&[], &TimeZone::UTC), ["No webhooks."]);
    }
}
