//! What is known of the fleet.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_fleet::fair::Line;
use muster_fleet::scaling::{Signals, Waiting, WorkerSignal};
use muster_fleet::schedule;
use muster_queue::Depth;
use muster_session::job::Topic;
use muster_session::{Timestamp, WorkerId};
use muster_store::{Ending, KnownWorker, TenantLoad};

use crate::chain::chain;
use crate::config::Tiers;
use crate::roles::{Backend, lessons};

/// Everything together is answered within this.
pub(super) const ANSWER: Duration = Duration::from_millis(2_500);
/// Of one question.
const READ: Duration = Duration::from_secs(2);
/// When all workers are silent at once it may be the store that was away: for so much longer they are not taken for gone.
const ALL_SILENT: Duration = Duration::from_secs(60);

/// The fleet at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What the policy goes by.
    pub signals: Signals,
    /// Workers that are alive; none if they could not be read.
    pub workers: Vec<KnownWorker>,
    /// Bots in the queue.
    pub queued: u64,
    /// Bots in line for a place.
    pub held: u64,
    /// Of these, those that wait for nothing but room in the fleet.
    pub wanting: u64,
}

impl Look {
    /// Workers that are alive and take bots, if that could be read.
    #[must_use]
    pub fn alive(&self) -> Option<u32> {
        let workers = self.signals.workers.as_ref()?;
        u32::try_from(workers.iter().filter(|worker| !worker.draining).count()).ok()
    }

    /// Workers that take no more, and that whoever runs them counts until they end, if that could be read. One that was stopped
    /// is not: whoever stopped it counts it no more.
    pub(super) fn held(&self) -> Option<u32> {
        self.signals.workers.as_ref()?;
        let is_held = |worker: &&KnownWorker| worker.draining && worker.record.ending == Ending::Replaced;
        u32::try_from(self.workers.iter().filter(is_held).count()).ok()
    }
}

/// Looks at the fleet, and remembers for how long it could not.
#[derive(Debug)]
pub struct Eyes {
    backend: Backend,
    doubt: Mutex<Doubt>,
}

impl Eyes {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, doubt: Mutex::default() }
    }

    /// The fleet now. What cannot be read is none, and logged. `launch` is how long a worker takes from being asked for until
    /// it takes bots.
    pub async fn look(&self, launch: Duration) -> Look {
        let Backend { store, queue, clock, tiers, .. } = &self.backend;
        let due = async {
            let lead = lessons::learned(&**store).await?.lead();
            store.count_due(schedule::horizon(clock.now() + launch, lead)).await
        };
        let (depth, loads, workers, due) = tokio::join!(
            read("the queue", queue.depth(Topic::Jobs)),
            read("the line", store.loads()),
            read("the workers", store.workers()),
            read("the schedule", due),
        );
        let workers = self.doubt.lock().unwrap_or_else(PoisonError::into_inner).judge(workers, clock.now());
        let (held, wanting) = loads.as_deref().map_or((0, 0), |loads| line(loads, tiers));
        let waiting = depth
            .filter(|_| loads.is_some())
            .map(|depth| Waiting { bots: depth.ready + wanting, oldest: oldest(&depth, wanting) });
        let signals = Signals { waiting, workers: workers.as_deref().map(signals), due, launch };
        let queued = depth.map_or(0, |depth| depth.ready);
        Look { signals, workers: workers.unwrap_or_default(), queued, held, wanting }
    }
}

/// How long the first has waited: none if some wait and it cannot be said, as by SQS or in line.
fn oldest(depth: &Depth, wanting: u64) -> Option<Duration> {
    let is_known = !depth.oldest_ready.is_zero() || depth.ready + wanting == 0;
    is_known.then_some(depth.oldest_ready)
}

async fn read<T, E: std::error::Error>(what: &'static str, answer: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(READ, answer).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(what, error = chain(&error), "what the fleet is scaled by could not be read");
            None
        }
        Err(_) => {
            tracing::warn!(what, "what the fleet is scaled by could not be read in time");
            None
        }
    }
}

/// Bots in line, and those that are kept there by the size of the fleet alone.
fn line(loads: &[TenantLoad], tiers: &Tiers) -> (u64, u64) {
    let tenants = loads.iter().map(|load| (&load.tenant, tiers.share(load))).collect();
    (loads.iter().map(|load| load.held).sum(), Line { capacity: 0, tenants }.wanting())
}

fn signals(workers: &[KnownWorker]) -> Vec<WorkerSignal> {
    let signal = |KnownWorker { record, draining }: &KnownWorker| WorkerSignal {
        slots: record.running.saturating_add(record.room()),
        running: record.running,
        cpu_percent: record.cpu_percent,
        memory_percent: record.memory_percent,
        draining: *draining,
    };
    workers.iter().map(signal).collect()
}

/// Whether those that are silent are gone.
///
/// A worker is heard when its word is another one than at the last look, and silent from then on: by this clock alone, as a
/// scaler whose clock is some seconds ahead of the workers' would take all of them for silent, for ever.
///
/// While the store was away nobody could beat, and when it is back those who look first would see a fleet that has died. So
/// workers are not known for a while after they could not be read, nor when all of them fell silent at once.
#[derive(Debug, Default)]
struct Doubt {
    failed: bool,
    back_at: Option<Timestamp>,
    heard: HashMap<WorkerId, Heard>,
    /// The longest patience with those that were alive when that was known last.
    patience: Option<Duration>,
}

/// The last word of a worker.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// As it says.
    seen_at: Timestamp,
    /// By the clock of who hears it.
    at: Timestamp,
}

impl Doubt {
    /// Those that are alive, if that can be said.
    fn judge(&mut self, workers: Option<Vec<KnownWorker>>, now: Timestamp) -> Option<Vec<KnownWorker>> {
        let Some(mut workers) = workers else {
            self.failed = true;
            return None;
        };
        if std::mem::take(&mut self.failed) {
            self.back_at = Some(now);
        }
        self.hear(&workers, now);
        let longest = |workers: &[KnownWorker]| workers.iter().map(|worker| worker.record.patience()).max();
        let patience = self.patience.or_else(|| longest(&workers)).unwrap_or_default();
        if self.back_at.is_some_and(|at| now.since(at) <= patience) {
            return None;
        }
        self.back_at = None;
        let silence = |worker: &KnownWorker| now.since(self.heard[&worker.record.id].at);
        let is_silent = |worker: &KnownWorker| silence(worker) > worker.record.patience();
        let last = workers.iter().min_by_key(|worker| silence(worker));
        if workers.iter().all(is_silent) && last.is_some_and(|last| silence(last) < last.record.patience() + ALL_SILENT)
        {
            return None;
        }
        workers.retain(|worker| !is_silent(worker));
        self.patience = longest(&workers);
        Some(workers)
    }

    /// A new word was said just now, unless it is so old that clocks do not explain it.
    fn hear(&mut self, workers: &[KnownWorker], now: Timestamp) {
        let before = std::mem::take(&mut self.heard);
        let hear = |KnownWorker { record, .. }: &KnownWorker| {
            let seen_at = record.seen_at;
            let at = match before.get(&record.id) {
                Some(known) if known.seen_at == seen_at => known.at,
                _ if record.is_lost(now) => seen_at,
                _ => now,
            };
            (record.id.clone(), Heard { seen_at, at })
        };
        self.heard = workers.iter().map(hear).collect();
    }
}

#[cfg(test)]
mod tests {
    use muster_store::WorkerRecord;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn seen(times: &[i64]) -> Option<Vec<KnownWorker>> {
        let worker = |(id, seconds): (usize, &i64)| KnownWorker { record: record(id, at(*seconds)), draining: false };
        Some(times.iter().enumerate().map(worker).collect())
    }

    fn record(id: usize, seen_at: Timestamp) -> WorkerRecord {
        WorkerRecord {
            id: WorkerId::new(format!("w{id}")),
            host: String::new(),
            version: String::new(),
            capacity: 8,
            running: 1,
            room: Some(7),
            cpu_percent: None,
            memory_percent: None,
            launch_ms: None,
            idle_since: None,
            bots: serde_json::Value::Null,
            simulated: false,
            ending: Ending::Stays,
            started_at: at(0),
            seen_at,
            // Silent after 7 s.
            beat_ms: Some(2_000),
        }
    }

    #[test]
    fn one_that_is_silent_while_others_speak_is_gone() {
        let mut doubt = Doubt::default();
        let mut alive = |times: &[i64], now| doubt.judge(seen(times), at(now)).map(|workers| workers.len());
        assert_eq!(alive(&[], 90), Some(0));
        assert_eq!(alive(&[92, 92], 92), Some(2));
        assert_eq!(alive(&[99, 92], 99), Some(2));
        assert_eq!(alive(&[100, 92], 100), Some(1));
        assert_eq!(alive(&[100, 92], 108), None, "all at once: perhaps it is the store");
        assert_eq!(alive(&[100, 41], 108), None);
        assert_eq!(alive(&[100, 92], 166), None);
        assert_eq!(alive(&[100, 92], 167), Some(0), "for so long it is not");
    }

    #[test]
    fn who_has_just_begun_to_look_counts_none_that_died_long_ago() {
        let alive = |times: &[i64]| Doubt::default().judge(seen(times), at(100)).map(|workers| workers.len());
        assert_eq!(alive(&[99, 70, 69]), Some(2), "it may be a clock that is behind");
        assert_eq!(alive(&[69, 69]), None);
        assert_eq!(alive(&[33, 33]), Some(0));
    }

    #[test]
    fn clocks_that_differ_make_nobody_silent() {
        for ahead in [-29, 29] {
            let mut doubt = Doubt::default();
            let mut alive = |times: [i64; 2], now| {
                let told = seen(&times.map(|said| said - ahead));
                doubt.judge(told, at(now)).map(|workers| workers.len())
            };
            for now in (100..160).step_by(2) {
                assert_eq!(alive([now, now], now), Some(2), "{ahead} s ahead");
            }
            assert_eq!(alive([166, 158], 165), Some(2), "{ahead} s ahead");
            assert_eq!(alive([166, 158], 166), Some(1), "{ahead} s ahead");
        }
    }

    #[test]
    fn those_that_drain_by_order_are_held_until_they_end() {
        let drains =
            |(id, ending)| KnownWorker { record: WorkerRecord { ending, ..record(id, at(99)) }, draining: id > 0 };
        let workers: Vec<_> = [Ending::Replaced, Ending::Replaced, Ending::Ends, Ending::Stays]
            .into_iter()
            .enumerate()
            .map(drains)
            .collect();
        let mut look = Look { workers, ..Look::default() };
        assert_eq!(look.held(), None, "not read");
        look.signals.workers = Some(signals(&look.workers));
        assert_eq!((look.held(), look.alive()), (Some(1), Some(1)));
    }

    #[test]
    fn a_store_that_was_away_ends_nobody() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(seen(&[99, 99]), at(100)).map(|workers| workers.len()), Some(2));
        assert_eq!(doubt.judge(None, at(110)), None);
        // Back, and one of them was quicker than this look.
        assert_eq!(doubt.judge(seen(&[150, 99]), at(150)), None);
        assert_eq!(doubt.judge(seen(&[156, 155]), at(157)), None);
        assert_eq!(doubt.judge(seen(&[157, 156]), at(158)).map(|workers| workers.len()), Some(2));
    }
}
