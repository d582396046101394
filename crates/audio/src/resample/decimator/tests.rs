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
    let mut out: Vec<f32> = Vec::new();
    decimator.process(&sine_f32(hz, 48_000), &mut out);
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
        let mut out: Vec<f32> = Vec::new();
        decimator.process(&input, &mut out);
        let peak = 100 + decimator.latency_samples();
        let largest = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b]));
        assert_eq!(largest, Some(peak), "{rate:?}");
        for k in 1..=decimator.latency_samples() {
            assert!((out[peak - k] - out[peak + k]).abs() < 1e-7, "{rate:?} at {k}");
        }
        // 0.1 dB, as everywhere in the pass band.
        let sum: f32 = out.iter().sum();
        assert!((sum * rate.factor() as f32 - 1.0).abs() < 0.012, "{rate:?}: gain {sum}");
    }
}

#[test]
fn a_tone_keeps_its_frequency_and_its_level() {
    let mut out: Vec<i16> = Vec::new();
    Decimator::new(Rate::Hz16000, Channels::Mono).process(&tone::sine(997.0, 500, 0.5, 48_000), &mut out);
    assert!((probe::dominant_frequency(&out, 16_000) - 997.0).abs() < 1.0);
    let peak = out.iter().map(|s| s.unsigned_abs()).max().unwrap();
    // 0.1 dB around half of full scale.
    assert!((16_196..=16_574).contains(&peak), "{peak}");
}

#[test]
fn stereo_is_the_mean_of_both_sides() {
    let left = tone::sine(500.0, 100, 0.8, 48_000);
    let right = tone::sine(1_500.0, 100, 0.4, 48_000);
    let stereo: Vec<i16> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
    let mean: Vec<f32> =
        left.iter().zip(&right).map(|(l, r)| (f32::from(*l) + f32::from(*r)) / 2.0 / 32_768.0).collect();
    let (mut got, mut want): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
    Decimator::new(Rate::Hz16000, Channels::Stereo).process(&stereo, &mut got);
    Decimator::new(Rate::Hz16000, Channels::Mono).process(&mean, &mut want);
    assert_eq!(got, want);
}

#[test]
fn full_scale_square_waves_saturate_instead_of_wrapping() {
    let square: Vec<i16> = (0..4_800).map(|i| if i / 48 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
    let mut out: Vec<i16> = Vec::new();
    let mut decimator = Decimator::new(Rate::Hz16000, Channels::Mono);
    decimator.process(&square, &mut out);
    let middle = out[decimator.latency_samples() + 16 + 8];
    assert!(middle < -30_000, "the middle of the second half-wave is negative: {middle}");
}

#[test]
fn finish_gives_out_what_has_only_begun() {
    for rate in ALL {
        for channels in [Channels::Mono, Channels::Stereo] {
            for extra in 0..2 * rate.factor() * channels.count() {
                let group = rate.factor() * channels.count();
                let input = vec![1_000_i16; 200 * group + extra];
                let mut decimator = Decimator::new(rate, channels);
                let mut out: Vec<i16> = Vec::new();
                decimator.process(&input, &mut out);
                decimator.finish(&mut out);
                let want = (200 * group + extra).div_ceil(group) + decimator.latency_samples();
                assert_eq!(out.len(), want, "{rate:?} {channels:?} {extra}");
                let mut again: Vec<i16> = Vec::new();
                decimator.process(&input, &mut again);
                assert_eq!(again, out[..again.len()], "it is at rest");
            }
        }
    }
}

#[test]
fn finish_drains_the_latency_and_returns_to_rest() {
    let input = tone::sine(440.0, 100, 0.5, 48_000);
    let mut decimator = Decimator::new(Rate::Hz16000, Channels::Mono);
    let (mut first, mut second): (Vec<i16>, Vec<i16>) = (Vec::new(), Vec::new());
    decimator.process(&input, &mut first);
    decimator.finish(&mut first);
    assert_eq!(first.len(), input.len() / 3 + decimator.latency_samples());
    decimator.process(&input, &mut second);
    decimator.finish(&mut second);
    assert_eq!(first, second);
}

/// Gain in dB at a frequency, as the taps say.
fn analytic_db(rate: Rate, hz: f64) -> f64 {
    let half = rate.half_filter();
    let middle = half.len() - 1;
    let turn = std::f64::consts::TAU * hz / 48_000.0;
    let sum: f64 = (0..middle).map(|k| 2.0 * f64::from(half[k]) * (turn * (middle - k) as f64).cos()).sum();
    20.0 * (f64::from(half[middle]) + sum).abs().log10()
}

#[test]
fn the_taps_have_the_stated_response_at_every_frequency() {
    for rate in ALL {
        let nyquist = f64::from(rate.hz()) / 2.0;
        for step in 0..=24_000 {
            let hz = f64::from(step);
            let gain = analytic_db(rate, hz);
            if hz <= nyquist * 0.875 {
                assert!(gain.abs() < 0.1, "{rate:?} at {hz} Hz: {gain} dB");
            } else if hz >= nyquist {
                assert!(gain < -90.0, "{rate:?} at {hz} Hz: {gain} dB");
            }
        }
    }
}

#[test]
fn a_sweep_follows_the_analytic_response() {
    for rate in ALL {
        let nyquist = f64::from(rate.hz()) / 2.0;
        for step in 1..40 {
            let hz = nyquist * f64::from(step) / 40.0;
            let (measured, analytic) = (gain_db(rate, hz), analytic_db(rate, hz));
            assert!((measured - analytic).abs() < 0.02, "{rate:?} at {hz} Hz: {measured} instead of {analytic} dB");
        }
    }
}

#[test]
fn a_ramp_has_no_splice_wherever_it_is_cut() {
    // A filter of linear phase gives a ramp back as a ramp, delayed; any sample lost, doubled or misplaced is a step.
    let rising: Vec<f32> = (0..40_000).map(|i| i as f32 / 40_000.0 - 0.5).collect();
    for rate in ALL {
        for block in [1, 7, 160, 441, 480, 960, 961, 4_096] {
            let mut decimator = Decimator::new(rate, Channels::Mono);
            let mut out: Vec<f32> = Vec::new();
            rising.chunks(block).for_each(|block| decimator.process(block, &mut out));
            let slope = rate.factor() as f32 / 40_000.0;
            for pair in out[2 * decimator.latency_samples() + 2..].windows(2) {
                let step = pair[1] - pair[0];
                assert!(
                    (step - slope).abs() < slope * 0.05,
                    "{rate:?} in blocks of {block}: {step} instead of {slope}"
                );
            }
        }
    }
}

#[test]
fn the_number_of_outputs_is_known_before() {
    for rate in ALL {
        for channels in [Channels::Mono, Channels::Stereo] {
            let mut decimator = Decimator::new(rate, channels);
            for block in [0, 1, 2, 3, 5, 1, 960, 961, 4_000, 1] {
                let expected = decimator.output_len(block);
                let mut out: Vec<i16> = Vec::new();
                decimator.process(&vec![0_i16; block], &mut out);
                assert_eq!(out.len(), expected, "{rate:?} {channels:?} {block}");
            }
        }
    }
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
        let (mut whole, mut parts): (Vec<i16>, Vec<i16>) = (Vec::new(), Vec::new());
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
