//! How the fleet is and what is wanted, in figures.

use muster_fleet::scaling::{Memory, Signals};
use muster_session::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::kept::{Change, Kept, words};
use super::look::Look;
use super::{Scaling, within};

/// The fleet's size: what there is, what is wanted and why. Every figure is there in every answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// Bots in the queue, which no worker has claimed.
    pub queued_unclaimed: u64,
    /// Bots in line for a place.
    pub held: u64,
    /// Those of `held` that wait for nothing but room in the fleet, and `queued_unclaimed`.
    pub waiting: u64,
    /// How long the first in the queue has waited. None if that is not known, as with SQS, or when bots wait in line alone.
    pub oldest_wait_seconds: Option<u64>,
    /// Scheduled bots that set out before a worker that is asked for now takes bots.
    pub due_soon: u64,
    /// Bots that workers run, also those that drain.
    pub running: u64,
    /// Bots that workers can run at a time, without those that drain.
    pub slots: u64,
    /// Bots that they could take now.
    pub free_slots: u64,
    /// Share of the slots with a bot, in percent.
    pub active_percent: u64,
    /// Cores in use, in percent: the mean over workers. None if not all of them say.
    pub cpu_percent: Option<u64>,
    /// Memory in use, in percent.
    pub memory_percent: Option<u64>,
    /// Workers that are alive and take bots.
    pub workers: u64,
    /// Workers that are alive and take no more.
    pub workers_draining: u64,
    /// Workers that there should be. For whatever keeps a number of replicas.
    pub desired_workers: u64,
    /// Workers to start now, beyond those that are alive, by somebody who takes off those it has already started (KEDA's strategy
    /// `accurate`).
    pub workers_to_add: u64,
    /// `workers_to_add` and all that are alive, draining or not (KEDA's strategy `default`).
    pub workers_total: u64,
    /// Why so many, by name.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// Never fewer workers.
    pub min_workers: u64,
    /// Never more.
    pub max_workers: u64,
    /// How long a worker takes from being asked for until it takes bots, as counted on.
    pub launch_seconds: u64,
    /// Who makes it so.
    pub actuator: &'static str,
    /// What was decided last, and changed something, first: at most 100.
    pub history: Vec<Change>,
}

impl Status {
    /// `Err` says what could not be read.
    pub(super) fn new(scaling: &Scaling, kept: &Kept, look: &Look, now: Timestamp) -> Result<Self, String> {
        let policy = within(scaling.policy, kept);
        let Signals { waiting: Some(waiting), workers: Some(workers), due: Some(due), launch } = &look.signals else {
            let (_, detail) = words(policy.decide(&look.signals, kept.memory, now).reason);
            return Err(detail);
        };
        let decision = policy.decide(&look.signals, kept.memory, now);
        let active = || workers.iter().filter(|worker| !worker.draining);
        let sum = |of: fn(&_) -> u32| active().map(of).map(u64::from).sum::<u64>();
        let (slots, busy) = (sum(|worker| worker.slots), sum(|worker| worker.running));
        let alive = look.alive().unwrap_or(0);
        // From what is there and nothing else: whoever starts these knows best what it has started already.
        let from_there = policy.decide(&look.signals, Memory::default(), now).desired;
        let to_add = u64::from(from_there.saturating_sub(alive));
        let (reason, detail) = words(decision.reason);
        Ok(Self {
            queued_unclaimed: look.queued,
            held: look.held,
            waiting: waiting.bots,
            oldest_wait_seconds: waiting.oldest.map(|oldest| oldest.as_secs()),
            due_soon: *due,
            running: workers.iter().map(|worker| u64::from(worker.running)).sum(),
            slots,
            free_slots: slots.saturating_sub(busy),
            active_percent: (busy * 100).checked_div(slots).unwrap_or(0),
            cpu_percent: mean(active().map(|worker| worker.cpu_percent)),
            memory_percent: mean(active().map(|worker| worker.memory_percent)),
            workers: alive.into(),
            workers_draining: (workers.len() as u64).saturating_sub(alive.into()),
            desired_workers: decision.desired.into(),
            workers_to_add: to_add,
            workers_total: workers.len() as u64 + to_add,
            reason,
            detail,
            min_workers: policy.min_workers.into(),
            max_workers: policy.max_workers.into(),
            launch_seconds: launch.as_secs(),
            actuator: scaling.actuator,
            history: kept.changes.iter().rev().cloned().collect(),
        })
    }

    /// There has to be a worker: bots wait, are due or run, or there is to be one anyway.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.waiting + self.due_soon + self.running + self.workers_to_add > 0
    }
}

fn mean(percents: impl Iterator<Item = Option<u8>>) -> Option<u64> {
    let known: Vec<u8> = percents.collect::<Option<_>>()?;
    known.iter().map(|percent| u64::from(*percent)).sum::<u64>().checked_div(known.len() as u64)
}
