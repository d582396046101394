//! Dead letters. SQS lets nobody look without receiving, so a look takes them and puts them back.

use std::sync::Arc;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute};
use muster_session::job::Topic;

use super::claim::{Claim, receives};
use super::settle::REASON;
use super::{Shared, error, message};
use crate::QueueError;

/// Longest look: then they are back even if nobody puts them back.
const LOOK_SECONDS: i32 = 60;
/// Received at once.
const BATCH: i32 = 10;

pub(super) async fn list(
    shared: &Arc<Shared>,
    topic: Topic,
    limit: u32,
) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
    let _one_at_a_time = shared.looking.lock().await;
    let limit = limit as usize;
    let mut look = Claim::look(shared, &shared.urls(topic).dead);
    while look.messages().len() < limit && more(shared, topic, &mut look).await? {}
    let mut letters: Vec<&Message> = look.messages().iter().collect();
    letters.sort_by_key(|letter| died_at(letter));
    let letters = letters.into_iter().take(limit).map(|letter| {
        let id = letter.message_id().unwrap_or_default().to_owned();
        (id, message::decode(letter.body().unwrap_or_default()), reason(letter))
    });
    let letters = letters.collect();
    look.put_back(&shared.client).await;
    Ok(letters)
}

pub(super) async fn requeue(shared: &Arc<Shared>, topic: Topic, id: &str) -> Result<bool, QueueError> {
    let _one_at_a_time = shared.looking.lock().await;
    let mut look = Claim::look(shared, &shared.urls(topic).dead);
    let found = loop {
        if let Some(found) = look.messages().iter().find(|letter| letter.message_id() == Some(id)) {
            break Some(found.clone());
        }
        if !more(shared, topic, &mut look).await? {
            break None;
        }
    };
    let moved = match &found {
        Some(letter) => put_to_life(shared, topic, letter).await.map(|()| true),
        None => Ok(false),
    };
    look.put_back(&shared.client).await;
    moved
}

/// Adds some more to the look; false if there are none. Those that were seen are hidden, so none comes twice.
async fn more(shared: &Shared, topic: Topic, look: &mut Claim) -> Result<bool, QueueError> {
    let receive = shared.client.receive_message().queue_url(&shared.urls(topic).dead);
    let receive = receive.visibility_timeout(LOOK_SECONDS).max_number_of_messages(BATCH).wait_time_seconds(1);
    let receive = receive.message_attribute_names(REASON);
    let names = [Attribute::SentTimestamp, Attribute::ApproximateReceiveCount];
    let received = receive.set_message_system_attribute_names(Some(names.to_vec())).send().await;
    let received = received.map_err(|error| error::of("looking at dead letters", &error))?.messages;
    let received = received.unwrap_or_default();
    let any = !received.is_empty();
    look.extend(received);
    Ok(any)
}

/// A new message, so that its receives count from nothing; then the letter goes.
async fn put_to_life(shared: &Shared, topic: Topic, letter: &Message) -> Result<(), QueueError> {
    const DOING: &str = "putting a dead letter back";
    let urls = shared.urls(topic);
    let send = shared.client.send_message().queue_url(&urls.live).message_body(letter.body().unwrap_or_default());
    send.send().await.map_err(|error| error::of(DOING, &error))?;
    let handle = letter.receipt_handle().unwrap_or_default();
    let delete = shared.client.delete_message().queue_url(&urls.dead).receipt_handle(handle);
    delete.send().await.map_err(|error| error::of(DOING, &error))?;
    Ok(())
}

/// SQS keeps the time of the first sending for those that it set aside itself.
fn died_at(letter: &Message) -> i64 {
    let sent = letter.attributes().and_then(|all| all.get(&Attribute::SentTimestamp));
    sent.and_then(|sent| sent.parse().ok()).unwrap_or_default()
}

fn reason(letter: &Message) -> String {
    let reason = letter.message_attributes().and_then(|all| all.get(REASON)).and_then(|reason| reason.string_value());
    reason.map_or_else(|| format!("received {} times without being settled", receives(letter)), str::to_owned)
}
