//! `muster keys` against a running server.

use std::process::Output;

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

    // A server that is still given the old key takes it again; the others stay.
    server.kill_9();
    let data = server.data.clone();
    let server = Server::start_in(&data, "");
    for key in [KEY, new] {
        assert_eq!(json_of(&run(&server, key, &["list", "--json"])).as_array().unwrap().len(), 3);
    }
}
