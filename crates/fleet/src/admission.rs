//! What fits on a machine.
//!
//! A cost is reserved before a bot is claimed, and held until what the bot was measured to use takes over. Of memory, only what
//! was declared is given back then: what bots of its kind are known to grow to stays held. The sum of what is held does not
//! exceed the budget when a bot is let in; it may later, by bots that use more than was held for them, and then none is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use muster_session::Timestamp;
use serde::Serialize;

use crate::cost::Cost;

/// What a machine has, as far as its limits let this process use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// Memory of the machine or, if less, of the control group.
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Most descriptors of this process.
    pub descriptors: u64,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
}

/// What bots may use of a machine together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// Most bots.
    pub slots: u32,
    /// Together.
    pub memory_bytes: u64,
    /// Together, in thousandths of a core.
    pub cpu_millis: u64,
    /// Together.
    pub descriptors: u64,
    /// Together.
    pub shm_bytes: u64,
}

/// Descriptors that are not for bots: store, queue, HTTP, files.
const OTHER_DESCRIPTORS: u64 = 512;

impl Budget {
    /// What is left for bots of a machine when a share of its memory, in percent, stays free, with `slots` bots at most.
    ///
    /// Cores are never less than one bot is declared to need: on less it is slow, and memory is what it dies of.
    #[must_use]
    pub fn of(host: Host, slots: u32, headroom_percent: u8, declared: Cost) -> Self {
        let usable = u64::from(100_u8.saturating_sub(headroom_percent));
        Self {
            slots,
            memory_bytes: host.memory_bytes / 100 * usable,
            cpu_millis: host.cpu_millis.max(declared.cpu_millis),
            descriptors: host.descriptors.saturating_sub(OTHER_DESCRIPTORS),
            shm_bytes: host.shm_bytes,
        }
    }

    /// Which limit is in the way of `cost` beside `used` for `bots` bots.
    fn check(&self, bots: usize, used: Cost, cost: Cost) -> Result<(), Limit> {
        let sum = used.plus(cost);
        let within = [
            (bots < self.slots as usize, Limit::Slots),
            (sum.memory_bytes <= self.memory_bytes, Limit::Memory),
            (sum.cpu_millis <= self.cpu_millis, Limit::Cpu),
            (sum.descriptors <= self.descriptors, Limit::Descriptors),
            (sum.shm_bytes <= self.shm_bytes, Limit::SharedMemory),
        ];
        within.iter().find(|(fits, _)| !fits).map_or(Ok(()), |(_, limit)| Err(*limit))
    }

    /// How many bots of this cost fit, and which limit binds.
    #[must_use]
    pub fn fits(&self, cost: Cost) -> (u32, Limit) {
        let each = [
            (u64::from(self.slots), 1, Limit::Slots),
            (self.memory_bytes, cost.memory_bytes, Limit::Memory),
            (self.cpu_millis, cost.cpu_millis, Limit::Cpu),
            (self.descriptors, cost.descriptors, Limit::Descriptors),
            (self.shm_bytes, cost.shm_bytes, Limit::SharedMemory),
        ];
        let bots = each.iter().map(|(all, one, limit)| (all.checked_div(*one).unwrap_or(u64::MAX), *limit));
        let (bots, limit) = bots.min_by_key(|(bots, _)| *bots).unwrap_or((0, Limit::Slots));
        (u32::try_from(bots).unwrap_or(u32::MAX), limit)
    }
}

/// What keeps another bot out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `worker.max_concurrent_bots`.
    Slots,
    /// Memory that bots hold.
    Memory,
    /// Cores.
    Cpu,
    /// Open files.
    Descriptors,
    /// `/dev/shm`.
    SharedMemory,
    /// Memory that the machine has left, whoever uses it.
    Available,
}

impl Limit {
    /// The name in answers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Descriptors => "descriptors",
            Self::SharedMemory => "shared_memory",
            Self::Available => "available_memory",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A bot's own use is believed after so long in its call: a waiting room is cheap, and browsers grow while they load.
const SETTLED: Duration = Duration::from_secs(30);
/// Measurements that a bot's peak is taken of.
const RECENT: usize = 8;
/// A settled bot of a kind that is not known may come to so many times the memory that it had.
const GROWTH: u64 = 2;

/// What is held for one bot.
#[derive(Clone, Debug)]
struct Held {
    reserved: Cost,
    /// Memory that a bot of its kind is known to cost, if it is.
    known_bytes: Option<u64>,
    /// When it was let into its call, and how often it had been measured by then.
    admitted: Option<(Timestamp, usize)>,
    recent: [Cost; RECENT],
    measured: usize,
    /// When it was measured last.
    last: Timestamp,
    /// The most memory it ever had.
    peak_bytes: u64,
    call: Call,
}

/// What a bot used in its call.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    /// The most memory.
    peak_bytes: u64,
    /// Since it settled: microseconds of cores, and milliseconds.
    busy_micros: u64,
    settled_millis: u64,
}

impl Held {
    fn new(reserved: Cost, now: Timestamp) -> Self {
        Self {
            reserved,
            known_bytes: None,
            admitted: None,
            recent: [Cost::default(); RECENT],
            measured: 0,
            last: now,
            peak_bytes: 0,
            call: Call::default(),
        }
    }

    fn measure(&mut self, cost: Cost, now: Timestamp) {
        self.recent[self.measured % RECENT] = cost;
        self.measured += 1;
        self.peak_bytes = self.peak_bytes.max(cost.memory_bytes);
        let passed = u64::try_from(now.since(self.last).as_millis()).unwrap_or(u64::MAX);
        self.last = now;
        if self.admitted.is_some() {
            self.call.peak_bytes = self.call.peak_bytes.max(cost.memory_bytes);
        }
        // One without memory has ended, whoever still waits for the last word about it.
        if cost.memory_bytes > 0 && self.is_settled(now) {
            self.call.busy_micros = self.call.busy_micros.saturating_add(cost.cpu_millis.saturating_mul(passed));
            self.call.settled_millis = self.call.settled_millis.saturating_add(passed);
        }
    }

    /// The last measurement.
    fn now(&self) -> Cost {
        self.measured.checked_sub(1).map_or_else(Cost::default, |last| self.recent[last % RECENT])
    }

    /// The most memory it had lately.
    fn lately(&self) -> u64 {
        self.recent.iter().map(|cost| cost.memory_bytes).fold(0, u64::max)
    }

    fn is_settled(&self, now: Timestamp) -> bool {
        self.admitted.is_some_and(|(at, before)| self.measured >= before + RECENT && now.since(at) >= SETTLED)
    }

    /// What is held. Memory is what a bot once had, as it will want it again, and what others of its kind came to have, as it
    /// may yet, or while that is not known, twice what it had; of cores, which are shared, it is what it had on average, and the
    /// rush of its launch counts for nothing.
    fn cost(&self, now: Timestamp) -> Cost {
        let reserved = self.reserved.memory_bytes;
        match self.is_settled(now) {
            true => Cost {
                memory_bytes: self.peak_bytes.max(self.expected_bytes().min(reserved)),
                cpu_millis: self.mean_cpu(),
                ..self.reserved
            },
            false => Cost { memory_bytes: self.peak_bytes.max(reserved), ..self.reserved },
        }
    }

    fn expected_bytes(&self) -> u64 {
        self.known_bytes.unwrap_or_else(|| self.peak_bytes.saturating_mul(GROWTH))
    }

    fn mean_cpu(&self) -> u64 {
        self.recent.iter().map(|cost| cost.cpu_millis).fold(0, u64::saturating_add) / RECENT as u64
    }

    /// What it cost in its call, if it was measured after it had settled.
    fn spent(&self) -> Option<Cost> {
        let Call { peak_bytes, busy_micros, settled_millis } = self.call;
        Some(Cost { memory_bytes: peak_bytes, cpu_millis: busy_micros.checked_div(settled_millis)?, ..self.reserved })
    }
}

/// Who has to go when the machine runs out of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relief<Key> {
    /// The bot.
    pub bot: Key,
    /// The most memory that it had lately.
    pub used_bytes: u64,
    /// Memory that was reserved for it.
    pub reserved_bytes: u64,
}

/// What is held of a machine's budget, for whom.
#[derive(Clone, Debug)]
pub struct Admission<Key> {
    budget: Budget,
    held: BTreeMap<Key, Held>,
    /// What the machine had left when it was last looked at, and how much of it has to stay.
    available: Option<(u64, u64)>,
}

impl<Key: Ord + Copy> Admission<Key> {
    /// Nothing is held.
    #[must_use]
    pub const fn new(budget: Budget) -> Self {
        Self { budget, held: BTreeMap::new(), available: None }
    }

    /// The budget.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How many bots something is held for.
    #[must_use]
    pub fn bots(&self) -> usize {
        self.held.len()
    }

    /// What is held for all of them.
    #[must_use]
    pub fn used(&self, now: Timestamp) -> Cost {
        self.held.values().map(|held| held.cost(now)).fold(Cost::default(), Cost::plus)
    }

    /// What is held for one.
    #[must_use]
    pub fn cost_of(&self, key: Key, now: Timestamp) -> Option<Cost> {
        self.held.get(&key).map(|held| held.cost(now))
    }

    /// Whether a bot of this cost fits; if not, what is in the way.
    pub fn check(&self, cost: Cost, now: Timestamp) -> Result<(), Limit> {
        self.budget.check(self.held.len(), self.used(now), cost)?;
        match self.available {
            // What others were promised and do not use yet is not available.
            Some((left, keep)) if left < keep.saturating_add(self.promised(now)).saturating_add(cost.memory_bytes) => {
                Err(Limit::Available)
            }
            _ => Ok(()),
        }
    }

    /// Holds the cost of a bot, if it fits. One that has something held already keeps that.
    pub fn reserve(&mut self, key: Key, cost: Cost, now: Timestamp) -> Result<(), Limit> {
        if self.held.contains_key(&key) {
            return Ok(());
        }
        self.check(cost, now)?;
        self.held.insert(key, Held::new(cost, now));
        Ok(())
    }

    /// What a bot uses now: memory, and cores on average since it was measured before.
    pub fn measure(&mut self, key: Key, cost: Cost, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&key) {
            held.measure(cost, now);
        }
    }

    /// How much memory a bot of its kind is known to cost, or that it is not known. Up to what was reserved for it, so much
    /// stays held once it has settled.
    pub fn known(&mut self, key: Key, memory_bytes: Option<u64>) {
        if let Some(held) = self.held.get_mut(&key) {
            held.known_bytes = memory_bytes;
        }
    }

    /// A bot was let into its call: what it uses from now on counts. Once is enough.
    pub fn admitted(&mut self, key: Key, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&key) {
            held.admitted.get_or_insert((now, held.measured));
        }
    }

    /// What the machine has left, whoever uses the rest, and how much of it has to stay.
    pub const fn look(&mut self, available_bytes: u64, keep_bytes: u64) {
        self.available = Some((available_bytes, keep_bytes));
    }

    /// Nothing more is held for a bot. Answers what it cost, if it had settled: the most memory that it had in its call, and
    /// its cores on average from when it had settled.
    pub fn release(&mut self, key: Key) -> Option<Cost> {
        self.held.remove(&key)?.spent()
    }

    /// How many more bots of this cost fit.
    #[must_use]
    pub fn room(&self, cost: Cost, now: Timestamp) -> u32 {
        self.binding(cost, now).0
    }

    /// How many more bots of this cost fit, and which limit binds.
    #[must_use]
    pub fn binding(&self, cost: Cost, now: Timestamp) -> (u32, Limit) {
        let used = self.used(now);
        let budget = Budget {
            slots: self.budget.slots.saturating_sub(u32::try_from(self.held.len()).unwrap_or(u32::MAX)),
            memory_bytes: self.budget.memory_bytes.saturating_sub(used.memory_bytes),
            cpu_millis: self.budget.cpu_millis.saturating_sub(used.cpu_millis),
            descriptors: self.budget.descriptors.saturating_sub(used.descriptors),
            shm_bytes: self.budget.shm_bytes.saturating_sub(used.shm_bytes),
        };
        let by_budget = budget.fits(cost);
        let by_machine = self.available.map_or(u64::MAX, |(left, keep)| {
            let free = left.saturating_sub(keep).saturating_sub(self.promised(now));
            free.checked_div(cost.memory_bytes).unwrap_or(u64::MAX)
        });
        let by_machine = u32::try_from(by_machine).unwrap_or(u32::MAX);
        if by_machine < by_budget.0 { (by_machine, Limit::Available) } else { by_budget }
    }

    /// The bots that use more than one may.
    #[must_use]
    pub fn over(&self, most_bytes: u64) -> Vec<Key> {
        self.held.iter().filter(|(_, held)| held.now().memory_bytes > most_bytes).map(|(key, _)| *key).collect()
    }

    /// The one that has to go when the machine has less left than must stay: whoever is furthest beyond what was reserved for
    /// it, or else the largest. None while there is enough, or where nothing was measured that could be had back.
    #[must_use]
    pub fn relief(&self) -> Option<Relief<Key>> {
        let (left, keep) = self.available?;
        if left >= keep {
            return None;
        }
        let reliefs = self.held.iter().map(|(key, held)| Relief {
            bot: *key,
            used_bytes: held.lately(),
            reserved_bytes: held.reserved.memory_bytes,
        });
        let measured = reliefs.filter(|relief| relief.used_bytes > 0);
        measured.max_by_key(|relief| (relief.used_bytes.saturating_sub(relief.reserved_bytes), relief.used_bytes))
    }

    /// Memory that is held and not used now.
    fn promised(&self, now: Timestamp) -> u64 {
        let unused = |held: &Held| held.cost(now).memory_bytes.saturating_sub(held.now().memory_bytes);
        self.held.values().map(unused).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests;
