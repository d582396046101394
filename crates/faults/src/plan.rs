//! Plans: one fault at a certain call, or any at a rate.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{Fault, Plan};

/// One fault, at call number `nth` of those made through it, and nothing else. Counts all the same, so that a first run
/// without a fault tells how many calls there are to try it at.
#[derive(Debug)]
pub struct Nth {
    nth: u64,
    fault: Fault,
    only: Option<&'static str>,
    made: AtomicU64,
    crash: Notify,
}

impl Nth {
    /// `fault` at call `nth`, counted from 1. None at 0.
    #[must_use]
    pub fn new(nth: u64, fault: Fault) -> Self {
        Self { nth, fault, only: None, made: AtomicU64::new(0), crash: Notify::new() }
    }

    /// Counts only calls of this operation.
    #[must_use]
    pub fn of(self, operation: &'static str) -> Self {
        Self { only: Some(operation), ..self }
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Done when the caller has come to its planned crash, once. Cancel safe.
    pub async fn crash(&self) {
        self.crash.notified().await;
    }
}

impl Plan for Nth {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        if self.only.is_some_and(|only| only != operation) {
            return None;
        }
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        (number == self.nth).then_some(self.fault)
    }

    fn crashed(&self) {
        self.crash.notify_one();
    }
}

/// How often each fault comes, in calls of a thousand. Together at most 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::Delay`], of up to [`longest_delay`](Self::longest_delay).
    pub delay: u32,
    /// [`Fault::Duplicate`].
    pub duplicate: u32,
    /// [`Fault::LostAnswer`].
    pub lost_answer: u32,
    /// [`Fault::Throttle`].
    pub throttle: u32,
    /// [`Fault::Refuse`].
    pub refuse: u32,
    /// Delays are at least a millisecond, and at most this.
    pub longest_delay: Duration,
}

/// Faults at a rate, by a seed: the same calls in the same order meet the same faults.
#[derive(Debug)]
pub struct Seeded {
    rates: Rates,
    state: Mutex<u64>,
}

impl Seeded {
    /// Faults at these rates.
    #[must_use]
    pub const fn new(seed: u64, rates: Rates) -> Self {
        Self { rates, state: Mutex::new(seed) }
    }

    /// SplitMix64, the generator that other generators are seeded with.
    fn random(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn delay(&self) -> Duration {
        let longest = u64::try_from(self.rates.longest_delay.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + self.random() % longest)
    }
}

impl Plan for Seeded {
    fn next(&self, _operation: &'static str) -> Option<Fault> {
        let Rates { delay, duplicate, lost_answer, throttle, refuse, .. } = self.rates;
        let mut drawn = u32::try_from(self.random() % 1_000).unwrap_or_default();
        if drawn < delay {
            return Some(Fault::Delay(self.delay()));
        }
        drawn -= delay;
        let rates = [
            (duplicate, Fault::Duplicate),
            (lost_answer, Fault::LostAnswer),
            (throttle, Fault::Throttle),
            (refuse, Fault::Refuse),
        ];
        for (rate, fault) in rates {
            if drawn < rate {
                return Some(fault);
            }
            drawn -= rate;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        delay: 100,
        duplicate: 100,
        lost_answer: 100,
        throttle: 100,
        refuse: 100,
        longest_delay: Duration::from_millis(50),
    };

    #[test]
    fn a_seed_makes_the_same_faults_again_at_the_rates_asked_for() {
        let faults = |seed| {
            let plan = Seeded::new(seed, RATES);
            (0..10_000).map(|_| plan.next("x")).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let kinds: [fn(&Fault) -> bool; 5] = [
            |f| matches!(f, Fault::Delay(time) if (1..=50).contains(&time.as_millis())),
            |f| *f == Fault::Duplicate,
            |f| *f == Fault::LostAnswer,
            |f| *f == Fault::Throttle,
            |f| *f == Fault::Refuse,
        ];
        for kind in kinds {
            let count = faults(7).iter().flatten().filter(|fault| kind(fault)).count();
            assert!((800..1_200).contains(&count), "{count} of 10,000, wanted 1,000");
        }
        assert_eq!(Seeded::new(7, Rates::default()).next("x"), None);
    }

    #[test]
    fn a_fault_comes_at_its_call_and_never_again() {
        let plan = Nth::new(2, Fault::Refuse).of("write");
        let seen: Vec<_> = ["write", "read", "write", "write"].map(|operation| plan.next(operation)).into();
        assert_eq!(seen, [None, None, Some(Fault::Refuse), None]);
        assert_eq!(plan.made(), 3);
    }
}
