//! Every long-lived task of the server: named, counted, joined, and with a declared consequence of its failure.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shutdown in three steps: take no new work and let calls end; make them end; end everything. The first begins by a
/// signal or by something else; who sends a signal may wait for less time.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    terminating: CancellationToken,
    terminated_at: Arc<OnceLock<Instant>>,
    hurrying: CancellationToken,
    ending: CancellationToken,
}

impl Shutdown {
    /// Take no new work.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// The process got a signal to end; implies [`drain`](Self::drain).
    pub fn terminate(&self) {
        self.terminated_at.get_or_init(Instant::now);
        self.terminating.cancel();
        self.draining.cancel();
    }

    /// Make running calls end; implies [`drain`](Self::drain).
    pub fn hurry(&self) {
        self.draining.cancel();
        self.hurrying.cancel();
    }

    /// End everything; implies the other two.
    pub fn end(&self) {
        self.hurry();
        self.ending.cancel();
    }

    /// Done when draining has begun. Cancel safe.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Done when the process got a signal to end; answers when that was. Cancel safe.
    pub async fn terminated(&self) -> Instant {
        self.terminating.cancelled().await;
        *self.terminated_at.get_or_init(Instant::now)
    }

    /// Done when running calls have to end. Cancel safe.
    pub async fn hurried(&self) {
        self.hurrying.cancelled().await;
    }

    /// Done when it is time to end. Cancel safe.
    pub async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// True once draining has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The token of the last step, for code that takes one.
    #[must_use]
    pub fn ending_token(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// The token of the first step, for code that takes one.
    #[must_use]
    pub fn draining_token(&self) -> CancellationToken {
        self.draining.clone()
    }
}

/// Between the end of a task and its next start: at first, and at most. What it works with may be away for a while, and
/// nothing else must wait long once it is back.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// A task that ran for so long has nothing to do with its end before.
const SOUND: Duration = Duration::from_secs(10);

/// What the end of a task means while the server is not shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Start it again after a pause.
    Restart,
    /// The server cannot go on without it.
    ShutDown,
}

/// Owns the tasks; dropping it ends them.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

impl Supervisor {
    /// No tasks yet.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tasks: JoinSet::new() }
    }

    /// Runs `make()` until it returns during shutdown. An early return, an error or a panic is logged with the task's
    /// name and answered as `policy` says.
    pub fn run<F, Fut>(&mut self, name: &'static str, policy: OnFailure, mut make: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let mut pause = PAUSE_MIN;
            loop {
                let began = Instant::now();
                let mut one = JoinSet::new();
                one.spawn(make());
                let ended = match one.join_next().await {
                    Some(Ok(Ok(()))) if shutdown.is_draining() => return,
                    Some(Ok(Ok(()))) => "returned early".to_owned(),
                    Some(Ok(Err(error))) => format!("{error:#}"),
                    Some(Err(panic)) => format!("panicked: {panic}"),
                    None => return,
                };
                tracing::error!(task = name, error = ended, "task ended");
                if began.elapsed() >= SOUND {
                    pause = PAUSE_MIN;
                }
                // Draining too: the calls that are waited for need every other part.
                if policy == OnFailure::ShutDown {
                    shutdown.end();
                    return;
                }
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(pause) => {}
                    () = shutdown.ended() => return,
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        });
    }

    /// Waits for every task. Cancel safe: tasks not joined yet stay owned.
    pub async fn join(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
