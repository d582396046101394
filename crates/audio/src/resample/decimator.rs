use super::design::lowpass;
use super::kernel::{LANES, dot};
use crate::RATE;

/// Samples taken in before old ones are moved out of the window.
const BLOCK: usize = 4_096;
/// Length of the filter on each side, in output samples. With the Kaiser window of `design` this puts the end of the
/// transition at the output's Nyquist frequency: nothing aliases, not even into the transition.
const SIDE: usize = 48;
/// The filter's passband, as a fraction of the output's Nyquist frequency (7 kHz of 8 kHz).
const PASS: f64 = 0.875;
const SCALE: f32 = 32_768.0;

/// A rate to decimate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 24 kHz.
    Hz24000,
    /// 16 kHz, what speech to text wants.
    Hz16000,
    /// 8 kHz.
    Hz8000,
}

impl Rate {
    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        RATE / self.factor() as u32
    }

    const fn factor(self) -> usize {
        match self {
            Self::Hz24000 => 2,
            Self::Hz16000 => 3,
            Self::Hz8000 => 6,
        }
    }
}

/// Layout of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One channel.
    Mono,
    /// Two, interleaved; their mean is taken.
    Stereo,
}

/// Streaming conversion from 48 kHz to a lower rate, mono.
///
/// Linear phase; flat within 0.1 dB up to 7/8 of the output's Nyquist frequency (7 kHz at 16 kHz), at least 90 dB down
/// from the Nyquist frequency on. Blocks may have any length, down to half a stereo pair; the output does not depend on
/// how the input was cut.
#[derive(Clone, Debug)]
pub struct Decimator {
    factor: usize,
    channels: Channels,
    /// Zeros in front up to a multiple of `LANES`. The filter is symmetric, so it needs no reversing.
    taps: Vec<f32>,
    window: Vec<f32>,
    filled: usize,
    /// Index in `window` of the sample that completes the next output.
    next: usize,
    /// A left sample whose right one has not come yet.
    left: Option<f32>,
}

impl Decimator {
    /// A decimator at rest.
    #[must_use]
    pub fn new(rate: Rate, input: Channels) -> Self {
        let factor = rate.factor();
        let cutoff = (1.0 + PASS) / 2.0 * 0.5 / factor as f64;
        let filter = lowpass(SIDE * factor, cutoff);
        let mut taps = vec![0.0; filter.len().next_multiple_of(LANES) - filter.len()];
        taps.extend(filter.iter().map(|tap| *tap as f32));
        let history = taps.len() - 1;
        Self {
            factor,
            channels: input,
            window: vec![0.0; history + BLOCK],
            filled: history,
            next: history,
            taps,
            left: None,
        }
    }

    /// Delay of the output, in output samples: what happens at input sample `3 * n` shows at output sample
    /// `n + latency` (for 16 kHz).
    #[must_use]
    pub const fn latency_samples(&self) -> usize {
        SIDE
    }

    /// Appends the conversion of interleaved samples to `out`. Does not allocate if `out` has room for
    /// `input.len() / 2 + 1` more samples.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.feed(input, |s| f32::from(*s) / SCALE, |y| out.push(to_i16(y)));
    }

    /// As [`process`](Self::process), with samples of -1.0 to 1.0. Filtering can overshoot that range a little.
    pub fn process_f32(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.feed(input, |s| *s, |y| out.push(y));
    }

    /// Appends what is still inside, as if silence followed, and returns to rest.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        self.left = None;
        let silence = [0.0; 6];
        for _ in 0..SIDE {
            self.push_mono(silence[..self.factor].iter().copied(), &mut |y| out.push(to_i16(y)));
        }
        let history = self.taps.len() - 1;
        self.window.fill(0.0);
        (self.filled, self.next) = (history, history);
    }

    fn feed<T>(&mut self, input: &[T], load: impl Fn(&T) -> f32, mut emit: impl FnMut(f32)) {
        if self.channels == Channels::Mono {
            return self.push_mono(input.iter().map(load), &mut emit);
        }
        let mut input = input;
        if let Some(left) = self.left
            && let Some((right, rest)) = input.split_first()
        {
            self.left = None;
            self.push_mono(std::iter::once((left + load(right)) * 0.5), &mut emit);
            input = rest;
        }
        let pairs = input.chunks_exact(2);
        if let [left] = pairs.remainder() {
            self.left = Some(load(left));
        }
        self.push_mono(pairs.map(|pair| (load(&pair[0]) + load(&pair[1])) * 0.5), &mut emit);
    }

    fn push_mono(&mut self, mut samples: impl Iterator<Item = f32>, emit: &mut impl FnMut(f32)) {
        loop {
            let before = self.filled;
            for (slot, sample) in self.window[before..].iter_mut().zip(&mut samples) {
                *slot = sample;
                self.filled += 1;
            }
            while self.next < self.filled {
                let from = self.next + 1 - self.taps.len();
                emit(dot(&self.taps, &self.window[from..=self.next]));
                self.next += self.factor;
            }
            if self.filled < self.window.len() {
                return;
            }
            let from = self.next + 1 - self.taps.len();
            self.window.copy_within(from..self.filled, 0);
            self.filled -= from;
            self.next -= from;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "casts from float saturate, which is what clipping is")]
fn to_i16(y: f32) -> i16 {
    (y * SCALE).round() as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{probe, tone};

    const ALL: [Rate; 3] = [Rate::Hz24000, Rate::Hz16000, Rate::Hz8000];

    fn sine_f32(hz: f64, count: usize) -> Vec<f32> {
        (0..count).map(|i| (std::f64::consts::TAU * hz * i as f64 / 48_000.0).sin() as f32).collect()
    }

    /// Gain for a tone, in dB: RMS of what comes out, at any frequency, over RMS of what went in.
    fn gain_db(rate: Rate, hz: f64) -> f64 {
        let mut decimator = Decimator::new(rate, Channels::Mono);
        let mut out = Vec::new();
        decimator.process_f32(&sine_f32(hz, 48_000), &mut out);
        let settled = &out[2 * decimator.latency_samples()..];
        let power = settled.iter().map(|y| f64::from(*y) * f64::from(*y)).sum::<f64>() / settled.len() as f64;
        10.0 * (power / 0.5).log10()
    }

    #[test]
    fn the_passband_is_flat_within_a_tenth_of_a_decibel() {
        for rate in ALL {
            let nyquist = f64::from(rate.hz()) / 2.0;
            for part in [0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.875] {
                let gain = gain_db(rate, nyquist * part);
                assert!(gain.abs() < 0.1, "{rate:?} at {part} of Nyquist: {gain} dB");
            }
        }
    }

    #[test]
    fn nothing_from_above_nyquist_aliases_by_more_than_minus_90_decibels() {
        for rate in ALL {
            let nyquist = f64::from(rate.hz()) / 2.0;
            let mut hz = nyquist * 1.001;
            while hz < 23_990.0 {
                let gain = gain_db(rate, hz);
                assert!(gain < -90.0, "{rate:?} at {hz} Hz: {gain} dB");
                hz += 211.0;
            }
        }
    }

    #[test]
    fn an_impulse_comes_out_symmetric_and_at_the_stated_latency() {
        for rate in ALL {
            let mut decimator = Decimator::new(rate, Channels::Mono);
            let mut input = vec![0.0; 12_000];
            let at = 100 * rate.factor();
            input[at] = 1.0;
            let mut out = Vec::new();
            decimator.process_f32(&input, &mut out);
            let peak = 100 + decimator.latency_samples();
            let largest = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b]));
            assert_eq!(largest, Some(peak), "{rate:?}");
            for k in 1..=SIDE {
                assert!((out[peak - k] - out[peak + k]).abs() < 1e-7, "{rate:?} at {k}");
            }
            let sum: f32 = out.iter().sum();
            assert!((sum * rate.factor() as f32 - 1.0).abs() < 1e-3, "{rate:?}: gain {sum}");
        }
    }

    #[test]
    fn a_tone_keeps_its_frequency_and_its_level() {
        let mut out = Vec::new();
        Decimator::new(Rate::Hz16000, Channels::Mono).process(&tone::sine(997.0, 500, 0.5, 48_000), &mut out);
        assert!((probe::dominant_frequency(&out, 16_000) - 997.0).abs() < 1.0);
        let peak = out.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((16_300..=16_450).contains(&peak), "{peak}");
    }

    #[test]
    fn stereo_is_the_mean_of_both_sides() {
        let left = tone::sine(500.0, 100, 0.8, 48_000);
        let right = tone::sine(1_500.0, 100, 0.4, 48_000);
        let stereo: Vec<i16> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
        let mean: Vec<f32> =
            left.iter().zip(&right).map(|(l, r)| (f32::from(*l) + f32::from(*r)) / 2.0 / 32_768.0).collect();
        let (mut got, mut want) = (Vec::new(), Vec::new());
        Decimator::new(Rate::Hz16000, Channels::Stereo).process(&stereo, &mut got);
        Decimator::new(Rate::Hz16000, Channels::Mono).process_f32(&mean, &mut want);
        let want: Vec<i16> = want.into_iter().map(to_i16).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn full_scale_square_waves_saturate_instead_of_wrapping() {
        let square: Vec<i16> = (0..4_800).map(|i| if i / 48 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut out = Vec::new();
        Decimator::new(Rate::Hz16000, Channels::Mono).process(&square, &mut out);
        let middle = out[SIDE + 16 + 8];
        assert!(middle < -30_000, "the middle of the second half-wave is negative: {middle}");
    }

    #[test]
    fn finish_drains_the_latency_and_returns_to_rest() {
        let input = tone::sine(440.0, 100, 0.5, 48_000);
        let mut decimator = Decimator::new(Rate::Hz16000, Channels::Mono);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        decimator.process(&input, &mut first);
        decimator.finish(&mut first);
        assert_eq!(first.len(), input.len() / 3 + SIDE);
        decimator.process(&input, &mut second);
        decimator.finish(&mut second);
        assert_eq!(first, second);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_partition_gives_what_one_block_gives(
            seed in any::<u64>(), cuts in proptest::collection::vec(0_usize..3_000, 0..24), stereo: bool, which in 0_usize..3,
        ) {
            let mut state = seed;
            let input: Vec<i16> = (0..12_345).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 48) as u16 as i16
            }).collect();
            let channels = if stereo { Channels::Stereo } else { Channels::Mono };
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            Decimator::new(ALL[which], channels).process(&input, &mut whole);
            let mut decimator = Decimator::new(ALL[which], channels);
            let mut rest = &input[..];
            for cut in cuts {
                let (block, later) = rest.split_at(cut.min(rest.len()));
                decimator.process(block, &mut parts);
                rest = later;
            }
            decimator.process(rest, &mut parts);
            prop_assert_eq!(whole, parts);
        }
    }
}
