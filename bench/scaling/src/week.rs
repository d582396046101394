//! A simulated week of 100,000 meetings, under each policy.

use std::time::Instant;

use muster_fleet::cost::Cost;
use muster_fleet::host::HostType;
use muster_fleet::simulate::{self, Outcome, Setup};
use muster_fleet::trace::Trace;

use crate::Figure;

const MEETINGS: usize = 100_000;
const SEED: u64 = 1;
/// In percent of a host's memory.
const HEADROOM: u8 = 15;

pub fn measure() -> Vec<Figure> {
    let host = HostType::known().find(|host| host.name == "c5.4xlarge").map(|host| host.host());
    let Some(host) = host else { return Vec::new() };
    let setup = Setup::new(host, Cost::PLANNED, HEADROOM);
    let begun = Instant::now();
    let trace = Trace::weekday(MEETINGS, SEED);
    let mut longest = 0.0_f64;
    let outcomes: Vec<Outcome> = simulate::contenders(setup.slots(), trace.peak())
        .iter()
        .map(|contender| {
            let begun = Instant::now();
            let outcome = simulate::run(&trace, &setup, contender, &mut |_| ());
            let seconds = begun.elapsed().as_secs_f64();
            longest = longest.max(seconds);
            eprintln!(
                "{:<11} in {seconds:.1} s: wait p50 {:.1} s, p99 {:.1} s, missed {}, killed {}, {:.0} host hours, at most {} hosts",
                outcome.policy, outcome.wait_p50_s, outcome.wait_p99_s, outcome.missed, outcome.killed, outcome.host_hours, outcome.peak_hosts
            );
            outcome
        })
        .collect();
    eprintln!("the week and {} policies in {:.1} s", outcomes.len(), begun.elapsed().as_secs_f64());
    let of = |name: &str| outcomes.iter().find(|outcome| outcome.policy == name);
    let ratio = |value: fn(&Outcome) -> f64| match (of("predictive"), of("guide")) {
        (Some(predictive), Some(guide)) => value(predictive) / value(guide),
        _ => f64::NAN,
    };
    vec![
        Figure { name: "simulate_100k_bots_week_s", value: longest },
        Figure { name: "predictive_p99_wait_vs_guide", value: ratio(|outcome| outcome.wait_p99_s) },
        Figure { name: "predictive_host_hours_vs_guide", value: ratio(|outcome| outcome.host_hours) },
    ]
}
