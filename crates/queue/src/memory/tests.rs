//! The suite on the queue in memory, and what only it promises.

use std::sync::OnceLock;

use super::*;
use crate::conformance::Fixture;
use crate::model::{self, Backend};

const LONG: Duration = Duration::from_secs(600);

/// What is left when every user of a queue is gone.
struct Memory(OnceLock<MemoryQueue>);

#[async_trait]
impl Fixture for Memory {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(self.0.get_or_init(MemoryQueue::new).clone())
    }
}

crate::queue_conformance!(Memory(OnceLock::new()));

#[async_trait]
impl Backend for Memory {
    const IN_ORDER: bool = true;
    const CASES: u32 = 500;

    fn new() -> Self {
        Self(OnceLock::new())
    }

    async fn open(&self, clock: Clock) -> Arc<dyn Queue> {
        Arc::new(self.0.get_or_init(|| MemoryQueue::with_clock(clock)).clone())
    }
}

#[test]
fn it_behaves_as_a_list_does() {
    model::behaves_as_a_list_does::<Memory>();
}

fn message(text: &str) -> Enqueue {
    Enqueue { payload: text.into(), ..Enqueue::default() }
}

#[tokio::test(start_paused = true)]
async fn leases_and_delays_pass_in_virtual_time() {
    let queue = MemoryQueue::new();
    let began = Instant::now();
    let exact = Duration::from_micros(1_500);
    queue.enqueue(Topic::Jobs, Enqueue { delay: exact, ..message("m") }).await.unwrap();
    queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap().remove(0);
    assert!(began.elapsed() >= exact && began.elapsed() <= exact + Duration::from_millis(2), "{:?}", began.elapsed());
    let again = queue.receive(Topic::Jobs, 1, LONG, 2 * LONG).await.unwrap().remove(0);
    assert_eq!((again.payload.as_slice(), again.receives), (&b"m"[..], 2));
    assert!(began.elapsed() >= LONG && began.elapsed() < LONG + Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Who waited first is served first, and so it is every time.
#[tokio::test(start_paused = true)]
async fn waiting_receivers_wake_in_order() {
    for _ in 0..10 {
        let queue = MemoryQueue::new();
        let (order, mut waiting) = (Arc::new(Mutex::new(Vec::new())), tokio::task::JoinSet::new());
        for number in 0..20 {
            let (queue, order) = (queue.clone(), Arc::clone(&order));
            waiting.spawn(async move {
                let got = queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap();
                order.lock().unwrap().push((number, got[0].payload[0]));
            });
        }
        // Virtual time passes when everybody waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
        for payload in 0..20 {
            queue.enqueue(Topic::Jobs, Enqueue { payload: vec![payload], ..Enqueue::default() }).await.unwrap();
        }
        while let Some(done) = waiting.join_next().await {
            done.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).map(|n| (n, n)).collect::<Vec<_>>());
    }
}
