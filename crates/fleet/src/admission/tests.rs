use proptest::prelude::*;

use super::*;

const GB: u64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn cost(memory_bytes: u64, cpu_millis: u64) -> Cost {
    Cost { memory_bytes, cpu_millis, descriptors: 16, shm_bytes: 0 }
}

/// c5.4xlarge: 16 vCPU, 32 GiB.
const GUIDE: Host = Host { memory_bytes: 32 << 30, cpu_millis: 16_000, descriptors: 1_000_000, shm_bytes: 16 << 30 };

#[test]
fn a_c5_4xlarge_takes_15_to_20_bots_until_anything_was_measured() {
    let (bots, limit) = Budget::of(GUIDE, 1_000, 10, Cost::PLANNED).fits(Cost::PLANNED);
    assert!((15..=20).contains(&bots), "{bots}");
    assert_eq!(limit, Limit::Cpu);
}

#[test]
fn each_limit_binds_and_says_so() {
    let budget = Budget::of(GUIDE, 3, 0, Cost::PLANNED);
    let after = |bots: u32, cost: Cost, budget: Budget| {
        let mut admission = Admission::new(budget);
        let mut key = 0;
        loop {
            if let Err(limit) = admission.reserve(key, cost, at(0)) {
                assert_eq!(key, bots, "{limit}");
                assert_eq!(admission.room(cost, at(0)), 0);
                return limit;
            }
            key += 1;
        }
    };
    assert_eq!(after(3, cost(GB, 1), budget), Limit::Slots);
    let budget = Budget { slots: 1_000, ..budget };
    assert_eq!(after(3, cost(10 * GB, 1), budget), Limit::Memory);
    assert_eq!(after(4, cost(1, 4_000), budget), Limit::Cpu);
    assert_eq!(after(2, Cost { descriptors: 400_000, ..cost(1, 1) }, budget), Limit::Descriptors);
    assert_eq!(after(4, Cost { shm_bytes: 4 << 30, ..cost(1, 1) }, budget), Limit::SharedMemory);
}

/// Measures a bot every 5 s.
fn measure(admission: &mut Admission<u8>, key: u8, from: i64, each: &[Cost]) {
    for (cost, second) in each.iter().zip((from..).step_by(5)) {
        admission.measure(key, *cost, at(second));
    }
}

/// A bot that is let in at 600 s with what is declared, and was measured to use 100 MB and 0.2 cores since.
fn settled() -> Admission<u8> {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    measure(&mut admission, 1, 5, &[cost(GB / 10, 200); 2 * RECENT]);
    assert_eq!(admission.used(at(600)).memory_bytes, Cost::PLANNED.memory_bytes, "it is in the waiting room");
    admission.admitted(1, at(600));
    assert!(!admission.held[&1].is_settled(at(900)), "not measured in its call");
    measure(&mut admission, 1, 605, &[cost(GB / 10, 200); RECENT]);
    admission
}

#[test]
fn what_was_declared_is_held_until_what_is_measured_takes_over() {
    let mut admission = settled();
    assert_eq!(admission.used(at(629)).memory_bytes, Cost::PLANNED.memory_bytes, "it may grow yet");
    assert_eq!(admission.used(at(630)), cost(GB / 5, 200), "it may grow to twice what it had");
    // A peak of memory counts for ever, and one of cores on average.
    admission.measure(1, cost(GB / 2, 1_000), at(645));
    admission.measure(1, cost(GB / 10, 200), at(650));
    assert_eq!(admission.used(at(660)), cost(GB, 300));
    measure(&mut admission, 1, 655, &[cost(GB / 10, 200); 2 * RECENT]);
    assert_eq!(admission.used(at(730)), cost(GB, 200));
    admission.measure(1, cost(GB, 200), at(735));
    assert_eq!(admission.used(at(735)), cost(Cost::PLANNED.memory_bytes, 200), "no more than was declared for that");
}

#[test]
fn what_its_kind_is_known_to_cost_stays_held_however_little_a_bot_uses_yet() {
    let mut admission = settled();
    let held = |admission: &Admission<u8>| admission.cost_of(1, at(660)).unwrap();
    admission.known(1, Some(GB / 2));
    assert_eq!(held(&admission), cost(GB / 2, 200), "it became known while the bot runs");
    admission.known(1, Some(9 * GB));
    assert_eq!(held(&admission).memory_bytes, Cost::PLANNED.memory_bytes, "what was reserved for it, at the most");
    admission.known(1, Some(GB / 20));
    assert_eq!(held(&admission).memory_bytes, GB / 10, "its own");
    admission.known(1, None);
    assert_eq!(held(&admission).memory_bytes, GB / 5);
}

#[test]
fn a_bot_is_learned_from_once_at_its_end_by_its_peak_in_the_call_and_its_mean_since_it_settled() {
    let mut admission = settled();
    assert_eq!(admission.clone().release(1), Some(cost(GB / 10, 200)));
    // Half an hour of little, and a while of much.
    admission.measure(1, cost(GB / 2, 100), at(640 + 1_800));
    measure(&mut admission, 1, 2_445, &[cost(GB / 10, 1_000); RECENT]);
    // It is dead, and somebody still writes that down.
    measure(&mut admission, 1, 2_485, &[Cost::default(); 100]);
    let mean = (200 * 5 + 100 * 1_800 + 1_000 * 40) / (5 + 1_800 + 40);
    assert_eq!(admission.release(1), Some(cost(GB / 2, mean)));
    assert_eq!((admission.release(1), admission.bots()), (None, 0), "once");
}

#[test]
fn a_bot_that_never_settled_teaches_nothing() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    for key in 0..3 {
        admission.reserve(key, Cost::PLANNED, at(0)).unwrap();
    }
    // One in a waiting room for an hour, one that was hardly in its call, and one that was never measured.
    measure(&mut admission, 0, 5, &[cost(GB, 200); 720]);
    admission.admitted(1, at(5));
    measure(&mut admission, 1, 10, &[cost(GB, 200); 5]);
    admission.admitted(2, at(5));
    assert_eq!([0, 1, 2].map(|key| admission.release(key)), [None; 3]);
    // What it had in the waiting room, or at its launch, is not what a call costs.
    admission.reserve(0, Cost::PLANNED, at(0)).unwrap();
    measure(&mut admission, 0, 5, &[cost(2 * GB, 4_000); 10]);
    admission.admitted(0, at(60));
    measure(&mut admission, 0, 65, &[cost(GB, 200); RECENT]);
    assert_eq!(admission.used(at(100)).memory_bytes, 2 * GB, "it is held all the same");
    assert_eq!(admission.release(0), Some(cost(GB, 200)));
}

#[test]
fn more_than_was_reserved_counts_at_once() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    admission.measure(1, cost(3 * GB, 200), at(1));
    assert_eq!(admission.used(at(1)).memory_bytes, 3 * GB);
    assert_eq!(admission.over(2 * GB), [1]);
    admission.measure(1, cost(GB, 200), at(6));
    assert!(admission.over(2 * GB).is_empty(), "what it uses now");
}

#[test]
fn the_rush_of_a_launch_keeps_nobody_out() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    admission.measure(1, cost(GB, 4_000), at(5));
    assert_eq!(admission.used(at(5)).cpu_millis, Cost::PLANNED.cpu_millis, "cores are shared");
    assert_eq!(admission.binding(Cost::PLANNED, at(5)), (15, Limit::Cpu));
}

#[test]
fn memory_that_somebody_else_uses_is_not_there() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.look(4 * GB, GB);
    assert_eq!(admission.room(Cost::PLANNED, at(0)), 2);
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    admission.reserve(2, Cost::PLANNED, at(0)).unwrap();
    assert_eq!(admission.reserve(3, Cost::PLANNED, at(0)), Err(Limit::Available));
    // They use now what they were promised.
    admission.measure(1, Cost::PLANNED, at(5));
    admission.measure(2, Cost::PLANNED, at(5));
    admission.look(GB, GB);
    assert_eq!(admission.relief(), None);
    assert_eq!(admission.reserve(3, cost(1, 1), at(5)), Err(Limit::Available), "as much is left as has to be");
    // One that once had more than it has now will want it again: others are to leave it alone.
    admission.measure(1, cost(GB / 2, 1), at(10));
    admission.look(2 * GB, GB);
    assert_eq!(admission.reserve(3, cost(1, 1), at(10)), Err(Limit::Available));
    admission.measure(2, cost(2 * GB, 1), at(10));
    admission.look(GB / 2, GB);
    let relief = Relief { bot: 2, used_bytes: 2 * GB, reserved_bytes: Cost::PLANNED.memory_bytes };
    assert_eq!(admission.relief(), Some(relief), "it is beyond what was reserved for it");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve(u8, u64, u64),
    Known(u8, Option<u64>),
    Admitted(u8),
    Measure(u8, u64, u64),
    Release(u8),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0_u8..12;
    let step = prop_oneof![
        2 => (key(), 1..4 * GB, 1_u64..3_000).prop_map(|(key, memory, cpu)| Step::Reserve(key, memory, cpu)),
        1 => (key(), prop::option::of(1..6 * GB)).prop_map(|(key, memory)| Step::Known(key, memory)),
        2 => key().prop_map(Step::Admitted),
        8 => (key(), 1..4 * GB, 1_u64..3_000).prop_map(|(key, memory, cpu)| Step::Measure(key, memory, cpu)),
        1 => key().prop_map(Step::Release),
        1 => (0_i64..60).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..400)
}

/// What is true of a bot in a history of steps, told apart from how admission keeps it.
#[derive(Clone, Debug)]
struct Seen {
    reserved: Cost,
    known: Option<u64>,
    memory: Vec<u64>,
    /// The most that was held less for it than was reserved.
    returned: (u64, u64),
}

impl Seen {
    fn peak(&self) -> u64 {
        self.memory.iter().copied().fold(0, u64::max)
    }

    fn lately(&self) -> u64 {
        self.memory.iter().rev().take(RECENT).copied().fold(0, u64::max)
    }
}

/// Admission, what was seen of its bots, and the time.
struct History {
    admission: Admission<u8>,
    seen: BTreeMap<u8, Seen>,
    now: i64,
}

impl History {
    fn new(budget: Budget) -> Self {
        Self { admission: Admission::new(budget), seen: BTreeMap::new(), now: 0 }
    }

    /// Bots use no more than was reserved for them, or whatever they like.
    fn step(&mut self, step: Step, within: bool) {
        let now = at(self.now);
        match step {
            Step::Reserve(key, memory, cpu) => {
                let reserved = cost(memory, cpu);
                if self.admission.reserve(key, reserved, now).is_ok() {
                    let seen = Seen { reserved, known: None, memory: Vec::new(), returned: (0, 0) };
                    self.seen.entry(key).or_insert(seen);
                }
            }
            Step::Known(key, memory) => {
                self.admission.known(key, memory);
                if let Some(seen) = self.seen.get_mut(&key) {
                    seen.known = memory;
                }
            }
            Step::Admitted(key) => self.admission.admitted(key, now),
            Step::Measure(key, memory, cpu) => {
                let Some(seen) = self.seen.get_mut(&key) else { return };
                let used = if within { cost(memory, cpu).min(seen.reserved) } else { cost(memory, cpu) };
                seen.memory.push(used.memory_bytes);
                self.admission.measure(key, used, now);
            }
            Step::Release(key) => {
                self.admission.release(key);
                self.seen.remove(&key);
            }
            Step::Pass(seconds) => self.now += seconds,
        }
        for (key, seen) in &mut self.seen {
            let held = self.admission.cost_of(*key, at(self.now)).unwrap();
            let (memory, cpu) = &mut seen.returned;
            *memory = (*memory).max(seen.reserved.memory_bytes.saturating_sub(held.memory_bytes));
            *cpu = (*cpu).max(seen.reserved.cpu_millis.saturating_sub(held.cpu_millis));
        }
    }

    /// What was returned of those that are here.
    fn returned(&self) -> (u64, u64) {
        self.seen.values().fold((0, 0), |sum, seen| (sum.0 + seen.returned.0, sum.1 + seen.returned.1))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    // Invariant: admission never exceeds the host's budget.
    #[test]
    fn whatever_is_admitted_the_budget_is_not_exceeded(steps in steps(), slots in 1_u32..40) {
        let budget = Budget::of(GUIDE, slots, 10, Cost::PLANNED);
        let mut history = History::new(budget);
        for step in steps {
            let fresh = match step {
                Step::Reserve(key, memory, cpu) if !history.seen.contains_key(&key) => Some((key, cost(memory, cpu))),
                _ => None,
            };
            let room = fresh.map(|(_, cost)| history.admission.room(cost, at(history.now)));
            history.step(step, true);
            let used = history.admission.used(at(history.now));
            if let (Some((key, _)), Some(room)) = (fresh, room) {
                let took = history.seen.contains_key(&key);
                prop_assert_eq!(took, room > 0, "room says what reserve does");
                if took {
                    prop_assert!(used.memory_bytes <= budget.memory_bytes && used.cpu_millis <= budget.cpu_millis);
                }
            }
            prop_assert!(history.admission.bots() <= slots as usize);
            prop_assert!(used.descriptors <= budget.descriptors && used.shm_bytes <= budget.shm_bytes);
            // Bots within their reservations exceed the budget by what they gave back and want again, and by nothing else.
            let (memory, cpu) = history.returned();
            prop_assert!(used.memory_bytes <= budget.memory_bytes + memory, "{used:?}, {memory} returned");
            prop_assert!(used.cpu_millis <= budget.cpu_millis + cpu, "{used:?}, {cpu} returned");
        }
    }

    #[test]
    fn of_memory_that_a_kind_is_known_to_cost_nothing_is_given_back(steps in steps()) {
        let budget = Budget::of(GUIDE, 40, 10, Cost::PLANNED);
        let mut history = History::new(budget);
        for step in steps {
            // As a worker does: what is reserved is what is known.
            if let Step::Known(..) = step {
                continue;
            }
            history.step(step, true);
            if let Step::Reserve(key, ..) = step && let Some(seen) = history.seen.get(&key) {
                history.step(Step::Known(key, Some(seen.reserved.memory_bytes)), true);
            }
            let used = history.admission.used(at(history.now));
            prop_assert!(used.memory_bytes <= budget.memory_bytes, "{used:?}");
        }
    }

    #[test]
    fn where_bots_outgrow_the_budget_nobody_else_is_let_in_and_the_furthest_beyond_its_own_goes(steps in steps()) {
        let budget = Budget { memory_bytes: 8 * GB, ..Budget::of(GUIDE, 40, 10, Cost::PLANNED) };
        let mut history = History::new(budget);
        for step in steps {
            history.step(step, false);
            let now = at(history.now);
            let History { admission, seen, .. } = &mut history;
            let used = admission.used(now);
            for (key, one) in &*seen {
                let held = admission.cost_of(*key, now).unwrap().memory_bytes;
                let least = match admission.held[key].is_settled(now) {
                    true => one.known.unwrap_or(2 * one.peak()).min(one.reserved.memory_bytes),
                    false => one.reserved.memory_bytes,
                };
                prop_assert_eq!(held, one.peak().max(least));
            }
            if used.memory_bytes > budget.memory_bytes || used.cpu_millis > budget.cpu_millis {
                let mut asked = admission.clone();
                prop_assert!(asked.reserve(u8::MAX, cost(1, 1), now).is_err());
                prop_assert_eq!((asked.bots(), asked.room(cost(1, 1), now)), (admission.bots(), 0));
            }
            admission.look(GB, GB);
            prop_assert_eq!(admission.relief(), None, "as much is left as has to be");
            admission.look(GB - 1, GB);
            let beyond = |seen: &Seen| (seen.lately().saturating_sub(seen.reserved.memory_bytes), seen.lately());
            let furthest = seen.values().map(beyond).max().filter(|(_, used)| *used > 0);
            let goes = admission.relief();
            prop_assert_eq!(goes.map(|goes| beyond(&seen[&goes.bot])), furthest);
            if let Some(Relief { bot, used_bytes, reserved_bytes }) = goes {
                prop_assert_eq!((used_bytes, reserved_bytes), (seen[&bot].lately(), seen[&bot].reserved.memory_bytes));
            }
            admission.available = None;
        }
    }
}
