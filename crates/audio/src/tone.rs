//! Tones to test with.

/// A sine of `ms` milliseconds at `rate` samples per second; `amplitude` 1.0 is full scale.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "casts from float saturate, which is what clipping is")]
pub fn sine(hz: f32, ms: u32, amplitude: f32, rate: u32) -> Vec<i16> {
    let count = u64::from(ms) * u64::from(rate) / 1_000;
    let step = std::f64::consts::TAU * f64::from(hz) / f64::from(rate.max(1));
    (0..count).map(|i| ((step * i as f64).sin() * f64::from(amplitude) * f64::from(i16::MAX)).round() as i16).collect()
}

/// Silence of `ms` milliseconds at `rate` samples per second.
#[must_use]
pub fn silence(ms: u32, rate: u32) -> Vec<i16> {
    vec![0; usize::try_from(u64::from(ms) * u64::from(rate) / 1_000).unwrap_or(0)]
}
