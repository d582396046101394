//! What goes on beside the calls: hearing of changes, and moving what has become receivable.

use std::sync::{Arc, Weak};
use std::time::Duration;

use muster_redis::{Error, Link, RESPONSE_TIMEOUT, cmd};
use muster_session::job::Topic;
use tokio::sync::Notify;

use super::{Shared, scripts};

/// Longest wait in one command for the bell.
const BLOCK: Duration = Duration::from_secs(5);
/// Between tries to hear the bell again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often what has become receivable is moved to where scalers see it, also while nobody receives.
const TEND: Duration = Duration::from_secs(2);

/// Wakes whoever waits for this topic whenever its bell rings.
///
/// Blocks on the bell and not on the messages: a blocked read of the group would take a message before it has a lease.
/// Ends only with its task.
pub(super) async fn listen(link: Arc<Link>, tag: String, changed: Arc<Notify>) {
    let mut pause = Duration::ZERO;
    loop {
        let Err(error) = hear(&link, &format!("{tag}:bell"), &changed, &mut pause).await;
        tracing::debug!(%error, tag, "the queue's bell cannot be heard");
        pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }
}

/// Over one connection, until it breaks.
async fn hear(
    link: &Link,
    bell: &str,
    changed: &Notify,
    pause: &mut Duration,
) -> Result<std::convert::Infallible, Error> {
    type Entries = Vec<(String, Vec<(String, String)>)>;
    let mut connection = link.dedicated(BLOCK + RESPONSE_TIMEOUT).await?;
    let newest: Entries =
        cmd("XREVRANGE").arg(bell).arg("+").arg("-").arg("COUNT").arg(1).query_async(&mut connection).await?;
    let mut last = newest.into_iter().next().map_or_else(|| "0".to_owned(), |(id, _)| id);
    *pause = Duration::ZERO;
    // It may have rung while nobody listened.
    changed.notify_waiters();
    loop {
        let mut wait = cmd("XREAD");
        wait.arg("BLOCK").arg(BLOCK.as_secs() * 1_000).arg("STREAMS").arg(bell).arg(&last);
        let rung: Option<Vec<(String, Entries)>> = wait.query_async(&mut connection).await?;
        if let Some((id, _)) = rung.and_then(|streams| streams.into_iter().next()?.1.pop()) {
            last = id;
            changed.notify_waiters();
        }
    }
}

/// Tends every topic again and again, as long as there is somebody who has the queue.
pub(super) async fn tend(shared: Weak<Shared>) {
    let mut turn = tokio::time::interval(TEND);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        for topic in Topic::ALL {
            let moved: Result<u64, _> = shared.script(&scripts::TEND, topic, |_| {}).await;
            if let Err(error) = moved {
                tracing::debug!(%error, topic = topic.as_str(), "the queue could not be tended");
            }
        }
    }
}
