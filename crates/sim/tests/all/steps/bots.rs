//! Bots that attend a meeting of no length.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use muster_server::roles::worker::{Bot, Bots};
use muster_session::protocol::{BotSpec, Report};
use muster_session::{EndReason, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::told::Told;

/// Starts them, and counts how many there are at a time.
#[derive(Debug, Default)]
pub(crate) struct QuickBots {
    present: Arc<watch::Sender<usize>>,
    most: AtomicUsize,
}

impl QuickBots {
    /// The most that were there at a time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Their supervisor is gone: waits until they are.
    pub(super) async fn orphaned(&self) {
        self.present.subscribe().wait_for(|present| *present == 0).await.expect("the sender is here");
    }
}

/// In its meeting until it is dropped.
#[derive(Debug)]
struct Present(Arc<watch::Sender<usize>>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|present| *present -= 1);
    }
}

#[async_trait]
impl Bots for QuickBots {
    async fn launch(&self, _: &BotSpec) -> Result<Box<dyn Bot>, String> {
        self.present.send_modify(|present| {
            *present += 1;
            self.most.fetch_max(*present, Ordering::SeqCst);
        });
        let (say, reports) = mpsc::unbounded_channel();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let (reason, message) = (EndReason::HostEnded, "over".to_owned());
        let story = [
            Report::Joining { at, simulated: false },
            Report::Admitted { at },
            Report::Recording { at },
            Report::Leaving { at, reason, message: message.clone() },
            Report::Ended { at, reason, message, recorded_ms: 0 },
        ];
        for report in story {
            let _ = say.send(report);
        }
        Ok(Box::new(Told::new(reports, Present(Arc::clone(&self.present)))))
    }
}
