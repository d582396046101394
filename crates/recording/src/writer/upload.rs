use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Limits;

#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) bytes_written: u64,
    pub(super) dropped: u64,
    pub(super) waiting: u64,
    pub(super) failures: u64,
    pub(super) last_error: Option<String>,
    waiting_bytes: usize,
}

/// Stores files in order of their coming, a few at a time, trying again until the storage takes them.
#[derive(Debug)]
pub(super) struct Uploader {
    queue: mpsc::UnboundedSender<File>,
    counts: Arc<watch::Sender<Counts>>,
    waiting_bytes: usize,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct File {
    path: Path,
    bytes: Bytes,
}

impl Uploader {
    pub(super) fn start(store: Arc<dyn ObjectStore>, limits: &Limits) -> Self {
        let (queue, files) = mpsc::unbounded_channel();
        let counts = Arc::new(watch::Sender::default());
        let task = tokio::spawn(run(store, files, Arc::clone(&counts), limits.clone()));
        Self { queue, counts, waiting_bytes: limits.waiting_bytes, task: Some(task) }
    }

    /// Hands a file over; drops and counts it if too much waits already. Never waits.
    pub(super) fn store(&self, path: Path, bytes: Vec<u8>) {
        let file = File { path, bytes: bytes.into() };
        let size = file.bytes.len();
        let mut taken = false;
        self.counts.send_modify(|counts| {
            taken = counts.waiting_bytes + size <= self.waiting_bytes;
            if taken {
                counts.waiting += 1;
                counts.waiting_bytes += size;
            } else {
                counts.dropped += 1;
            }
        });
        if !taken {
            tracing::error!(path = %file.path, "the storage is out for too long; a segment is dropped");
        } else if self.queue.send(file).is_err() {
            // The task ends only with the runtime; count what it cannot take.
            self.counts.send_modify(|counts| give_up(counts, 1, size));
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    pub(super) async fn idle(&self) {
        let mut counts = self.counts.subscribe();
        // The sender lives as long as this.
        let _ = counts.wait_for(|counts| counts.waiting == 0).await;
    }

    /// Stores what waits, for as long as allowed.
    pub(super) async fn close(mut self, timeout: Duration) -> Counts {
        if tokio::time::timeout(timeout, self.idle()).await.is_err() {
            tracing::error!("the storage did not take all segments before the end");
        }
        if let Some(task) = self.task.take() {
            task.abort();
            // Cancelled or not: afterwards nothing is stored any more and the counts are final.
            let _ = task.await;
        }
        self.counts.send_modify(|counts| give_up(counts, counts.waiting, counts.waiting_bytes));
        self.counts()
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn give_up(counts: &mut Counts, files: u64, bytes: usize) {
    counts.waiting -= files;
    counts.waiting_bytes -= bytes;
    counts.dropped += files;
}

async fn run(
    store: Arc<dyn ObjectStore>,
    mut files: mpsc::UnboundedReceiver<File>,
    counts: Arc<watch::Sender<Counts>>,
    limits: Limits,
) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(file) = files.recv(), if running.len() < limits.uploads.max(1) => {
                running.push(upload(&*store, file, &counts, &limits));
            }
            Some(()) = running.next() => {}
            else => return,
        }
    }
}

/// Tries until the storage takes the file.
async fn upload(store: &dyn ObjectStore, file: File, counts: &watch::Sender<Counts>, limits: &Limits) {
    let mut pause = limits.retry_from;
    loop {
        let put = store.put(&file.path, PutPayload::from_bytes(file.bytes.clone()));
        let error = match tokio::time::timeout(limits.upload_timeout, put).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", limits.upload_timeout),
        };
        tracing::warn!(path = %file.path, error, "a segment could not be stored; trying again");
        counts.send_modify(|counts| {
            counts.failures += 1;
            counts.last_error = Some(error);
        });
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(limits.retry_to);
    }
    counts.send_modify(|counts| {
        counts.waiting -= 1;
        counts.waiting_bytes -= file.bytes.len();
        counts.written += 1;
        counts.bytes_written += file.bytes.len() as u64;
        counts.last_error = None;
    });
}
