//! `muster webhooks`: where webhooks go, what became of them, sending them again, and those that came in.

mod endpoints;
mod inbox;
mod list;
mod pages;
mod replay;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use muster_session::{BotId, EndpointId};

use super::bots::Connection;
use super::bots::client::segment;

/// Arguments of `muster webhooks`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster webhooks endpoints add https://example.com/hook --event 'bot.*'\n  muster webhooks list --state failed\n  muster webhooks show EVENT\n  muster webhooks replay --from 2h\n  muster webhooks inbox list --outcome no_session\n\nThe API key is read from MUSTER_API_KEY; its tenant's webhooks are meant."
)]
pub struct WebhooksArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// Webhooks of all bots, newest first, and what became of them.
    #[command(
        after_help = "Examples:\n  muster webhooks list --state failed --from 2026-01-31\n  muster webhooks list --event bot.done --limit 200 --json"
    )]
    List(list::ListArgs),
    /// One webhook: every address it goes to, and every attempt.
    #[command(after_help = "Example:\n  muster webhooks show evt_019a_7")]
    Show(OneEvent),
    /// Send webhooks again, with the same bodies and ids: of one event, of one bot, or of a time.
    #[command(
        after_help = "Examples:\n  muster webhooks replay evt_019a_7\n  muster webhooks replay --bot ID --endpoint ID\n  muster webhooks replay --from 2026-01-31T09:00:00Z --to 2026-01-31T10:00:00Z\n  muster webhooks replay --from 2h --state settled\n\nOf a time, those that failed are sent again unless --state says otherwise; of an event or a bot, all that are settled."
    )]
    Replay(replay::ReplayArgs),
    /// Send an endpoint the event `webhook.test`, once. Exits with 0 if it took it and with 1 otherwise.
    #[command(after_help = "Example:\n  muster webhooks test ID")]
    Test(endpoints::One),
    /// Addresses that get the webhooks of every bot.
    Endpoints(endpoints::EndpointsArgs),
    /// Webhooks that came in from elsewhere.
    Inbox(inbox::InboxArgs),
}

#[derive(Debug, Args)]
struct OneEvent {
    /// The event's id, as `list` says it.
    #[arg(value_name = "EVENT", value_parser = event_id)]
    event: String,
}

fn event_id(text: &str) -> Result<String, String> {
    segment(text, "an event's id looks like evt_019a7c3e2c477d529a1b0c6f5d3e8b11_7; `muster webhooks list` shows them")
}

fn bot_id(text: &str) -> Result<BotId, String> {
    text.parse().map_err(|_| "a bot's id looks like 01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11".to_owned())
}

fn endpoint_id(text: &str) -> Result<EndpointId, String> {
    text.parse().map_err(|_| {
        "an endpoint's id looks like 01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11; `muster webhooks endpoints list` shows them".to_owned()
    })
}

/// A point in time: a time, or how long ago it was, such as `2h`.
fn moment(text: &str) -> Result<Timestamp, String> {
    moment_before(text, Timestamp::now())
}

fn moment_before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = |pause: SignedDuration| now.checked_sub(pause).ok().filter(|_| !pause.is_negative());
    text.parse().ok().or_else(|| day(text)).or_else(|| ago(text.parse().ok()?)).ok_or_else(|| {
        "expected a time such as 2026-01-31T09:00:00Z, a day (UTC) or how long ago it was, such as 2h".to_owned()
    })
}

fn day(text: &str) -> Option<Timestamp> {
    let day: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "YYYY-MM-DD".len())?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: WebhooksArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    match args.command {
        WebhooksCommand::List(args) => list::run(&client, &args, json).await?,
        WebhooksCommand::Show(OneEvent { event }) => show::run(&client, &event, json).await?,
        WebhooksCommand::Replay(args) => replay::run(&client, &args, json).await?,
        WebhooksCommand::Test(one) => return endpoints::test(&client, &one, json).await,
        WebhooksCommand::Endpoints(args) => endpoints::run(&client, args, json).await?,
        WebhooksCommand::Inbox(args) => inbox::run(&client, args, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_a_while_ago() {
        let now = "2026-02-01T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-01-31T09:00:00+01:00", "2026-01-31T08:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2h", "2026-02-01T10:00:00Z"),
        ] {
            assert_eq!(moment_before(text, now).unwrap().to_string(), want);
        }
        for bad in ["", "soon", "-2h", "2026-13-01"] {
            assert!(moment_before(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_commands_are_sound() {
        crate::cli::Cli::command().debug_assert();
    }
}
