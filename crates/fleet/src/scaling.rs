//! How many workers there should be.
//!
//! The policy sees signals and answers with a number and the reason for it; something else makes it so. What it remembers from
//! one time to the next is in [`Memory`], which its caller keeps.

mod needed;
mod preset;
mod reason;
mod signals;
mod spare;

use std::time::Duration;

use muster_session::Timestamp;
pub use needed::Needed;
pub use preset::Preset;
pub use reason::Reason;
use serde::{Deserialize, Serialize};
use signals::{Fleet, Use};
pub use signals::{Signals, Waiting, WorkerSignal};
pub use spare::least_busy;

/// By [need](Rule::Need), workers stay that were needed in so many cooldowns, or up to twice as many: half an hour by default, as
/// calls begin every half hour.
const SPAN: u32 = 10;
/// A worker that was asked for and has not come after so many launches does not come.
const LAUNCHES: u32 = 2;

/// When to have more workers, and when fewer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// More when more bots than this wait.
    pub queue_out: u64,
    /// Fewer only when fewer bots than this wait.
    pub queue_in: u64,
    /// More above this use of cores, in percent.
    pub cpu_out: u8,
    /// Fewer only below this.
    pub cpu_in: u8,
    /// More above this use of memory, in percent.
    pub memory_out: u8,
    /// Fewer only below this.
    pub memory_in: u8,
    /// More above this share of slots with a bot, in percent: 8 of 10.
    pub active_out: u8,
    /// Fewer only below this: 3 of 10.
    pub active_in: u8,
}

impl Default for Thresholds {
    /// The practical parameters of the scaling guide.
    fn default() -> Self {
        Self {
            queue_out: 10,
            queue_in: 2,
            cpu_out: 70,
            cpu_in: 30,
            memory_out: 75,
            memory_in: 40,
            active_out: 80,
            active_in: 30,
        }
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rule {
    /// Every threshold: one is enough for more, fewer takes all of them.
    #[default]
    Thresholds,
    /// As many as are needed for bots that run, wait or are due, so that they fill no more than `active_out` percent of the slots
    /// and the idle slots are free beside them; those that were needed lately stay for a while. The other thresholds for more
    /// count, too.
    Need,
    /// Cores alone. Known to be wrong: a bot in a silent call uses none. For comparison.
    CpuOnly,
}

/// A policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What is looked at.
    pub rule: Rule,
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// Fewer workers only so long after the last change.
    pub cooldown: Duration,
    /// Never fewer workers than this.
    pub min_workers: u32,
    /// Never more.
    pub max_workers: u32,
    /// Slots that are to be free beyond what is needed.
    pub idle_slots: u32,
    /// Workers are there when scheduled bots set out, and not after.
    pub prescale: bool,
    /// Bots that a worker takes, before any worker has said.
    pub slots: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rule: Rule::Thresholds,
            thresholds: Thresholds::default(),
            cooldown: Duration::from_secs(180),
            min_workers: 1,
            max_workers: 10,
            idle_slots: 0,
            prescale: true,
            slots: 8,
        }
    }
}

/// What the policy has to remember.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Workers that were asked for last; none before the first time.
    pub desired: Option<u32>,
    /// When more were asked for.
    pub out_at: Option<Timestamp>,
    /// When fewer were.
    pub in_at: Option<Timestamp>,
    /// Workers that were needed lately.
    #[serde(default)]
    pub needed: Needed,
}

/// What the policy wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Workers that there should be, without those that drain.
    pub desired: u32,
    /// Why.
    pub reason: Reason,
    /// What to remember.
    pub memory: Memory,
}

impl Policy {
    /// How many workers there should be.
    ///
    /// What cannot be read changes nothing: only an outage looks like an empty fleet. Cores alone never make the fleet smaller,
    /// and it is never smaller than what runs or is due needs.
    #[must_use]
    pub fn decide(&self, signals: &Signals, memory: Memory, now: Timestamp) -> Decision {
        let (Some(workers), Some(waiting), Some(due)) = (&signals.workers, signals.waiting, signals.due) else {
            let signal = match (&signals.workers, signals.waiting) {
                (None, _) => "the workers",
                (_, None) => "the queue",
                _ => "the schedule",
            };
            return self.hold(memory, Reason::Blind { signal }, signals);
        };
        let fleet = Fleet::of(workers, memory.desired, self);
        let due = if self.prescale { due } else { 0 };
        let base = memory.desired.unwrap_or(fleet.workers);
        let need = self.need(&fleet, waiting, due);
        let memory = Memory { needed: memory.needed.note(need, self.cooldown * SPAN, now), ..memory };
        if base < self.min_workers || base > self.max_workers {
            let desired = base.max(need).clamp(self.min_workers, self.max_workers);
            return changed(base, desired, Reason::Bounds, memory, now);
        }
        // Those that were asked for and are not there yet count as if they were: what they are for is not asked for twice. But
        // not for ever: one that was drained, or that nobody could start, is no reason to do without.
        let counted = match is_expected(memory, signals.launch, now) {
            true => base,
            false => base.min(fleet.workers),
        };
        let coming = u64::from(counted.saturating_sub(fleet.workers)) * fleet.each;
        let wants_more = self.wants_more(&fleet, waiting, due, coming, signals.launch);
        if let Some(reason) = wants_more.or_else(|| self.lacks_share(&fleet, waiting, due, counted, need)) {
            let step = if coming == 0 { base + 1 } else { base };
            let desired = need.max(step).clamp(base, self.max_workers);
            if desired > base {
                return changed(base, desired, reason, memory, now);
            }
            return Decision { desired: base, reason, memory: Memory { desired: Some(base), ..memory } };
        }
        self.maybe_fewer(&fleet, waiting, need, base, memory, now)
    }

    /// Workers for the bots that run, wait and are due, with the slots that are to be free beside them.
    fn need(&self, fleet: &Fleet, waiting: Waiting, due: u64) -> u32 {
        let bots = fleet.running + waiting.bots + due;
        let with_idle = bots + u64::from(self.idle_slots);
        match self.rule {
            Rule::Need => {
                fleet.workers_for(with_idle.max((bots * 100).div_ceil(u64::from(self.thresholds.active_out.max(1)))))
            }
            _ => fleet.workers_for(with_idle),
        }
    }

    /// By need, bots that wait and are due fill no more of the slots than those that run may. `counted` workers are there or coming.
    fn lacks_share(&self, fleet: &Fleet, waiting: Waiting, due: u64, counted: u32, need: u32) -> Option<Reason> {
        let slots = u64::from(counted) * fleet.each;
        let percent = ((fleet.running + waiting.bots + due) * 100).checked_div(slots).unwrap_or(0);
        let percent = u8::try_from(percent).unwrap_or(u8::MAX);
        (self.rule == Rule::Need && need > counted).then_some(Reason::Active { percent })
    }

    fn hold(&self, memory: Memory, reason: Reason, signals: &Signals) -> Decision {
        let there = signals.workers.as_ref().map(|workers| Fleet::of(workers, None, self).workers);
        let desired = memory.desired.or(there).unwrap_or(self.min_workers);
        Decision { desired, reason, memory }
    }

    fn wants_more(&self, fleet: &Fleet, waiting: Waiting, due: u64, coming: u64, launch: Duration) -> Option<Reason> {
        let limits = &self.thresholds;
        if self.rule == Rule::CpuOnly {
            return fleet.cpu.above(limits.cpu_out).map(|percent| Reason::Cpu { percent });
        }
        let free = fleet.free() + coming;
        if waiting.bots > 0 && fleet.slots + coming == 0 {
            Some(Reason::NoWorker)
        } else if waiting.bots > limits.queue_out && waiting.bots > coming {
            Some(Reason::Queue { waiting: waiting.bots })
        } else if let Some(oldest) = waiting.oldest.filter(|oldest| waiting.bots > free && *oldest > launch) {
            Some(Reason::Oldest { seconds: oldest.as_secs() })
        } else if waiting.bots + due > free && due > 0 {
            Some(Reason::Due { bots: due })
        } else if self.idle_slots > 0 && free < u64::from(self.idle_slots) + waiting.bots {
            Some(Reason::IdleSlots { free })
        } else if free < waiting.bots && waiting.oldest.is_some() {
            // They get a worker when they have waited for long enough.
            None
        } else if coming > 0 {
            // What follows is about workers that are at their limit: those that come have yet to take their part.
            None
        } else if let Some(percent) = fleet.memory.above(limits.memory_out) {
            Some(Reason::Memory { percent })
        } else if let Some(percent) = fleet.cpu.above(limits.cpu_out) {
            Some(Reason::Cpu { percent })
        } else {
            fleet.active().above(limits.active_out).map(|percent| Reason::Active { percent })
        }
    }

    fn maybe_fewer(
        &self,
        fleet: &Fleet,
        waiting: Waiting,
        need: u32,
        base: u32,
        memory: Memory,
        now: Timestamp,
    ) -> Decision {
        let stay = |reason| Decision { desired: base, reason, memory: Memory { desired: Some(base), ..memory } };
        let floor = need.max(self.min_workers);
        // By need alone a fleet would follow every call that ends, and ask again at once for what it has just let go.
        let floor = match self.rule {
            Rule::Need => floor.max(memory.needed.most()).max(self.strained(fleet)),
            _ => floor,
        };
        if !self.is_quiet(fleet, waiting, floor, base) {
            return stay(Reason::Steady);
        }
        let changed_at = memory.out_at.max(memory.in_at);
        let waited = changed_at.map_or(self.cooldown, |at| now.since(at));
        if base > self.min_workers && waited < self.cooldown {
            return stay(Reason::Cooldown { seconds: (self.cooldown - waited).as_secs() });
        }
        // A known step, and by no more than a quarter at a time: what was read may be wrong.
        let desired = floor.max(base.saturating_sub((base / 4).max(1)));
        match desired < base {
            true => changed(base, desired, Reason::Quiet, memory, now),
            false if base > self.min_workers => stay(Reason::Needed),
            false => stay(Reason::Steady),
        }
    }

    /// Workers that the use of memory and cores keeps below what asks for more.
    fn strained(&self, fleet: &Fleet) -> u32 {
        let keeps = |used: Use, limit: u8| {
            used.percent().map_or(0, |percent| (fleet.workers * u32::from(percent)).div_ceil(u32::from(limit.max(1))))
        };
        keeps(fleet.memory, self.thresholds.memory_out).max(keeps(fleet.cpu, self.thresholds.cpu_out))
    }

    fn is_quiet(&self, fleet: &Fleet, waiting: Waiting, floor: u32, base: u32) -> bool {
        let limits = &self.thresholds;
        match self.rule {
            Rule::CpuOnly => fleet.cpu.is_below(limits.cpu_in),
            Rule::Need => waiting.bots < limits.queue_in && floor < base,
            Rule::Thresholds => {
                // A fleet whose workers are all on their way has nothing to measure yet.
                fleet.workers > 0
                    && waiting.bots < limits.queue_in
                    && fleet.cpu.is_below(limits.cpu_in)
                    && fleet.memory.is_below(limits.memory_in)
                    && fleet.active().is_below(limits.active_in)
            }
        }
    }
}

/// Workers that were asked for last may still come.
fn is_expected(memory: Memory, launch: Duration, now: Timestamp) -> bool {
    memory.out_at.is_some_and(|at| now.since(at) < launch * LAUNCHES)
}

fn changed(base: u32, desired: u32, reason: Reason, memory: Memory, now: Timestamp) -> Decision {
    let memory = match desired > base {
        true => Memory { desired: Some(desired), out_at: Some(now), ..memory },
        false => Memory { desired: Some(desired), in_at: Some(now), ..memory },
    };
    Decision { desired, reason, memory }
}

#[cfg(test)]
mod tests;
