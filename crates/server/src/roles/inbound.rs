//! What webhooks that came in mean and cause.
//!
//! Each is read by the rules of its source and applied to its session by compare-and-swap. The inbox entry is part of the same
//! write, so a webhook takes effect once, however often it comes and whoever dies. What is known to be about one bot is worked
//! on in the order in which it came, as far as one process can see it; the machine puts up with any order.

mod apply;
mod lanes;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use muster_hooks::client::GuardedClient;
use muster_queue::{Delivery, QueueError};
use muster_session::job::Topic;
use tokio::task::JoinSet;

use super::Backend;
use crate::inbound::{Envelope, Sources};
use crate::supervise::Shutdown;
use apply::Webhook;
use lanes::Lanes;

/// So long a webhook waits when the process that has it is killed.
const LEASE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(20);
/// Webhooks that one process has in hand.
const IN_HAND: usize = 256;
/// Taken at once, at most.
const BATCH: usize = 128;
/// Pause after trouble with the queue or the store.
const RETRY: Duration = Duration::from_secs(1);
/// More receives mean that whoever has it dies of it.
const MAX_RECEIVES: u32 = 5;

/// Everything this role needs besides the backend.
#[derive(Clone, Debug)]
pub struct InboundSetup {
    /// Whose webhooks are understood.
    pub sources: Sources,
    /// Posts live words on to their receivers.
    pub client: GuardedClient,
}

/// Runs until shutdown; what is in hand is finished first.
pub async fn run(backend: Backend, setup: InboundSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut hands = Hands { backend, setup, shutdown, lanes: Lanes::default(), tasks: JoinSet::new() };
    let result = hands.work().await;
    while hands.lanes.in_hand() > 0 {
        hands.finished().await;
    }
    result
}

/// What this process works on.
struct Hands {
    backend: Backend,
    setup: InboundSetup,
    shutdown: Shutdown,
    lanes: Lanes<Webhook>,
    tasks: JoinSet<String>,
}

impl Hands {
    async fn work(&mut self) -> anyhow::Result<()> {
        loop {
            while self.lanes.in_hand() >= IN_HAND {
                self.finished().await;
            }
            let room = u32::try_from((IN_HAND - self.lanes.in_hand()).min(BATCH)).unwrap_or(1);
            let (queue, shutdown) = (self.backend.queue.clone(), self.shutdown.clone());
            let receive = queue.raw().receive(Topic::Inbound, room, LEASE, WAIT);
            tokio::pin!(receive);
            let received = loop {
                tokio::select! {
                    biased;
                    () = shutdown.ended() => return Ok(()),
                    received = &mut receive => break received,
                    () = self.finished(), if self.lanes.in_hand() > 0 => {}
                }
            };
            match received {
                Ok(received) => {
                    for delivery in received {
                        self.begin(delivery).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "webhooks cannot be received; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Reads a webhook, and works on it as soon as nothing else of its lane is worked on. What cannot be read is set aside.
    async fn begin(&mut self, delivery: Delivery) {
        let Delivery { receipt, payload, receives } = delivery;
        match read(&self.setup, &payload, receives) {
            Ok((envelope, reading)) => {
                let webhook = Webhook { receipt, envelope, reading };
                if let Some((lane, webhook)) = self.lanes.add(webhook.lane(), webhook) {
                    self.start(lane, webhook);
                }
            }
            Err(reason) => {
                tracing::error!(reason, "a webhook is set aside; see `muster dlq list`");
                log(self.backend.queue.dead_letter(&receipt, &reason).await, "set aside");
            }
        }
    }

    fn start(&mut self, lane: String, webhook: Webhook) {
        let (backend, setup, shutdown) = (self.backend.clone(), self.setup.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            let work = settle(&backend, &setup, webhook, &shutdown);
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!("the work on a webhook panicked; it will come again");
            }
            lane
        });
    }

    /// Waits for one to be done, and goes on with the next of its lane. Cancel safe.
    async fn finished(&mut self) {
        let Some(done) = self.tasks.join_next().await else { return };
        let lane = done.expect("the task catches panics and is not aborted");
        if let Some((lane, webhook)) = self.lanes.done(lane) {
            self.start(lane, webhook);
        }
    }
}

/// A webhook as its source means it, or why it is none.
fn read(
    setup: &InboundSetup,
    payload: &[u8],
    receives: u32,
) -> Result<(Envelope, muster_hooks::inbound::Reading), String> {
    if receives > MAX_RECEIVES {
        return Err("the process ended each time this was tried".to_owned());
    }
    let envelope = Envelope::decode(payload).map_err(|error| error.to_string())?;
    let source = setup.sources.get(&envelope.source);
    let source = source.ok_or_else(|| format!("there is no source {} any more (sources.NAME)", envelope.source))?;
    let reading = source.read(&envelope.headers, &envelope.body).map_err(|error| error.to_string())?;
    Ok((envelope, reading))
}

/// Applies a webhook while keeping its message, then settles the message. An outage of the store is waited out.
async fn settle(backend: &Backend, setup: &InboundSetup, webhook: Webhook, shutdown: &Shutdown) {
    let receipt = webhook.receipt.clone();
    // It may have waited for others of its lane.
    if let Err(error) = backend.queue.extend(&receipt, LEASE).await {
        tracing::debug!(%error, "a webhook is somebody else's by now, or comes again");
        return;
    }
    let work = async {
        loop {
            let Err(error) = webhook.apply(backend, setup).await else { return true };
            tracing::warn!(%error, "a webhook could not be applied; trying again");
            tokio::select! {
                biased;
                () = shutdown.ended() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    };
    tokio::select! {
        biased;
        done = work => match done {
            true => log(backend.queue.ack(&receipt).await, "settled"),
            false => log(backend.queue.release(&receipt, RETRY).await, "released"),
        },
        () = backend.queue.hold(&receipt, LEASE) => tracing::warn!("a webhook is somebody else's by now"),
    }
}

fn log(result: Result<(), QueueError>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "a webhook could not be {what}; it will come again");
    }
}
