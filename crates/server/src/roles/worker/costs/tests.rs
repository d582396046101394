use muster_faults::{Fault, Nth};
use muster_fleet::cost::Cost;
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_runtime::machine::Machine;
use muster_store::SessionStore;
use muster_store::faulty::FaultyStore;
use muster_store::memory::MemoryStore;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::roles::worker::room::tests::{clock, session, settle};

/// A worker that had ten bots of a kind, of this size.
fn measured(platform: &str, memory_bytes: u64) -> Arc<Room> {
    let (clock, millis) = clock();
    let mut config = Config::load(&Sources::default()).unwrap().worker;
    (config.bot_memory, config.bot_cpu_millis) = (1_000_000, 10);
    let room = Room::new(&config, Some(Machine::here()), clock);
    for _ in 0..10 {
        let seat = room.reserve(&session(platform, false)).unwrap();
        settle(&room, &millis, &seat, memory_bytes);
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
    idle.take_fresh().written(CostBook::default());
    share(&backend, &idle).await;
    let _seat = idle.reserve(&session("teams", false)).unwrap();
    assert_eq!(idle.outlook().bots[0].2.memory_bytes / 100_000_000, 3, "learned from another worker");
}

#[tokio::test]
async fn what_a_worker_was_writing_when_it_ends_is_in_its_last_words() {
    let store = Arc::new(MemoryStore::default());
    let plan = Arc::new(Nth::new(1, Fault::CrashBefore).of("put_document"));
    let faulty = Arc::new(FaultyStore::new(store.clone(), plan.clone()));
    let backend = Backend::new(faulty, JobQueue::new(Arc::new(MemoryQueue::new())), Clock::system());
    let room = measured("zoom", 100_000_000);
    tokio::select! {
        biased;
        () = keep(backend.clone(), Arc::clone(&room)) => {}
        () = plan.crash() => {}
    }
    assert_eq!(store.document(COSTS).await.unwrap(), None);
    share(&backend, &room).await;
    let book = read(&store.document(COSTS).await.unwrap().unwrap());
    assert_eq!(book.known(Cost::PLANNED).map(|(_, _, bots)| bots).collect::<Vec<_>>(), [10]);
}
