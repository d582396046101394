//! Measuring recordings of known tones, for tests that listen to what was really recorded.

use std::f64::consts::{PI, TAU};

pub use crate::tone::sine;

/// Length of the window that [`onsets`] slides. Its Hann shape makes the measured amplitude cross one half exactly
/// where a tone begins.
const WINDOW_MS: usize = 40;
const HOP_US: usize = 2_500;
/// A tone below this amplitude (1.0 is full scale) is not heard.
const FLOOR: f64 = 0.01;
/// Or if it carries less than this part of the window's energy: an overtone or an echo of the codec.
const SHARE: f64 = 0.02;
/// Shorter tones are clicks, shorter breaks are dropouts within one tone.
const SHORTEST_MS: u32 = 40;

/// Power of one frequency in the samples: the square of the tone's amplitude, where 1.0 is full scale. Best over a
/// whole number of periods, or over many.
#[must_use]
pub fn goertzel(samples: &[i16], rate: u32, hz: f32) -> f64 {
    if samples.is_empty() || rate == 0 {
        return 0.0;
    }
    let power = weighted(samples.iter().map(|s| f64::from(*s)), rate, f64::from(hz));
    power * 4.0 / (samples.len() as f64 * 32_768.0).powi(2)
}

/// Squared magnitude of one frequency.
fn weighted(samples: impl Iterator<Item = f64>, rate: u32, hz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hz / f64::from(rate)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in samples {
        (s1, s2) = (sample + coefficient * s1 - s2, s1);
    }
    s1 * s1 + s2 * s2 - coefficient * s1 * s2
}

/// The strongest frequency, in hertz, within about a tenth of `rate / 65536` for a steady tone that is there
/// throughout. Looks at the first 65,536 samples at most; 0.0 for silence.
#[must_use]
pub fn dominant_frequency(samples: &[i16], rate: u32) -> f32 {
    let count = samples.len().min(65_536);
    if count < 2 {
        return 0.0;
    }
    let size = count.next_power_of_two().max(1_024) * 2;
    let mean = samples[..count].iter().map(|s| f64::from(*s)).sum::<f64>() / count as f64;
    let mut re = vec![0.0; size];
    let mut im = vec![0.0; size];
    for (i, sample) in samples[..count].iter().enumerate() {
        re[i] = (f64::from(*sample) - mean) * hann(i, count);
    }
    fft(&mut re, &mut im);
    let power = |i: usize| re[i] * re[i] + im[i] * im[i];
    let Some(peak) = (1..size / 2).max_by(|a, b| power(*a).total_cmp(&power(*b))) else { return 0.0 };
    if power(peak) <= 0.0 {
        return 0.0;
    }
    // The logarithm of a Hann window's main lobe is nearly a parabola.
    let [a, b, c] = [peak - 1, peak, peak + 1].map(|i| power(i).max(1e-300).ln());
    let curve = a - 2.0 * b + c;
    let shift = if curve < 0.0 { 0.5 * (a - c) / curve } else { 0.0 };
    ((peak as f64 + shift) * f64::from(rate) / size as f64) as f32
}

/// When a tone of `hz` plays: (start, end) in milliseconds from the first sample, in order, within about 5 ms for
/// clear edges. Tones shorter than 40 ms are not seen, breaks shorter than 40 ms do not split. Other tones may play at
/// the same time if they are 100 Hz or more away.
#[must_use]
pub fn onsets(samples: &[i16], rate: u32, hz: f32) -> Vec<(u32, u32)> {
    let hop = (rate as usize * HOP_US / 1_000_000).max(1);
    let amplitudes = amplitudes(samples, rate, hz, hop);
    let loudest = amplitudes.iter().copied().fold(0.0, f64::max);
    let ms = |index: usize| u32::try_from(index * hop * 1_000 / rate.max(1) as usize).unwrap_or(u32::MAX);
    let mut found: Vec<(u32, u32)> = Vec::new();
    for (from, to) in spans(&amplitudes, FLOOR.max(loudest / 8.0)) {
        // Edges are where half the tone's own amplitude is crossed, whatever the level of other tones.
        let mut levels = amplitudes[from..to].to_vec();
        levels.sort_by(f64::total_cmp);
        let half = levels[levels.len() / 2] / 2.0;
        let inside = |i: &usize| amplitudes[*i] >= half;
        let first = (from..to).find(inside).unwrap_or(from);
        let last = (from..to).rev().find(inside).unwrap_or(from);
        let (start, end) = (ms(first), ms(last + 1));
        match found.last_mut() {
            Some(previous) if start < previous.1 + SHORTEST_MS => previous.1 = end,
            _ => found.push((start, end)),
        }
    }
    found.retain(|(start, end)| end - start >= SHORTEST_MS);
    found
}

/// Amplitude of the tone around every hop; zero where it is not what is playing.
fn amplitudes(samples: &[i16], rate: u32, hz: f32, hop: usize) -> Vec<f64> {
    let size = (rate as usize * WINDOW_MS / 1_000).max(2);
    let shape: Vec<f64> = (0..size).map(|i| hann(i, size)).collect();
    let gain: f64 = shape.iter().sum();
    let mut window = vec![0.0; size];
    (0..samples.len().div_ceil(hop))
        .map(|index| {
            let middle = index * hop;
            let mut energy = 0.0;
            for (i, slot) in window.iter_mut().enumerate() {
                let at = (middle + i).checked_sub(size / 2);
                let sample = at.and_then(|at| samples.get(at)).map_or(0.0, |s| f64::from(*s) / 32_768.0);
                *slot = sample * shape[i];
                energy += sample * sample * shape[i];
            }
            let amplitude = 2.0 * weighted(window.iter().copied(), rate, f64::from(hz)).max(0.0).sqrt() / gain;
            let share = amplitude * amplitude / 2.0 / (energy / gain).max(1e-12);
            if share < SHARE { 0.0 } else { amplitude }
        })
        .collect()
}

/// Runs of indices at or above the threshold.
fn spans(values: &[f64], threshold: f64) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut start = None;
    for (i, value) in values.iter().chain(&[0.0]).enumerate() {
        match (start, *value >= threshold) {
            (None, true) => start = Some(i),
            (Some(from), false) => {
                spans.push((from, i));
                start = None;
            }
            _ => {}
        }
    }
    spans
}

fn hann(i: usize, size: usize) -> f64 {
    0.5 - 0.5 * (TAU * i as f64 / size as f64).cos()
}

/// In-place radix-2 transform; the length is a power of two.
fn fft(re: &mut [f64], im: &mut [f64]) {
    let size = re.len();
    let bits = size.trailing_zeros();
    for i in 0..size {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if j > i {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let mut half = 1;
    while half < size {
        for k in 0..half {
            let angle = -PI * k as f64 / half as f64;
            let (sin, cos) = angle.sin_cos();
            for i in (k..size).step_by(2 * half) {
                let j = i + half;
                let (x, y) = (re[j] * cos - im[j] * sin, re[j] * sin + im[j] * cos);
                (re[j], im[j]) = (re[i] - x, im[i] - y);
                re[i] += x;
                im[i] += y;
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::silence;

    #[test]
    fn the_dominant_frequency_is_found_within_a_tenth_of_a_hertz_or_two() {
        for hz in [50.0, 440.0, 997.3, 8_000.0, 15_001.5] {
            let found = dominant_frequency(&sine(hz, 1_000, 0.3, 48_000), 48_000);
            assert!((found - hz).abs() < 0.2, "{hz}: {found}");
        }
        assert_eq!(dominant_frequency(&[0; 4_800], 48_000), 0.0);
        assert_eq!(dominant_frequency(&[], 48_000), 0.0);
    }

    #[test]
    fn goertzel_is_the_square_of_the_amplitude() {
        let pcm = sine(1_000.0, 1_000, 0.5, 48_000);
        assert!((goertzel(&pcm, 48_000, 1_000.0) - 0.25).abs() < 0.001);
        assert!(goertzel(&pcm, 48_000, 2_000.0) < 1e-6);
    }

    #[test]
    fn onsets_are_found_to_five_milliseconds_also_under_another_tone() {
        let mut pcm = silence(500, 48_000);
        pcm.extend(sine(440.0, 1_000, 0.5, 48_000));
        pcm.extend(silence(300, 48_000));
        pcm.extend(sine(440.0, 200, 0.2, 48_000));
        pcm.extend(silence(500, 48_000));
        let other = sine(880.0, 1_600, 0.3, 48_000);
        for (sample, more) in pcm[48_000..].iter_mut().zip(&other[..]) {
            *sample += more;
        }
        let near = |found: Vec<(u32, u32)>, want: &[(u32, u32)]| {
            assert_eq!(found.len(), want.len(), "{found:?}");
            for ((a, b), (c, d)) in found.iter().zip(want) {
                assert!(a.abs_diff(*c) <= 5 && b.abs_diff(*d) <= 5, "{found:?}");
            }
        };
        near(onsets(&pcm, 48_000, 440.0), &[(500, 1_500), (1_800, 2_000)]);
        near(onsets(&pcm, 48_000, 880.0), &[(1_000, 2_500)]);
        assert!(onsets(&pcm, 48_000, 1_320.0).is_empty());
        assert!(onsets(&[], 48_000, 440.0).is_empty());
    }
}
