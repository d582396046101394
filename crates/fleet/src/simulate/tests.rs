use proptest::prelude::*;

use super::*;
use crate::trace::Meeting;

/// c5.4xlarge.
const HOST: Host = Host { memory_bytes: 32 << 30, cpu_millis: 16_000, descriptors: 1_000_000, shm_bytes: 16 << 30 };

fn setup() -> Setup {
    Setup::new(HOST, Cost::PLANNED, 10)
}

fn compare(trace: &Trace) -> Vec<Outcome> {
    let setup = setup();
    contenders(setup.slots(), trace.peak()).iter().map(|contender| run(trace, &setup, contender, &mut |_| ())).collect()
}

#[test]
fn a_week_under_each_policy() {
    let outcomes = compare(&Trace::weekday(5_000, 1));
    let [guide, idle, predictive, cpu_only] = &outcomes[..] else { panic!("four policies") };
    for outcome in &outcomes {
        println!("{}", serde_json::to_string(&Outcome { samples: Vec::new(), ..outcome.clone() }).unwrap());
    }
    assert!(predictive.wait_p99_s <= 0.5 * guide.wait_p99_s && predictive.host_hours <= 1.1 * guide.host_hours);
    assert!(idle.wait_p99_s <= guide.wait_p99_s);
    assert_eq!((guide.killed, idle.killed, predictive.killed), (0, 0, 0), "drained workers end no call");
    assert!(cpu_only.killed + cpu_only.missed > 0 && cpu_only.wait_p99_s > guide.wait_p99_s, "what the guide warns of");
    assert!(predictive.reversals < guide.changes, "it does not follow every call");
    assert_eq!(predictive.missed, 0);
}

#[test]
fn the_same_seed_is_the_same_week() {
    let trace = Trace::weekday(1_000, 3);
    assert_eq!(compare(&trace), compare(&trace));
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_bot_is_lost(trace in traces()) {
        // That admission is never exceeded is asserted at each claim.
        for outcome in compare(&trace) {
            let (joined, missed) = (outcome.waits.samples() as u64, outcome.missed);
            prop_assert!(joined + missed + outcome.killed >= trace.meetings.iter().filter(|m| m.duration.as_secs() > 15).count() as u64, "{outcome:?}");
            prop_assert!(outcome.wait_p50_s <= outcome.wait_p99_s && outcome.wait_p99_s <= outcome.wait_max_s);
            prop_assert!((0.0..=1.0).contains(&outcome.utilisation), "{outcome:?}");
        }
    }
}
