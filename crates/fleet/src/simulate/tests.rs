use proptest::prelude::*;

use super::*;
use crate::scaling::Rule;
use crate::trace::Meeting;

/// c5.4xlarge.
const HOST: Host = Host { memory_bytes: 32 << 30, cpu_millis: 16_000, descriptors: 1_000_000, shm_bytes: 16 << 30 };

fn setup() -> Setup {
    Setup::new(HOST, Cost::PLANNED, 15)
}

fn compare(trace: &Trace) -> Vec<Outcome> {
    let setup = setup();
    contenders(setup.slots(), trace.peak()).iter().map(|contender| run(trace, &setup, contender, &mut |_| ())).collect()
}

fn under(preset: Preset, trace: &Trace) -> Outcome {
    let setup = setup();
    run(trace, &setup, &Contender::of(preset, setup.slots(), trace.peak()), &mut |_| ())
}

/// So many meetings of an hour at once, an hour after the beginning.
fn crowd(bots: usize, booked: u64) -> Trace {
    let hour = Duration::from_secs(3_600);
    let one = Meeting { start: hour, duration: hour, tenant: 0, booked: Duration::from_secs(booked) };
    Trace { meetings: vec![one; bots], tenants: vec!["a".to_owned()] }
}

#[test]
fn a_week_under_each_policy() {
    let outcomes = compare(&Trace::weekday(5_000, 1));
    let [guide, idle, predictive, cpu_only] = &outcomes[..] else { panic!("four policies") };
    assert!(predictive.wait_p99_s <= 0.5 * guide.wait_p99_s, "{} {}", predictive.wait_p99_s, guide.wait_p99_s);
    assert!(predictive.host_hours <= 1.1 * guide.host_hours, "{} {}", predictive.host_hours, guide.host_hours);
    assert!(idle.wait_p99_s <= guide.wait_p99_s && idle.host_hours >= guide.host_hours);
    assert_eq!((guide.killed, idle.killed, predictive.killed), (0, 0, 0), "workers that drain end no call");
    assert!(cpu_only.killed > 0 && cpu_only.missed > 0, "what the guide warns of");
    assert!(predictive.reversals <= guide.reversals, "it does not follow every call that ends");
    assert_eq!((guide.missed, predictive.missed), (0, 0));
    assert!(predictive.scheduled_p99_s == 0.0 && predictive.ad_hoc_p99_s <= 10.0, "{}", predictive.ad_hoc_p99_s);
}

#[test]
fn only_what_was_booked_is_foreseen() {
    let launch = setup().launch.as_secs_f64();
    let long_before = under(Preset::Predictive, &crowd(200, 3_600));
    assert_eq!(long_before.wait_max_s, 0.0, "workers are there before it begins");
    let never = under(Preset::Predictive, &crowd(200, 0));
    assert!(never.wait_max_s > launch, "{}", never.wait_max_s);
    let just_before = under(Preset::Predictive, &crowd(200, 30));
    assert!((launch - 35.0..never.wait_max_s).contains(&just_before.wait_max_s), "{}", just_before.wait_max_s);
    // Nobody looks at the schedule.
    let blind = under(Preset::Guide, &crowd(200, 3_600));
    assert!(blind.wait_max_s > launch - schedule_slack(), "{}", blind.wait_max_s);
}

/// A scheduled bot sets out by so much before its time.
fn schedule_slack() -> f64 {
    (setup().join.1 + crate::schedule::SPREAD).as_secs_f64()
}

#[test]
fn a_fleet_without_workers_comes_to_an_end_too() {
    let trace = crowd(3, 0);
    let none = Policy { rule: Rule::CpuOnly, min_workers: 0, ..Policy::default() };
    let stuck = run(&trace, &setup(), &Contender { name: "none", policy: none, drains: true }, &mut |_| ());
    assert_eq!((stuck.never_joined, stuck.missed, stuck.peak_hosts), (3, 3, 0));
    let large = Setup::new(HOST, Cost { memory_bytes: 64 << 30, ..Cost::PLANNED }, 15);
    let full = run(&trace, &large, &Contender::of(Preset::Guide, 1, 3), &mut |_| ());
    assert_eq!((large.slots(), full.never_joined), (0, 3));
    let empty = run(&Trace::default(), &setup(), &Contender::of(Preset::Guide, 1, 0), &mut |_| ());
    assert_eq!((empty.meetings, empty.host_hours), (0, 0.0));
}

#[test]
fn the_same_seed_is_the_same_week() {
    let trace = Trace::weekday(1_000, 3);
    let once = compare(&trace);
    assert_eq!(once, compare(&trace));
    let setup = Setup { seed: 2, ..setup() };
    let other = run(&trace, &setup, &Contender::of(Preset::Guide, setup.slots(), trace.peak()), &mut |_| ());
    assert_ne!(once[0].wait_by_percent_s, other.wait_by_percent_s);
}

fn traces() -> impl Strategy<Value = Trace> {
    let meeting = (0_u64..7_200, 1_u64..3_000, 0_u32..3, prop::option::of(60_u64..9_000));
    prop::collection::vec(meeting, 1..200).prop_map(|meetings| {
        let meetings = meetings.into_iter().map(|(start, duration, tenant, booked)| Meeting {
            start: Duration::from_secs(start),
            duration: Duration::from_secs(duration),
            tenant,
            booked: Duration::from_secs(booked.unwrap_or(0)),
        });
        Trace { meetings: meetings.collect(), tenants: vec!["a".into(), "b".into(), "c".into()] }
    })
}

fn setups() -> impl Strategy<Value = Setup> {
    (1_u64..40, 250_u64..4_000, 1_u32..20, 0_u64..400, any::<u64>()).prop_map(
        |(gigabytes, cpu, slots, launch, seed)| {
            let cost = Cost { memory_bytes: gigabytes * 500_000_000, cpu_millis: cpu, ..Cost::PLANNED };
            let mut setup = Setup { launch: Duration::from_secs(launch), seed, ..Setup::new(HOST, cost, 15) };
            setup.budget.slots = slots;
            setup
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// That each bot has exactly one end, and that no worker ever holds more than its budget, is asserted where it happens.
    #[test]
    fn no_bot_is_lost(trace in traces(), setup in setups()) {
        let longest = trace.meetings.iter().map(|meeting| meeting.duration).max().unwrap_or_default().as_secs_f64();
        for contender in contenders(setup.slots(), trace.peak()) {
            let outcome = run(&trace, &setup, &contender, &mut |_| ());
            let meetings = trace.meetings.len() as u64;
            prop_assert!(outcome.never_joined <= outcome.missed && outcome.missed <= meetings);
            prop_assert!(outcome.killed == 0 || !contender.drains);
            prop_assert!(outcome.wait_by_percent_s.is_sorted() && outcome.wait_by_percent_s[0] >= 0.0);
            prop_assert!(outcome.wait_max_s <= longest + 10.0, "nobody joins a meeting that is over: {}", outcome.wait_max_s);
            prop_assert!((0.0..=1.0).contains(&outcome.utilisation), "{}", outcome.utilisation);
            let hours: f64 = trace.meetings.iter().map(|meeting| (meeting.duration.as_secs_f64() + 30.0) / 3_600.0).sum();
            prop_assert!(outcome.bot_hours <= hours, "{} of {hours}", outcome.bot_hours);
            if contender.name == "predictive" {
                prop_assert_eq!(&outcome, &run(&trace, &setup, &contender, &mut |_| ()));
            }
        }
    }
}
