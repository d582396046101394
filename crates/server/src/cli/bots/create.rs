use std::process::ExitCode;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use muster_session::BotId;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::text::print_line;
use super::watch;

/// Arguments of `muster bots create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The meeting's link.
    #[arg(value_name = "LINK")]
    link: String,
    /// Name under which the bot joins.
    #[arg(long)]
    name: Option<String>,
    /// Make a transcript after the call.
    #[arg(long)]
    transcribe: bool,
    /// When to join: a time such as 2026-01-31T09:00:00+01:00, or a pause such as 10m.
    #[arg(long, value_name = "TIME", value_parser = join_at)]
    join_at: Option<JoinAt>,
    /// Receives the bot's webhooks.
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Follow the bot until everything about it is settled.
    #[arg(long)]
    watch: bool,
    /// Makes the call safe to repeat: one key, one bot.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// A custom attribute, echoed in webhooks; may be repeated.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

/// A point in time, or how far from now it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum JoinAt {
    At(Timestamp),
    In(SignedDuration),
}

fn join_at(text: &str) -> Result<JoinAt, String> {
    if let Ok(at) = text.parse() {
        return Ok(JoinAt::At(at));
    }
    match text.trim_start_matches('+').parse::<SignedDuration>() {
        Ok(pause) if !pause.is_negative() => Ok(JoinAt::In(pause)),
        _ => Err("expected a time with an offset such as 2026-01-31T09:00:00Z, or a pause such as 10m".to_owned()),
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// The request's body.
fn body(args: &CreateArgs, now: Timestamp) -> anyhow::Result<Value> {
    let mut body = Map::new();
    body.insert("meeting_link".into(), json!(args.link));
    if let Some(name) = &args.name {
        body.insert("bot_name".into(), json!(name));
    }
    if args.transcribe {
        body.insert("recording_config".into(), json!({"transcript": {"provider": {"meetstream": {}}}}));
    }
    if let Some(join_at) = args.join_at {
        let at = match join_at {
            JoinAt::At(at) => at,
            JoinAt::In(pause) => now.checked_add(pause)?,
        };
        body.insert("join_at".into(), json!(at.to_string()));
    }
    if let Some(url) = &args.callback_url {
        body.insert("callback_url".into(), json!(url));
    }
    if !args.attributes.is_empty() {
        let attributes: Map<String, Value> =
            args.attributes.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        body.insert("custom_attributes".into(), Value::Object(attributes));
    }
    Ok(Value::Object(body))
}

pub(super) async fn run(client: &Client, args: CreateArgs, json: bool) -> anyhow::Result<ExitCode> {
    let body = body(&args, Timestamp::now())?;
    let (status, answer) = client.post("bots/create_bot", &body, args.idempotency_key.as_deref()).await?;
    let id = answer["bot_id"].as_str().unwrap_or_default();
    if json {
        print_line(&answer.to_string());
    } else {
        let news = match status {
            StatusCode::CREATED => "Bot",
            _ => "This call was made before; its bot is",
        };
        print_line(&format!("{news} {id}"));
        if let Some(transcript) = answer["transcript_id"].as_str() {
            print_line(&format!("Transcript {transcript}"));
        }
        if !args.watch {
            print_line(&format!("Follow it: muster bots watch {id}"));
        }
    }
    if !args.watch {
        return Ok(ExitCode::SUCCESS);
    }
    let bot: BotId = id.parse().map_err(|_| anyhow::anyhow!("the server's answer has no bot_id"))?;
    watch::run(client, bot, json).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> CreateArgs {
        CreateArgs {
            link: "http://127.0.0.1/sandbox/a".into(),
            name: None,
            transcribe: false,
            join_at: None,
            callback_url: None,
            watch: false,
            idempotency_key: None,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn only_what_was_asked_for_is_sent() {
        let now: Timestamp = "2026-01-31T09:00:00Z".parse().unwrap();
        assert_eq!(body(&args(), now).unwrap(), json!({"meeting_link": "http://127.0.0.1/sandbox/a"}));
        let all = CreateArgs {
            name: Some("Notes".into()),
            transcribe: true,
            join_at: Some(join_at("10m").unwrap()),
            callback_url: Some("https://example.com".into()),
            attributes: vec![attribute("a=b=c").unwrap(), attribute("n=1").unwrap()],
            ..args()
        };
        let want = json!({
            "meeting_link": "http://127.0.0.1/sandbox/a",
            "bot_name": "Notes",
            "recording_config": {"transcript": {"provider": {"meetstream": {}}}},
            "join_at": "2026-01-31T09:10:00Z",
            "callback_url": "https://example.com",
            "custom_attributes": {"a": "b=c", "n": "1"},
        });
        assert_eq!(body(&all, now).unwrap(), want);
    }

    #[test]
    fn times_and_attributes_that_make_no_sense_are_usage_errors() {
        assert_eq!(join_at("+1h 30m"), Ok(JoinAt::In(SignedDuration::from_mins(90))));
        assert!(matches!(join_at("2026-01-31T09:00:00+01:00"), Ok(JoinAt::At(_))));
        for bad in ["tomorrow", "-5m", "", "2026-01-31T09:00:00"] {
            assert!(join_at(bad).is_err(), "{bad}");
        }
        for bad in ["a", "=b", ""] {
            assert!(attribute(bad).is_err(), "{bad}");
        }
    }
}
