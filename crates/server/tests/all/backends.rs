//! Backends that cannot be used: every command says which setting is wrong, and touches nothing.

use std::path::Path;
use std::process::Command;

use muster_redis::cmd;
use muster_redis::testing::Prefix;
use serde_json::Value;

use crate::harness::{Receiver, command};

/// How a command ended, and what it said.
struct Ran {
    ok: bool,
    out: String,
    err: String,
}

/// Runs the command to its end, with this configuration and a data directory of its own.
async fn run(args: &[&str], config: &str, adapt: impl FnOnce(&mut Command)) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("muster.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = command();
    command.args(args).args(["--listen", "127.0.0.1:0", "--config"]).arg(&file).current_dir(dir.path());
    adapt(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ran { ok: output.status.success(), out, err }
}

/// A start, a migration and a dry one all end with an error that says this; the start looks at the store first.
async fn all_refuse(config: &str, store: &str, queue: &str, adapt: impl Fn(&mut Command)) {
    let served = run(&["serve"], config, &adapt).await;
    assert!(!served.ok && served.err.contains(store), "{:?} is not in {}", store, served.err);
    for args in [&["migrate", "--check"][..], &["migrate"]] {
        let migrated = run(args, config, &adapt).await;
        for want in [store, queue] {
            assert!(!migrated.ok && migrated.err.contains(want), "{want:?} is not in {}", migrated.err);
        }
        assert!(migrated.err.contains("fix: "), "{}", migrated.err);
    }
}

const STORAGE: &str = "[storage]\nurl = \"s3://bucket\"\n";

fn redis(url: &str, prefix: &str) -> String {
    let table =
        |name| format!("[{name}]\nkind = \"redis\"\nurl = \"{url}\"\nprefix = \"{prefix}\"\nallow_volatile = true\n");
    [&table("queue"), &table("store"), STORAGE].concat()
}

#[tokio::test]
async fn redis_that_is_not_there_or_something_else_is_named() {
    all_refuse(
        &redis("redis://:s3cret@127.0.0.1:1", "muster"),
        "store.url: redis at 127.0.0.1:1 is out of reach",
        "queue.url: redis at 127.0.0.1:1 is out of reach",
        |_| {},
    )
    .await;
    let web = Receiver::start().await;
    let address = web.url.trim_start_matches("http://").trim_end_matches("/hook");
    all_refuse(
        &redis(&format!("redis://{address}"), "muster"),
        &format!("store.url: what answers at {address} is not redis"),
        &format!("queue.url: what answers at {address} is not redis"),
        |_| {},
    )
    .await;
}

#[tokio::test]
async fn redis_with_data_of_another_release_is_refused_and_not_touched() {
    let Some(prefix) = Prefix::new() else { return };
    let mut keys = ["", ":queue"].map(|part| format!("{{{}{part}}}:schema", prefix.settings().prefix));
    keys.sort();
    for key in &keys {
        cmd("SET").arg(key).arg(99).exec(&mut prefix.connection()).unwrap();
    }
    all_refuse(
        &redis(&prefix.settings().url, &prefix.settings().prefix),
        "store.prefix: the data under this prefix has schema 99",
        "queue.prefix: the data under this prefix has schema 99",
        |_| {},
    )
    .await;
    let mut found = prefix.keys();
    found.sort();
    assert_eq!(found, keys);
}

#[tokio::test]
async fn redis_has_nothing_to_migrate_and_the_doctor_shows_it() {
    let Some(prefix) = Prefix::new() else { return };
    let config = redis(&prefix.settings().url, &prefix.settings().prefix);
    for args in [&["migrate", "--check"][..], &["migrate"]] {
        let migrated = run(args, &config, |_| {}).await;
        assert!(migrated.ok && migrated.out.ends_with("  nothing to do\nNothing to do.\n"), "{}", migrated.out);
    }
    for check in doctor(&config).await {
        let detail = check["detail"].as_str().unwrap();
        for part in ["redis 7", "appendonly", "maxmemory-policy", "answers in", "clock is"] {
            assert!(detail.contains(part), "{check}");
        }
    }
    assert_eq!(prefix.keys(), Vec::<String>::new(), "a look leaves nothing behind");
}

/// What the doctor says of queue and store.
async fn doctor(config: &str) -> [Value; 2] {
    let ran = run(&["doctor", "--json"], config, |command| {
        // Not asked by Redis.
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    })
    .await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    ["queue", "store"].map(|name| {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    })
}

/// Of embedded backends: both databases in a directory, as this spoils them.
async fn spoilt(spoil: impl Fn(&Path)) -> (Ran, Ran) {
    let dir = tempfile::tempdir().unwrap();
    drop(muster_store::embedded::EmbeddedStore::open(dir.path(), muster_embedded::Durability::Normal).unwrap());
    drop(muster_queue::embedded::EmbeddedQueue::open(dir.path(), muster_embedded::Durability::Normal).unwrap());
    let files = ["store.db", "queue.db"].map(|name| dir.path().join(name));
    files.iter().for_each(|file| spoil(file));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
    let config = format!("data_dir = \"{}\"\n", dir.path().display());
    let ran = (run(&["migrate"], &config, |_| {}).await, run(&["serve"], &config, |_| {}).await);
    assert!(before == files.map(|file| std::fs::read(file).unwrap()), "they were touched");
    ran
}

#[tokio::test]
async fn databases_of_a_newer_release_or_none_are_refused_and_not_touched() {
    // Where SQLite keeps the version of the schema.
    let newer = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        std::fs::write(file, bytes).unwrap();
    };
    let no_database = |file: &Path| std::fs::write(file, "no database ".repeat(1_000)).unwrap();
    for ((migrated, served), want) in
        [(spoilt(newer).await, "has schema version 99"), (spoilt(no_database).await, "cannot be opened as a database")]
    {
        for ran in [&migrated, &served] {
            assert!(!ran.ok && ran.err.contains("data_dir: ") && ran.err.contains(want), "{}", ran.err);
        }
        assert!(migrated.err.contains("queue.db") && migrated.err.contains("store.db"), "{}", migrated.err);
    }
}

#[cfg(feature = "aws")]
mod aws {
    use muster_aws::testing::emulator;

    use super::*;

    fn config(region: &str, endpoint_url: &str, name: &str) -> String {
        let place = format!("{region}endpoint_url = \"{endpoint_url}\"\n");
        format!(
            "[queue]\nkind = \"sqs\"\n{place}prefix = \"{name}\"\n[store]\nkind = \"dynamodb\"\n{place}table = \"{name}\"\n{STORAGE}"
        )
    }

    const REGION: &str = "region = \"us-east-1\"\n";

    /// What the machine has of its own is not looked at.
    fn alone(command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    }

    fn with_credentials(command: &mut Command) {
        alone(command);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    }

    #[tokio::test]
    async fn amazon_that_is_not_there_or_something_else_is_named() {
        all_refuse(
            &config(REGION, "http://127.0.0.1:1", "muster"),
            "store.endpoint_url or store.region: table muster is out of reach",
            "queue.endpoint_url or queue.region: queue muster-jobs-dead is out of reach",
            with_credentials,
        )
        .await;
        let web = Receiver::start().await;
        all_refuse(
            &config(REGION, &web.url, "muster"),
            "store.endpoint_url: what answers there is not Amazon DynamoDB",
            "queue.endpoint_url: what answers there is not Amazon SQS",
            with_credentials,
        )
        .await;
    }

    #[tokio::test]
    async fn a_missing_region_and_missing_credentials_are_named() {
        let config = |region| config(region, "http://127.0.0.1:1", "muster");
        all_refuse(&config(""), "store.region: is needed", "queue.region: is needed", with_credentials).await;
        all_refuse(
            &config(REGION),
            "store.table: there are no credentials",
            "queue.prefix: there are no credentials",
            alone,
        )
        .await;
    }

    #[tokio::test]
    async fn a_migration_says_what_it_does_once_and_the_doctor_shows_what_is_there() {
        let Some((aws, name)) = emulator() else { return };
        let config = config(REGION, &aws.endpoint_url.unwrap(), &name);
        let served = run(&["serve"], &config, with_credentials).await;
        let missing = format!("store.table: there is no table {name}; `muster migrate` makes it");
        assert!(!served.ok && served.err.contains(&missing), "{}", served.err);
        let checked = run(&["migrate", "--check"], &config, with_credentials).await;
        assert!(!checked.ok && checked.out.contains("13 step(s) to do"), "{}{}", checked.out, checked.err);
        let done = run(&["migrate"], &config, with_credentials).await;
        assert!(done.ok && done.out.ends_with("Done.\n"), "{}{}", done.out, done.err);
        for step in [format!("  create queue {name}-media-dead\n"), format!("  create table {name} with 7 indexes")] {
            assert!(done.out.contains(&step) && checked.out.contains(&step), "{}", done.out);
        }
        for args in [&["migrate", "--check"][..], &["migrate"]] {
            let again = run(args, &config, with_credentials).await;
            assert!(again.ok && again.out.ends_with("Nothing to do.\n"), "{}{}", again.out, again.err);
        }
        for check in doctor(&config).await {
            assert_eq!(check["verdict"], "ok", "{check}");
            for part in [&name, "answers in", "clock is"] {
                assert!(check["detail"].as_str().unwrap().contains(part), "{check}");
            }
        }
    }

    /// In front of the emulator: its answers say that it is this many seconds later.
    async fn later(emulator: String, seconds: i64) -> String {
        let http = crate::harness::http_client();
        let forward = move |request: axum::extract::Request| {
            let (http, emulator) = (http.clone(), emulator.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let answer = http.post(emulator).headers(parts.headers).body(body).send().await.unwrap();
                let (status, kind) = (answer.status(), answer.headers()["content-type"].clone());
                let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
                let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                let headers = [("content-type", kind), ("date", date.parse().unwrap())];
                (status, axum::response::AppendHeaders(headers), answer.bytes().await.unwrap())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(forward);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn a_clock_that_breaks_leases_is_refused_at_the_start_and_one_that_shows_is_named() {
        let Some((aws, name)) = emulator() else { return };
        let emulator = aws.endpoint_url.unwrap();
        let done = run(&["migrate"], &config(REGION, &emulator, &name), with_credentials).await;
        assert!(done.ok, "{}", done.err);
        let late = config(REGION, &later(emulator.clone(), 20).await, &name);
        let served = run(&["serve"], &late, with_credentials).await;
        let want = "store.kind: the clock of this machine is 20.";
        let near = served.err.contains(want) || served.err.contains("store.kind: the clock of this machine is 19.");
        assert!(!served.ok && near && served.err.contains("more than 15s"), "{}", served.err);
        let [queue, store] = doctor(&late).await;
        assert_eq!((queue["verdict"].as_str(), store["verdict"].as_str()), (Some("warn"), Some("fail")), "{store}");
        let [_, store] = doctor(&config(REGION, &later(emulator, 5).await, &name)).await;
        assert!(store["verdict"] == "warn" && store["fix"].as_str().unwrap().contains("NTP"), "{store}");
    }
}
