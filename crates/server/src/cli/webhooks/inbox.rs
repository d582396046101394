//! `muster webhooks inbox`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::moment;
use super::pages::{fetch, more};
use crate::cli::bots::client::Client;
use crate::cli::bots::text::{date_time, print_line, short, table};

const DETAIL_CHARS: usize = 60;

/// Arguments of `muster webhooks inbox`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster webhooks inbox list --source recall\n  muster webhooks inbox list --outcome no_session --from 1h\n  muster webhooks inbox show KEY"
)]
pub(super) struct InboxArgs {
    #[command(subcommand)]
    command: InboxCommand,
}

#[derive(Debug, Subcommand)]
enum InboxCommand {
    /// What came in, newest first, and what became of it.
    List(ListArgs),
    /// One webhook that came in, with its body.
    Show {
        /// As `list` says it.
        #[arg(value_name = "KEY")]
        key: String,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only from this source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only these.
    #[arg(long, value_parser = ["applied", "late", "no_session", "unknown"])]
    outcome: Option<String>,
    /// Only what came in at or after this time, or so long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only what came in before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(super) async fn run(client: &Client, args: InboxArgs, json: bool) -> anyhow::Result<()> {
    match args.command {
        InboxCommand::List(args) => list(client, &args, json).await,
        InboxCommand::Show { key } => {
            let path = format!("inbox/{}", utf8_percent_encode(&key, NON_ALPHANUMERIC));
            let (_, entry) = client.get(&path, &[]).await?;
            match json {
                true => print_line(&entry.to_string()),
                false => about(&entry, &TimeZone::system()).iter().for_each(|line| print_line(line)),
            }
            Ok(())
        }
    }
}

async fn list(client: &Client, args: &ListArgs, json: bool) -> anyhow::Result<()> {
    let filters = [
        ("source", args.source.clone()),
        ("outcome", args.outcome.clone()),
        ("from", args.from.map(|at| at.to_string())),
        ("to", args.to.map(|at| at.to_string())),
    ];
    let (entries, cut, first) = fetch(client, "inbox", "entries", &filters, args.limit).await?;
    if json {
        print_line(&json!({"entries": entries, "counts": first["counts"]}).to_string());
        return Ok(());
    }
    lines(&entries, &first["counts"], &TimeZone::system()).iter().for_each(|line| print_line(line));
    if cut {
        print_line(&more(args.limit));
    }
    Ok(())
}

fn lines(entries: &[Value], counts: &Value, zone: &TimeZone) -> Vec<String> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut lines = match entries.is_empty() {
        true => vec!["Nothing came in.".to_owned()],
        false => {
            let mut rows =
                vec![["RECEIVED", "SOURCE", "EVENT", "OUTCOME", "BOT", "DETAIL", "KEY"].map(str::to_owned).to_vec()];
            rows.extend(entries.iter().map(|entry| {
                vec![
                    date_time(&text(entry, "received_at"), zone),
                    text(entry, "source"),
                    short(&text(entry, "event"), DETAIL_CHARS),
                    text(entry, "outcome"),
                    text(entry, "bot_id"),
                    short(&text(entry, "detail"), DETAIL_CHARS),
                    text(entry, "key"),
                ]
            }));
            table(&rows)
        }
    };
    let counted = counts.as_array().into_iter().flatten();
    let counted: Vec<String> =
        counted.map(|one| format!("{} {} {}", text(one, "source"), one["count"], text(one, "outcome"))).collect();
    if !counted.is_empty() {
        lines.push(format!("\nOf all that is kept: {}", counted.join(", ")));
    }
    lines
}

fn about(entry: &Value, zone: &TimeZone) -> Vec<String> {
    let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty());
    let rows = [
        ("Source", text("source").map(str::to_owned)),
        ("Event", text("event").map(str::to_owned)),
        ("Outcome", text("outcome").map(str::to_owned)),
        ("Detail", text("detail").map(str::to_owned)),
        ("Bot", text("bot_id").map(str::to_owned)),
        ("Received", text("received_at").map(|at| date_time(at, zone))),
        ("Happened", text("produced_at").map(|at| date_time(at, zone))),
    ];
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?])).collect();
    let mut lines = vec![text("key").unwrap_or_default().to_owned()];
    lines.extend(table(&rows).into_iter().map(|line| format!("  {line}")));
    lines.push("\nBody".to_owned());
    let body = text("body").unwrap_or_default();
    let shown = serde_json::from_str::<Value>(body).map_or_else(|_| body.to_owned(), |body| format!("{body:#}"));
    lines.extend(shown.lines().map(|line| format!("  {}", short(line, usize::MAX))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_and_a_page() {
        let entry = json!({"key": "recall:1", "source": "recall", "event": "bot.done", "outcome": "late", "bot_id": null,
            "received_at": "2026-01-31T09:00:00Z", "produced_at": null, "detail": "done already", "body": "{\"a\":1}"});
        let counts = json!([{"source": "recall", "outcome": "late", "count": 3}]);
        let want = [
            "RECEIVED             SOURCE  EVENT     OUTCOME  BOT  DETAIL        KEY",
            "2026-01-31 09:00:00  recall  bot.done  late          done already  recall:1",
            "\nOf all that is kept: recall 3 late",
        ];
        assert_eq!(lines(std::slice::from_ref(&entry), &counts, &TimeZone::UTC), want);
        assert_eq!(lines(&[], &json!([]), &TimeZone::UTC), ["Nothing came in."]);
        let shown = about(&entry, &TimeZone::UTC);
        assert_eq!(shown[0], "recall:1");
        assert_eq!(shown[shown.len() - 3..], ["  {", "    \"a\": 1", "  }"]);
        let hostile = about(&json!({"key": "k", "body": "\u{1b}[2J"}), &TimeZone::UTC);
        assert_eq!(hostile.last().unwrap(), "   [2J", "a body may be anything");
    }
}
