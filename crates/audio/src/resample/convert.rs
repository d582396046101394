use std::collections::HashMap;

use super::design::{kaiser, sinc};
use crate::RATE;

/// Zero crossings of the sinc on each side of its middle.
const CROSSINGS: f64 = 32.0;
/// Where the transition is centred, as a fraction of the lower Nyquist frequency; with 32 crossings it ends there.
const CUTOFF: f64 = 0.91;

/// Converts mono samples of any rate to 48 kHz. See [`convert()`].
#[must_use]
pub fn to_48k(pcm: &[i16], from_hz: u32) -> Vec<i16> {
    convert(pcm, from_hz, RATE)
}

/// Converts a whole mono recording between any two rates, without delay. Not for streams: both ends are taken to be
/// surrounded by silence. A rate of zero gives nothing.
#[must_use]
pub fn convert(pcm: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == 0 || to_hz == 0 {
        return Vec::new();
    }
    if from_hz == to_hz {
        return pcm.to_vec();
    }
    let divisor = gcd(from_hz, to_hz);
    let (step, phases) = ((from_hz / divisor) as usize, (to_hz / divisor) as usize);
    let cutoff = CUTOFF * (f64::from(to_hz) / f64::from(from_hz)).min(1.0);
    let half = (CROSSINGS / cutoff).ceil() as usize;
    // One filter per position between two input samples; there are at most as many as outputs.
    let mut filters: HashMap<usize, Vec<f32>> = HashMap::new();
    let count = (pcm.len() * phases).div_ceil(step);
    (0..count)
        .map(|n| {
            let (whole, phase) = (n * step / phases, n * step % phases);
            let filter = filters.entry(phase).or_insert_with(|| filter(half, cutoff, phase as f64 / phases as f64));
            apply(pcm, whole, half, filter)
        })
        .collect()
}

/// Weights of the `2 * half` input samples around a point that lies `offset` (0.0 to 1.0) after the sample before it.
fn filter(half: usize, cutoff: f64, offset: f64) -> Vec<f32> {
    let weights: Vec<f64> = (0..2 * half)
        .map(|i| {
            let x = i as f64 - (half - 1) as f64 - offset;
            sinc(cutoff * x) * kaiser(x / half as f64)
        })
        .collect();
    let gain: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / gain) as f32).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "casts from float saturate, which is what clipping is")]
fn apply(pcm: &[i16], whole: usize, half: usize, filter: &[f32]) -> i16 {
    let first = whole as isize - (half as isize - 1);
    let skip = first.min(0).unsigned_abs();
    let inputs = pcm.get(first.max(0).unsigned_abs()..).unwrap_or_default();
    let sum: f32 = filter.get(skip..).unwrap_or_default().iter().zip(inputs).map(|(w, s)| w * f32::from(*s)).sum();
    sum.round() as i16
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{probe, tone};

    #[test]
    fn tones_keep_frequency_level_and_length() {
        for from in [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000] {
            let out = to_48k(&tone::sine(1_000.0, 1_000, 0.5, from), from);
            assert_eq!(out.len(), 48_000, "from {from}");
            assert!((probe::dominant_frequency(&out, 48_000) - 1_000.0).abs() < 0.5, "from {from}");
            let middle = &out[10_000..38_000];
            let peak = middle.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!((16_370..=16_400).contains(&peak), "from {from}: {peak}");
        }
    }

    #[test]
    fn images_of_a_tone_are_80_decibels_down() {
        let out = to_48k(&tone::sine(5_000.0, 1_000, 0.9, 22_050), 22_050);
        let middle = &out[4_800..43_200];
        let wanted = probe::goertzel(middle, 48_000, 5_000.0);
        let image = probe::goertzel(middle, 48_000, 22_050.0 - 5_000.0);
        assert!(10.0 * (image / wanted).log10() < -80.0, "{image} of {wanted}");
    }

    #[test]
    fn time_is_kept_to_the_sample() {
        let mut pcm = vec![0; 22_050];
        pcm[11_025] = 20_000;
        let out = to_48k(&pcm, 22_050);
        let peak = (0..out.len()).max_by_key(|i| out[*i]).unwrap();
        assert_eq!(peak, 24_000);
    }

    #[test]
    fn nothing_and_nonsense_give_nothing() {
        assert!(to_48k(&[], 16_000).is_empty());
        assert!(to_48k(&[1, 2, 3], 0).is_empty());
    }
}
