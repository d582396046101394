//! The workers of a simulated fleet, each with the admission of a real one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_session::Timestamp;

use super::Setup;
use crate::admission::Admission;
use crate::scaling::{WorkerSignal, least_busy};

pub(super) type WorkerNumber = u32;
pub(super) type BotNumber = u32;

#[derive(Debug)]
struct Worker {
    since: Duration,
    ready: bool,
    draining: bool,
    admission: Admission<BotNumber>,
    bots: BTreeSet<BotNumber>,
    /// Thousandths of a core that its bots use.
    cpu_used: u64,
}

#[derive(Debug)]
pub(super) struct Workers {
    setup: Setup,
    slots: u32,
    all: BTreeMap<WorkerNumber, Worker>,
    started: WorkerNumber,
    /// Those that take bots and have room.
    free: BTreeSet<WorkerNumber>,
    ready: u32,
    draining_bots: u64,
    /// How long those were there that are gone.
    host_time: Duration,
}

impl Workers {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            setup: *setup,
            slots: setup.slots(),
            all: BTreeMap::new(),
            started: 0,
            free: BTreeSet::new(),
            ready: 0,
            draining_bots: 0,
            host_time: Duration::ZERO,
        }
    }

    /// One that takes no bots yet.
    pub(super) fn launch(&mut self, now: Duration) -> WorkerNumber {
        let number = self.started;
        self.started += 1;
        let worker = Worker {
            since: now,
            ready: false,
            draining: false,
            admission: Admission::new(self.setup.budget),
            bots: BTreeSet::new(),
            cpu_used: 0,
        };
        self.all.insert(number, worker);
        number
    }

    /// Takes bots from now on, if it is still wanted.
    pub(super) fn ready(&mut self, number: WorkerNumber) {
        if let Some(worker) = self.all.get_mut(&number) {
            worker.ready = true;
            self.ready += 1;
            if self.slots > 0 {
                self.free.insert(number);
            }
        }
    }

    /// Bots that the fleet can run: room of those that take bots, and what already runs anywhere.
    pub(super) fn capacity(&self) -> u64 {
        u64::from(self.ready) * u64::from(self.slots) + self.draining_bots
    }

    /// All that are paid for.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// Those that stay, whether they take bots already or not.
    pub(super) fn staying(&self) -> u32 {
        u32::try_from(self.all.values().filter(|worker| !worker.draining).count()).unwrap_or(u32::MAX)
    }

    /// One that has room: whichever asks first, so any of them.
    pub(super) fn some_free(&self, random: &mut fastrand::Rng) -> Option<WorkerNumber> {
        let from = random.u32(0..self.started.max(1));
        self.free.range(from..).next().or_else(|| self.free.first()).copied()
    }

    /// Gives a worker a bot that uses so much of its cores. False if it has no room after all.
    pub(super) fn admit(&mut self, number: WorkerNumber, bot: BotNumber, cpu: u64, time: Timestamp) -> bool {
        let Some(worker) = self.all.get_mut(&number) else { return false };
        let cost = self.setup.cost;
        let is_admitted = worker.admission.reserve(bot, cost, time).is_ok();
        if is_admitted {
            worker.bots.insert(bot);
            worker.cpu_used += cpu;
        }
        debug_assert!(is_admitted && worker.bots.len() <= self.slots as usize, "it was said to have room");
        debug_assert!(worker.admission.used(time).memory_bytes <= self.setup.budget.memory_bytes);
        debug_assert!(worker.admission.used(time).cpu_millis <= self.setup.budget.cpu_millis);
        if !is_admitted || worker.admission.check(cost, time).is_err() {
            self.free.remove(&number);
        }
        is_admitted
    }

    /// A bot is in its call.
    pub(super) fn joined(&mut self, number: WorkerNumber, bot: BotNumber, time: Timestamp) {
        if let Some(worker) = self.all.get_mut(&number) {
            worker.admission.admitted(bot, time);
        }
    }

    /// A bot has left its worker, which goes if that was all it waited for.
    pub(super) fn release(&mut self, number: WorkerNumber, bot: BotNumber, cpu: u64, now: Duration) {
        let Some(worker) = self.all.get_mut(&number) else { return };
        worker.admission.release(bot);
        worker.bots.remove(&bot);
        worker.cpu_used -= cpu;
        match worker.draining {
            false => drop(self.free.insert(number)),
            true => {
                self.draining_bots -= 1;
                if worker.bots.is_empty() {
                    self.gone(number, now);
                }
            }
        }
    }

    /// Those that a scaler which knows of calls lets go. All are alike here: of those as busy, the youngest.
    pub(super) fn least_busy(&self, count: u32) -> Vec<WorkerNumber> {
        let staying = self.all.iter().filter(|(_, worker)| !worker.draining);
        let bots = |worker: &Worker| u32::try_from(worker.bots.len()).unwrap_or(u32::MAX);
        least_busy(staying.map(|(number, worker)| (*number, bots(worker), Reverse(*number))), count as usize)
    }

    /// The one that goes first by the rules of those who know nothing of calls.
    pub(super) fn oldest(&self) -> Option<WorkerNumber> {
        self.all.iter().find(|(_, worker)| !worker.draining).map(|(number, _)| *number)
    }

    /// It takes no more bots, and goes when it has none. Answers those that it has.
    pub(super) fn drain(&mut self, number: WorkerNumber, now: Duration) -> Vec<BotNumber> {
        let Some(worker) = self.all.get_mut(&number) else { return Vec::new() };
        worker.draining = true;
        self.ready -= u32::from(worker.ready);
        self.free.remove(&number);
        let bots: Vec<BotNumber> = worker.bots.iter().copied().collect();
        self.draining_bots += bots.len() as u64;
        if bots.is_empty() {
            self.gone(number, now);
        }
        bots
    }

    fn gone(&mut self, number: WorkerNumber, now: Duration) {
        if let Some(worker) = self.all.remove(&number) {
            self.host_time += now - worker.since;
        }
    }

    /// What those that take bots say of themselves, and those that drain.
    pub(super) fn signals(&self) -> Vec<WorkerSignal> {
        let percent = |part: u64, whole: u64| u8::try_from(part * 100 / whole.max(1)).unwrap_or(u8::MAX);
        let signal = |worker: &Worker| {
            let bots = worker.bots.len() as u64;
            WorkerSignal {
                slots: self.slots,
                running: u32::try_from(bots).unwrap_or(u32::MAX),
                cpu_percent: Some(percent(worker.cpu_used, self.setup.cpu_millis)),
                memory_percent: Some(percent(bots * self.setup.cost.memory_bytes, self.setup.budget.memory_bytes)),
                draining: worker.draining,
            }
        };
        self.all.values().filter(|worker| worker.ready).map(signal).collect()
    }

    /// How long all workers were there together, up to now.
    pub(super) fn host_time(&self, now: Duration) -> Duration {
        self.host_time + self.all.values().map(|worker| now - worker.since).sum::<Duration>()
    }
}
