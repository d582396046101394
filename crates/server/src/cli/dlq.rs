//! `muster dlq`: jobs that were set aside.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::bots::Connection;
use super::bots::client::{Client, segment};
use super::bots::text::{print_answer, print_line, short, table};

const REASON_CHARS: usize = 60;

/// Arguments of `muster dlq`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster dlq list\n  muster dlq show media 17\n  muster dlq requeue media 17\n\nThe API key is read from MUSTER_API_KEY; it has to be one of the tenant `default`."
)]
pub struct DlqArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Every job that was set aside, and why.
    List,
    /// One of them, with all of its reason.
    Show(Letter),
    /// Try one again.
    Requeue(Letter),
}

#[derive(Debug, Args)]
struct Letter {
    /// As `list` says it: jobs, media, deliveries, inbound or remote.
    #[arg(value_parser = of_letter)]
    topic: String,
    /// As `list` says it.
    #[arg(value_name = "ID", value_parser = of_letter)]
    id: String,
}

fn of_letter(text: &str) -> Result<String, String> {
    segment(text, "has letters, digits, - and _; `muster dlq list` shows what there is")
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: DlqArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    match args.command {
        DlqCommand::List => {
            let letters = letters(&client).await?;
            match json {
                true => print_line(&Value::Array(letters).to_string()),
                false => lines(&letters).iter().for_each(|line| print_line(line)),
            }
        }
        DlqCommand::Show(Letter { topic, id }) => {
            let letters = letters(&client).await?;
            let found = letters.iter().find(|letter| letter["topic"] == *topic && letter["id"] == *id);
            let letter = found.context("there is no such dead letter; `muster dlq list` shows them")?;
            match json {
                true => print_line(&letter.to_string()),
                false => print_line(&format!("{letter:#}")),
            }
        }
        DlqCommand::Requeue(Letter { topic, id }) => {
            let path = format!("dead_letters/{topic}/{id}/requeue");
            let (_, answer) = client.post(&path, &Value::Null, None).await?;
            print_answer(&answer, json, "The job will be tried again");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn letters(client: &Client) -> anyhow::Result<Vec<Value>> {
    let (_, mut answer) = client.get("dead_letters", &[]).await?;
    match answer["dead_letters"].take() {
        Value::Array(letters) => Ok(letters),
        _ => anyhow::bail!("the server's answer has no dead letters in it; is it of another release?"),
    }
}

fn lines(letters: &[Value]) -> Vec<String> {
    if letters.is_empty() {
        return vec!["No dead letters.".to_owned()];
    }
    let mut rows = vec![["TOPIC", "ID", "BOT", "REASON"].map(str::to_owned).to_vec()];
    rows.extend(letters.iter().map(|letter| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let reason = short(&text(&letter["reason"]), REASON_CHARS);
        vec![text(&letter["topic"]), text(&letter["id"]), text(&letter["job"]["bot"]), reason]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_letter_is_a_line() {
        let letters = [
            json!({"topic": "media", "id": "1-0", "reason": "gone", "job": {"bot": "b"}}),
            json!({"topic": "jobs", "id": "2", "reason": "not a job", "job": "??"}),
        ];
        let want = ["TOPIC  ID   BOT  REASON", "media  1-0  b    gone", "jobs   2         not a job"];
        assert_eq!(lines(&letters), want);
        assert_eq!(lines(&[]), ["No dead letters."]);
    }
}
