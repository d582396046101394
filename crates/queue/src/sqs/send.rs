//! Many messages in few requests.

use aws_sdk_sqs::types::SendMessageBatchRequestEntry as Entry;

use super::{Shared, error, message, whole_seconds};
use crate::{Enqueue, QueueError};

/// Most messages in one request, and most bytes of their bodies together.
const MESSAGES_MAX: usize = 10;
const BYTES_MAX: usize = 1 << 20;
const DOING: &str = "sending";

/// Sends them in their order to the queue of this address.
pub(super) async fn all(shared: &Shared, url: &str, messages: &[Enqueue]) -> Result<(), QueueError> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for message in messages {
        let body = message::encode(&message.payload);
        if entries.len() == MESSAGES_MAX || bytes + body.len() > BYTES_MAX {
            request(shared, url, std::mem::take(&mut entries)).await?;
            bytes = 0;
        }
        bytes += body.len();
        let entry = Entry::builder().id(entries.len().to_string()).message_body(body);
        let entry = entry.delay_seconds(whole_seconds(message.delay)).build();
        entries.push(entry.map_err(|error| error::unexpected(DOING, error))?);
    }
    if entries.is_empty() { Ok(()) } else { request(shared, url, entries).await }
}

/// The service answers for each message.
async fn request(shared: &Shared, url: &str, entries: Vec<Entry>) -> Result<(), QueueError> {
    let asked = entries.len();
    let send = shared.client.send_message_batch().queue_url(url).set_entries(Some(entries));
    let answer = send.send().await.map_err(|error| error::of(DOING, &error))?;
    match answer.failed() {
        [] if answer.successful().len() == asked => Ok(()),
        [] => {
            let taken = answer.successful().len();
            Err(error::unexpected(DOING, format!("{taken} of {asked} messages were confirmed")))
        }
        [first, ..] => {
            let (count, why) = (answer.failed().len(), first.message().unwrap_or_else(|| first.code()));
            Err(error::unexpected(DOING, format!("{count} messages were refused, the first because: {why}")))
        }
    }
}
