//! What `kill -9` costs: nothing that was acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use muster_embedded::Durability;
use muster_session::job::Topic;

use super::LONG;
use crate::embedded::EmbeddedQueue;
use crate::{Enqueue, Queue};

/// Names the directory to a copy of this test program that is to be killed.
const CHILD_DIR: &str = "MUSTER_QUEUE_CHILD_DIR";

/// Not a test of its own: the part of the killed process below. Without its variable it does nothing.
#[tokio::test]
async fn child_that_enqueues_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let queue = EmbeddedQueue::open(Path::new(&dir), Durability::Normal).unwrap();
    for i in 0u64.. {
        let payload = i.to_string().into_bytes();
        queue.enqueue(Topic::Jobs, Enqueue { payload, ..Enqueue::default() }).await.unwrap();
        // Not println!, which the test harness would keep to itself.
        writeln!(std::io::stderr(), "acknowledged {i}").unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::crash::child_that_enqueues_until_it_is_killed", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == "acknowledged 100"));
    child.kill().unwrap();
    child.wait().unwrap();
    let more = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
    let last = more.max().unwrap_or(100);

    let queue = EmbeddedQueue::open(dir.path(), Durability::Normal).unwrap();
    let mut found = BTreeSet::new();
    loop {
        let received = queue.receive(Topic::Jobs, 100, LONG, std::time::Duration::ZERO).await.unwrap();
        if received.is_empty() {
            break;
        }
        found.extend(received.iter().map(|d| String::from_utf8_lossy(&d.payload).parse::<u64>().unwrap()));
    }
    assert!((0..=last).all(|i| found.contains(&i)), "{} of {last} found", found.len());
}
