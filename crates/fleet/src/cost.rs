//! What a bot costs: declared at first, then learned from what was measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a browser may take of `/dev/shm`, where it is let.
pub const BROWSER_SHM_BYTES: u64 = 64_000_000;

/// What one bot takes of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Proportional set size of its process group.
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Descriptors that its supervisor holds for it.
    #[serde(default)]
    pub descriptors: u64,
    /// Of `/dev/shm`.
    #[serde(default)]
    pub shm_bytes: u64,
}

impl Cost {
    /// What to plan with before anything was measured: 1.5 GB and one core.
    pub const PLANNED: Self = Self { memory_bytes: 1_500_000_000, cpu_millis: 1_000, descriptors: 16, shm_bytes: 0 };

    /// The smaller one of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            cpu_millis: self.cpu_millis.min(other.cpu_millis),
            descriptors: self.descriptors.min(other.descriptors),
            shm_bytes: self.shm_bytes.min(other.shm_bytes),
        }
    }

    /// What a bot that captures sound was measured to use in Chromium's headless shell, with some to spare; docs/capacity.md
    /// says how.
    pub const MEASURED: Self = Self { memory_bytes: 250_000_000, cpu_millis: 250, descriptors: 16, shm_bytes: 0 };

    /// The larger one of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            descriptors: self.descriptors.max(other.descriptors),
            shm_bytes: self.shm_bytes.max(other.shm_bytes),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            descriptors: self.descriptors.saturating_add(other.descriptors),
            shm_bytes: self.shm_bytes.saturating_add(other.shm_bytes),
        }
    }
}

/// Samples after which the older half of what is known counts half.
const WINDOW: u32 = 2_000;
/// Each bucket is by so much wider than the one before: the error of a quantile.
const GROWTH: f64 = 1.05;

/// A rolling quantile: old samples fade. Small, and the same whatever the order of the samples was between two fades.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Quantile {
    /// Samples by the logarithm of their value.
    counts: BTreeMap<u16, u32>,
}

impl Quantile {
    /// Adds a sample.
    pub fn record(&mut self, value: u64) {
        let count = self.counts.entry(bucket(value)).or_default();
        *count = count.saturating_add(1);
        self.fade();
    }

    /// Adds all samples of another one.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            let own = self.counts.entry(*bucket).or_default();
            *own = own.saturating_add(*count);
        }
        self.fade();
    }

    fn fade(&mut self) {
        while self.samples() > WINDOW {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    /// How many samples count.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The value that a share of the samples, 0.0 to 1.0, does not exceed; at most 5 % above it. None without samples.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small count")]
    pub fn at(&self, share: f64) -> Option<u64> {
        let wanted = (f64::from(self.samples()) * share.clamp(0.0, 1.0)).ceil().max(1.0) as u32;
        let mut seen = 0_u32;
        self.counts.iter().find_map(|(bucket, count)| {
            seen = seen.saturating_add(*count);
            (seen >= wanted).then(|| upper(*bucket))
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "logarithms")]
fn bucket(value: u64) -> u16 {
    match value {
        0 => 0,
        value => ((value as f64).ln() / GROWTH.ln()).ceil() as u16 + 1,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a power of the growth, saturating")]
fn upper(bucket: u16) -> u64 {
    match bucket {
        0 => 0,
        bucket => GROWTH.powi(i32::from(bucket) - 1).floor() as u64,
    }
}

/// Which bots cost alike: those of one platform and mode, such as `zoom/live`.
pub type Kind = String;

/// Bots of a kind before what was learned is believed.
const ENOUGH: u32 = 10;
/// So many of them cost no more than what is reserved: of ten, all.
const COVERED: f64 = 0.95;

/// What was learned about the cost of bots, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CostBook {
    kinds: BTreeMap<Kind, Measured>,
}

/// Bots of one kind, each counted once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Measured {
    memory_bytes: Quantile,
    cpu_millis: Quantile,
}

impl CostBook {
    /// Adds a bot that has left its call, with the most memory that it had there, and its cores on average.
    pub fn record(&mut self, kind: &str, cost: Cost) {
        let measured = self.kinds.entry(kind.to_owned()).or_default();
        measured.memory_bytes.record(cost.memory_bytes);
        measured.cpu_millis.record(cost.cpu_millis);
    }

    /// What a bot of this kind costs: the 95th percentile of those that were measured; before enough were, what is declared.
    #[must_use]
    pub fn cost(&self, kind: &str, declared: Cost) -> Cost {
        self.learned(kind, declared).unwrap_or(declared)
    }

    /// The same, but none before enough bots were measured.
    #[must_use]
    pub fn learned(&self, kind: &str, declared: Cost) -> Option<Cost> {
        let measured = self.kinds.get(kind).filter(|measured| measured.memory_bytes.samples() >= ENOUGH)?;
        Some(Cost {
            memory_bytes: measured.memory_bytes.at(COVERED)?,
            cpu_millis: measured.cpu_millis.at(COVERED)?,
            ..declared
        })
    }

    /// The most that a bot costs whose kind is not known yet, of the kinds that are; without any, what is declared.
    #[must_use]
    pub fn highest(&self, declared: Cost) -> Cost {
        let learned = self.kinds.keys().filter_map(|kind| self.learned(kind, declared));
        learned.reduce(Cost::max).unwrap_or(declared)
    }

    /// The least that a bot costs of any known kind, each of its parts for itself; without any, what is declared.
    #[must_use]
    pub fn lowest(&self, declared: Cost) -> Cost {
        let learned = self.kinds.keys().filter_map(|kind| self.learned(kind, declared));
        learned.reduce(Cost::min).unwrap_or(declared)
    }

    /// Every kind that enough is known of, with its cost and how many bots it was learned from, the earlier ones counting less.
    pub fn known(&self, declared: Cost) -> impl Iterator<Item = (&str, Cost, u32)> {
        self.kinds.iter().filter_map(move |(kind, measured)| {
            Some((kind.as_str(), self.learned(kind, declared)?, measured.memory_bytes.samples()))
        })
    }

    /// Adds every bot of another book.
    pub fn add(&mut self, other: &Self) {
        for (kind, theirs) in &other.kinds {
            let ours = self.kinds.entry(kind.clone()).or_default();
            ours.memory_bytes.add(&theirs.memory_bytes);
            ours.cpu_millis.add(&theirs.cpu_millis);
        }
    }

    /// True if nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_declared_counts_until_ten_bots_were_measured_of_which_the_dearest_counts_then() {
        let mut book = CostBook::default();
        let measured = |memory_bytes| Cost { memory_bytes, cpu_millis: 120, ..Cost::default() };
        book.record("zoom/audio", measured(90_000_000));
        for _ in 0..8 {
            book.record("zoom/audio", measured(50_000_000));
        }
        assert_eq!(book.learned("zoom/audio", Cost::PLANNED), None);
        assert_eq!(book.cost("zoom/audio", Cost::PLANNED), Cost::PLANNED);
        book.record("zoom/audio", measured(50_000_000));
        let learned = book.cost("zoom/audio", Cost::PLANNED);
        assert!((90_000_000..=94_500_000).contains(&learned.memory_bytes), "{learned:?}");
        assert!((120..=126).contains(&learned.cpu_millis), "{learned:?}");
        assert_eq!(learned.descriptors, Cost::PLANNED.descriptors, "not measured");
        assert_eq!(book.cost("teams/audio", Cost::PLANNED), Cost::PLANNED);
        assert_eq!((book.highest(Cost::PLANNED), book.lowest(Cost::PLANNED)), (learned, learned));
    }

    #[test]
    fn what_others_measured_is_added_and_fades_all_the_same() {
        let mut book = CostBook::default();
        let cost = |memory_bytes| Cost { memory_bytes, cpu_millis: 10, ..Cost::default() };
        for _ in 0..WINDOW {
            book.record("zoom/audio", cost(900_000_000));
        }
        for _ in 0..8 {
            let mut fresh = CostBook::default();
            (0..WINDOW / 2).for_each(|_| fresh.record("zoom/audio", cost(100_000_000)));
            book.add(&fresh);
        }
        let learned = book.cost("zoom/audio", Cost::PLANNED);
        assert!(learned.memory_bytes < 106_000_000, "what was once much is forgotten: {learned:?}");
        let samples = book.known(Cost::PLANNED).map(|(_, _, samples)| samples).max();
        assert!(samples <= Some(WINDOW), "{samples:?}");
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut quantile = Quantile::default();
        for _ in 0..WINDOW {
            quantile.record(1_000_000);
        }
        for _ in 0..3 * WINDOW {
            quantile.record(1_000);
        }
        assert!(quantile.at(0.95).unwrap() <= 1_050, "{:?}", quantile.at(0.95));
        assert!(quantile.samples() <= WINDOW);
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_one_bucket_off(mut values in prop::collection::vec(0_u64..200_000_000_000, 1..300), share in 0.0_f64..=1.0) {
            let mut quantile = Quantile::default();
            for value in &values {
                quantile.record(*value);
            }
            values.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a small count")]
            let exact = values[((values.len() as f64 * share).ceil().max(1.0) as usize) - 1];
            let got = quantile.at(share).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "five percent")]
            let allowed = exact as f64 * 1.051 + 1.0;
            #[expect(clippy::cast_precision_loss, reason = "five percent")]
            let got_f = got as f64;
            prop_assert!(got_f <= allowed && got + 1 >= exact, "{got} for {exact}");
        }
    }
}
