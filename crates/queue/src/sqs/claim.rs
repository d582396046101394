//! Receiving, so that nothing is lost when the receiver goes away.
//!
//! A request that is cut off may still be answered, and what the answer holds would then be hidden from everybody for the
//! time of the lease. So requests run in tasks of their own, which put back what nobody takes.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName as Attribute, SendMessageBatchRequestEntry,
};
use muster_session::job::Topic;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{LIMITS, LONGEST_POLL, Shared, error, message, whole_seconds};
use crate::{Delivery, QueueError, Receipt};

/// Tasks that outlive the call that began them, and end with the queue.
#[derive(Debug)]
pub(super) struct Background {
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl Background {
    /// Tasks on the present runtime.
    pub(super) fn new() -> Self {
        Self { tasks: Mutex::default(), runtime: Handle::current() }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

/// Received messages that are put back unless somebody [keeps](Self::keep) them.
pub(super) struct Claim {
    /// Weak, so that a task of the queue does not keep the queue.
    shared: Weak<Shared>,
    url: String,
    messages: Vec<Message>,
    /// How often they were received says something, and this time is not to be counted.
    counts: bool,
}

impl Claim {
    /// For a look at dead letters, of which nobody counts how often they were received.
    pub(super) fn look(shared: &Arc<Shared>, url: &str) -> Self {
        Self { shared: Arc::downgrade(shared), url: url.to_owned(), messages: Vec::new(), counts: false }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(super) fn extend(&mut self, messages: Vec<Message>) {
        self.messages.extend(messages);
    }

    pub(super) fn keep(mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Puts them back and waits for it. Those that cannot be put back come again when their lease is over.
    pub(super) async fn put_back(self, client: &Client) {
        let url = self.url.clone();
        put_back(client, &url, &self.keep()).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() {
            return;
        }
        // Without the queue there is nobody to put them back; their leases run out.
        let Some(shared) = self.shared.upgrade() else { return };
        let (client, url, counts) = (shared.client.clone(), std::mem::take(&mut self.url), self.counts);
        shared.background.spawn(async move {
            match counts {
                true => replace(&client, &url, &messages).await,
                false => put_back(&client, &url, &messages).await,
            }
        });
    }
}

/// Puts new messages in their place, ten at a time: their receivers went away and not down with them. Where many workers drain at
/// once a job may meet several such requests in a row, and would be taken for one that ends whoever receives it. One that is there
/// twice for a moment is stale once.
async fn replace(client: &Client, url: &str, messages: &[Message]) {
    for batch in messages.chunks(10) {
        let copies = batch.iter().enumerate().filter_map(|(index, message)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            entry.message_body(message.body()?).build().ok()
        });
        let sent = client.send_message_batch().queue_url(url).set_entries(Some(copies.collect())).send().await;
        if !sent.is_ok_and(|answer| answer.successful().len() == batch.len()) {
            put_back(client, url, batch).await;
            continue;
        }
        let entries = batch.iter().enumerate().filter_map(|(index, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(message.receipt_handle()?).build().ok()
        });
        let delete = client.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
        if let Err(error) = delete.send().await {
            let error = muster_aws::describe(&error);
            tracing::warn!(error, "messages that were put back are there twice when their leases are over");
        }
    }
}

/// Makes messages receivable again, ten at a time.
async fn put_back(client: &Client, url: &str, messages: &[Message]) {
    for batch in messages.chunks(10) {
        let entries = batch.iter().enumerate().filter_map(|(index, message)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(message.receipt_handle()?).visibility_timeout(0).build().ok()
        });
        let change = client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries.collect()));
        if let Err(error) = change.send().await {
            let error = muster_aws::describe(&error);
            tracing::warn!(error, "messages could not be put back; they come again when their leases are over");
        }
    }
}

/// One request for messages that waits up to `wait`, or less: see [`poll_seconds`].
pub(super) async fn receive(
    shared: &Arc<Shared>,
    topic: Topic,
    max: u32,
    lease: Duration,
    wait: Duration,
) -> Result<Vec<Delivery>, QueueError> {
    let poll = poll_seconds(lease, wait);
    // SQS counts a lease from when it found the message, which is somewhere within the poll. So that much is added, and the
    // lease ends here by what is certain: the time before the request. A lease of nothing would hand it on at once.
    let hidden = whole_seconds(lease).max(1).saturating_add(poll).min(whole_seconds(LIMITS.max_lease));
    let asked = Instant::now();
    let claim = request(shared, topic, max, hidden, poll).await?;
    let (now, until) = (Instant::now(), asked + Duration::from_secs(u64::from(hidden.unsigned_abs())));
    let delivery = |received: Message| {
        let payload = message::decode(received.body().unwrap_or_default());
        let handle = received.receipt_handle().unwrap_or_default();
        let token = shared.leases.add(handle, payload.clone(), until, now);
        let id = received.message_id().unwrap_or_default().to_owned();
        Delivery { receipt: Receipt { topic, id, token }, payload, receives: receives(&received) }
    };
    Ok(claim.keep().into_iter().map(delivery).collect())
}

/// How long one request waits: no more than a quarter of the lease, because the lease grows by it, and one second at least,
/// because SQS asks all its servers only if it may wait.
fn poll_seconds(lease: Duration, wait: Duration) -> i32 {
    whole_seconds(wait.min(LONGEST_POLL).min((lease / 4).max(Duration::from_secs(1))))
}

/// Asks in the background; what comes after the receiver has gone is put back.
async fn request(shared: &Arc<Shared>, topic: Topic, max: u32, hidden: i32, poll: i32) -> Result<Claim, QueueError> {
    let (answer, answered) = oneshot::channel();
    let (client, weak) = (shared.client.clone(), Arc::downgrade(shared));
    let url = shared.urls(topic).live.clone();
    let ask = async move {
        let receive = client.receive_message().queue_url(&url).visibility_timeout(hidden).wait_time_seconds(poll);
        let receive = receive.max_number_of_messages(max.cast_signed());
        let received = receive.message_system_attribute_names(Attribute::ApproximateReceiveCount).send().await;
        let claim = received.map(|output| Claim {
            shared: weak,
            url,
            messages: output.messages.unwrap_or_default(),
            counts: true,
        });
        // Dropping a claim puts it back.
        drop(answer.send(claim.map_err(|error| error::of("receiving", &error))));
    };
    shared.background.spawn(ask);
    answered.await.map_err(|_| error::unexpected("receiving", "the queue was closed"))?
}

/// How often SQS says that it was received.
pub(super) fn receives(message: &Message) -> u32 {
    let attributes = message.attributes();
    let count = attributes.and_then(|all| all.get(&Attribute::ApproximateReceiveCount));
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_short_beside_the_lease_that_it_adds_to() {
        let seconds = Duration::from_secs;
        for (lease, wait, poll) in [(60, 60, 15), (600, 60, 20), (2, 60, 1), (600, 3, 3), (600, 0, 0)] {
            assert_eq!(poll_seconds(seconds(lease), seconds(wait)), poll, "{lease} {wait}");
        }
        assert_eq!(poll_seconds(Duration::ZERO, Duration::from_millis(1)), 1);
    }
}
