//! How loud it is. Decibels are relative to a full-scale square wave: a full-scale sine has -3 dBFS.

/// What silence is said to have; also the lower end of every answer.
pub const SILENCE_DBFS: f32 = -120.0;

/// Samples that [`power`] takes in one step. Their count and order are what the compiler turns into vector code.
const STEP: usize = 64;

/// What one pass over samples finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Sum of squares. Exact: 2^34 samples fit.
    pub energy: u64,
    /// Largest magnitude.
    pub peak: u16,
}

/// Energy and peak of the samples, in one pass.
#[must_use]
pub fn power(samples: &[i16]) -> Power {
    // Two products of 16 bits and their sum are one instruction of every x86. Two of the largest squares are 2^31: they
    // need all 32 bits, unsigned.
    let square = |sample: i16| i32::from(sample) * i32::from(sample);
    let (mut energy, mut high, mut low) = (0_u64, 0_i16, 0_i16);
    for step in samples.chunks(STEP) {
        let (pairs, rest) = step.as_chunks::<2>();
        let mut sum = 0_u64;
        for [a, b] in pairs {
            sum += u64::from(square(*a).wrapping_add(square(*b)).cast_unsigned());
        }
        energy += sum + rest.iter().map(|sample| u64::from(square(*sample).cast_unsigned())).sum::<u64>();
        for sample in step {
            high = high.max(*sample);
            low = low.min(*sample);
        }
    }
    Power { energy, peak: high.unsigned_abs().max(low.unsigned_abs()) }
}

/// Nothing but digital silence.
pub(crate) fn is_silent(samples: &[i16]) -> bool {
    samples.chunks(STEP).all(|step| step.iter().fold(0, |bits, sample| bits | sample) == 0)
}

/// RMS level of the samples in dBFS, never below [`SILENCE_DBFS`].
#[must_use]
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    to_dbfs((power(samples).energy as f64 / samples.len().max(1) as f64).sqrt())
}

/// Level of an amplitude in sample units.
fn to_dbfs(amplitude: f64) -> f32 {
    let db = 20.0 * (amplitude / 32_768.0).log10();
    (db as f32).max(SILENCE_DBFS)
}

/// Level over a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    energy: u64,
    samples: u64,
    peak: u16,
}

/// What a [`Meter`] has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Root of the mean square, in dBFS.
    pub rms_dbfs: f32,
    /// Largest sample, in dBFS.
    pub peak_dbfs: f32,
    /// Over so many samples.
    pub samples: u64,
}

impl Meter {
    /// Takes samples in.
    pub fn push(&mut self, samples: &[i16]) {
        let power = power(samples);
        self.energy = self.energy.saturating_add(power.energy);
        self.samples += samples.len() as u64;
        self.peak = self.peak.max(power.peak);
    }

    /// The level since the start or the last [`take`](Self::take).
    #[must_use]
    pub fn level(&self) -> Level {
        Level {
            rms_dbfs: to_dbfs((self.energy as f64 / self.samples.max(1) as f64).sqrt()),
            peak_dbfs: to_dbfs(f64::from(self.peak)),
            samples: self.samples,
        }
    }

    /// The level so far; starts a new period.
    pub fn take(&mut self) -> Level {
        let level = self.level();
        *self = Self::default();
        level
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tone;

    #[test]
    fn a_sine_is_three_decibels_below_its_peak() {
        let mut meter = Meter::default();
        for block in tone::sine(1_000.0, 1_000, 0.1, 48_000).chunks(777) {
            meter.push(block);
        }
        let level = meter.take();
        assert!((level.rms_dbfs + 23.01).abs() < 0.05, "{level:?}");
        assert!((level.peak_dbfs + 20.0).abs() < 0.05, "{level:?}");
        assert_eq!(level.samples, 48_000);
    }

    #[test]
    fn silence_and_nothing_are_at_the_floor_and_full_scale_at_zero() {
        assert_eq!(Meter::default().level().rms_dbfs, SILENCE_DBFS);
        assert_eq!(rms_dbfs(&[0; 960]), SILENCE_DBFS);
        assert_eq!(rms_dbfs(&[i16::MIN; 960]), 0.0);
    }

    proptest! {
        /// Whatever the length, also around the steps, and whatever the samples, also the largest.
        #[test]
        fn one_pass_is_what_the_definition_says(
            samples in proptest::collection::vec(prop_oneof![any::<i16>(), Just(i16::MIN), Just(i16::MAX)], 0..200),
        ) {
            let energy: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum();
            let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
            prop_assert_eq!(power(&samples), Power { energy, peak });
        }
    }
}
