//! What came of a simulated fleet.

use std::time::Duration;

use serde::Serialize;

use crate::cost::Quantile;

/// Two changes of direction closer than this are thrash.
const THRASH: Duration = Duration::from_secs(600);

/// The fleet at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Sample {
    /// Seconds from the beginning.
    pub at_s: u64,
    /// Workers that are paid for.
    pub workers: u32,
    /// Bots on them.
    pub running: u32,
    /// Bots that wait for a place.
    pub waiting: u32,
}

/// What came of one policy.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Outcome {
    /// Of the policy.
    pub policy: String,
    /// Meetings of the trace.
    pub meetings: u64,
    /// From when a bot was to be there until it was in its call: the median, in seconds.
    pub wait_p50_s: f64,
    /// The same for 99 of 100.
    pub wait_p99_s: f64,
    /// The longest wait of a bot that got in.
    pub wait_max_s: f64,
    /// Meetings whose bot came too late or not at all.
    pub missed: u64,
    /// Calls that a worker took with it.
    pub killed: u64,
    /// Hosts times hours.
    pub host_hours: f64,
    /// Most hosts at a time.
    pub peak_hosts: u32,
    /// Times that the number of workers was changed.
    pub changes: u64,
    /// Times that it was changed back within ten minutes.
    pub reversals: u64,
    /// Of the slots that were paid for, how many had a bot.
    pub utilisation: f64,
    /// The fleet over time: the highest of each quarter of an hour.
    pub samples: Vec<Sample>,
    /// Waits in milliseconds, for the shares of a plot.
    #[serde(skip)]
    pub waits: Quantile,
}

/// What is noted while it runs.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) waits_ms: Vec<u32>,
    pub(super) missed: u64,
    pub(super) killed: u64,
    pub(super) host_time: Duration,
    pub(super) bot_time: Duration,
    pub(super) peak_hosts: u32,
    pub(super) changes: u64,
    reversals: u64,
    last_change: Option<(Duration, bool)>,
    samples: Vec<Sample>,
}

const QUARTER: u64 = 900;

impl Notes {
    pub(super) fn change(&mut self, now: Duration, more: bool) {
        self.changes += 1;
        if self.last_change.is_some_and(|(at, was)| was != more && now - at < THRASH) {
            self.reversals += 1;
        }
        self.last_change = Some((now, more));
    }

    pub(super) fn sample(&mut self, now: Duration, workers: u32, running: u32, waiting: u32) {
        self.peak_hosts = self.peak_hosts.max(workers);
        let at_s = now.as_secs() / QUARTER * QUARTER;
        match self.samples.last_mut().filter(|last| last.at_s == at_s) {
            Some(last) => {
                last.workers = last.workers.max(workers);
                last.running = last.running.max(running);
                last.waiting = last.waiting.max(waiting);
            }
            None => self.samples.push(Sample { at_s, workers, running, waiting }),
        }
    }

    pub(super) fn outcome(mut self, policy: &str, meetings: usize, slots: u32) -> Outcome {
        self.waits_ms.sort_unstable();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a rank"
            )]
            let rank = (self.waits_ms.len() as f64 * share).ceil() as usize;
            self.waits_ms.get(rank.saturating_sub(1)).map_or(0.0, |ms| f64::from(*ms) / 1_000.0)
        };
        let mut waits = Quantile::default();
        // So many as do not make it forget the first.
        let every = (self.waits_ms.len() / 1_500).max(1);
        for wait in self.waits_ms.iter().step_by(every) {
            waits.record(u64::from(*wait));
        }
        let host_hours = self.host_time.as_secs_f64() / 3_600.0;
        let bot_hours = self.bot_time.as_secs_f64() / 3_600.0;
        Outcome {
            policy: policy.to_owned(),
            meetings: meetings as u64,
            wait_p50_s: at(0.5),
            wait_p99_s: at(0.99),
            wait_max_s: at(1.0),
            missed: self.missed,
            killed: self.killed,
            host_hours,
            peak_hosts: self.peak_hosts,
            changes: self.changes,
            reversals: self.reversals,
            utilisation: bot_hours / (host_hours * f64::from(slots)).max(f64::MIN_POSITIVE),
            samples: self.samples,
            waits,
        }
    }
}
