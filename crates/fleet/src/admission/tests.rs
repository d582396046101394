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

#[test]
fn what_was_reserved_is_held_until_what_is_measured_takes_over() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    for _ in 0..2 * RECENT {
        admission.measure(1, cost(GB / 10, 200));
    }
    assert_eq!(admission.used(at(600)).memory_bytes, Cost::PLANNED.memory_bytes, "it is in the waiting room");
    admission.admitted(1, at(600));
    assert!(!admission.is_settled(1, at(900)), "not measured in its call");
    (0..RECENT).for_each(|_| admission.measure(1, cost(GB / 10, 200)));
    assert_eq!(admission.used(at(629)).memory_bytes, Cost::PLANNED.memory_bytes, "it may grow yet");
    assert_eq!(admission.used(at(630)), cost(GB / 10, 200));
    // A peak of memory counts for a while, and one of cores on average.
    admission.measure(1, cost(GB, 1_000));
    admission.measure(1, cost(GB / 10, 200));
    assert_eq!(admission.used(at(660)), cost(GB, 300));
}

#[test]
fn more_than_was_reserved_counts_at_once() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    admission.measure(1, cost(3 * GB, 200));
    assert_eq!(admission.used(at(1)).memory_bytes, 3 * GB);
    assert_eq!(admission.over(2 * GB), [1]);
    admission.measure(1, cost(GB, 200));
    assert!(admission.over(2 * GB).is_empty(), "what it uses now");
}

#[test]
fn the_rush_of_a_launch_keeps_nobody_out() {
    let mut admission = Admission::new(Budget::of(GUIDE, 100, 10, Cost::PLANNED));
    admission.reserve(1, Cost::PLANNED, at(0)).unwrap();
    admission.measure(1, cost(GB, 4_000));
    assert_eq!(admission.used(at(5)).cpu_millis, Cost::PLANNED.cpu_millis, "cores are shared");
    assert!(!admission.is_settled(1, at(40)));
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
    admission.measure(1, Cost::PLANNED);
    admission.measure(2, Cost::PLANNED);
    admission.look(GB, GB);
    assert_eq!(admission.relief(), None);
    admission.measure(2, cost(2 * GB, 1));
    admission.look(GB / 2, GB);
    assert_eq!(admission.relief(), Some(2), "it is beyond what was reserved for it");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve(u8, u64, u64),
    Admitted(u8),
    Measure(u8, u64, u64),
    Release(u8),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || 0_u8..12;
    prop_oneof![
        2 => (key(), 1..4 * GB, 1_u64..3_000).prop_map(|(key, memory, cpu)| Step::Reserve(key, memory, cpu)),
        2 => key().prop_map(Step::Admitted),
        8 => (key(), 1..4 * GB, 1_u64..3_000).prop_map(|(key, memory, cpu)| Step::Measure(key, memory, cpu)),
        1 => key().prop_map(Step::Release),
        1 => (0_i64..60).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    // Invariant: admission never exceeds the host's budget.
    #[test]
    fn whatever_is_admitted_the_budget_is_not_exceeded(steps in prop::collection::vec(steps(), 0..400), slots in 1_u32..40) {
        let budget = Budget::of(GUIDE, slots, 10, Cost::PLANNED);
        let mut admission = Admission::new(budget);
        let mut now = 0;
        let mut any_settled = false;
        for step in steps {
            match step {
                Step::Reserve(key, memory, cpu) => {
                    let (room, fresh) = (admission.room(cost(memory, cpu), at(now)), !admission.held.contains_key(&key));
                    let took = admission.reserve(key, cost(memory, cpu), at(now));
                    prop_assert_eq!(took.is_ok(), room > 0 || !fresh, "room says what reserve does");
                    if took.is_ok() && fresh {
                        let used = admission.used(at(now));
                        prop_assert!(admission.bots() <= slots as usize);
                        prop_assert!(used.memory_bytes <= budget.memory_bytes && used.cpu_millis <= budget.cpu_millis);
                        prop_assert!(used.descriptors <= budget.descriptors && used.shm_bytes <= budget.shm_bytes);
                    }
                }
                Step::Admitted(key) => admission.admitted(key, at(now)),
                // What a bot takes beyond its reservation is not admission's doing.
                Step::Measure(key, memory, cpu) => {
                    let most = admission.held.get(&key).map(|held| held.reserved).unwrap_or_default();
                    admission.measure(key, cost(memory.min(most.memory_bytes), cpu.min(most.cpu_millis)));
                }
                Step::Release(key) => admission.release(key),
                Step::Pass(seconds) => now += seconds,
            }
            any_settled |= admission.held.keys().any(|key| admission.is_settled(*key, at(now)));
            // One that settled gave back what it does not use: when it grows again, nobody else is let in, but it stays.
            if !any_settled {
                let used = admission.used(at(now));
                prop_assert!(used.memory_bytes <= budget.memory_bytes && used.cpu_millis <= budget.cpu_millis);
            }
        }
    }
}
