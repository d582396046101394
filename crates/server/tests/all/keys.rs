//! `muster keys` against a running server.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{KEY, Server, command};

fn run(server: &Server, key: &str, args: &[&str]) -> Output {
    let mut command = command();
    command.arg("keys").args(args).env("MUSTER_SERVER", &server.url).env("MUSTER_API_KEY", key).output().unwrap()
}

/// What it prints, if it succeeds.
#[track_caller]
fn printed(ran: &Output) -> String {
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout.clone()).unwrap()
}

/// What it says, if it fails.
#[track_caller]
fn failed(ran: &Output) -> String {
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    String::from_utf8(ran.stderr.clone()).unwrap()
}

fn json_of(ran: &Output) -> Value {
    serde_json::from_str(&printed(ran)).unwrap()
}

#[tokio::test]
async fn keys_are_made_and_the_one_of_the_environment_is_replaced() {
    let mut server = Server::start("");
    let acme = json_of(&run(&server, KEY, &["create", "--tenant", "acme", "--name", "ci", "--json"]));
    assert_eq!((&acme["tenant"], &acme["name"]), (&json!("acme"), &json!("ci")));
    let acme_key = acme["key"].as_str().unwrap();
    let refused = failed(&run(&server, acme_key, &["list"]));
    assert!(refused.contains("operator"), "{refused}");
    let refused = failed(&run(&server, KEY, &["create", "--tenant", "a.b"]));
    assert!(refused.contains("tenant: expected 1 to 64 letters"), "{refused}");

    let said = printed(&run(&server, KEY, &["create", "--tenant", "default", "--name", "alice"]));
    let new = said.lines().find_map(|line| line.strip_prefix("API key ")).unwrap();
    let keys = json_of(&run(&server, new, &["list", "--tenant", "default", "--json"]));
    let names: Vec<&Value> = keys.as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert_eq!(names, ["MUSTER_API_KEY", "alice"]);
    let old = keys[0]["key_id"].as_str().unwrap();
    assert!(printed(&run(&server, new, &["delete", old])).contains("was deleted"));
    assert!(failed(&run(&server, KEY, &["list"])).contains("not valid"));
    let table = printed(&run(&server, new, &["list"]));
    assert!(table.starts_with("ID ") && !table.contains("MUSTER_API_KEY") && table.contains(" acme "), "{table}");
    // Who has a key that leaked can name it by itself.
    let leaked = json_of(&run(&server, new, &["create", "--tenant", "acme", "--json"]));
    let deleted = printed(&run(&server, new, &["delete", leaked["key"].as_str().unwrap()]));
    assert!(deleted.contains(leaked["key_id"].as_str().unwrap()), "{deleted}");
    assert!(failed(&run(&server, leaked["key"].as_str().unwrap(), &["list"])).contains("not valid"));

    // A server that is still given the old key takes it again; the others stay.
    server.kill_9();
    let data = server.data.clone();
    let server = Server::start_in(&data, "");
    for key in [KEY, new] {
        assert_eq!(json_of(&run(&server, key, &["list", "--json"])).as_array().unwrap().len(), 3);
    }
}

/// The key that a start without one prints, if it gets so far; the server is ended then.
fn first_key(data: &Path, listen: &str) -> Option<String> {
    let mut serve = command();
    serve.args(["serve", "--listen", listen, "--data-dir"]).arg(data).stdout(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut announced = lines.take_while(|line| !line.starts_with("Data directory"));
    let key = announced.find_map(|line| line.strip_prefix("API key (shown once): ").map(str::to_owned));
    child.kill().unwrap();
    child.wait().unwrap();
    key
}

#[test]
fn a_start_that_fails_makes_no_key_that_nobody_sees() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(first_key(dir.path(), &taken.local_addr().unwrap().to_string()), None);
    let key = first_key(dir.path(), "127.0.0.1:0").unwrap();
    assert!(key.starts_with("mst_"), "{key}");
    assert_eq!(first_key(dir.path(), "127.0.0.1:0"), None, "once");
}

#[test]
fn a_given_key_that_cannot_be_sent_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    let said = failed(&serve.env("MUSTER_API_KEY", "two words").output().unwrap());
    assert!(said.contains("MUSTER_API_KEY: expected 8 to 512 ASCII characters and no space"), "{said}");
}
