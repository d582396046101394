//! A fleet that makes itself larger and smaller: `control` starts and drains workers of its own machine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muster_keda::external_scaler_client::ExternalScalerClient;
use muster_keda::{GetMetricsRequest, ScaledObjectRef};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::fleet::Shared;
use crate::harness::{PATIENCE, Receiver, Server, descendants, eventually};

const BOTS: usize = 14;
/// Of them, those whose meeting goes on while the fleet gets smaller.
const LONG: usize = 3;
const COOLDOWN: Duration = Duration::from_secs(3);

/// Four simulated bots to a worker, as small as they are. The guide's policy, on a machine whose cores others use as well.
const CONFIG: &str = "lease = \"9s\"\nsimulated = true\nmax_concurrent_bots = 4\nbot_memory = \"40MB\"\nbot_cpu = 0.05\nmemory_headroom = 0\n[autoscale]\nactuator = \"process\"\ncpu_in = 99\ncpu_out = 100\nmemory_in = 99\nmemory_out = 100\nevery = \"500ms\"\ncooldown = \"3s\"\nmax_workers = 4\nslots_per_worker = 4\n";

/// Asks again and again until it holds, and answers what it holds for.
async fn until(api: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let (status, fleet) = api.call("GET", "/api/v1/fleet/scaling", None).await;
        if status == 200 && holds(&fleet) {
            return fleet;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}: {fleet:#}");
    }
}

fn workers(control: &Server) -> usize {
    let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_worker = |line: Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == b"worker");
    descendants(control.id()).iter().map(line).filter(|line| is_worker(line.clone())).count()
}

/// Every change, the first one first: when, from, to.
fn changes(fleet: &Value) -> Vec<(i64, u64, u64)> {
    let number = |change: &Value, key: &str| change[key].as_i64().unwrap();
    let change =
        |change: &Value| (number(change, "at_ms"), change["from"].as_u64().unwrap(), change["to"].as_u64().unwrap());
    fleet["history"].as_array().unwrap().iter().rev().map(change).collect()
}

/// Invariant: a fleet that gets smaller loses no session and ends no call. From one worker to as many as a burst needs and back
/// to one, one at a time and not before the cooldown, while a meeting goes on.
#[tokio::test]
async fn a_burst_makes_the_fleet_larger_and_its_end_makes_it_smaller() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process_with("api", "api", CONFIG);
    let _hooks = shared.process_with("hooks", "hooks", CONFIG);
    let control = shared.process_with("control", "control", CONFIG);
    until(&api, "the first worker", |fleet| fleet["workers"] == 1).await;
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0}]);
    let mut links = Vec::new();
    for room in ["short", "long"] {
        links.push(api.room(room, json!({"participants": people})).await);
    }
    let mut bots = Vec::new();
    for number in 0..BOTS {
        // Among the others, so that they are in the calls of several workers.
        let link = &links[usize::from(number % (BOTS / LONG) == 2)];
        bots.push(api.create(json!({"meeting_link": link, "callback_url": hook.url})).await);
    }
    for bot in &bots {
        hook.event(bot, "bot.inmeeting").await;
    }
    let all = |fleet: &Value| fleet["workers"] == 4 && fleet["running"] == BOTS && fleet["waiting"] == 0;
    until(&api, "every worker that is needed, with every bot", all).await;
    assert_eq!(workers(&control), 4);
    api.act("short", json!({"do": "end"})).await;
    // Three in eight slots are too many for fewer.
    until(&api, "a fleet as small as it may be", |fleet| fleet["desired_workers"] == 2 && fleet["workers"] == 2).await;
    // Those that were told to end keep their calls.
    let held = until(&api, "the meeting that goes on", |fleet| fleet["running"].as_u64() <= Some(LONG as u64)).await;
    assert_eq!(held["running"], LONG, "{held:#}");
    api.act("long", json!({"do": "end"})).await;
    for bot in &bots {
        let seen = hook.done(bot).await;
        let ends: Vec<_> =
            seen.iter().filter(|body| body["event"] == "bot.stopped").map(|body| &body["reason"]).collect();
        assert_eq!(ends, ["host_ended"], "of bot {bot}");
        assert_eq!(seen.iter().filter(|body| body["bot_event"] == "bot.inmeeting").count(), 1, "{bot} was in it once");
    }
    let fleet =
        until(&api, "the end of the others", |fleet| fleet["workers"] == 1 && fleet["workers_draining"] == 0).await;
    eventually("their processes to end", || workers(&control) == 1).await;
    let changes = changes(&fleet);
    assert_eq!(changes.first().map(|change| change.1), Some(0), "{changes:?}");
    assert_eq!(changes.iter().map(|change| change.2).max(), Some(4), "{changes:?}");
    assert_eq!(changes.last().map(|change| change.2), Some(1), "{changes:?}");
    for pair in changes.windows(2) {
        let (before, (at, from, to)) = (pair[0], pair[1]);
        assert_eq!(before.2, from, "one goes on from the other: {changes:?}");
        let waited = Duration::from_millis(u64::try_from(at - before.0).unwrap());
        assert!(to > from || (to + 1 == from && waited >= COOLDOWN), "{changes:?}");
    }
    let ids: BTreeSet<String> = api.get("/api/v1/workers").await["workers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|worker| worker["worker_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "the others have signed off");
}

/// Ends when a test does, whichever way: it is nobody's child.
struct Stray(u32);

impl Drop for Stray {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Workers of a `control` that died go when the next one needs fewer.
#[tokio::test]
async fn workers_of_an_earlier_run_are_let_go_by_the_next() {
    let Some(shared) = Shared::redis() else { return };
    let config = CONFIG.replace("[autoscale]\n", "[autoscale]\nmin_workers = 2\n");
    let api = shared.process_with("api", "api", &config);
    let mut control = shared.process_with("control", "control", &config);
    until(&api, "two workers", |fleet| fleet["workers"] == 2).await;
    let _strays: Vec<Stray> = descendants(control.id()).into_iter().map(Stray).collect();
    control.kill_9();
    let next = shared.process_with("control", "control", &config.replace("min_workers = 2", "min_workers = 0"));
    let gone = until(&api, "their end", |fleet| fleet["workers"] == 0 && fleet["workers_draining"] == 0).await;
    assert_eq!(changes(&gone).last().map(|change| change.2), Some(0), "{gone:#}");
    assert_eq!(workers(&next), 0, "none was started");
}

/// Without a worker, KEDA hears of the first bot before it would ask again; of one whose time comes, too.
#[tokio::test]
async fn keda_hears_at_once_that_something_waits() {
    let Some(shared) = Shared::redis() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config =
        format!("lease = \"3s\"\n[autoscale]\nmin_workers = 0\nslots_per_worker = 4\nkeda_listen = \"{port}\"\n");
    let api = shared.process_with("api", "api", &config);
    let _control = shared.process_with("control", "control", &config);
    let endpoint = Endpoint::from_shared(format!("http://{port}")).unwrap().connect_timeout(PATIENCE);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let channel = loop {
        // It listens soon after it says that it is there.
        ticks.tick().await;
        if let Ok(channel) = endpoint.connect().await {
            break channel;
        }
    };
    let mut client = ExternalScalerClient::new(channel);
    let trigger = ScaledObjectRef { name: "worker".into(), namespace: "muster".into(), ..ScaledObjectRef::default() };
    let mut stream = client.stream_is_active(trigger.clone()).await.unwrap().into_inner();
    assert!(!stream.message().await.unwrap().unwrap().result, "nothing waits");
    let link = api.room("first", json!({})).await;
    for _ in 0..5 {
        api.create(json!({"meeting_link": link})).await;
    }
    assert!(stream.message().await.unwrap().unwrap().result);
    until(&api, "all of them to wait", |fleet| fleet["waiting"] == 5).await;
    let request = GetMetricsRequest { scaled_object_ref: Some(trigger), metric_name: "workers_to_add".into() };
    let values = client.get_metrics(request).await.unwrap().into_inner().metric_values;
    assert_eq!((values[0].metric_value, values[0].metric_value_float), (2, 2.0), "four bots in each");
}
