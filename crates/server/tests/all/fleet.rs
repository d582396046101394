//! The same over Redis and on Amazon's services: in one process, and with every role in a process of its own.

use std::path::{Path, PathBuf};

use muster_redis::testing::Prefix;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Receiver, Server, assert_lawful, names};

/// Sessions, jobs and recordings of a test's own. Dropped after the processes that use them.
pub(crate) struct Shared {
    /// `[queue]` and `[store]`.
    backends: String,
    dir: TempDir,
    /// What is in Redis goes with it.
    _prefix: Option<Prefix>,
}

impl Shared {
    pub(crate) fn redis() -> Option<Self> {
        let prefix = Prefix::new()?;
        let settings = prefix.settings();
        let table = |name| {
            format!(
                "[{name}]\nkind = \"redis\"\nurl = \"{}\"\nprefix = \"{}\"\nallow_volatile = true\n",
                settings.url, settings.prefix
            )
        };
        let backends = [table("queue"), table("store")].concat();
        Some(Self { backends, dir: tempfile::tempdir().unwrap(), _prefix: Some(prefix) })
    }

    /// On Amazon's services, made as an operator makes them: by the command.
    #[cfg(feature = "aws")]
    fn aws() -> Option<Self> {
        let (aws, name) = muster_aws::testing::emulator()?;
        let shared = Self::on_aws(&aws.endpoint_url.unwrap(), &name);
        let (migrated, said) = shared.migrate(&[]);
        assert!(migrated, "{said}");
        Some(shared)
    }

    /// On Amazon's services, made by the CloudFormation template and nothing else; of what it can make, with this for
    /// compute.
    #[cfg(feature = "aws")]
    fn stack(compute: &[&str]) -> Option<Self> {
        let (aws, name) = muster_aws::testing::emulator()?;
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let made = std::process::Command::new(std::env::var_os("MUSTER_TEST_AWS_PYTHON").unwrap())
            .args(["tools/stack.py", "deploy/aws/muster.yaml", &name, &format!("Name={name}"), "KeepData=false"])
            .args(compute)
            .current_dir(root)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let outputs: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!((&outputs["QueuePrefix"], &outputs["TableName"]), (&json!(name), &json!(name)));
        Some(Self::on_aws(&aws.endpoint_url.unwrap(), &name))
    }

    #[cfg(feature = "aws")]
    fn on_aws(endpoint_url: &str, name: &str) -> Self {
        let place = format!("region = \"us-east-1\"\nendpoint_url = \"{endpoint_url}\"\n");
        let backends = format!(
            "[queue]\nkind = \"sqs\"\n{place}prefix = \"{name}\"\n[store]\nkind = \"dynamodb\"\n{place}table = \"{name}\"\n"
        );
        Self { backends, dir: tempfile::tempdir().unwrap(), _prefix: None }
    }

    /// Whether `muster migrate` succeeded, and what it said.
    #[cfg(feature = "aws")]
    fn migrate(&self, args: &[&str]) -> (bool, String) {
        let file = self.data("migrate.toml");
        std::fs::write(&file, self.config(&self.data("media"))).unwrap();
        let ran = crate::harness::command().arg("migrate").args(args).arg("--config").arg(&file).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(said).unwrap())
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn process(&self, role: &str, name: &str) -> Server {
        self.process_with(role, name, "lease = \"3s\"\n")
    }

    /// With more of its configuration: keys of `[worker]`, and tables after them.
    pub(crate) fn process_with(&self, role: &str, name: &str, more: &str) -> Server {
        Server::start_role(role, &self.data(name), &[more, &self.config(&self.data("media"))].concat())
    }

    fn config(&self, media: &Path) -> String {
        format!("[control]\nlead = \"1s\"\n{}[storage]\nurl = \"file://{}\"\n", self.backends, media.display())
    }

    /// A call in one process that does everything.
    async fn normal_call(&self) {
        let data = self.data("all");
        let server = Server::start_in(&data, &format!("lease = \"3s\"\n{}", self.config(&data.join("media"))));
        crate::e2e::normal_call(&server).await;
    }
}

#[tokio::test]
async fn normal_call_over_redis() {
    let Some(shared) = Shared::redis() else { return };
    shared.normal_call().await;
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn normal_call_over_aws() {
    let Some(shared) = Shared::aws() else { return };
    shared.normal_call().await;
}

/// The template makes what `muster migrate` would: a call runs on it, and there is nothing left to migrate.
#[cfg(feature = "aws")]
#[tokio::test]
async fn normal_call_over_a_cloudformation_stack() {
    let Some(shared) = Shared::stack(&["ComputeStack=none"]) else { return };
    shared.normal_call().await;
    for args in [&["--check"][..], &[]] {
        let (migrated, said) = shared.migrate(args);
        assert!(migrated && said.ends_with("  nothing to do\nNothing to do.\n"), "{said}");
    }
}

/// With load balancer, services, roles and alarms the stack can be made, too.
#[cfg(feature = "aws")]
#[test]
fn a_cloudformation_stack_with_compute_can_be_made() {
    let place = ["VpcId=vpc-00000001", "Subnets=subnet-00000001,subnet-00000002"];
    let Some(shared) = Shared::stack(&["ComputeStack=ecs", "Image=muster:test", place[0], place[1]]) else { return };
    let (migrated, said) = shared.migrate(&["--check"]);
    assert!(migrated, "{said}");
}

#[tokio::test]
async fn a_worker_killed_before_admission_is_replaced_by_another() {
    let Some(shared) = Shared::redis() else { return };
    killed_before_admission(&shared).await;
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn a_worker_killed_before_admission_is_replaced_by_another_over_aws() {
    let Some(shared) = Shared::aws() else { return };
    killed_before_admission(&shared).await;
}

#[tokio::test]
async fn a_drained_worker_keeps_its_call_and_takes_no_other() {
    let Some(shared) = Shared::redis() else { return };
    drained(&shared).await;
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn a_drained_worker_keeps_its_call_and_takes_no_other_over_aws() {
    let Some(shared) = Shared::aws() else { return };
    drained(&shared).await;
}

/// Invariant: a bot is not lost with its worker. Before it was let in, another worker tries again.
async fn killed_before_admission(shared: &Shared) {
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let mut first = shared.process("worker", "worker-1");
    let people =
        json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [{"at": 0.2, "tone_hz": 440, "ms": 60000}]}]);
    let link = api.room("handover", json!({"lobby": {"mode": "hold"}, "participants": people})).await;
    let request = json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}});
    let bot = api.create(request).await;
    hook.event(&bot, "bot.in_waiting_room").await;
    assert!(!first.bot_processes().is_empty());
    first.kill_9();
    let second = shared.process("worker", "worker-2");
    let again = |all: &[serde_json::Value]| all.iter().filter(|b| b["bot_event"] == "bot.in_waiting_room").count() > 1;
    hook.until(&bot, "second wait in the lobby", again).await;
    assert!(!second.bot_processes().is_empty());
    api.act("handover", json!({"do": "admit"})).await;
    hook.event(&bot, "bot.recording").await;
    api.act("handover", json!({"do": "end"})).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let want = ["bot.stopped", "manifest.completed", "audio.processed", "bot.done"];
    assert_eq!(names(&seen)[seen.len() - want.len()..], want);
    assert_eq!(seen.iter().find(|b| b["event"] == "bot.stopped").unwrap()["reason"], "host_ended");
    // The API has the recording that the hooks process joined of what the worker stored.
    assert!(!api.recording(&bot).await.is_empty());
}

/// A worker that was asked to take no more bots keeps its call and leaves the next bot to another.
async fn drained(shared: &Shared) {
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let mut first = shared.process("worker", "worker-1");
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0}]);
    let mut calls = Vec::new();
    for room in ["drained-1", "drained-2"] {
        let link = api.room(room, json!({"participants": people})).await;
        let request = json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}});
        let bot = api.create(request).await;
        if calls.is_empty() {
            hook.event(&bot, "bot.inmeeting").await;
            let workers = api.get("/api/v1/workers").await["workers"].take();
            let [worker] = workers.as_array().unwrap().as_slice() else { panic!("one worker: {workers}") };
            let path = format!("/api/v1/workers/{}/drain", worker["worker_id"].as_str().unwrap());
            assert_eq!(api.call("POST", &path, None).await.0, 200);
            // Heard with a beat after the request: the one that says that it is draining comes with the next list.
            let asked = worker["seen_at"].as_str().unwrap().to_owned();
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
            let mut beats = std::collections::BTreeSet::from([asked]);
            while beats.len() < 4 {
                ticks.tick().await;
                let seen = api.get("/api/v1/workers").await["workers"][0].take();
                assert_eq!(seen["status"], "draining");
                beats.insert(seen["seen_at"].as_str().unwrap().to_owned());
            }
        }
        calls.push((room, bot));
    }
    let second = shared.process("worker", "worker-2");
    hook.event(&calls[1].1, "bot.inmeeting").await;
    assert!(!second.bot_processes().is_empty() && !first.bot_processes().is_empty());
    for (room, bot) in &calls {
        api.act(room, json!({"do": "end"})).await;
        assert_lawful(&hook.done(bot).await);
    }
    // A worker that ends is gone from the list.
    first.terminate();
    let (first, status) = tokio::task::spawn_blocking(move || {
        let status = first.wait_exit();
        (first, status)
    })
    .await
    .unwrap();
    assert!(status.success(), "{status}");
    drop(first);
    assert_eq!(api.get("/api/v1/workers").await["workers"].as_array().unwrap().len(), 1);
    assert_eq!(api.call("POST", "/api/v1/workers/nobody/drain", None).await.0, 404);
}
