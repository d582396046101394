//! The loop: waits for bots with deliveries and hands them to the step.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_queue::{JobDelivery, QueueError, Receipt};
use muster_session::job::{Job, Topic};
use muster_session::{BotId, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bot::{Passed, Signals};
use super::{Deliverer, Error, lanes};

/// A message is held for this long at a time while its bot is served. So long the bot's webhooks wait when the process that
/// serves it is killed.
const LEASE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(20);
/// Messages taken at once, at most.
const BATCH: usize = 16;
/// Pause after trouble with the queue.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// Pause after the store failed.
const RETRY: Duration = Duration::from_secs(5);
/// The longest delay given to a queue: what is due later is found by the sweep.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The bots that a task of this process is serving.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<Mutex<HashMap<BotId, Served>>>);

#[derive(Debug, Default)]
struct Served {
    woken: Arc<Notify>,
    /// To be looked at once more at least.
    again: bool,
}

/// A served bot; given back when dropped, even by a panic.
struct Claim<'a> {
    busy: &'a Busy,
    bot: BotId,
    woken: Arc<Notify>,
    held: bool,
}

impl Busy {
    /// The right to serve a bot; if another task has it, that one is told to look again.
    fn claim(&self, bot: BotId) -> Option<Claim<'_>> {
        let mut bots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = bots.get_mut(&bot) {
            served.again = true;
            served.woken.notify_one();
            return None;
        }
        let served = Served::default();
        let woken = Arc::clone(&served.woken);
        bots.insert(bot, served);
        Some(Claim { busy: self, bot, woken, held: true })
    }
}

impl Claim<'_> {
    /// Gives the bot back, unless somebody asked to look again in the meantime.
    fn finish(mut self) -> Result<(), Self> {
        let again = {
            let mut bots = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
            let again = bots.get_mut(&self.bot).is_some_and(|served| std::mem::take(&mut served.again));
            if !again {
                bots.remove(&self.bot);
            }
            again
        };
        if again {
            return Err(self);
        }
        // Another task may have it by now, so it is not to be removed once more.
        self.held = false;
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.held {
            self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.bot);
        }
    }
}

impl Deliverer {
    /// Delivers until `shutdown` is cancelled; attempts under way are finished and recorded first.
    ///
    /// Bots are served in parallel, one bot never by two tasks of this process. Trouble with the queue is waited out: what is
    /// under way goes on.
    pub async fn run(&self, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.0.limits.bots()));
        let mut tasks = JoinSet::new();
        shutdown.run_until_cancelled(self.take_messages(&shutdown, &slots, &mut tasks)).await;
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    }

    async fn take_messages(&self, shutdown: &CancellationToken, slots: &Arc<Semaphore>, tasks: &mut JoinSet<()>) {
        loop {
            let permits = take_permits(slots).await;
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
            }
            let most = u32::try_from(permits.len()).unwrap_or(1);
            let received = match self.0.queue.receive(Topic::Deliveries, most, LEASE, WAIT).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::warn!(%error, "the queue of deliveries did not answer; trying again");
                    tokio::time::sleep(QUEUE_RETRY).await;
                    continue;
                }
            };
            for (message, permit) in received.into_iter().zip(permits) {
                let (deliverer, stop) = (self.clone(), shutdown.child_token());
                tasks.spawn(async move {
                    deliverer.settle(message, stop).await;
                    drop(permit);
                });
            }
        }
    }

    /// Serves the bot of one message and settles the message.
    async fn settle(&self, message: JobDelivery, stop: CancellationToken) {
        let Job::Deliver { bot } = message.job else {
            let reason = "not a delivery job";
            log(self.0.queue.dead_letter(&message.receipt, reason).await, "set aside");
            return;
        };
        let Some(mut claim) = self.0.busy.claim(bot) else {
            // The task that has the bot looks again.
            log(self.0.queue.ack(&message.receipt).await, "settled");
            return;
        };
        let mut receipt = Some(message.receipt);
        loop {
            let woken = Arc::clone(&claim.woken);
            let signals = Signals { stop: stop.child_token(), woken, parked: Notify::new() };
            let served = self.serve(bot, receipt.take(), &signals).await;
            match claim.finish() {
                Err(again) if served && !stop.is_cancelled() => claim = again,
                _ => return,
            }
        }
    }

    /// One run of the step, the message settled, and the wake-up that is asked for; false if somebody else is to go on.
    ///
    /// The message is held while webhooks are under way: its key keeps others from this bot. When they last they are
    /// postponed in the store, which does the same, and the message makes way for those about later events.
    async fn serve(&self, bot: BotId, mut receipt: Option<Receipt>, signals: &Signals) -> bool {
        let step = self.pass(bot, signals);
        tokio::pin!(step);
        let mut lost = false;
        let result = loop {
            let hold = async {
                match &receipt {
                    Some(receipt) => self.0.queue.hold(receipt, LEASE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                result = &mut step => break result,
                () = signals.parked.notified() => self.ack(receipt.take()).await,
                () = hold => {
                    // Somebody else may serve this bot now.
                    (receipt, lost) = (None, true);
                    signals.stop.cancel();
                }
            }
        };
        match (result, receipt) {
            (Ok(_), _) if lost => false,
            (Ok(passed), receipt) => {
                self.ack(receipt).await;
                self.wake(bot, passed).await;
                true
            }
            (Err(error), receipt) => {
                tracing::warn!(%bot, %error, "webhooks could not be delivered; they will be tried again");
                if let Some(receipt) = receipt {
                    log(self.0.queue.release(&receipt, RETRY).await, "released");
                }
                false
            }
        }
    }

    async fn ack(&self, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            log(self.0.queue.ack(&receipt).await, "settled");
        }
    }

    /// Sees to it that the bot is looked at in time. An event that came while its message was held has no message of its own,
    /// as they have one key, so it is looked for once more. What fails here is left to the sweep.
    async fn wake(&self, bot: BotId, passed: Passed) {
        let at = match passed.sent {
            true => self.next_due(bot).await,
            false => Ok(passed.wait),
        };
        let sent = match at {
            Ok(Some(at)) => self.send_wake_up(bot, at).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%bot, %error, "the next webhooks of a bot go out with the next sweep");
        }
    }

    async fn next_due(&self, bot: BotId) -> Result<Option<Timestamp>, Error> {
        let pending = self.pending(bot).await?;
        let now = self.now();
        let look = lanes::look(pending, &HashMap::new(), &BTreeSet::new(), now);
        Ok(if look.ready.is_empty() { look.wait } else { Some(now) })
    }

    async fn send_wake_up(&self, bot: BotId, at: Timestamp) -> Result<(), Error> {
        let delay = at.since(self.now());
        if delay > LONGEST_DELAY {
            return Ok(());
        }
        // Later, it has a key of its own: under the key of "look now" it would swallow the wake-ups of later events.
        let key = match delay.is_zero() {
            true => format!("deliver:{bot}"),
            false => format!("deliver:{bot}@{}", at.as_millis()),
        };
        Ok(self.0.queue.send(&Job::Deliver { bot }, delay, Some(key)).await?)
    }
}

/// Waits for one permit and takes more if they are free.
async fn take_permits(slots: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let first = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    let more = std::iter::from_fn(|| Arc::clone(slots).try_acquire_owned().ok());
    std::iter::once(first).chain(more.take(BATCH - 1)).collect()
}

fn log(result: Result<(), QueueError>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "a delivery message could not be {what}; it will come again");
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery task panicked; its message will come again");
    }
}
