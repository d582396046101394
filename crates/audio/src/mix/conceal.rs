//! Continues a sound that broke off: its last pitch period again and again, for as long as nobody hears that it is made
//! up, then down to silence. What comes next is faded in over it.

use crate::level::is_silent;

/// What must be known of the past: two of the longest periods (40 ms).
pub(super) const HISTORY: usize = 2 * LONGEST;
/// A continuation is silent after so many samples (60 ms).
const LENGTH: usize = 2_880;
/// Up to here (10 ms) it is as loud as what it continues.
const HOLD: usize = 480;
/// Periods of voices: 5 ms to 20 ms, 200 Hz to 50 Hz. A higher voice repeats within each of them.
const SHORTEST: usize = 240;
const LONGEST: usize = 960;
/// What is compared with what was a period earlier: 20 ms.
const WINDOW: usize = HISTORY - LONGEST;
/// Periods are looked for in steps of so many samples, and then around the best.
const COARSE: usize = 4;
/// Who was silent for so long (5 ms) had stopped.
const SOUNDING: usize = 240;
/// Length of the fade from the continuation to what comes next (5 ms) ...
const MERGE: usize = 240;
/// ... and of the fade from silence (2 ms).
const FADE: usize = 96;

/// The continuation of one track.
#[derive(Debug)]
pub(super) struct Concealer {
    /// The period that repeats. Its end leads to its beginning.
    period: Box<[i16; LONGEST]>,
    length: usize,
    /// Samples since the sound broke off; [`LENGTH`] when nothing is continued.
    at: usize,
    /// Samples continued since the sound broke off, at most [`LENGTH`].
    made: usize,
    /// By how much the period's beginning misses the last sample.
    step: f32,
    peak: f32,
    /// Samples of what came next, while it is faded in.
    merged: Option<usize>,
    merge: usize,
}

impl Concealer {
    pub(super) fn new() -> Self {
        Self {
            period: Box::new([0; LONGEST]),
            length: LONGEST,
            at: LENGTH,
            made: 0,
            step: 0.0,
            peak: 0.0,
            merged: None,
            merge: FADE,
        }
    }

    /// The sound breaks off after `past`.
    pub(super) fn start(&mut self, past: &[i16; HISTORY]) {
        (self.merged, self.made) = (None, 0);
        if is_silent(&past[HISTORY - SOUNDING..]) {
            self.at = LENGTH;
            return;
        }
        let length = pitch(past);
        self.length = length;
        let last = &past[HISTORY - length..];
        self.period[..length].copy_from_slice(last);
        // The end of the period becomes, bit by bit, what led to its beginning.
        let overlap = length / 4;
        let lead = &past[HISTORY - length - overlap..HISTORY - length];
        for (i, (slot, lead)) in self.period[length - overlap..length].iter_mut().zip(lead).enumerate() {
            *slot = between(f32::from(*slot), f32::from(*lead), i, overlap);
        }
        self.step = f32::from(past[HISTORY - 1]) - f32::from(past[HISTORY - length - 1]);
        self.peak = f32::from(last.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0));
        self.at = 0;
    }

    /// Something is being continued.
    pub(super) fn is_sounding(&self) -> bool {
        self.at < LENGTH
    }

    /// Continues into the hole, which holds silence.
    pub(super) fn fill(&mut self, hole: &mut [i16]) {
        let count = hole.len().min(LENGTH - self.at);
        hole[..count].iter_mut().for_each(|slot| *slot = self.next().round() as i16);
        self.made += count;
    }

    /// How many samples of the last hole were filled.
    pub(super) fn made(&self) -> usize {
        self.made
    }

    /// The hole ends: what [`blend`](Self::blend) is given from now on follows it.
    pub(super) fn end(&mut self) {
        self.merge = if self.is_sounding() { MERGE } else { FADE };
        self.merged = Some(0);
    }

    /// Fades the continuation, or silence, into the next samples after the hole, until that is done.
    pub(super) fn blend(&mut self, samples: &mut [i16]) {
        let Some(merged) = self.merged else { return };
        let count = samples.len().min(self.merge - merged);
        for (i, sample) in (merged..).zip(&mut samples[..count]) {
            *sample = between(self.next(), f32::from(*sample), i, self.merge);
        }
        self.merged = Some(merged + count).filter(|merged| *merged < self.merge);
        if self.merged.is_none() {
            self.at = LENGTH;
        }
    }

    fn next(&mut self) -> f32 {
        if self.at >= LENGTH {
            return 0.0;
        }
        let missed = self.step * (1.0 - (self.at as f32 + 1.0) / FADE as f32).max(0.0);
        let sample = f32::from(self.period[self.at % self.length]) + missed;
        let left = (LENGTH - self.at) as f32 / (LENGTH - HOLD) as f32;
        self.at += 1;
        sample.clamp(-self.peak, self.peak) * left.min(1.0).powi(2)
    }
}

/// From `a` to `b` in `count` steps, of which this is step `i`.
#[expect(clippy::cast_possible_truncation, reason = "between two samples is a sample")]
fn between(a: f32, b: f32, i: usize, count: usize) -> i16 {
    let weight = (i + 1) as f32 / (count + 1) as f32;
    (a + (b - a) * weight).round() as i16
}

/// The distance at which the past repeats itself best.
fn pitch(past: &[i16; HISTORY]) -> usize {
    let mut coarse = [0_i16; HISTORY / COARSE];
    for (slot, samples) in coarse.iter_mut().zip(past.as_chunks::<COARSE>().0) {
        let sum: i32 = samples.iter().map(|s| i32::from(*s)).sum();
        *slot = i16::try_from(sum / COARSE as i32).unwrap_or(0);
    }
    let near = best(&coarse, WINDOW / COARSE, SHORTEST / COARSE..=LONGEST / COARSE) * COARSE;
    let from = (near + 1).saturating_sub(COARSE).max(SHORTEST);
    best(past, WINDOW, from..=(near + COARSE - 1).min(LONGEST))
}

/// The lag at which the last `window` samples are most like what was before; the longest if none is like it.
fn best(samples: &[i16], window: usize, lags: std::ops::RangeInclusive<usize>) -> usize {
    let mut best = (0.0, *lags.end());
    let start = samples.len() - window;
    for lag in lags {
        let (mut alike, mut energy) = (0_i64, 0_i64);
        for (now, before) in samples[start..].iter().zip(&samples[start - lag..]) {
            alike += i64::from(i32::from(*now) * i32::from(*before));
            energy += i64::from(i32::from(*before) * i32::from(*before));
        }
        let score = (alike.max(0) as f64).powi(2) / (energy.max(1) as f64);
        if score > best.0 {
            best = (score, lag);
        }
    }
    best.1
}

#[cfg(test)]
mod tests;
