//! Live audio for a customer: the mix, labelled with who speaks, over a WebSocket that the bot dials.
//!
//! The wire is MeetStream's: a text `ready`, then binary frames of 100 ms (see [`wire`]), then close 1000. The call is
//! never held up: what the receiver does not take within [`BUFFER`] is dropped, oldest first, and counted.

mod connection;
mod retry;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use muster_hooks::guard::Policy;
use muster_session::BotId;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::report::Reporter;
use crate::room::Person;

/// Mixer frames of 20 ms in a frame on the wire.
const MIXED_PER_FRAME: usize = 5;
/// How much audio waits for a receiver that is slow or away.
const BUFFER: Duration = Duration::from_secs(5);
const BUFFERED_FRAMES: usize = (BUFFER.as_millis() / 100) as usize;

/// Where live audio goes and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) bot: BotId,
    pub(crate) url: Url,
    pub(crate) policy: Policy,
}

/// The sending end. Dropping it gives up what is buffered; [`finish`](Self::finish) does not.
#[derive(Debug)]
pub(crate) struct LiveAudio {
    queue: Arc<Queue>,
    task: AbortOnDropHandle<()>,
    pcm: Vec<u8>,
    /// Who dominated each mixer frame of the frame under way.
    dominant: Vec<Option<Person>>,
}

impl LiveAudio {
    /// Connects in the background and goes on trying.
    pub(crate) fn start(settings: Settings, reporter: Reporter) -> Self {
        let queue = Arc::new(Queue::default());
        let task = AbortOnDropHandle::new(tokio::spawn(connection::run(settings, Arc::clone(&queue), reporter)));
        Self { queue, task, pcm: Vec::new(), dominant: Vec::new() }
    }

    /// Takes 20 ms of the mix (48 kHz, mono) and who dominates it. Never waits.
    pub(crate) fn push(&mut self, mixed: &[i16], dominant: Option<Person>) {
        self.pcm.extend(mixed.iter().flat_map(|sample| sample.to_le_bytes()));
        self.dominant.push(dominant);
        if self.dominant.len() == MIXED_PER_FRAME {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.dominant.is_empty() {
            let speaker = most_frequent(&self.dominant);
            self.queue.push(wire::audio(speaker, &self.pcm));
            self.pcm.clear();
            self.dominant.clear();
        }
    }

    /// Frames that the receiver did not get.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Sends what is buffered and closes, for at most `within`; answers what [`dropped`](Self::dropped) then is.
    pub(crate) async fn finish(mut self, within: Duration) -> u64 {
        self.flush();
        self.queue.finish();
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            tracing::warn!("live audio could not be finished in time");
        }
        self.dropped() + self.queue.waiting()
    }
}

fn most_frequent(speakers: &[Option<Person>]) -> Option<&Person> {
    let count = |person: &Person| speakers.iter().flatten().filter(|p| p.id == person.id).count();
    // Of equals the later: it is who speaks on.
    speakers.iter().flatten().max_by_key(|person| count(person))
}

/// Frames on their way to the connection.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    finished: bool,
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, frame: Bytes) {
        let mut waiting = self.lock();
        waiting.frames.push_back(frame);
        if waiting.frames.len() > BUFFERED_FRAMES {
            waiting.frames.pop_front();
            self.count_dropped();
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn finish(&self) {
        self.lock().finished = true;
        self.changed.notify_one();
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn waiting(&self) -> u64 {
        self.lock().frames.len() as u64
    }

    fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// The next frame; `None` when all were taken and there will be no more. Cancel safe. For one task.
    async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(frame) = waiting.frames.pop_front() {
                    return Some(frame);
                }
                if waiting.finished {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits until [`finish`](Self::finish). For the task that calls [`next`](Self::next), while it does not.
    async fn finished(&self) {
        while !self.is_finished() {
            self.changed.notified().await;
        }
    }
}
