//! What `kill -9` costs: nothing that was acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use muster_embedded::Durability;
use muster_session::BotId;

use crate::SessionStore;
use crate::conformance::samples::{at, create, done, queued};
use crate::embedded::EmbeddedStore;

/// Names the directory to a copy of this test program that is to be killed.
const CHILD_DIR: &str = "MUSTER_STORE_CHILD_DIR";

/// Not a test of its own: the part of the killed process below. Without its variable it does nothing.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = EmbeddedStore::open(Path::new(&dir), Durability::Normal).unwrap();
    loop {
        let created = create(&store, queued("t", at(0))).await;
        // Not println!, which the test harness would keep to itself.
        writeln!(std::io::stderr(), "version {} of {}", created.version, created.id).unwrap();
        let done = done(&store, at(0)).await;
        writeln!(std::io::stderr(), "version {} of {}", done.version, done.id).unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::crash::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged: Vec<(u64, BotId)> = Vec::new();
    for line in lines {
        // The last line may be cut off.
        let Some((version, bot)) = line.strip_prefix("version ").and_then(|rest| rest.split_once(" of ")) else {
            continue;
        };
        let (Ok(version), Ok(bot)) = (version.parse(), bot.parse()) else { continue };
        acknowledged.push((version, bot));
        if acknowledged.len() == 100 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());

    let store = EmbeddedStore::open(dir.path(), Durability::Normal).unwrap();
    for (version, bot) in acknowledged {
        let session = store.get(bot).await.unwrap().unwrap_or_else(|| panic!("{bot} is lost"));
        assert_eq!(session.version, version);
        let sent = store.deliveries(bot).await.unwrap();
        assert_eq!(sent.len() as u64, session.sequence, "every event is in the ledger");
    }
}
