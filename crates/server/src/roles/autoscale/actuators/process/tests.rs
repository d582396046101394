use std::os::unix::fs::PermissionsExt as _;

use muster_fleet::scaling::{Signals, WorkerSignal};
use muster_session::Timestamp;
use muster_store::memory::MemoryStore;
use muster_store::{Ending, KnownWorker, WorkerRecord};

use super::*;

/// A child that lives until it is told to end, as a worker would.
fn child(id: &str, place: Place) -> Child {
    let process = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    Child { id: WorkerId::new(id), place, process, began: Instant::now() }
}

/// Workers, and whether each drains.
fn look(workers: &[(&str, bool)]) -> Look {
    let known = |(id, draining): &(&str, bool)| KnownWorker {
        record: WorkerRecord {
            id: WorkerId::new(*id),
            host: String::new(),
            version: String::new(),
            capacity: 8,
            running: 1,
            room: Some(7),
            cpu_percent: None,
            memory_percent: None,
            launch_ms: None,
            idle_since: None,
            bots: serde_json::Value::Null,
            simulated: false,
            ending: Ending::Ends,
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(0),
            beat_ms: None,
        },
        draining: *draining,
    };
    let signals = Signals { workers: Some(vec![WorkerSignal::default(); workers.len()]), ..Signals::default() };
    Look { signals, workers: workers.iter().map(known).collect(), ..Look::default() }
}

/// Starts this program's file.
fn actuator(dir: &std::path::Path, program: PathBuf, exit_when_idle: Duration) -> ProcessActuator {
    ProcessActuator::new(ProcessSetup {
        program,
        config: ProcessConfig::default(),
        exit_when_idle,
        workers_dir: dir.join("workers"),
        store: Arc::new(MemoryStore::new()),
    })
}

fn script(dir: &std::path::Path, text: &str) -> PathBuf {
    let file = dir.join("program");
    std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[tokio::test]
async fn those_that_drain_do_not_count_and_those_on_their_way_and_of_others_do() {
    let dir = tempfile::tempdir().unwrap();
    let actuator = actuator(dir.path(), "true".into(), Duration::from_secs(300));
    for (number, id) in (1..).zip(["a", "b", "c"]) {
        let place = Place { number, directory: dir.path().join(id) };
        actuator.ours.lock().await.children.push(child(id, place));
    }
    // `x` and `y` are of an earlier run, and `c` has not told of itself yet.
    let look = look(&[("a", false), ("b", true), ("x", false), ("y", true)]);
    let count = actuator.count(&look).await.unwrap().unwrap();
    assert_eq!((count.workers, count.others), (3, false));
    assert!(actuator.count(&Look::default()).await.is_err(), "blind: those of others are not known");
    actuator.set(Some(count), 2, &look).await.unwrap();
    for child in &mut actuator.ours.lock().await.children {
        assert!(child.process.try_wait().unwrap().is_none(), "whoever is to go hears of it by the registry");
    }
    actuator.end().await;
    assert_eq!(actuator.ours.lock().await.children.len(), 3, "they go on without this process");
}

/// Waits for the only child to end, and has it taken out.
async fn ended(actuator: &ProcessActuator) {
    actuator.ours.lock().await.children[0].process.wait().await.unwrap();
    assert_eq!(actuator.count(&look(&[])).await.unwrap().unwrap().workers, 0);
}

#[tokio::test]
async fn a_worker_is_told_to_end_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let program = script(dir.path(), "echo idle=$MUSTER_WORKER__EXIT_WHEN_IDLE >&2");
    let actuator = actuator(dir.path(), program, Duration::from_secs(420));
    actuator.set(None, 1, &Look::default()).await.unwrap();
    let log = actuator.ours.lock().await.children[0].place.log();
    ended(&actuator).await;
    assert_eq!(std::fs::read_to_string(log).unwrap(), "idle=420s\n");
    actuator.set(None, 1, &Look::default()).await.unwrap();
    assert_eq!(actuator.ours.lock().await.children.len(), 1, "it ended as it should, and the next starts at once");
}

#[tokio::test]
async fn a_worker_that_fails_at_its_start_is_not_started_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let actuator = actuator(dir.path(), script(dir.path(), "exit 3"), Duration::from_secs(300));
    actuator.set(None, 1, &Look::default()).await.unwrap();
    ended(&actuator).await;
    actuator.set(None, 1, &Look::default()).await.unwrap();
    assert!(actuator.ours.lock().await.children.is_empty());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    actuator.set(None, 1, &Look::default()).await.unwrap();
    assert_eq!(actuator.ours.lock().await.children.len(), 1);
}
