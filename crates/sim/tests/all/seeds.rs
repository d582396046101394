//! Seeds hold, are the same again, and are about something.

use std::collections::BTreeMap;
use std::ops::Range;

use muster_sim::run;

/// Invariant: whatever goes wrong, no bot is lost or doubled, and everything is told exactly once.
fn hold(seeds: Range<u64>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let total = seeds.end - seeds.start;
    for seed in seeds {
        let ending = run(seed, None, false);
        if let Some(violation) = ending.violation {
            panic!("seed {seed}: {violation}\nagain: cargo run -p muster-sim -- --seed {seed}");
        }
        for (what, count) in ending.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{total} seeds hold: {counts:?}");
    // A simulation in which nothing goes wrong proves nothing.
    let every = [
        "bots",
        "in line",
        "retried",
        "rejoins",
        "kills",
        "crashes",
        "freezes",
        "cut-offs",
        "outages",
        "drains",
        "delays",
        "duplicates",
        "lost answers",
        "throttled",
        "refused",
    ];
    for what in every {
        assert!(counts.get(what).is_some_and(|count| *count >= total / 20), "{what}: {counts:?}");
    }
    // Only a bot on its way in is handed back, so that few drains find one.
    assert!(counts.contains_key("hand-backs"), "{counts:?}");
}

#[test]
fn seeds_0_to_499_hold() {
    hold(0..500);
}

#[test]
fn seeds_500_to_999_hold() {
    hold(500..1_000);
}

#[test]
fn seeds_1000_to_1499_hold() {
    hold(1_000..1_500);
}

#[test]
fn seeds_1500_to_1999_hold() {
    hold(1_500..2_000);
}

#[test]
fn seeds_2000_to_2499_hold() {
    hold(2_000..2_500);
}

#[test]
fn seeds_2500_to_2999_hold() {
    hold(2_500..3_000);
}

#[test]
fn a_seed_is_the_same_course_of_events_each_time() {
    for seed in 0..20 {
        let (first, again) = (run(seed, None, false), run(seed, None, false));
        assert_eq!((first.hash, first.lines, first.took), (again.hash, again.lines, again.took), "seed {seed}");
        assert!(first.lines > 200, "seed {seed}: {} lines", first.lines);
        assert_ne!(first.hash, run(seed + 1, None, false).hash);
    }
}
