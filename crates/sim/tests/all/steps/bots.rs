//! Bots that attend a meeting of no length.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use muster_server::roles::worker::{Bot, Bots};
use muster_session::protocol::{BotSpec, Command, Report};
use muster_session::{EndReason, Timestamp};
use tokio::sync::{mpsc, watch};

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
struct QuickBot {
    present: Arc<watch::Sender<usize>>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Drop for QuickBot {
    fn drop(&mut self) {
        self.present.send_modify(|present| *present -= 1);
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
        Ok(Box::new(QuickBot { present: Arc::clone(&self.present), reports }))
    }
}

#[async_trait]
impl Bot for QuickBot {
    async fn next_report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    fn command(&self, _: Command) {}

    async fn begin_stop(&mut self, _: Command, _: Duration) {
        self.reports.close();
    }

    async fn kill(&mut self) {
        self.reports.close();
    }

    async fn wait(&mut self) -> String {
        "the end of the script".to_owned()
    }
}
