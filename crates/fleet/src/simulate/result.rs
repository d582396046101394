//! What came of a simulated fleet.

use std::time::Duration;

use serde::Serialize;

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
    /// Meetings of the trace, each with a bot.
    pub meetings: u64,
    /// From when a bot was to be there until it was in its call, or until the meeting was over if it never was: the median, in
    /// seconds. A scheduled one is to be there at its `join_at`, another one when it is asked for.
    pub wait_p50_s: f64,
    /// The same for 99 of 100.
    pub wait_p99_s: f64,
    /// The longest.
    pub wait_max_s: f64,
    /// 99 of 100 of those that were scheduled.
    pub scheduled_p99_s: f64,
    /// 99 of 100 of those that were asked for when their meeting was there.
    pub ad_hoc_p99_s: f64,
    /// Meetings whose bot came too late or not at all.
    pub missed: u64,
    /// Of these, those whose bot was never in its call.
    pub never_joined: u64,
    /// Bots that a worker took with it.
    pub killed: u64,
    /// Hosts times hours.
    pub host_hours: f64,
    /// Bots with a worker times hours.
    pub bot_hours: f64,
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
    /// The wait that each percent of bots, 0 to 100, did not exceed, in seconds.
    pub wait_by_percent_s: Vec<f64>,
}

/// What is noted while it runs.
#[derive(Debug, Default)]
pub(super) struct Notes {
    scheduled_ms: Vec<u32>,
    ad_hoc_ms: Vec<u32>,
    late: u64,
    never_joined: u64,
    pub(super) killed: u64,
    pub(super) bot_time: Duration,
    peak_hosts: u32,
    changes: u64,
    reversals: u64,
    last_change: Option<(Duration, bool)>,
    samples: Vec<Sample>,
}

const QUARTER: u64 = 900;

impl Notes {
    /// A bot is in its call.
    pub(super) fn joined(&mut self, wait: Duration, scheduled: bool, late: bool) {
        self.late += u64::from(late);
        self.waited(wait, scheduled);
    }

    /// A bot never was.
    pub(super) fn never_joined(&mut self, wait: Duration, scheduled: bool) {
        self.never_joined += 1;
        self.waited(wait, scheduled);
    }

    fn waited(&mut self, wait: Duration, scheduled: bool) {
        let waits = if scheduled { &mut self.scheduled_ms } else { &mut self.ad_hoc_ms };
        waits.push(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    }

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

    pub(super) fn outcome(mut self, policy: &str, meetings: usize, slots: u32, host_time: Duration) -> Outcome {
        self.scheduled_ms.sort_unstable();
        self.ad_hoc_ms.sort_unstable();
        let mut all = [&self.scheduled_ms[..], &self.ad_hoc_ms[..]].concat();
        all.sort_unstable();
        debug_assert_eq!(all.len(), meetings, "every bot has had its end");
        let host_hours = host_time.as_secs_f64() / 3_600.0;
        let bot_hours = self.bot_time.as_secs_f64() / 3_600.0;
        Outcome {
            policy: policy.to_owned(),
            meetings: meetings as u64,
            wait_p50_s: seconds(&all, 50),
            wait_p99_s: seconds(&all, 99),
            wait_max_s: seconds(&all, 100),
            scheduled_p99_s: seconds(&self.scheduled_ms, 99),
            ad_hoc_p99_s: seconds(&self.ad_hoc_ms, 99),
            missed: self.late + self.never_joined,
            never_joined: self.never_joined,
            killed: self.killed,
            host_hours,
            bot_hours,
            peak_hosts: self.peak_hosts,
            changes: self.changes,
            reversals: self.reversals,
            utilisation: bot_hours / (host_hours * f64::from(slots)).max(f64::MIN_POSITIVE),
            samples: self.samples,
            wait_by_percent_s: (0..=100).map(|percent| seconds(&all, percent)).collect(),
        }
    }
}

/// What so many of 100 do not exceed, of waits in order.
fn seconds(sorted_ms: &[u32], percent: usize) -> f64 {
    let rank = (sorted_ms.len() * percent).div_ceil(100);
    sorted_ms.get(rank.saturating_sub(1)).map_or(0.0, |ms| f64::from(*ms) / 1_000.0)
}
