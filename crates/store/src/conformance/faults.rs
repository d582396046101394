//! Which faults the suite's calls meet.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use muster_faults::{Fault, Plan, Rates, Seeded};

use super::Fixture;
use super::client::Insistent;
use crate::SessionStore;
use crate::faulty::FaultyStore;

/// Of a thousand calls, so many meet the fault, besides the first of each operation.
const RATE: u32 = 250;

/// What a sentence is held to where it cannot hold under a fault of any call: calls that the fault leaves alone.
fn leaves_alone(case: &str, fault: Fault, operation: &str) -> bool {
    match (fault, operation) {
        // An attempt has no identity, so one that is recorded again is in the ledger twice. The sentences look at every
        // attempt and count failures; what holds all the same is a case of its own.
        (Fault::LostAnswer | Fault::Duplicate, "record_attempt") => case != "an_attempt_is_recorded_at_least_once",
        // Nor has a notice, so one that is made again is there twice.
        (Fault::LostAnswer | Fault::Duplicate, "notify") => case != "a_notice_is_made_at_least_once",
        // It answers how many it changed, and what was changed unheard looks as if it had been pending all along. That it
        // was changed is a case of its own.
        (Fault::LostAnswer | Fault::Duplicate, "resend") => case != "a_resend_is_made_whoever_hears_of_it",
        // It removes the oldest, so another try removes the next ones: at most its limit, but more than that in all.
        (Fault::LostAnswer | Fault::Duplicate, "forget_received") => true,
        _ => false,
    }
}

/// A fixture whose stores have a fault before them, and before that a client that bears it.
pub struct Under<'a> {
    fixture: &'a dyn Fixture,
    fault: Option<Fault>,
    case: &'static str,
    seed: u64,
    /// How many calls met the fault.
    met: Arc<AtomicU64>,
}

impl std::fmt::Debug for Under<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Under").field("fault", &self.fault).field("case", &self.case).finish_non_exhaustive()
    }
}

impl<'a> Under<'a> {
    /// For the function of the suite called `case`. Without a fault it is as the fixture is.
    #[must_use]
    pub fn new(fixture: &'a dyn Fixture, fault: Option<Fault>, case: &'static str) -> Self {
        let seed = seed();
        if fault.is_some() {
            println!("to run this again: MUSTER_TEST_SEED={seed}");
        }
        Self { fixture, fault, case, seed, met: Arc::default() }
    }

    /// Panics if there was to be a fault and there was none: the case has shown nothing.
    pub fn check(&self) {
        let met = self.met.load(Ordering::SeqCst);
        assert_eq!(self.fault.is_some(), met > 0, "{met} calls met {:?}", self.fault);
    }
}

#[async_trait]
impl Fixture for Under<'_> {
    async fn open(&self) -> Arc<dyn SessionStore> {
        let store = self.fixture.open().await;
        let Some(fault) = self.fault else { return store };
        let (case, met, unheard) = (self.case, Arc::clone(&self.met), Arc::<AtomicU64>::default());
        let by_rate = Seeded::new(self.seed, rates(fault));
        let plan = Often { fault, case, by_rate, first: Mutex::default(), met, unheard: Arc::clone(&unheard) };
        Arc::new(Insistent::new(FaultyStore::new(store, Arc::new(plan)), unheard))
    }
}

fn rates(fault: Fault) -> Rates {
    match fault {
        Fault::Delay(longest_delay) => Rates { delay: RATE, longest_delay, ..Rates::default() },
        Fault::Duplicate => Rates { duplicate: RATE, ..Rates::default() },
        Fault::LostAnswer => Rates { lost_answer: RATE, ..Rates::default() },
        Fault::Throttle => Rates { throttle: RATE, ..Rates::default() },
        Fault::Refuse => Rates { refuse: RATE, ..Rates::default() },
        Fault::CrashBefore | Fault::CrashAfter => panic!("no client bears its own death"),
    }
}

/// Of an environment variable, or new every time.
fn seed() -> u64 {
    match std::env::var("MUSTER_TEST_SEED") {
        Ok(seed) => seed.parse().expect("MUSTER_TEST_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).subsec_nanos().into(),
    }
}

/// The first call of each operation meets the fault, so that no operation goes without, and later ones at a rate.
#[derive(Debug)]
struct Often {
    fault: Fault,
    case: &'static str,
    by_rate: Seeded,
    /// Operations that had their first.
    first: Mutex<BTreeSet<&'static str>>,
    met: Arc<AtomicU64>,
    /// Those of them that were carried out without the caller's knowledge.
    unheard: Arc<AtomicU64>,
}

impl Plan for Often {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        if leaves_alone(self.case, self.fault, operation) {
            return None;
        }
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).insert(operation);
        let fault = if first { Some(self.fault) } else { self.by_rate.next(operation) };
        self.met.fetch_add(fault.is_some().into(), Ordering::SeqCst);
        let unheard = matches!(fault, Some(Fault::LostAnswer | Fault::Duplicate));
        self.unheard.fetch_add(unheard.into(), Ordering::SeqCst);
        fault
    }
}
