//! `muster webhooks endpoints` and `test`.

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use muster_session::EndpointId;
use serde_json::{Map, Value, json};

use super::endpoint_id;
use super::list::answer as reply;
use crate::cli::bots::client::Client;
use crate::cli::bots::text::{date_time, print_answer, print_line, short, table};

const PATH: &str = "webhook_endpoints";
const URL_CHARS: usize = 48;
const LINE_CHARS: usize = 160;

/// Arguments of `muster webhooks endpoints`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster webhooks endpoints add https://example.com/hook\n  muster webhooks endpoints change ID --disable\n  muster webhooks endpoints rotate ID --overlap 1h"
)]
pub(super) struct EndpointsArgs {
    #[command(subcommand)]
    command: EndpointsCommand,
}

#[derive(Debug, Subcommand)]
enum EndpointsCommand {
    /// Every endpoint, oldest first.
    List,
    /// Make one. Its secret is said once.
    #[command(
        after_help = "Examples:\n  muster webhooks endpoints add https://example.com/hook\n  muster webhooks endpoints add https://example.com/done --event bot.done --event 'transcription.*' --description CRM"
    )]
    Add(AddArgs),
    /// Everything about one, but its secret.
    Show(One),
    /// Change one, or make it get nothing for a while.
    #[command(
        after_help = "Examples:\n  muster webhooks endpoints change ID --url https://example.com/new\n  muster webhooks endpoints change ID --all-events\n  muster webhooks endpoints change ID --enable"
    )]
    Change(ChangeArgs),
    /// Remove one. What is pending for it has failed.
    Remove(One),
    /// Give one a new secret, which is said once. The one before it signs too for a while.
    #[command(
        after_help = "Examples:\n  muster webhooks endpoints rotate ID\n  muster webhooks endpoints rotate ID --overlap 0s"
    )]
    Rotate(RotateArgs),
}

/// An endpoint.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The endpoint's id, as `muster webhooks endpoints list` says it.
    #[arg(value_name = "ID", value_parser = endpoint_id)]
    endpoint: EndpointId,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Where the webhooks go.
    #[arg(value_name = "URL")]
    url: String,
    /// Only this event, or all that begin with what stands before a `*`; may be repeated.
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true)
    .args(["url", "events", "all_events", "description", "disable", "enable"]))]
struct ChangeArgs {
    #[command(flatten)]
    one: One,
    /// Where the webhooks go from now on.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Only this event, or all that begin with what stands before a `*`; may be repeated. Replaces what was there.
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Every event.
    #[arg(long, conflicts_with = "events")]
    all_events: bool,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// It gets nothing until it is enabled.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// It gets what happens from now on.
    #[arg(long)]
    enable: bool,
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    one: One,
    /// How long the secret before it signs too, such as 1h: at most a week.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
    overlap: i64,
}

/// Seconds.
fn overlap(text: &str) -> Result<i64, String> {
    let pause: SignedDuration = text.parse().map_err(|_| "expected a while such as 1h or 0s".to_owned())?;
    Some(pause.as_secs())
        .filter(|seconds| (0..=604_800).contains(seconds))
        .ok_or_else(|| "expected at most a week, 168h".to_owned())
}

pub(super) async fn run(client: &Client, args: EndpointsArgs, json: bool) -> anyhow::Result<()> {
    let at = |one: &One| format!("{PATH}/{}", one.endpoint);
    let zone = TimeZone::system();
    match args.command {
        EndpointsCommand::List => {
            let (_, answer) = client.get(PATH, &[]).await?;
            match json {
                true => print_line(&answer["webhook_endpoints"].to_string()),
                false => lines(&answer).iter().for_each(|line| print_line(line)),
            }
        }
        EndpointsCommand::Add(args) => {
            let (_, answer) = client.post(PATH, &added(args), None).await?;
            print_secret(&answer, json, "Endpoint");
        }
        EndpointsCommand::Show(one) => print_endpoint(&client.get(&at(&one), &[]).await?.1, json, &zone),
        EndpointsCommand::Change(args) => {
            let path = at(&args.one);
            print_endpoint(&client.patch(&path, &changed(args)).await?.1, json, &zone);
        }
        EndpointsCommand::Remove(one) => {
            let (_, answer) = client.delete(&at(&one)).await?;
            print_answer(&answer, json, "The endpoint was removed");
        }
        EndpointsCommand::Rotate(args) => {
            let path = format!("{}/rotate_secret", at(&args.one));
            let (_, answer) = client.post(&path, &json!({"overlap_seconds": args.overlap}), None).await?;
            print_secret(&answer, json, "New secret of endpoint");
        }
    }
    Ok(())
}

pub(super) async fn test(client: &Client, one: &One, json: bool) -> anyhow::Result<ExitCode> {
    let (_, answer) = client.post(&format!("{PATH}/{}/test", one.endpoint), &Value::Null, None).await?;
    let delivered = answer["delivered"] == true;
    match json {
        true => print_line(&answer.to_string()),
        false => {
            let detail = short(answer["detail"].as_str().unwrap_or_default(), LINE_CHARS);
            let verdict = if delivered { "Taken" } else { "Not taken" };
            print_line(&format!("{verdict}: {}, after {} ms: {detail}", reply(&answer), answer["latency_ms"]));
        }
    }
    Ok(if delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn added(args: AddArgs) -> Value {
    let mut body = Map::from_iter([("url".to_owned(), json!(args.url))]);
    if !args.events.is_empty() {
        body.insert("events".to_owned(), json!(args.events));
    }
    body.extend(args.description.map(|text| ("description".to_owned(), json!(text))));
    Value::Object(body)
}

fn changed(args: ChangeArgs) -> Value {
    let mut body = Map::new();
    body.extend(args.url.map(|url| ("url".to_owned(), json!(url))));
    if args.all_events || !args.events.is_empty() {
        body.insert("events".to_owned(), json!(args.events));
    }
    body.extend(args.description.map(|text| ("description".to_owned(), json!(text))));
    if args.disable || args.enable {
        body.insert("disabled".to_owned(), json!(args.disable));
    }
    Value::Object(body)
}

fn print_secret(answer: &Value, json: bool, what: &str) {
    if json {
        return print_line(&answer.to_string());
    }
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    print_line(&format!("{what} {}", text("endpoint_id")));
    print_line(&format!("Secret {}", text("secret")));
    print_line("It is said this once: the receiver verifies with it.");
}

fn print_endpoint(endpoint: &Value, json: bool, zone: &TimeZone) {
    match json {
        true => print_line(&endpoint.to_string()),
        false => about(endpoint, zone).iter().for_each(|line| print_line(line)),
    }
}

fn lines(answer: &Value) -> Vec<String> {
    let endpoints = answer["webhook_endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    if endpoints.is_empty() {
        return vec!["No endpoints.".to_owned()];
    }
    let mut rows = vec![["ID", "STATUS", "EVENTS", "URL", "DESCRIPTION"].map(str::to_owned).to_vec()];
    rows.extend(endpoints.iter().map(|endpoint| {
        let text = |key: &str| endpoint[key].as_str().unwrap_or_default();
        vec![
            text("endpoint_id").to_owned(),
            status(endpoint).to_owned(),
            short(&events(endpoint), URL_CHARS),
            short(text("url"), URL_CHARS),
            short(text("description"), URL_CHARS),
        ]
    }));
    table(&rows)
}

fn status(endpoint: &Value) -> &'static str {
    match (endpoint["disabled"] == true, endpoint["failing_since"].is_string()) {
        (true, _) => "disabled",
        (false, true) => "failing",
        (false, false) => "enabled",
    }
}

fn events(endpoint: &Value) -> String {
    let names: Vec<&str> = endpoint["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "all".to_owned() } else { names.join(", ") }
}

fn about(endpoint: &Value, zone: &TimeZone) -> Vec<String> {
    let text = |key: &str| endpoint[key].as_str().filter(|text| !text.is_empty()).map(|text| short(text, LINE_CHARS));
    let when = |key: &str| endpoint[key].as_str().map(|at| date_time(at, zone));
    let disabled = when("disabled_at").map(|at| format!("since {at}: {}", text("disabled_reason").unwrap_or_default()));
    let rows = [
        ("Url", text("url")),
        ("Description", text("description")),
        ("Events", Some(events(endpoint))),
        ("Status", Some(status(endpoint).to_owned())),
        ("Disabled", disabled),
        ("Failing since", when("failing_since")),
        ("Made", when("created_at")),
        ("Old secrets until", when("old_secrets_until")),
    ];
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?])).collect();
    let id = endpoint["endpoint_id"].as_str().unwrap_or_default();
    [format!("Endpoint {id}")].into_iter().chain(table(&rows).into_iter().map(|line| format!("  {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ChangeArgs,
    }

    #[test]
    fn only_what_was_asked_for_is_changed() {
        let id = "01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11";
        let parse = |line: &str| Line::try_parse_from(["x", id].into_iter().chain(line.split_whitespace()));
        for (line, want) in [
            ("--disable", json!({"disabled": true})),
            ("--enable --all-events", json!({"disabled": false, "events": []})),
            ("--event bot.done --event bot.*", json!({"events": ["bot.done", "bot.*"]})),
            ("--url https://a/ --description x", json!({"url": "https://a/", "description": "x"})),
        ] {
            assert_eq!(changed(parse(line).unwrap().args), want, "{line}");
        }
        for bad in ["", "--enable --disable", "--all-events --event x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_line_and_a_page() {
        let endpoint = json!({"endpoint_id": "e", "url": "https://a/", "description": "", "events": ["bot.*"], "disabled": true,
            "disabled_at": "2026-01-31T09:00:00Z", "disabled_reason": "gone", "failing_since": null,
            "created_at": "2026-01-30T09:00:00Z", "old_secrets_until": null});
        let want = ["ID  STATUS    EVENTS  URL         DESCRIPTION", "e   disabled  bot.*   https://a/"];
        assert_eq!(lines(&json!({"webhook_endpoints": [endpoint]})), want);
        assert_eq!(lines(&json!({"webhook_endpoints": []})), ["No endpoints."]);
        let want = [
            "Endpoint e",
            "  Url       https://a/",
            "  Events    bot.*",
            "  Status    disabled",
            "  Disabled  since 2026-01-31 09:00:00: gone",
            "  Made      2026-01-30 09:00:00",
        ];
        assert_eq!(about(&endpoint, &TimeZone::UTC), want);
    }

    #[test]
    fn an_overlap_is_a_week_at_most() {
        assert_eq!(overlap("1h"), Ok(3_600));
        assert_eq!(overlap("0s"), Ok(0));
        assert_eq!(overlap("168h"), Ok(604_800));
        for bad in ["", "169h", "-1h", "soon"] {
            assert!(overlap(bad).is_err(), "{bad}");
        }
    }
}
