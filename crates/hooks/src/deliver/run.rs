//! The loop: waits for bots with deliveries and hands them to the step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_queue::{JobDelivery, QueueError};
use muster_session::BotId;
use muster_session::job::{Job, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Deliverer, Error};

/// A message is held for this long at a time while its bot is served. So long the bot's webhooks wait when the process that
/// serves it is killed.
const LEASE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(20);
/// Messages taken at once, at most.
const BATCH: usize = 16;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_secs(5);
/// The longest delay given to a queue; a bot with more to wait is looked at in between, without harm.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The bots that a task of this process is serving, and whether to look again when it is through.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<Mutex<HashMap<BotId, bool>>>);

/// A served bot; given back when dropped, even by a panic.
struct Claim<'a> {
    busy: &'a Busy,
    bot: BotId,
    held: bool,
}

impl Busy {
    /// The right to serve a bot; if another task has it, that one is told to look again.
    fn claim(&self, bot: BotId) -> Option<Claim<'_>> {
        let mut bots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = bots.get_mut(&bot) {
            *again = true;
            return None;
        }
        bots.insert(bot, false);
        Some(Claim { busy: self, bot, held: true })
    }
}

impl Claim<'_> {
    /// Gives the bot back, unless somebody asked to look again in the meantime.
    fn finish(mut self) -> Result<(), Self> {
        let again = {
            let mut bots = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
            let again = bots.get_mut(&self.bot).is_some_and(std::mem::take);
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
    /// Bots are served in parallel, one bot never by two tasks of this process. An error means that the queue did not
    /// answer; running it again continues.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Error> {
        let slots = Arc::new(Semaphore::new(self.0.concurrency));
        let mut tasks = JoinSet::new();
        let result = self.take_messages(&shutdown, &slots, &mut tasks).await;
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
        result
    }

    async fn take_messages(
        &self,
        shutdown: &CancellationToken,
        slots: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Error> {
        loop {
            let Some(permits) = shutdown.run_until_cancelled(take_permits(slots)).await else { return Ok(()) };
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
            }
            let most = u32::try_from(permits.len()).unwrap_or(1);
            let receive = self.0.queue.receive(Topic::Deliveries, most, LEASE, WAIT);
            let Some(received) = shutdown.run_until_cancelled(receive).await else { return Ok(()) };
            for (message, permit) in received?.into_iter().zip(permits) {
                let (deliverer, stop) = (self.clone(), shutdown.child_token());
                tasks.spawn(async move {
                    deliverer.settle(message, stop).await;
                    drop(permit);
                });
            }
        }
    }

    /// Serves the bot of one message, then settles the message.
    async fn settle(&self, message: JobDelivery, stop: CancellationToken) {
        let Job::Deliver { bot } = message.job else {
            let reason = "not a delivery job";
            log(self.0.queue.dead_letter(&message.receipt, reason).await, "set aside");
            return;
        };
        let Some(mut claim) = self.0.busy.claim(bot) else {
            // The task that has the bot looks again before it settles its own message.
            log(self.0.queue.ack(&message.receipt).await, "settled");
            return;
        };
        let result = loop {
            let result = self.serve(bot, &message, &stop).await;
            match claim.finish() {
                Err(again) if result.is_ok() && !stop.is_cancelled() => claim = again,
                _ => break result,
            }
        };
        match result {
            Ok(()) => log(self.0.queue.ack(&message.receipt).await, "settled"),
            Err(error) => {
                tracing::warn!(%bot, %error, "webhooks could not be delivered; they will be tried again");
                log(self.0.queue.release(&message.receipt, RETRY).await, "released");
            }
        }
    }

    /// One run of the step with the message held, and the wake-up it asks for.
    async fn serve(&self, bot: BotId, message: &JobDelivery, stop: &CancellationToken) -> Result<(), Error> {
        let step = self.deliver_until(bot, stop);
        tokio::pin!(step);
        let come_back = tokio::select! {
            biased;
            result = &mut step => result?,
            () = self.0.queue.hold(&message.receipt, LEASE) => {
                // Somebody else may serve this bot now.
                stop.cancel();
                step.await?
            }
        };
        let Some(at) = come_back else { return Ok(()) };
        let now = (self.0.clock)();
        let wake = at.min(now + LONGEST_DELAY).max(now + Duration::from_millis(1));
        // A key of its own: under the key of "look now" it would swallow the wake-ups of later events. Later than now, so
        // it is not the key of the message being worked on, which is still in the queue.
        let key = format!("deliver:{bot}@{}", wake.as_millis());
        let delay = wake.since(now);
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
