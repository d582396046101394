//! How loud it is. Decibels are relative to a full-scale square wave: a full-scale sine has -3 dBFS.

/// What silence is said to have; also the lower end of every answer.
pub const SILENCE_DBFS: f32 = -120.0;

/// RMS level of the samples in dBFS, never below [`SILENCE_DBFS`].
#[must_use]
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    to_dbfs((energy(samples) as f64 / samples.len().max(1) as f64).sqrt())
}

/// Sum of squares. Exact: 2^34 samples fit.
pub(crate) fn energy(samples: &[i16]) -> u64 {
    samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum()
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
        self.energy = self.energy.saturating_add(energy(samples));
        self.samples += samples.len() as u64;
        self.peak = samples.iter().map(|s| s.unsigned_abs()).fold(self.peak, u16::max);
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
}
