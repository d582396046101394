//! How good a resampler is, measured through the very call that is timed: 16 bits in, 16 bits out.

use std::f64::consts::TAU;
use std::sync::Arc;

use anyhow::{Result, ensure};
use realfft::{RealFftPlanner, RealToComplex};

use crate::peers::{Resampler, Setting};

/// Output samples that are looked at. Tones are at whole multiples of 16 kHz over this, so no window is needed.
const SPAN: usize = 8_192;
/// Hertz of one bin.
const BIN_HZ: f64 = 16_000.0 / SPAN as f64;
/// Output samples passed over before, for filters to settle, and fed after, for what a resampler holds back.
const SETTLE: usize = SPAN;
/// A second tone in the pass-band. It keeps the 16 bits of the output moving, so that an alias far below one bit shows
/// instead of being rounded away.
const CARRIER_BIN: usize = 509;
const CARRIER: f64 = 0.05;
const TONE: f64 = 0.9;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// How far the strongest thing in the output is below a tone of 8 to 24 kHz in the input, in dB, for the worst tone.
    pub rejection_db: f64,
    /// Largest deviation from unit gain up to 7 kHz, in dB.
    pub ripple_db: f64,
    /// Audio that has to follow a sample until it has come out, in milliseconds.
    pub latency_ms: f64,
}

/// Test signals, made once, and the transform.
pub struct Lab {
    stop: Vec<Vec<i16>>,
    pass: Vec<(usize, Vec<i16>)>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl Lab {
    pub fn new() -> Self {
        let nyquist = SPAN / 2;
        // Closely above 8 kHz, where the transition is, and more widely after. Odd distances: no common period.
        let close = (nyquist + 2..nyquist + 512).step_by(15);
        let wide = (nyquist + 512..3 * nyquist - 2).step_by(127);
        let pass = (11..=(7_000.0 / BIN_HZ) as usize).step_by(61).filter(|bin| *bin != CARRIER_BIN);
        Self {
            stop: close.chain(wide).map(tone).collect(),
            pass: pass.chain([(7_000.0 / BIN_HZ) as usize]).map(|bin| (bin, tone(bin))).collect(),
            fft: RealFftPlanner::new().plan_fft_forward(SPAN),
        }
    }

    /// Measures one setting.
    pub fn measure(&self, setting: &Setting) -> Result<Quality> {
        let mut rejection_db = f64::INFINITY;
        for tone in &self.stop {
            let spectrum = self.spectrum(setting, tone)?;
            let worst = (3..spectrum.len()).filter(|bin| bin.abs_diff(CARRIER_BIN) > 2).map(|bin| spectrum[bin]);
            rejection_db = rejection_db.min(-db(worst.fold(0.0, f64::max)));
        }
        let mut ripple_db: f64 = 0.0;
        for (bin, tone) in &self.pass {
            ripple_db = ripple_db.max(db(self.spectrum(setting, tone)?[*bin]).abs());
        }
        Ok(Quality { rejection_db, ripple_db, latency_ms: latency_ms(setting)? })
    }

    /// Gain in dB at frequencies up to 24 kHz, closer together around the transition: of what a tone becomes, itself or
    /// its alias.
    pub fn response(&self, setting: &Setting) -> Result<Vec<(f64, f64)>> {
        let nyquist = SPAN / 2;
        let transition = (6_500.0 / BIN_HZ) as usize..(8_500.0 / BIN_HZ) as usize;
        let below = (13..transition.start).step_by(37);
        let above = (transition.end..3 * nyquist - 2).step_by(37);
        below
            .chain(transition.step_by(5))
            .chain(above)
            .filter(|bin| bin.abs_diff(CARRIER_BIN) > 2 && bin % nyquist > 2)
            .map(|bin| {
                let folded = bin % SPAN;
                let alias = if folded > nyquist { SPAN - folded } else { folded };
                Ok((bin as f64 * BIN_HZ, db(self.spectrum(setting, &tone(bin))?[alias])))
            })
            .collect()
    }

    /// Amplitudes of the output's bins, relative to the tone.
    fn spectrum(&self, setting: &Setting, input: &[i16]) -> Result<Vec<f64>> {
        let output = run(setting.open()?.as_mut(), setting.block, input);
        ensure!(output.len() >= SETTLE + SPAN, "{} holds too much back", setting.name);
        let mut samples: Vec<f64> = output[SETTLE..SETTLE + SPAN].iter().map(|s| f64::from(*s)).collect();
        let mut bins = self.fft.make_output_vec();
        self.fft.process(&mut samples, &mut bins)?;
        let full = TONE * 32_767.0 * SPAN as f64 / 2.0;
        Ok(bins.iter().map(|bin| bin.norm() / full).collect())
    }
}

/// A tone and the carrier, the same on both sides, long enough to settle, look, and flush.
fn tone(bin: usize) -> Vec<i16> {
    let wave = |bin: usize, at: usize| (TAU * (bin * at % (3 * SPAN)) as f64 / (3 * SPAN) as f64).sin();
    (0..3 * (2 * SETTLE + SPAN))
        .map(|at| ((TONE * wave(bin, at) + CARRIER * wave(CARRIER_BIN, at)) * 32_767.0).round() as i16)
        .flat_map(|sample| [sample, sample])
        .collect()
}

fn run(resampler: &mut dyn Resampler, block: usize, input: &[i16]) -> Vec<i16> {
    let mut output = Vec::with_capacity(input.len());
    for block in input.chunks_exact(2 * block) {
        resampler.process(block, &mut output);
    }
    output
}

/// Feeds an impulse in the smallest blocks and sees after how much input it has come out.
pub fn latency_ms(setting: &Setting) -> Result<f64> {
    let mut worst = 0;
    for shift in [0, 401, 977, 2_003] {
        let at = 48_000 + shift * 3;
        let mut input = vec![0; 2 * 144_000];
        input[2 * at..2 * at + 2].fill(i16::MAX);
        let mut resampler = setting.open()?;
        let (mut output, mut emitted) = (Vec::new(), Vec::new());
        for (n, block) in input.chunks_exact(2 * setting.smallest).enumerate() {
            resampler.process(block, &mut output);
            emitted.resize(output.len(), (n + 1) * setting.smallest);
        }
        let peak = (0..output.len()).max_by_key(|n| output[*n].unsigned_abs()).unwrap_or(0);
        worst = worst.max(emitted.get(peak).map_or(0, |fed| fed.saturating_sub(at)));
    }
    Ok(worst as f64 / 48.0)
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Setting;

    /// Takes every third frame and filters nothing.
    struct Third;

    impl Resampler for Third {
        fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
            out.extend(stereo.chunks_exact(6).map(|frames| frames[0]));
        }
    }

    #[test]
    fn what_does_not_filter_passes_and_aliases_everything_at_once() {
        let setting = Setting::new("test", String::new(), (960, 3), || Ok(Third));
        let quality = Lab::new().measure(&setting).unwrap();
        assert!(quality.rejection_db.abs() < 0.01, "{quality:?}");
        assert!(quality.ripple_db < 0.01, "{quality:?}");
        assert!(quality.latency_ms < 0.1, "{quality:?}");
    }
}
