//! `muster bots`: a client of a running server, over nothing but its public API.

pub(super) mod client;
mod create;
mod list;
mod show;
pub(super) mod text;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use muster_session::BotId;
use serde_json::Value;
use url::Url;

use client::Client;
use text::print_answer;

/// Arguments of `muster bots`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster bots create http://127.0.0.1:8080/sandbox/hello --watch\n  muster bots list --status active\n  muster bots show 01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11\n\nThe API key is read from MUSTER_API_KEY: `muster serve` prints one on its first start."
)]
pub struct BotsArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: BotsCommand,
}

/// Which server, and how to answer.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Base URL of the server.
    #[arg(long, global = true, env = "MUSTER_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = server_url)]
    server: Url,
    /// Machine-readable output: the server's own JSON; JSON lines when watching.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Connection {
    /// With the key from MUSTER_API_KEY.
    pub(super) fn client(self) -> anyhow::Result<Client> {
        let key = std::env::var("MUSTER_API_KEY").ok().filter(|key| !key.trim().is_empty());
        Client::new(self.server, key)
    }
}

#[derive(Debug, Subcommand)]
enum BotsCommand {
    /// Send a bot into a meeting.
    #[command(
        after_help = "Examples:\n  muster bots create http://127.0.0.1:8080/sandbox/hello --watch\n  muster bots create LINK --name Notes --transcribe --attribute customer=42\n  muster bots create LINK --join-at 2026-01-31T09:00:00+01:00 --callback-url https://example.com/hook\n  muster bots create LINK --join-at 10m --idempotency-key order-17"
    )]
    Create(create::CreateArgs),
    /// List bots, newest first.
    #[command(
        after_help = "Examples:\n  muster bots list\n  muster bots list --status active --limit 200\n  muster bots list --status error --json"
    )]
    List(list::ListArgs),
    /// Everything about one bot: timeline, artifacts, why it ended and whose doing it was, its webhooks.
    #[command(after_help = "Examples:\n  muster bots show ID\n  muster bots show ID --json")]
    Show(OneBot),
    /// Follow a bot until everything about it is settled. Exits with 0 after a normal end and with 1 otherwise.
    #[command(after_help = "Examples:\n  muster bots watch ID\n  muster bots watch ID --json | jq -c .step")]
    Watch(OneBot),
    /// Make a bot leave its meeting, or not join it.
    #[command(after_help = "Example:\n  muster bots remove ID")]
    Remove(OneBot),
}

#[derive(Debug, Args)]
struct OneBot {
    /// The bot's id, as `create` and `list` say it.
    #[arg(value_name = "ID", value_parser = bot_id)]
    bot: BotId,
}

fn bot_id(text: &str) -> Result<BotId, String> {
    text.parse()
        .map_err(|_| "a bot's id looks like 01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11; `muster bots list` shows them".into())
}

fn server_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; expected a URL such as http://127.0.0.1:8080"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("expected a URL such as http://127.0.0.1:8080".to_owned());
    }
    Ok(url)
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: BotsArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    match args.command {
        BotsCommand::Create(args) => create::run(&client, args, json).await,
        BotsCommand::List(args) => list::run(&client, &args, json).await,
        BotsCommand::Show(OneBot { bot }) => show::run(&client, bot, json).await,
        BotsCommand::Watch(OneBot { bot }) => watch::run(&client, bot, json).await,
        BotsCommand::Remove(OneBot { bot }) => {
            let (_, answer) = client.post(&format!("bots/{bot}/remove_bot"), &Value::Null, None).await?;
            print_answer(&answer, json, "The bot will leave");
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_web_address() {
        for good in ["http://127.0.0.1:8080", "https://bots.example.com/muster/"] {
            assert!(server_url(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:8080", "localhost", "ftp://host", ""] {
            assert!(server_url(bad).unwrap_err().contains("http://127.0.0.1:8080"), "{bad}");
        }
    }
}
