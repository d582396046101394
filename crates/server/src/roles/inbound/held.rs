//! A message, held while its webhooks are worked on, and settled after the last of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use muster_queue::{Enqueue, JobQueue, QueueError, Receipt};
use muster_session::job::Topic;
use tokio_util::task::AbortOnDropHandle;

use crate::inbound::Envelope;

/// So long webhooks wait when the process that has them is killed.
pub(super) const LEASE: Duration = Duration::from_secs(20);
/// Pause before what did not take effect comes again.
const RETRY: Duration = Duration::from_secs(1);

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It took effect, or has nothing to.
    Yes,
    /// It is to come again.
    Not {
        /// Not before this has passed.
        again_in: Duration,
    },
}

impl Done {
    /// By whether it took effect.
    pub(super) const fn of(took_effect: bool) -> Self {
        if took_effect { Self::Yes } else { Self::Not { again_in: RETRY } }
    }
}

/// A message in hand.
#[derive(Debug)]
pub(super) struct Held {
    queue: JobQueue,
    receipt: Receipt,
    webhooks: usize,
    left: AtomicUsize,
    /// Milliseconds until it is to come again; 0 if it is not.
    again_ms: AtomicU64,
    lost: Arc<AtomicBool>,
    /// Until it is dropped.
    _lease: AbortOnDropHandle<()>,
}

impl Held {
    /// A message of so many webhooks, which was just received.
    pub(super) fn new(queue: JobQueue, receipt: Receipt, webhooks: usize) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (holder, held, flag) = (queue.clone(), receipt.clone(), Arc::clone(&lost));
        let lease = tokio::spawn(async move {
            holder.hold(&held, LEASE).await;
            tracing::warn!("webhooks are somebody else's by now");
            flag.store(true, Ordering::Relaxed);
        });
        let (left, again_ms) = (AtomicUsize::new(webhooks), AtomicU64::new(0));
        Self { queue, receipt, webhooks, left, again_ms, lost, _lease: AbortOnDropHandle::new(lease) }
    }

    /// Takes out a webhook that will never take effect. It is set aside, with the reason; one that has company is put into a
    /// message of its own first, and tried once more there.
    pub(super) async fn take_out(&self, webhook: Envelope, reason: &str) {
        if self.webhooks == 1 {
            return set_aside(&self.queue, &self.receipt, reason).await;
        }
        self.move_out(&[webhook], Duration::ZERO).await;
    }

    /// Puts webhooks of it into another message, which comes after `delay`. Given back in this one, they would seem to end each
    /// process that receives them.
    pub(super) async fn move_out(&self, webhooks: &[Envelope], delay: Duration) {
        let payload = webhooks.iter().flat_map(Envelope::encode).collect();
        let moved = self.queue.raw().enqueue(Topic::Inbound, Enqueue { payload, delay, ..Enqueue::default() }).await;
        for _ in webhooks {
            self.done(Done::of(moved.is_ok())).await;
        }
    }

    /// Somebody else has it.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// One of its webhooks is done with. After the last of them it is settled: those that took effect do not do so again.
    pub(super) async fn done(&self, done: Done) {
        if let Done::Not { again_in } = done {
            let again_ms = u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX).max(1);
            self.again_ms.fetch_max(again_ms, Ordering::Relaxed);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) != 1 || self.is_lost() {
            return;
        }
        match self.again_ms.load(Ordering::Relaxed) {
            0 => log(self.queue.ack(&self.receipt).await, "settled"),
            again => log(self.queue.release(&self.receipt, Duration::from_millis(again)).await, "released"),
        }
    }
}

/// Sets a message aside, for people.
pub(super) async fn set_aside(queue: &JobQueue, receipt: &Receipt, reason: &str) {
    tracing::error!(reason, "a webhook is set aside; see `muster dlq list`");
    log(queue.dead_letter(receipt, reason).await, "set aside");
}

fn log(result: Result<(), QueueError>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "webhooks could not be {what}; they will come again");
    }
}
