use std::process::ExitCode;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::client::Client;
use super::text::{date_time, print_line, short, table};

/// Largest page that the server gives.
const PAGE: u32 = 100;
const NAME_CHARS: usize = 30;

/// Arguments of `muster bots list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only these: a status such as Joining, InMeeting, Recording or Done; `active` for every bot that has not left; or
    /// how the call ended: stopped, notallowed, denied, error.
    #[arg(long)]
    status: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(super) async fn run(client: &Client, args: &ListArgs, json: bool) -> anyhow::Result<ExitCode> {
    let (bots, more) = fetch(client, args).await?;
    if json {
        print_line(&Value::Array(bots).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if bots.is_empty() {
        print_line("No bots.");
        return Ok(ExitCode::SUCCESS);
    }
    let zone = TimeZone::system();
    let mut rows = vec![["ID", "STATUS", "NAME", "PLATFORM", "CREATED", "ENDED BECAUSE"].map(str::to_owned).to_vec()];
    rows.extend(bots.iter().map(|bot| row(bot, &zone)));
    for line in table(&rows) {
        print_line(&line);
    }
    if more {
        print_line(&format!("There are more: --limit {}", args.limit.saturating_mul(2).min(10_000)));
    }
    Ok(ExitCode::SUCCESS)
}

/// As many pages as it takes, and whether there is more.
async fn fetch(client: &Client, args: &ListArgs) -> anyhow::Result<(Vec<Value>, bool)> {
    let wanted = args.limit as usize;
    let (mut bots, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let left = u32::try_from(wanted - bots.len()).unwrap_or(PAGE);
        let mut query = vec![("limit", left.min(PAGE).to_string())];
        query.extend(args.status.clone().map(|status| ("status", status)));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let (_, mut page) = client.get("bots", &query).await?;
        if let Value::Array(items) = page["bots"].take() {
            bots.extend(items);
        }
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if bots.len() >= wanted || cursor.is_none() {
            let more = cursor.is_some() || bots.len() > wanted;
            bots.truncate(wanted);
            return Ok((bots, more));
        }
    }
}

fn row(bot: &Value, zone: &TimeZone) -> Vec<String> {
    let text = |key: &str| bot[key].as_str().unwrap_or_default();
    vec![
        text("bot_id").to_owned(),
        text("status").to_owned(),
        short(text("bot_name"), NAME_CHARS),
        text("platform").to_owned(),
        date_time(text("created_at"), zone),
        text("end_reason").to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_takes_nulls_for_nothing() {
        let bot = json!({"bot_id": "b", "status": "Recording", "bot_name": "Notes", "platform": "Sandbox",
            "created_at": "2026-01-31T09:00:00.000Z", "end_reason": null});
        assert_eq!(row(&bot, &TimeZone::UTC), ["b", "Recording", "Notes", "Sandbox", "2026-01-31 09:00:00", ""]);
    }
}
