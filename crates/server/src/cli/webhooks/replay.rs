use clap::{ArgGroup, Args};
use jiff::Timestamp;
use muster_session::{BotId, EndpointId};
use serde_json::{Map, Value, json};

use super::{bot_id, endpoint_id, event_id, moment};
use crate::cli::bots::client::Client;
use crate::cli::bots::text::print_line;

/// Arguments of `muster webhooks replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["event", "bot", "from"]))]
pub(super) struct ReplayArgs {
    /// Only this event, as `list` says its id.
    #[arg(value_name = "EVENT", value_parser = event_id)]
    event: Option<String>,
    /// Only the events of this bot.
    #[arg(long, value_name = "ID", value_parser = bot_id)]
    bot: Option<BotId>,
    /// Only what was made at or after this time, or so long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only what was made before.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<Timestamp>,
    /// Only to this endpoint.
    #[arg(long, value_name = "ID", value_parser = endpoint_id)]
    endpoint: Option<EndpointId>,
    /// Only these; settled is both.
    #[arg(long, value_parser = ["failed", "delivered", "settled"])]
    state: Option<String>,
}

/// As many calls as it takes.
pub(super) async fn run(client: &Client, args: &ReplayArgs, json: bool) -> anyhow::Result<()> {
    let (mut request, mut replayed) = (body(args), 0);
    loop {
        let (_, answer) = client.post("webhooks/replay", &Value::Object(request.clone()), None).await?;
        replayed += answer["replayed"].as_u64().unwrap_or_default();
        match answer["next_cursor"].as_str() {
            Some(cursor) => request.insert("cursor".to_owned(), json!(cursor)),
            None => break,
        };
    }
    match json {
        true => print_line(&json!({"replayed": replayed}).to_string()),
        false => print_line(&match replayed {
            0 => "No webhooks to send again".to_owned(),
            1 => "1 webhook will be sent again".to_owned(),
            many => format!("{many} webhooks will be sent again"),
        }),
    }
    Ok(())
}

/// The request's body: what was given, and nothing else.
fn body(args: &ReplayArgs) -> Map<String, Value> {
    let given = [
        ("event_id", args.event.clone()),
        ("bot_id", args.bot.map(|id| id.to_string())),
        ("from", args.from.map(|at| at.to_string())),
        ("to", args.to.map(|at| at.to_string())),
        ("endpoint_id", args.endpoint.map(|id| id.to_string())),
        ("state", args.state.clone()),
    ];
    given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    #[test]
    fn exactly_one_choice_is_made() {
        let parse = |line: &str| Line::try_parse_from(line.split(' ')).map(|line| Value::Object(body(&line.args)));
        assert_eq!(parse("x evt_1_2").unwrap(), json!({"event_id": "evt_1_2"}));
        let from = parse("x --from 2026-01-31T09:00:00Z --to 2026-01-31T10:00:00Z --state settled").unwrap();
        let want = json!({"from": "2026-01-31T09:00:00Z", "to": "2026-01-31T10:00:00Z", "state": "settled"});
        assert_eq!(from, want);
        for bad in ["x", "x --to 1h", "x evt_1 --from 1h", "x evt/1", "x --bot b", "x --from 1h --state pending"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
