//! What becomes of a leased message.

use std::time::Duration;

use aws_sdk_sqs::types::MessageAttributeValue;
use tokio::time::Instant;

use super::leases::Claimed;
use super::{Shared, error, message, whole_seconds};
use crate::{QueueError, Receipt};

/// The attribute of a dead letter that says why it is one.
pub(super) const REASON: &str = "reason";

pub(super) async fn extend(shared: &Shared, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
    let (asked, seconds) = (Instant::now(), whole_seconds(lease).max(1));
    let handle = shared.leases.handle(receipt, asked)?;
    hide(shared, receipt, &handle, seconds).await?;
    shared.leases.move_end(receipt, asked + Duration::from_secs(u64::from(seconds.unsigned_abs())));
    Ok(())
}

pub(super) async fn ack(shared: &Shared, receipt: &Receipt) -> Result<(), QueueError> {
    let claimed = shared.leases.take(receipt, Instant::now())?;
    let done = delete(shared, receipt, &claimed.handle).await;
    settled(shared, receipt, claimed, done)
}

pub(super) async fn release(shared: &Shared, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
    let claimed = shared.leases.take(receipt, Instant::now())?;
    let done = hide(shared, receipt, &claimed.handle, whole_seconds(delay)).await;
    settled(shared, receipt, claimed, done)
}

pub(super) async fn dead_letter(shared: &Shared, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
    let claimed = shared.leases.take(receipt, Instant::now())?;
    // Only who received it knows what is in it.
    let body = message::encode(&claimed.held.as_ref().ok_or(QueueError::LeaseLost)?.payload);
    let done = async {
        let reason = MessageAttributeValue::builder().data_type("String").string_value(message::attribute(reason));
        let reason = reason.build().map_err(|error| error::unexpected("setting a message aside", error))?;
        let send = shared.client.send_message().queue_url(&shared.urls(receipt.topic).dead);
        let send = send.message_body(body).message_attributes(REASON, reason);
        send.send().await.map_err(|error| error::of("setting a message aside", &error))?;
        delete(shared, receipt, &claimed.handle).await
    };
    let done = done.await;
    settled(shared, receipt, claimed, done)
}

/// A lease that could not be settled for lack of an answer still holds.
fn settled(
    shared: &Shared,
    receipt: &Receipt,
    claimed: Claimed,
    done: Result<(), QueueError>,
) -> Result<(), QueueError> {
    if let Err(QueueError::Unavailable { .. }) = &done {
        shared.leases.put_back(receipt, claimed);
    }
    done
}

async fn delete(shared: &Shared, receipt: &Receipt, handle: &str) -> Result<(), QueueError> {
    let delete = shared.client.delete_message().queue_url(&shared.urls(receipt.topic).live).receipt_handle(handle);
    delete.send().await.map_err(|error| error::of_settling("removing a message", &error))?;
    Ok(())
}

async fn hide(shared: &Shared, receipt: &Receipt, handle: &str, seconds: i32) -> Result<(), QueueError> {
    let url = &shared.urls(receipt.topic).live;
    let change = shared.client.change_message_visibility().queue_url(url).receipt_handle(handle);
    let change = change.visibility_timeout(seconds).send().await;
    change.map_err(|error| error::of_settling("moving the end of a lease", &error))?;
    Ok(())
}
