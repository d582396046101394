use muster_fleet::scaling::{Signals, WorkerSignal};
use muster_session::Timestamp;
use muster_store::{KnownWorker, WorkerRecord};

use super::*;

/// A child that lives until it is told to end, as a worker would.
fn child(id: &str, place: Place) -> Child {
    let process = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    Child { id: WorkerId::new(id), place, process, draining: false }
}

fn look(workers: &[(&str, u32)]) -> Look {
    let known = |(id, running): &(&str, u32)| KnownWorker {
        record: WorkerRecord {
            id: WorkerId::new(*id),
            host: String::new(),
            version: String::new(),
            capacity: 8,
            running: *running,
            room: Some(8 - running),
            cpu_percent: None,
            memory_percent: None,
            launch_ms: None,
            idle_since: None,
            bots: serde_json::Value::Null,
            simulated: false,
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(0),
            beat_ms: None,
        },
        draining: false,
    };
    let signals = Signals { workers: Some(vec![WorkerSignal::default(); workers.len()]), ..Signals::default() };
    Look { signals, workers: workers.iter().map(known).collect(), ..Look::default() }
}

#[tokio::test]
async fn the_one_with_the_fewest_bots_drains_and_others_workers_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Arc::new(muster_store::embedded::EmbeddedStore::open(dir.path(), muster_embedded::Durability::Normal).unwrap());
    let setup = ProcessSetup {
        program: "true".into(),
        config: ProcessConfig::default(),
        workers_dir: dir.path().join("workers"),
        store,
    };
    let actuator = ProcessActuator::new(setup);
    for (number, id) in (1..).zip(["a", "b", "c"]) {
        let place = Place { number, directory: dir.path().join(id) };
        actuator.children.lock().await.push(child(id, place));
    }
    // `x` is another's, and `c` has not told of itself yet.
    let look = look(&[("a", 3), ("b", 1), ("x", 0)]);
    let count = actuator.count(&look).await.unwrap().unwrap();
    assert_eq!((count.workers, count.others), (4, false));
    assert!(actuator.count(&Look::default()).await.is_err(), "blind: those of others are not known");
    actuator.set(Some(count), 2, &look).await.unwrap();
    let draining = async || {
        let children = actuator.children.lock().await;
        children.iter().filter(|child| child.draining).map(|child| child.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(draining().await, ["b", "c"]);
    for child in actuator.children.lock().await.iter_mut().filter(|child| child.draining) {
        child.process.wait().await.unwrap();
    }
    assert_eq!(actuator.count(&look).await.unwrap().unwrap().workers, 3, "b, which has ended, has not signed off");
    assert_eq!(actuator.children.lock().await.len(), 1);
    actuator.end().await;
    assert!(draining().await.is_empty(), "they go on without this process");
}
