//! What webhooks that came in mean and cause.
//!
//! Each is read by the rules of its source and applied to its session by compare-and-swap. The inbox entry is part of the same
//! write, so a webhook takes effect once, however often it comes and whoever dies. What is known to be about one bot is worked
//! on in the order in which it came, as far as one process can see it; the machine puts up with any order.
//!
//! A message may hold several webhooks, and is settled when each of them is. One that cannot be read or written, or that ends the
//! process, must not keep the others: it is put into a message of its own, and if it is in one, set aside. Nor must much that is
//! said of one bot: of that only some is in hand at a time, and the rest goes back.

mod apply;
mod held;
mod lanes;
#[cfg(test)]
mod tests;
mod words;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use muster_hooks::client::GuardedClient;
use muster_queue::Delivery;
use muster_session::job::Topic;
use muster_store::StoreError;
use tokio::task::JoinSet;

use super::Backend;
use crate::inbound::{Envelope, Sources};
use crate::supervise::Shutdown;
use apply::Webhook;
use held::{Done, Held, LEASE};
use lanes::{Added, Lanes};
use words::Words;

const WAIT: Duration = Duration::from_secs(20);
/// Webhooks that one process has in hand: no more messages are taken beyond that.
const IN_HAND: usize = 256;
/// Messages taken at once, at most.
const BATCH: u32 = 16;
/// A webhook of a source that this process was not told of comes again after this, to whoever was.
const UNTIL_KNOWN: Duration = Duration::from_secs(30);
/// A webhook of a lane that has enough in hand comes again after this.
const UNTIL_ROOM: Duration = Duration::from_secs(2);
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
    let words = Words::new(setup.client.clone());
    let mut hands = Hands { backend, setup, words, shutdown, lanes: Lanes::default(), tasks: JoinSet::new() };
    hands.work().await;
    while hands.lanes.in_hand() > 0 {
        hands.finished().await;
    }
    Ok(())
}

/// What this process works on.
struct Hands {
    backend: Backend,
    setup: InboundSetup,
    words: Words,
    shutdown: Shutdown,
    lanes: Lanes<Webhook>,
    tasks: JoinSet<String>,
}

impl Hands {
    async fn work(&mut self) {
        loop {
            while self.lanes.in_hand() >= IN_HAND {
                self.finished().await;
            }
            let (queue, shutdown) = (self.backend.queue.clone(), self.shutdown.clone());
            let receive = queue.raw().receive(Topic::Inbound, BATCH, LEASE, WAIT);
            tokio::pin!(receive);
            let received = loop {
                tokio::select! {
                    biased;
                    () = shutdown.ended() => return,
                    received = &mut receive => break received,
                    () = self.finished(), if self.lanes.in_hand() > 0 => {}
                }
            };
            match received {
                Ok(received) => self.begin_all(received).await,
                Err(error) => {
                    tracing::warn!(%error, "webhooks cannot be received; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Begins the work on the webhooks of some messages. What is too much goes back, all at a time: others are not to wait for it.
    async fn begin_all(&mut self, received: Vec<Delivery>) {
        let mut back = Vec::new();
        for delivery in received {
            back.extend(self.begin(delivery).await);
        }
        join_all(back.iter().map(|(held, webhooks)| held.move_out(webhooks, UNTIL_ROOM))).await;
    }

    /// Begins the work on the webhooks of a message; answers those that are too much for their lanes.
    async fn begin(&mut self, delivery: Delivery) -> Option<(Arc<Held>, Vec<Envelope>)> {
        let Delivery { receipt, payload, receives } = delivery;
        let queue = self.backend.queue.clone();
        let webhooks = match Envelope::decode(&payload) {
            Ok(webhooks) => webhooks,
            Err(error) => {
                held::set_aside(&queue, &receipt, &error.to_string()).await;
                return None;
            }
        };
        let held = Arc::new(Held::new(queue, receipt, webhooks.len()));
        let mut too_many = Vec::new();
        for envelope in webhooks {
            let read = match receives > MAX_RECEIVES {
                true => Err("the process ended each time this was tried".to_owned()),
                false => self.read(&envelope),
            };
            // The other processes of the fleet may have been told of the source first.
            if receives < MAX_RECEIVES && self.setup.sources.get(&envelope.source).is_none() {
                held.done(Done::Not { again_in: UNTIL_KNOWN }).await;
                continue;
            }
            match read {
                Ok(reading) => too_many.extend(self.add(Webhook { envelope, reading, held: Arc::clone(&held) })),
                Err(reason) => held.take_out(envelope, &reason).await,
            }
        }
        (!too_many.is_empty()).then_some((held, too_many))
    }

    /// What a webhook says, or why it says nothing.
    fn read(&self, envelope: &Envelope) -> Result<muster_hooks::inbound::Reading, String> {
        let source = self.setup.sources.get(&envelope.source);
        let source = source.ok_or_else(|| format!("there is no source {} any more (sources.NAME)", envelope.source))?;
        source.read(&envelope.headers, &envelope.body).map_err(|error| error.to_string())
    }

    /// Works on a webhook as soon as nothing else of its lane is worked on. Answers it if it is too much for its lane.
    fn add(&mut self, webhook: Webhook) -> Option<Envelope> {
        match self.lanes.add(webhook.lane(), webhook) {
            Added::Begin(lane, webhook) => self.start(lane, webhook),
            Added::Waits => {}
            Added::Refused(webhook) => return Some(webhook.envelope),
        }
        None
    }

    fn start(&mut self, lane: String, webhook: Webhook) {
        let (backend, setup, shutdown) = (self.backend.clone(), self.setup.clone(), self.shutdown.clone());
        let words = self.words.clone();
        self.tasks.spawn(async move {
            let work = AssertUnwindSafe(applied(&backend, &setup, &words, &webhook, &shutdown));
            let applied = work.catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("the work on a webhook panicked; it will come again");
                Applied::Again
            });
            match applied {
                Applied::Yes => webhook.held.done(Done::Yes).await,
                Applied::Again => webhook.held.done(Done::of(false)).await,
                Applied::Never(reason) => webhook.held.take_out(webhook.envelope, &reason).await,
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

/// What came of a webhook.
#[derive(Debug, PartialEq, Eq)]
enum Applied {
    /// It took effect, or has nothing to.
    Yes,
    /// It did not, and is to come again.
    Again,
    /// No other try would help.
    Never(String),
}

/// Makes a webhook take effect. An outage of the store is waited out.
async fn applied(
    backend: &Backend,
    setup: &InboundSetup,
    words: &Words,
    webhook: &Webhook,
    shutdown: &Shutdown,
) -> Applied {
    while !webhook.held.is_lost() {
        let Err(error) = webhook.apply(backend, setup, words).await else { return Applied::Yes };
        if !passes(&error) {
            return Applied::Never(error.to_string());
        }
        tracing::warn!(%error, "a webhook could not be applied; trying again");
        tokio::select! {
            biased;
            () = shutdown.ended() => return Applied::Again,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    Applied::Again
}

/// True if another try may help: what cannot be read or written stays so.
const fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::Conflict)
}
