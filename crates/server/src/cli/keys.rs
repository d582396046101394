//! `muster keys`: API keys of all tenants.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::bots::Connection;
use super::bots::client::segment;
use super::bots::text::{date_time, print_answer, print_line, short, table};
use crate::keys;

const PATH: &str = "keys";
const NAME_CHARS: usize = 40;

/// Arguments of `muster keys`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster keys list\n  muster keys create --tenant acme --name ci\n  muster keys delete key_5d1f0c6e2b8a4f73\n\nA tenant is made by making a key of it, and needs nothing else. The API key is read from MUSTER_API_KEY; it has to be one of the\ntenant `default`."
)]
pub struct KeysArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Every key, oldest first: its id, what it begins with, whose it is, and since when.
    #[command(after_help = "Examples:\n  muster keys list\n  muster keys list --tenant acme --json")]
    List(ListArgs),
    /// Make a key of a tenant. It is said once.
    #[command(
        after_help = "Examples:\n  muster keys create --tenant acme\n  muster keys create --tenant acme --name ci --json | jq --raw-output .key\n  muster keys create --tenant default --name alice     # another operator"
    )]
    Create(CreateArgs),
    /// Delete a key: it is refused from then on. What its tenant has stays.
    #[command(
        after_help = "Examples:\n  muster keys delete key_5d1f0c6e2b8a4f73\n  muster keys delete mst_Zk3vQ9aB\n\nThe last key of the tenant `default` cannot be deleted. A key that MUSTER_API_KEY gives to a server is valid again when that server starts."
    )]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose it is: letters, digits, - and _. `default` is the operator.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// For people: who has it, and where.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Its id, or its prefix if no other key has the same, as `list` says them; or the key itself, of which the id is sent.
    #[arg(value_name = "ID", value_parser = of_key)]
    key: String,
}

/// What is too long for a prefix may be a key, and a secret has no place in an address.
fn of_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > keys::PREFIX_CHARS && !keys::is_id(text) {
        return Ok(keys::id_of(text));
    }
    segment(text, "a key's id looks like key_5d1f0c6e2b8a4f73; `muster keys list` shows them")
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    match args.command {
        KeysCommand::List(ListArgs { tenant }) => {
            let query: Vec<_> = tenant.map(|tenant| ("tenant", tenant)).into_iter().collect();
            let (_, answer) = client.get(PATH, &query).await?;
            match json {
                true => print_line(&answer["keys"].to_string()),
                false => lines(&answer, &TimeZone::system()).iter().for_each(|line| print_line(line)),
            }
        }
        KeysCommand::Create(args) => {
            let (_, answer) = client.post(PATH, &wanted(args), None).await?;
            match json {
                true => print_line(&answer.to_string()),
                false => made(&answer).iter().for_each(|line| print_line(line)),
            }
        }
        KeysCommand::Delete(DeleteArgs { key }) => {
            let (_, answer) = client.delete(&format!("{PATH}/{key}")).await?;
            print_answer(&answer, json, "The key was deleted");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: CreateArgs) -> Value {
    let mut body = Map::from_iter([("tenant".to_owned(), json!(args.tenant))]);
    body.extend(args.name.map(|name| ("name".to_owned(), json!(name))));
    Value::Object(body)
}

fn made(answer: &Value) -> [String; 3] {
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    [
        format!("Key {} of the tenant {}", text("key_id"), text("tenant")),
        format!("API key {}", text("key")),
        "It is said this once: it goes into MUSTER_API_KEY, or the header `Authorization: Token KEY`.".to_owned(),
    ]
}

fn lines(answer: &Value, zone: &TimeZone) -> Vec<String> {
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return vec!["No keys.".to_owned()];
    }
    let mut rows = vec![["ID", "PREFIX", "TENANT", "NAME", "MADE"].map(str::to_owned).to_vec()];
    rows.extend(keys.iter().map(|key| {
        let text = |name: &str| key[name].as_str().unwrap_or_default();
        vec![
            text("key_id").to_owned(),
            short(text("prefix"), NAME_CHARS),
            text("tenant").to_owned(),
            short(text("name"), NAME_CHARS),
            date_time(text("created_at"), zone),
        ]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line() {
        let keys = [
            json!({"key_id": "key_1", "prefix": "te", "tenant": "default", "name": "MUSTER_API_KEY", "created_at": "2026-01-31T09:00:00.000Z"}),
            json!({"key_id": "key_2", "prefix": "mst_Zk3vQ9aB", "tenant": "acme", "name": "", "created_at": "2026-02-01T09:00:00.000Z"}),
        ];
        let want = [
            "ID     PREFIX        TENANT   NAME            MADE",
            "key_1  te            default  MUSTER_API_KEY  2026-01-31 09:00:00",
            "key_2  mst_Zk3vQ9aB  acme                     2026-02-01 09:00:00",
        ];
        assert_eq!(lines(&json!({"keys": keys}), &TimeZone::UTC), want);
        assert_eq!(lines(&json!({"keys": []}), &TimeZone::UTC), ["No keys."]);
    }

    #[test]
    fn a_key_stays_in_its_segment() {
        for good in ["mst_Zk3v-9aB", "key_5d1f0c6e2b8a4f73"] {
            assert_eq!(of_key(good).unwrap(), good);
        }
        for bad in ["", "../bots", "a b", "a?b"] {
            assert!(of_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_itself_is_not_sent() {
        let made = keys::generate().unwrap();
        for key in [&*made, "secret-key-of-mine", "pass/word?of#mine", "key_of-the-operator!"] {
            for given in [key.to_owned(), format!("{key}\n")] {
                assert_eq!(of_key(&given).unwrap(), keys::id_of(key));
            }
        }
    }

    #[test]
    fn a_name_is_left_out_or_said() {
        let args = |name: Option<&str>| CreateArgs { tenant: "acme".to_owned(), name: name.map(str::to_owned) };
        assert_eq!(wanted(args(None)), json!({"tenant": "acme"}));
        assert_eq!(wanted(args(Some("ci"))), json!({"tenant": "acme", "name": "ci"}));
    }
}
