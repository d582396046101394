//! Bugs that are put in are found, each by the invariant that it breaks.

use muster_sim::{Plant, run};

/// Seeds that are tried.
const SEEDS: u64 = 300;

fn found(plant: Plant, wanted: &[&str]) {
    let found = (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(plant), false).violation?)));
    let Some((seed, violation)) = found else { panic!("{SEEDS} seeds hold with {plant:?}") };
    println!("{plant:?} is found by seed {seed}: {violation}");
    assert!(wanted.iter().any(|part| violation.contains(part)), "{violation}");
}

#[test]
fn a_job_acknowledged_before_its_session_is_acquired() {
    found(Plant::AckBeforeAcquire, &["nothing is on its way to a worker"]);
}

#[test]
fn a_worker_that_writes_for_bots_it_has_lost() {
    found(Plant::NoFencing, &["which Some(", "two live bots"]);
}

#[test]
fn an_outbox_entry_marked_before_it_is_published() {
    found(Plant::LostOutbox, &["nothing is on its way to a worker"]);
}

#[test]
fn a_record_written_although_it_changed() {
    found(Plant::DoubleTerminal, &["terminal told: true", "comes after event"]);
}

#[test]
fn a_place_that_is_kept_after_the_end() {
    found(Plant::KeptPlaces, &["and counted as"]);
}
