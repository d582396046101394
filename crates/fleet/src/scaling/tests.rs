use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn policy() -> Policy {
    Policy { slots: 10, max_workers: 100, ..Policy::default() }
}

/// A worker of ten slots in the middle of every threshold.
const MIDDLE: WorkerSignal =
    WorkerSignal { slots: 10, running: 5, cpu_percent: Some(50), memory_percent: Some(60), draining: false };
/// And one below each of them.
const QUIET: WorkerSignal =
    WorkerSignal { slots: 10, running: 2, cpu_percent: Some(29), memory_percent: Some(39), draining: false };

fn signals(workers: &[WorkerSignal], waiting: u64) -> Signals {
    Signals {
        waiting: Some(Waiting { bots: waiting, oldest: Some(Duration::ZERO) }),
        workers: Some(workers.to_vec()),
        due: Some(0),
        launch: Duration::from_secs(60),
    }
}

fn had(desired: usize) -> Memory {
    Memory { desired: Some(u32::try_from(desired).unwrap()), out_at: Some(at(0)), ..Memory::default() }
}

fn decide(workers: &[WorkerSignal], waiting: u64, now: i64) -> Decision {
    policy().decide(&signals(workers, waiting), had(workers.len()), at(now))
}

#[test]
fn workers_that_drain_are_none_of_those_that_are_wanted() {
    let leaving = WorkerSignal { draining: true, running: 1, ..MIDDLE };
    let workers = [[MIDDLE; 15].as_slice(), &[leaving; 5]].concat();
    let at_600 = |waiting| policy().decide(&signals(&workers, waiting), had(15), at(600));
    assert_eq!(at_600(0).desired, 15);
    assert_eq!(at_600(11).desired, 16);
    assert_eq!(at_600(95).desired, 17, "for 170 bots");
}

#[test]
fn row_1_out_when_more_than_10_wait() {
    assert_eq!(decide(&[MIDDLE; 4], 10, 600).desired, 4);
    let more = decide(&[MIDDLE; 4], 11, 600);
    assert_eq!((more.desired, more.reason), (5, Reason::Queue { waiting: 11 }));
}

#[test]
fn row_1_in_only_when_fewer_than_2_wait() {
    assert_eq!(decide(&[QUIET; 4], 2, 600).desired, 4);
    assert_eq!(decide(&[QUIET; 4], 1, 600).desired, 3);
}

#[test]
fn row_2_out_above_70_percent_of_the_cores() {
    assert_eq!(decide(&[WorkerSignal { cpu_percent: Some(70), ..MIDDLE }; 4], 0, 600).desired, 4);
    let more = decide(&[WorkerSignal { cpu_percent: Some(71), ..MIDDLE }; 4], 0, 600);
    assert_eq!((more.desired, more.reason), (5, Reason::Cpu { percent: 71 }));
}

#[test]
fn row_2_in_only_below_30_percent_of_the_cores() {
    assert_eq!(decide(&[WorkerSignal { cpu_percent: Some(30), ..QUIET }; 4], 0, 600).desired, 4);
    assert_eq!(decide(&[QUIET; 4], 0, 600).desired, 3);
}

#[test]
fn row_3_out_above_75_percent_of_the_memory() {
    assert_eq!(decide(&[WorkerSignal { memory_percent: Some(75), ..MIDDLE }; 4], 0, 600).desired, 4);
    let more = decide(&[WorkerSignal { memory_percent: Some(76), ..MIDDLE }; 4], 0, 600);
    assert_eq!((more.desired, more.reason), (5, Reason::Memory { percent: 76 }));
}

#[test]
fn row_3_in_only_below_40_percent_of_the_memory() {
    assert_eq!(decide(&[WorkerSignal { memory_percent: Some(40), ..QUIET }; 4], 0, 600).desired, 4);
    assert_eq!(decide(&[QUIET; 4], 0, 600).desired, 3);
}

#[test]
fn row_4_out_above_8_of_10_slots() {
    assert_eq!(decide(&[WorkerSignal { running: 8, ..MIDDLE }; 4], 0, 600).desired, 4);
    let more = decide(&[WorkerSignal { running: 9, ..MIDDLE }; 4], 0, 600);
    assert_eq!((more.desired, more.reason), (5, Reason::Active { percent: 90 }));
}

#[test]
fn row_4_in_only_below_3_of_10_slots() {
    assert_eq!(decide(&[WorkerSignal { running: 3, ..QUIET }; 4], 0, 600).desired, 4);
    assert_eq!(decide(&[QUIET; 4], 0, 600).desired, 3);
}

#[test]
fn in_only_3_minutes_after_the_last_change() {
    let early = decide(&[QUIET; 4], 0, 179);
    assert_eq!((early.desired, early.reason), (4, Reason::Cooldown { seconds: 1 }));
    let first = decide(&[QUIET; 4], 0, 180);
    assert_eq!((first.desired, first.reason), (3, Reason::Quiet));
    let again = policy().decide(&signals(&[QUIET; 3], 0), first.memory, at(180 + 179));
    assert_eq!(again.desired, 3, "each step has its own cooldown");
}

#[test]
fn silent_bots_keep_their_workers() {
    // Cores are idle; memory and slots are not.
    let silent =
        WorkerSignal { slots: 10, running: 8, cpu_percent: Some(1), memory_percent: Some(60), draining: false };
    assert_eq!(decide(&[silent; 4], 0, 600).desired, 4);
    // What the policy that is known to be wrong does about it.
    let wrong = Policy { rule: Rule::CpuOnly, ..policy() };
    assert_eq!(wrong.decide(&signals(&[silent; 5], 0), had(5), at(600)).reason, Reason::Quiet);
}

#[test]
fn an_outage_holds_what_there_is() {
    let whole = signals(&[QUIET; 4], 50);
    for (blind, what) in [
        (Signals { workers: None, ..whole.clone() }, "the workers"),
        (Signals { waiting: None, ..whole.clone() }, "the queue"),
        (Signals { due: None, ..whole.clone() }, "the schedule"),
    ] {
        let held = policy().decide(&blind, had(4), at(600));
        assert_eq!((held.desired, held.reason), (4, Reason::Blind { signal: what }));
        assert_eq!(held.memory, had(4), "as if nothing had been asked");
    }
    // A worker that does not say how it is: it may be full.
    let silent = WorkerSignal { memory_percent: None, ..QUIET };
    assert_eq!(decide(&[QUIET, silent], 0, 600).desired, 2);
}

#[test]
fn from_nothing_as_many_come_as_are_needed() {
    let none = Policy { min_workers: 0, ..policy() };
    let first = none.decide(&signals(&[], 1), Memory::default(), at(0));
    assert_eq!((first.desired, first.reason), (1, Reason::NoWorker));
    let many = none.decide(&signals(&[], 95), Memory::default(), at(0));
    assert_eq!(many.desired, 10);
}

#[test]
fn what_is_coming_is_not_asked_for_twice() {
    let first = decide(&[MIDDLE], 31, 600);
    assert_eq!(first.desired, 4);
    for now in 601..700 {
        let next = policy().decide(&signals(&[MIDDLE], 31), first.memory, at(now));
        assert_eq!(next.desired, 4, "{now}: {}", next.reason);
    }
    // More came meanwhile.
    let more = policy().decide(&signals(&[MIDDLE], 45), first.memory, at(700));
    assert_eq!(more.desired, 5);
}

#[test]
fn workers_that_never_come_do_not_mute_the_policy() {
    let few = Policy { max_workers: 7, ..policy() };
    for rule in [Rule::Thresholds, Rule::Need] {
        let policy = Policy { rule, ..few };
        // Five were asked for; one is there, as an operator drained the others or nobody could start them.
        let waiting = Some(Waiting { bots: 3, oldest: Some(Duration::from_secs(61)) });
        let full = Signals { waiting, ..signals(&[WorkerSignal { running: 10, ..MIDDLE }], 3) };
        let mut memory = Memory { out_at: Some(at(600)), ..had(5) };
        assert_eq!(policy.decide(&full, memory, at(719)).desired, 5, "they may be on their way");
        for (now, desired) in [(720, 6), (839, 6), (840, 7), (960, 7), (1_200, 7)] {
            let decision = policy.decide(&full, memory, at(now));
            assert_eq!(decision.desired, desired, "{rule:?}, {now}: {}", decision.reason);
            memory = decision.memory;
        }
    }
}

#[test]
fn workers_are_there_when_scheduled_bots_set_out() {
    let before = Signals { due: Some(40), ..signals(&[MIDDLE; 2], 0) };
    let more = policy().decide(&before, had(2), at(600));
    assert_eq!((more.desired, more.reason), (5, Reason::Due { bots: 40 }));
    let without = Policy { prescale: false, ..policy() };
    assert_eq!(without.decide(&before, had(2), at(600)).desired, 2);
    // Nor do they go just before.
    let quiet = Signals { due: Some(20), ..signals(&[QUIET; 4], 0) };
    let kept = policy().decide(&quiet, had(4), at(600));
    assert_eq!(kept.desired, 3, "{}", kept.reason);
    let quiet = Signals { due: Some(30), ..quiet };
    assert_eq!(policy().decide(&quiet, had(4), at(600)).reason, Reason::Needed);
}

#[test]
fn idle_slots_are_kept() {
    let idle = Policy { idle_slots: 12, ..policy() };
    let more = idle.decide(&signals(&[MIDDLE; 2], 0), had(2), at(600));
    assert_eq!((more.desired, more.reason), (3, Reason::IdleSlots { free: 10 }));
    assert_eq!(idle.decide(&signals(&[MIDDLE; 3], 0), had(3), at(600)).reason, Reason::Steady);
}

#[test]
fn one_that_waits_longer_than_a_worker_takes_gets_one() {
    let mut waiting = signals(&[WorkerSignal { running: 10, ..MIDDLE }], 1);
    waiting.waiting = Some(Waiting { bots: 1, oldest: Some(Duration::from_secs(61)) });
    let policy = Policy { thresholds: Thresholds { active_out: 100, ..Thresholds::default() }, ..policy() };
    let more = policy.decide(&waiting, had(1), at(600));
    assert_eq!((more.desired, more.reason), (2, Reason::Oldest { seconds: 61 }));
}

#[test]
fn full_workers_and_a_few_that_wait_for_nobody_knows_how_long() {
    let mut waiting = signals(&[WorkerSignal { running: 10, ..MIDDLE }], 3);
    assert_eq!(policy().decide(&waiting, had(1), at(600)).desired, 1, "they have not waited for long");
    waiting.waiting = Some(Waiting { bots: 3, oldest: None });
    let more = policy().decide(&waiting, had(1), at(600));
    assert_eq!((more.desired, more.reason), (2, Reason::Active { percent: 100 }));
}

#[test]
fn by_need_a_fleet_that_is_larger_than_it_has_to_be_gets_smaller() {
    let by_need = Policy { rule: Rule::Need, idle_slots: 5, ..policy() };
    // Half full: no threshold is passed, and a worker too many is there.
    assert_eq!(by_need.decide(&signals(&[MIDDLE; 6], 0), had(6), at(600)).desired, 5);
    assert_eq!(by_need.decide(&signals(&[MIDDLE; 2], 0), had(2), at(600)).desired, 2);
    // What was needed a little while ago may be needed again: for ten cooldowns, and at most twice that.
    let busy = by_need.decide(&signals(&[WorkerSignal { running: 8, ..MIDDLE }; 6], 0), had(6), at(600));
    let mut later = busy;
    for now in [1_200, 2_399, 2_400, 4_199] {
        later = by_need.decide(&signals(&[MIDDLE; 6], 0), later.memory, at(now));
        assert_eq!((later.desired, later.reason), (6, Reason::Steady), "{now}");
    }
    assert_eq!(by_need.decide(&signals(&[MIDDLE; 6], 0), later.memory, at(4_200)).desired, 5);
}

#[test]
fn by_need_bots_that_are_due_leave_room_for_those_that_nobody_knows_of() {
    let by_need = Policy { rule: Rule::Need, prescale: true, ..policy() };
    let due = |bots| Signals { due: Some(bots), ..signals(&[MIDDLE; 4], 0) };
    // 20 run in 40 slots; 12 more fill 80 percent of them.
    assert_eq!(by_need.decide(&due(12), had(4), at(600)).desired, 4);
    let more = by_need.decide(&due(13), had(4), at(600));
    assert_eq!((more.desired, more.reason), (5, Reason::Active { percent: 82 }));
    // Those that come are not asked for again.
    assert_eq!(by_need.decide(&due(13), more.memory, at(610)).desired, 5);
}

#[test]
fn by_need_no_worker_goes_that_would_be_asked_for_again_at_once() {
    let by_need = Policy { rule: Rule::Need, ..policy() };
    let few = WorkerSignal { slots: 10, running: 2, memory_percent: Some(70), cpu_percent: Some(10), draining: false };
    // On three of four workers it would be 93 percent of the memory.
    assert_eq!(by_need.decide(&signals(&[few; 4], 0), had(4), at(600)).desired, 4);
    let light = WorkerSignal { memory_percent: Some(50), ..few };
    assert_eq!(by_need.decide(&signals(&[light; 4], 0), had(4), at(600)).desired, 3);
}

#[test]
fn workers_that_drain_are_not_there() {
    let leaving = WorkerSignal { draining: true, running: 9, ..MIDDLE };
    let fleet = Fleet::of(&[MIDDLE, leaving], None, &policy());
    assert_eq!((fleet.workers, fleet.running, fleet.slots), (1, 5, 10));
}

#[test]
fn a_percentage_is_not_rounded_down_to_its_threshold() {
    let workers = |running| [[WorkerSignal { slots: 100, running: 80, ..MIDDLE }; 9].as_slice(), &[running]].concat();
    let all_80 = WorkerSignal { slots: 100, running: 80, ..MIDDLE };
    assert_eq!(decide(&workers(all_80), 0, 600).desired, 10);
    let more = decide(&workers(WorkerSignal { running: 81, ..all_80 }), 0, 600);
    assert_eq!((more.desired, more.reason), (11, Reason::Active { percent: 81 }), "801 of 1,000");
    let hot = WorkerSignal { cpu_percent: Some(71), ..MIDDLE };
    let more = decide(&[WorkerSignal { cpu_percent: Some(70), ..MIDDLE }, hot], 0, 600);
    assert_eq!((more.desired, more.reason), (3, Reason::Cpu { percent: 71 }), "70.5 in the mean");
}

#[test]
fn one_that_does_not_say_what_it_uses_mutes_nobody_and_lets_nobody_go() {
    let silent = |of| WorkerSignal { cpu_percent: None, memory_percent: None, ..of };
    let hot = WorkerSignal { cpu_percent: Some(90), ..MIDDLE };
    assert_eq!(decide(&[hot, hot, silent(MIDDLE)], 0, 600).reason, Reason::Cpu { percent: 90 });
    assert_eq!(decide(&[QUIET, QUIET, silent(QUIET)], 0, 600).desired, 3);
    assert_eq!(decide(&[QUIET; 3], 0, 600).desired, 2);
}

#[test]
fn workers_that_are_to_go_and_still_have_calls_do_not_make_the_fleet_look_empty() {
    // A hundred, each with a call or a few: none of them goes for a while, whatever is asked for.
    let workers = [WorkerSignal { running: 2, cpu_percent: Some(12), memory_percent: Some(15), ..MIDDLE }; 100];
    let (mut memory, mut asked) = (had(100), vec![100]);
    for round in 1..20 {
        let decision = policy().decide(&signals(&workers, 0), memory, at(600 * round));
        (memory, asked) = (decision.memory, [asked, vec![decision.desired]].concat());
    }
    // 200 bots are 27 percent of the slots of 75 workers, and 35 of those of 57.
    assert_eq!(asked[..4], [100, 75, 57, 57], "{asked:?}");
    assert_eq!(asked.last(), Some(&57));
    let full = [WorkerSignal { running: 9, ..MIDDLE }; 10];
    let decision = policy().decide(&signals(&full, 0), had(5), at(600));
    assert_eq!(decision.desired, 9, "{}", decision.reason);
}

fn any_worker() -> impl Strategy<Value = WorkerSignal> {
    let percent = || prop::option::weighted(0.9, 0_u8..=100);
    (1_u32..20, 0_u32..20, percent(), percent(), any::<bool>()).prop_map(|(slots, running, cpu, memory, draining)| {
        WorkerSignal { slots, running: running.min(slots), cpu_percent: cpu, memory_percent: memory, draining }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_seen_the_fleet_keeps_what_it_needs(
        workers in prop::collection::vec(any_worker(), 0..8),
        waiting in prop::option::weighted(0.9, 0_u64..100), oldest in 0_u64..600, due in prop::option::weighted(0.9, 0_u64..50),
        desired in prop::option::of(0_u32..20), last in 0_i64..400, min in 0_u32..3, idle in 0_u32..10, by_need: bool,
    ) {
        let rule = if by_need { Rule::Need } else { Rule::Thresholds };
        let policy = Policy { rule, min_workers: min, max_workers: 15, idle_slots: idle, slots: 10, ..Policy::default() };
        let signals = Signals {
            waiting: waiting.map(|bots| Waiting { bots, oldest: Some(Duration::from_secs(oldest)) }),
            workers: Some(workers.clone()), due, launch: Duration::from_secs(60),
        };
        let memory = Memory { desired, out_at: Some(at(0)), ..Memory::default() };
        let decision = policy.decide(&signals, memory, at(last));
        let fleet = Fleet::of(&workers, None, &policy);
        let base = desired.unwrap_or(fleet.workers);
        let (Some(waiting), Some(due)) = (waiting, due) else {
            prop_assert_eq!(decision.desired, base, "an outage holds");
            return Ok(());
        };
        prop_assert!((min..=15).contains(&decision.desired));
        let need = fleet.workers_for(fleet.running + waiting + due).clamp(min, 15);
        prop_assert!(decision.desired >= need.min(base.clamp(min, 15)), "fewer than what runs or is due needs: {:?}", decision);
        if decision.desired < base && base <= 15 {
            prop_assert!(last >= 180, "before the cooldown was over: {:?}", decision);
            prop_assert!(waiting < policy.thresholds.queue_in);
        }
    }
}
