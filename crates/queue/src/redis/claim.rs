//! Taking messages under a lease.

use std::sync::{Arc, Weak};
use std::time::Duration;

use muster_session::job::Topic;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Shared, millis, scripts};
use crate::{Delivery, QueueError, Receipt};

/// What a look at a topic found.
pub(super) enum Found {
    /// Messages, leased.
    Messages(Claim),
    /// Nothing that can be received now.
    Nothing {
        /// When the next message can be, if one is known.
        next_in: Option<Duration>,
    },
}

/// Messages that were leased and not yet handed to the receiver. A receiver that gave up meanwhile drops it, and then
/// they are put back as they were.
pub(super) struct Claim {
    shared: Weak<Shared>,
    topic: Topic,
    taken: Vec<Taken>,
}

/// Id, token, receives, ready since, payload.
type Taken = (String, String, u32, i64, Vec<u8>);

/// Leases up to `max` receivable messages.
///
/// The script runs in a task of its own: its answer has to be heard even if nobody waits for it any more.
pub(super) async fn claim(shared: &Arc<Shared>, topic: Topic, max: u32, lease: Duration) -> Result<Found, QueueError> {
    let (answer, answered) = oneshot::channel();
    let owner = Arc::clone(shared);
    shared.spawn(async move {
        let found = take(&owner, topic, max, lease).await;
        // Nobody listens any more: dropping it puts back what was taken.
        drop(answer.send(found));
    });
    let gone = || QueueError::Unavailable { detail: "the queue was closed".into(), source: None };
    answered.await.map_err(|_| gone())?
}

async fn take(shared: &Arc<Shared>, topic: Topic, max: u32, lease: Duration) -> Result<Found, QueueError> {
    // Not a number that the server counts: one that lost its last writes would count on from before, and give the right
    // to settle a new message to whoever held an old one.
    let token = Uuid::new_v4().simple().to_string();
    let script = shared.script(&scripts::CLAIM, topic, |script| {
        script.arg(max).arg(millis(lease)).arg(token);
    });
    let (taken, next_in): (Vec<Taken>, i64) = script.await?;
    if taken.is_empty() {
        return Ok(Found::Nothing { next_in: u64::try_from(next_in).ok().map(Duration::from_millis) });
    }
    Ok(Found::Messages(Claim { shared: Arc::downgrade(shared), topic, taken }))
}

impl Claim {
    /// They are the receiver's now.
    pub(super) fn keep(mut self) -> Vec<Delivery> {
        let topic = self.topic;
        std::mem::take(&mut self.taken)
            .into_iter()
            .map(|(id, token, receives, _, payload)| Delivery {
                receipt: Receipt { topic, id, token },
                payload,
                receives,
            })
            .collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (taken, topic) = (std::mem::take(&mut self.taken), self.topic);
        // Without the queue there is nobody to hand them to; their leases run out.
        let Some(shared) = self.shared.upgrade().filter(|_| !taken.is_empty()) else { return };
        let owner = Arc::clone(&shared);
        shared.spawn(async move {
            let script = owner.script::<()>(&scripts::UNCLAIM, topic, |script| {
                for (id, token, _, since, _) in &taken {
                    script.arg(id).arg(token).arg(*since);
                }
            });
            if let Err(error) = script.await {
                tracing::warn!(%error, topic = topic.as_str(), "messages could not be put back; their leases run out");
            }
        });
    }
}
