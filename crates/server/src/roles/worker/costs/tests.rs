use std::sync::atomic::{AtomicI64, Ordering};

use muster_fleet::cost::Cost;
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_runtime::ProcessTable;
use muster_runtime::machine::Machine;
use muster_runtime::measure::Usage;
use muster_session::Timestamp;
use muster_store::SessionStore;
use muster_store::memory::MemoryStore;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::roles::worker::bots::Gauge;
use crate::roles::worker::room::tests::session;

#[derive(Debug)]
struct Unread;

impl Gauge for Unread {
    fn read(&mut self, _: &ProcessTable) -> Usage {
        Usage::default()
    }
}

/// A worker with a bot of a kind, measured for a while at this size.
fn measured(platform: &str, memory_bytes: u64) -> Arc<Room> {
    let millis = Arc::new(AtomicI64::new(0));
    let told = Arc::clone(&millis);
    let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst)));
    let mut config = Config::load(&Sources::default()).unwrap().worker;
    (config.bot_memory, config.bot_cpu_millis) = (1_000_000, 10);
    let room = Room::new(&config, Some(Machine::here()), clock);
    let seat = room.reserve(&session(platform, false)).unwrap();
    seat.admitted();
    for _ in 0..40 {
        millis.fetch_add(30_000, Ordering::SeqCst);
        room.measured(0, Box::new(Unread), memory_bytes, Duration::ZERO);
    }
    room
}

fn known(book: &CostBook) -> Vec<(String, u64)> {
    book.known(Cost::PLANNED).map(|(kind, cost, _)| (kind.to_owned(), cost.memory_bytes / 100_000_000)).collect()
}

#[tokio::test]
async fn what_one_worker_measures_all_know_and_nothing_counts_twice() {
    let store = Arc::new(MemoryStore::default());
    let backend = Backend::new(store.clone(), JobQueue::new(Arc::new(MemoryQueue::new())), Clock::system());
    let rooms = [measured("zoom", 100_000_000), measured("teams", 300_000_000)];
    // At the same time: one of them finds that the other was first.
    tokio::join!(share(&backend, &rooms[0]), share(&backend, &rooms[1]));
    let document = store.document(COSTS).await.unwrap().unwrap();
    assert_eq!(document.version, 2);
    let both = [("teams/audio".to_owned(), 3), ("zoom/audio".to_owned(), 1)];
    assert_eq!(known(&read(&document)), both);
    share(&backend, &rooms[0]).await;
    assert_eq!(store.document(COSTS).await.unwrap().unwrap(), document, "nothing new, nothing written");
    let idle = measured("none", 1);
    idle.take_fresh();
    share(&backend, &idle).await;
    let _seat = idle.reserve(&session("teams", false)).unwrap();
    assert_eq!(idle.outlook().bots[0].2.memory_bytes / 100_000_000, 3, "learned from another worker");
}
