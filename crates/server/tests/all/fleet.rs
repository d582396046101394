//! The same over Redis: in one process, and with every role in a process of its own.

use std::path::{Path, PathBuf};

use muster_redis::testing::Prefix;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Receiver, Server, assert_lawful, names};

/// Sessions, jobs and recordings of a test's own. Dropped after the processes that use them.
struct Shared {
    prefix: Prefix,
    dir: TempDir,
}

impl Shared {
    fn new() -> Option<Self> {
        Some(Self { prefix: Prefix::new()?, dir: tempfile::tempdir().unwrap() })
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn process(&self, role: &str, name: &str) -> Server {
        Server::start_role(role, &self.data(name), &self.config(&self.data("media")))
    }

    fn config(&self, media: &Path) -> String {
        let settings = self.prefix.settings();
        let backend = |table| {
            format!(
                "[{table}]\nkind = \"redis\"\nurl = \"{}\"\nprefix = \"{}\"\nallow_volatile = true\n",
                settings.url, settings.prefix
            )
        };
        format!(
            "lease = \"3s\"\n[control]\nlead = \"1s\"\n{}{}[storage]\nurl = \"file://{}\"\n",
            backend("queue"),
            backend("store"),
            media.display()
        )
    }
}

#[tokio::test]
async fn normal_call_over_redis() {
    let Some(shared) = Shared::new() else { return };
    let data = shared.data("all");
    let server = Server::start_in(&data, &shared.config(&data.join("media")));
    crate::e2e::normal_call(&server).await;
}

/// Invariant: a bot is not lost with its worker. Before it was let in, another worker tries again.
#[tokio::test]
async fn a_worker_killed_before_admission_is_replaced_by_another() {
    let Some(shared) = Shared::new() else { return };
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
