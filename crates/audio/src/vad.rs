//! Is somebody speaking? An energy detector with a noise floor that follows the track.
//!
//! It is meant to choose what is worth storing and whose name to show, so it errs on the side of speech: anything above
//! -40 dBFS counts, also music and tones; below that, whatever stands out of the track's own steady noise.

use crate::level::{is_silent, power};

/// Nothing below this level counts, whatever the noise.
const LOWEST_DBFS: f32 = -57.0;
/// Everything above this level counts, whatever the noise.
const HIGHEST_DBFS: f32 = -40.0;
/// Speech is so much above the noise floor.
const MARGIN_DB: f32 = 8.0;
/// Frames of the window whose quietest frame is the noise floor: 2 s, in slots of a fifth of a second.
const SLOTS: usize = 10;
const SLOT_FRAMES: u32 = 10;
/// A level that stays within this range for [`STEADY_FRAMES`] is noise, so the floor jumps to it.
const STEADY_DB: f32 = 3.0;
const STEADY_FRAMES: usize = 15;
/// Frames that must be loud in a row for speech to begin: 60 ms. Keeps clicks out.
const ONSET_FRAMES: u32 = 3;
/// Frames for which speech goes on after the last loud one: 300 ms.
const HANGOVER_FRAMES: u32 = 15;

/// The detector of one track.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Quietest frame of each past slot, oldest first.
    slots: [f32; SLOTS],
    slot: f32,
    in_slot: u32,
    recent: [f32; STEADY_FRAMES],
    seen: usize,
    loud: u32,
    hangover: u32,
    high_pass: HighPass,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has heard nothing yet; it starts by expecting a quiet track.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: [LOWEST_DBFS - MARGIN_DB; SLOTS],
            slot: 0.0,
            in_slot: 0,
            recent: [f32::NEG_INFINITY; STEADY_FRAMES],
            seen: 0,
            loud: 0,
            hangover: 0,
            high_pass: HighPass::default(),
        }
    }

    /// Takes the next 20 ms and answers whether somebody speaks: true from the third loud frame until 300 ms after the
    /// last one. Begins 60 ms late by design; a recorder keeps that much in hand.
    pub fn push(&mut self, frame: &[i16]) -> bool {
        let level = self.high_pass.level_dbfs(frame);
        let threshold = (self.floor_dbfs() + MARGIN_DB).clamp(LOWEST_DBFS, HIGHEST_DBFS);
        self.learn(level);
        if level > threshold {
            self.loud += 1;
            if self.loud >= ONSET_FRAMES || self.hangover > 0 {
                self.hangover = HANGOVER_FRAMES + 1;
            }
        } else {
            self.loud = 0;
        }
        self.hangover = self.hangover.saturating_sub(1);
        self.hangover > 0
    }

    /// The noise floor as learned so far.
    #[must_use]
    pub fn floor_dbfs(&self) -> f32 {
        self.slots.iter().copied().fold(f32::INFINITY, f32::min)
    }

    fn learn(&mut self, level: f32) {
        self.slot = if self.in_slot == 0 { level } else { self.slot.min(level) };
        self.in_slot += 1;
        if self.in_slot == SLOT_FRAMES {
            self.slots.rotate_left(1);
            self.slots[SLOTS - 1] = self.slot;
            self.in_slot = 0;
        }
        self.recent[self.seen % STEADY_FRAMES] = level;
        self.seen += 1;
        let low = self.recent.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.recent.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Speech never holds one level for so long, and what is loud counts whatever the floor.
        if high - low < STEADY_DB && high < HIGHEST_DBFS {
            self.slots = [low; SLOTS];
        }
    }
}

/// Measures what is left without DC offset and hum: the power of the input minus what a first-order low-pass at 120 Hz
/// follows.
///
/// The low-pass moves once per 16 samples, on their mean, and its value in their middle is what is taken off all of
/// them. So the recursion, where every step waits for the one before, is a sixteenth as long as one per sample, and the
/// rest is sums. The answer is that of a first-order high-pass within 0.1 dB from 30 Hz up.
#[derive(Clone, Debug, Default)]
struct HighPass {
    low: f64,
}

impl HighPass {
    const BLOCK: usize = 16;
    /// Blocks that are added up before they are followed: those of a frame, and some.
    const AT_A_TIME: usize = 64;
    /// Pole at 3 kHz, the rate of blocks, by the bilinear transform: `(1 - w) / (1 + w)`, `w = tan(π * 120 / 3000)`.
    const POLE: f64 = 0.775_679_511_049_613;

    fn level_dbfs(&mut self, frame: &[i16]) -> f32 {
        // Digital silence is common (muted tracks) and needs no filtering.
        if is_silent(frame) {
            *self = Self::default();
            return f32::from(i8::MIN);
        }
        // In passes of their own: each becomes vector code, which together they do not.
        let energy = power(frame).energy;
        let (blocks, rest) = frame.as_chunks::<{ Self::BLOCK }>();
        let mut taken = 0.0;
        for blocks in blocks.chunks(Self::AT_A_TIME) {
            let mut sums = [0; Self::AT_A_TIME];
            sums.iter_mut().zip(blocks).for_each(|(slot, block)| *slot = sum(block));
            taken += sums[..blocks.len()].iter().map(|sum| self.take(*sum, Self::BLOCK)).sum::<f64>();
        }
        if !rest.is_empty() {
            taken += self.take(sum(rest), rest.len());
        }
        let mean = (energy as f64 + taken) / frame.len() as f64 / (32_768.0 * 32_768.0);
        10.0 * (mean as f32).max(1e-12).log10()
    }

    /// Follows a block of `count` samples with this sum, and answers by how much the sum of `(sample - low)^2` over it is
    /// more than its energy.
    #[inline]
    fn take(&mut self, sum: i32, count: usize) -> f64 {
        let (sum, count) = (f64::from(sum), count as f64);
        let before = self.low;
        self.low = Self::POLE * before + (1.0 - Self::POLE) / count * sum;
        let low = (before + self.low) / 2.0;
        low * (count * low - 2.0 * sum)
    }
}

fn sum(samples: &[i16]) -> i32 {
    samples.iter().map(|sample| i32::from(*sample)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{level, tone};

    struct Noise(u32);

    impl Noise {
        /// White noise with the given level.
        fn frame(&mut self, dbfs: f32) -> Vec<i16> {
            let amplitude = 32_768.0 * 10_f32.powf(dbfs / 20.0) * 3.0_f32.sqrt();
            (0..960)
                .map(|_| {
                    self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((self.0 >> 8) as f32 / 8_388_608.0 - 1.0).mul_add(amplitude, 0.0).round() as i16
                })
                .collect()
        }
    }

    /// Something with the shape of speech: a voiced sound with overtones whose loudness rises and falls four times a
    /// second. `dbfs` is its level over all.
    fn speech(frames: usize, dbfs: f32) -> Vec<Vec<i16>> {
        let raw: Vec<f32> = (0..frames * 960)
            .map(|i| {
                let t = i as f32 / 48_000.0;
                let voice: f32 = (1..8).map(|k| (std::f32::consts::TAU * 140.0 * k as f32 * t).sin() / k as f32).sum();
                voice * (std::f32::consts::PI * 4.0 * t).sin().powi(2)
            })
            .collect();
        let rms = (raw.iter().map(|s| s * s).sum::<f32>() / raw.len() as f32).sqrt();
        let gain = 32_768.0 * 10_f32.powf(dbfs / 20.0) / rms;
        raw.chunks(960).map(|c| c.iter().map(|s| (s * gain).round() as i16).collect()).collect()
    }

    /// What a tone of full scale loses, in dB.
    fn loss_db(hz: f32) -> f32 {
        let tone = tone::sine(hz, 2_000, 1.0, 48_000);
        let mut high_pass = HighPass::default();
        let settled = tone.chunks(960).map(|frame| high_pass.level_dbfs(frame)).skip(50);
        let powers: Vec<f32> = settled.map(|level| 10_f32.powf(level / 10.0)).collect();
        level::rms_dbfs(&tone) - 10.0 * (powers.iter().sum::<f32>() / powers.len() as f32).log10()
    }

    #[test]
    fn the_high_pass_is_of_first_order_at_120_hz() {
        for hz in [30.0_f32, 50.0, 60.0, 100.0, 120.0, 200.0, 300.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 12_000.0] {
            let wanted = 10.0 * (1.0 + (120.0 / hz) * (120.0 / hz)).log10();
            let found = loss_db(hz);
            assert!((found - wanted).abs() < 0.1, "{hz} Hz: {found} dB lost, not {wanted}");
        }
        // An offset vanishes altogether, whatever its size, once the filter has seen it for a while.
        let mut high_pass = HighPass::default();
        let levels: Vec<f32> = (0..20).map(|_| high_pass.level_dbfs(&[i16::MIN; 960])).collect();
        assert!(levels[19] < -90.0, "{levels:?}");
    }

    fn active(detector: &mut Detector, frames: impl IntoIterator<Item = Vec<i16>>) -> usize {
        frames.into_iter().filter(|frame| detector.push(frame)).count()
    }

    #[test]
    fn quiet_speech_counts_from_the_first_words_on() {
        let frames = speech(250, -45.0);
        assert!((level::rms_dbfs(&frames.concat()) + 45.0).abs() < 0.2);
        let mut detector = Detector::new();
        let first = frames.iter().position(|frame| detector.push(frame));
        assert!(first.is_some_and(|at| at <= 8), "{first:?}");
        let mut detector = Detector::new();
        let heard = active(&mut detector, frames);
        assert!(heard >= 240, "{heard} of 250");
    }

    #[test]
    fn quiet_speech_counts_over_comfort_noise() {
        let mut detector = Detector::new();
        let mut noise = Noise(1);
        let mut quiet = || (0..100).map(|_| noise.frame(-62.0)).collect::<Vec<_>>();
        assert_eq!(active(&mut detector, quiet()), 0);
        let mixed =
            speech(150, -45.0).into_iter().zip(quiet()).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect());
        let heard = active(&mut detector, mixed);
        assert!(heard >= 90, "{heard} of 100");
    }

    #[test]
    fn silence_dc_and_steady_noise_do_not_count() {
        let mut detector = Detector::new();
        assert_eq!(active(&mut detector, std::iter::repeat_n(vec![0; 960], 500)), 0);
        let mut detector = Detector::new();
        assert_eq!(active(&mut detector, std::iter::repeat_n(vec![9_000; 960], 500)), 0);
        let mut noise = Noise(7);
        let mut detector = Detector::new();
        assert_eq!(active(&mut detector, (0..500).map(|_| noise.frame(-60.0))), 0);
    }

    #[test]
    fn louder_noise_is_learned_within_half_a_second() {
        let mut noise = Noise(3);
        let mut detector = Detector::new();
        let first = active(&mut detector, (0..50).map(|_| noise.frame(-48.0)));
        assert!(first <= 32, "{first}");
        assert_eq!(active(&mut detector, (0..500).map(|_| noise.frame(-48.0))), 0);
    }

    #[test]
    fn a_loud_tone_counts_for_as_long_as_it_plays() {
        let mut detector = Detector::new();
        let tone = tone::sine(440.0, 20_000, 0.1, 48_000);
        let heard = active(&mut detector, tone.chunks(960).map(<[i16]>::to_vec));
        assert_eq!(heard, 1_000 - 2);
    }

    #[test]
    fn clicks_do_not_begin_speech_and_pauses_between_words_do_not_end_it() {
        let mut detector = Detector::new();
        let mut click = vec![0_i16; 960];
        click[100] = 30_000;
        let quiet = vec![0_i16; 960];
        let clicks = (0..200).map(|i| if i % 20 == 0 { click.clone() } else { quiet.clone() });
        assert_eq!(active(&mut detector, clicks), 0);
        let words =
            speech(40, -20.0).into_iter().chain(std::iter::repeat_n(quiet.clone(), 12)).chain(speech(40, -20.0));
        let heard: Vec<bool> = words.map(|frame| detector.push(&frame)).collect();
        let first = heard.iter().position(|h| *h).unwrap();
        assert!(heard[first..].iter().all(|h| *h));
        assert_eq!(active(&mut detector, std::iter::repeat_n(quiet, 100)), 14);
    }
}
