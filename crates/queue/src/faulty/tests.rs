use muster_faults::{Fault, Nth};
use tokio::time::Instant;

use super::*;
use crate::MemoryQueue;

const LONG: Duration = Duration::from_secs(600);
const OPERATIONS: [&str; 9] =
    ["enqueue", "receive", "extend", "ack", "release", "dead_letter", "dead", "requeue", "depth"];

fn message(text: &str) -> Enqueue {
    Enqueue { payload: text.into(), ..Enqueue::default() }
}

async fn take(queue: &dyn Queue) -> Result<Receipt, QueueError> {
    Ok(queue.receive(Topic::Jobs, 1, LONG, LONG).await?.remove(0).receipt)
}

/// Each operation once.
async fn everything(queue: &dyn Queue) -> Result<(), QueueError> {
    queue.enqueue(Topic::Jobs, message("m")).await?;
    let receipt = take(queue).await?;
    queue.extend(&receipt, LONG).await?;
    queue.release(&receipt, Duration::ZERO).await?;
    queue.dead_letter(&take(queue).await?, "why").await?;
    let (id, ..) = queue.dead(Topic::Jobs, 1).await?.remove(0);
    assert!(queue.requeue(Topic::Jobs, &id).await?);
    queue.ack(&take(queue).await?).await?;
    assert_eq!(queue.depth(Topic::Jobs).await?, Depth::default());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_operation_can_meet_a_fault_and_is_called_by_its_name() {
    for operation in OPERATIONS {
        let plan = Arc::new(Nth::new(1, Fault::Refuse).of(operation));
        let queue = FaultyQueue::new(Arc::new(MemoryQueue::new()), Arc::clone(&plan) as Arc<dyn Plan>);
        let refused = everything(&queue).await;
        assert!(
            matches!(&refused, Err(QueueError::Unavailable { detail, .. }) if detail == "connection refused"),
            "{operation}: {refused:?}"
        );
        assert_eq!(plan.made(), 1, "{operation}");
    }
    let plan = Arc::new(Nth::new(0, Fault::Refuse));
    everything(&FaultyQueue::new(Arc::new(MemoryQueue::new()), Arc::clone(&plan) as Arc<dyn Plan>)).await.unwrap();
    assert_eq!(plan.made(), 11, "receive three times, the others once");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_nobody_heard_of_comes_again_when_its_lease_is_over() {
    for (fault, heard) in [(Fault::LostAnswer, false), (Fault::Duplicate, true)] {
        let queue = MemoryQueue::new();
        let plan = Arc::new(Nth::new(1, fault).of("receive"));
        let faulty = FaultyQueue::new(Arc::new(queue.clone()), Arc::clone(&plan) as Arc<dyn Plan>);
        faulty.enqueue(Topic::Jobs, message("m")).await.unwrap();
        let began = Instant::now();
        // The second of two calls waits for the lease of the first to run out.
        let first = faulty.receive(Topic::Jobs, 1, LONG, 2 * LONG).await;
        assert_eq!(first.is_ok(), heard, "{first:?}");
        let delivery = match first {
            Ok(mut deliveries) => deliveries.remove(0),
            Err(_) => faulty.receive(Topic::Jobs, 1, LONG, 2 * LONG).await.unwrap().remove(0),
        };
        assert_eq!((delivery.payload.as_slice(), delivery.receives), (&b"m"[..], 2));
        assert!(began.elapsed() >= LONG, "nobody else has it before");
        faulty.ack(&delivery.receipt).await.unwrap();
        assert_eq!(queue.depth(Topic::Jobs).await.unwrap(), Depth::default());
        assert_eq!(plan.made(), if heard { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_given_up_before_its_call_takes_nothing() {
    let queue = MemoryQueue::new();
    let plan = Arc::new(Nth::new(1, Fault::Delay(LONG)).of("receive"));
    let faulty = FaultyQueue::new(Arc::new(queue.clone()), Arc::clone(&plan) as Arc<dyn Plan>);
    queue.enqueue(Topic::Jobs, message("m")).await.unwrap();
    let given_up = tokio::time::timeout(LONG / 2, faulty.receive(Topic::Jobs, 1, LONG, LONG)).await;
    assert!(given_up.is_err() && plan.made() == 1, "it was delayed: {given_up:?}");
    tokio::time::sleep(LONG).await;
    assert_eq!(queue.depth(Topic::Jobs).await.unwrap().ready, 1);
}
