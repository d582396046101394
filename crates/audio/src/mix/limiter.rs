//! Keeps the sum of many voices within range: the whole mix is turned down when it peaks and comes back slowly.

use crate::FRAME;

/// Up to here the mix is the exact sum.
const CEILING: f32 = 30_000.0;
const MAX: f32 = 32_767.0;
/// Gain regained per frame: 0.5 dB, so half a second for 12 dB.
const RELEASE: f32 = 1.06;
/// Samples over which the gain changes within a frame (5 ms) ...
const RAMP: usize = 240;
/// ... and at least, when what is too loud comes before that (half a millisecond). Nothing looks ahead into the next
/// frame, so what is too loud in these samples is bent, see [`soft`].
const ATTACK: f32 = 24.0;

#[derive(Debug)]
pub(super) struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Answers whether anything was changed.
    #[expect(clippy::cast_possible_truncation, reason = "the range is limited just before")]
    pub(super) fn process(&mut self, sum: &[i32; FRAME], out: &mut [i16; FRAME]) -> bool {
        let peak = sum.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0) as f32;
        let before = self.gain;
        let wanted = (CEILING / peak.max(1.0)).min(1.0);
        self.gain = wanted.min(before * RELEASE).min(1.0);
        if before >= 1.0 && self.gain >= 1.0 {
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = *sum as i16;
            }
            return false;
        }
        let slope = (self.gain - before) / ramp(&sum[..RAMP], before, self.gain);
        let (head, tail) = out.split_at_mut(RAMP);
        for (i, (out, sum)) in head.iter_mut().zip(sum).enumerate() {
            let gain = before + slope * i as f32;
            let gain = if slope < 0.0 { gain.max(self.gain) } else { gain.min(self.gain) };
            *out = soft(*sum as f32 * gain) as i16;
        }
        // From here on the gain is that of the frame's peak.
        for (out, sum) in tail.iter_mut().zip(&sum[RAMP..]) {
            *out = (*sum as f32 * self.gain) as i16;
        }
        true
    }
}

/// Samples that the gain takes from `before` to `after`: as many as can be without a sample above the ceiling.
fn ramp(sum: &[i32], before: f32, after: f32) -> f32 {
    let mut ramp = RAMP as f32;
    for (i, sum) in sum.iter().enumerate() {
        let over = before - CEILING / (sum.unsigned_abs() as f32).max(1.0);
        if over > 0.0 {
            ramp = ramp.min(i as f32 * (before - after) / over);
        }
    }
    ramp.max(ATTACK)
}

/// Bends what is above the ceiling so that it approaches full scale without reaching past it.
fn soft(x: f32) -> f32 {
    let over = x.abs() - CEILING;
    if over <= 0.0 {
        return x;
    }
    let room = MAX - CEILING;
    (CEILING + room * (over / (over + room))).copysign(x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe;

    const CEILING_I: i32 = CEILING as i32;

    /// A tone of any amplitude, in sample units.
    fn tone(hz: f64, amplitude: f64, samples: usize) -> Vec<i32> {
        (0..samples)
            .map(|i| ((std::f64::consts::TAU * hz * i as f64 / 48_000.0).sin() * amplitude).round() as i32)
            .collect()
    }

    fn limit(sum: &[i32]) -> Vec<i16> {
        let mut limiter = Limiter::default();
        let mut out = [0; FRAME];
        let frames = sum.as_chunks::<FRAME>().0.iter();
        frames
            .flat_map(|frame| {
                limiter.process(frame, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn up_to_the_ceiling_every_sample_is_the_exact_sum() {
        let mut sum = tone(997.0, f64::from(CEILING), 48_000);
        sum[5_000] = CEILING_I;
        sum[6_000] = -CEILING_I;
        assert!(limit(&sum).iter().zip(&sum).all(|(out, sum)| i32::from(*out) == *sum));
    }

    #[test]
    fn a_steady_overload_of_12_decibels_is_turned_down_without_distortion() {
        let sum = tone(1_000.0, 4.0 * 32_767.0, 48_000);
        let out = &limit(&sum)[FRAME..];
        let wanted = probe::goertzel(out, 48_000, 1_000.0);
        let all = out.iter().map(|s| (f64::from(*s) / 32_768.0).powi(2)).sum::<f64>() / out.len() as f64 * 2.0;
        let rest = ((all - wanted).max(0.0) / wanted).sqrt();
        assert!(rest < 0.001, "everything but the tone is {:.3} % of it", rest * 100.0);
        assert!((wanted.sqrt() * 32_768.0 - f64::from(CEILING)).abs() < 50.0, "it plays at the ceiling");
    }

    /// Wherever in a frame it begins, a shout bends no more than half a millisecond, and its shape keeps its slopes.
    #[test]
    fn a_sudden_overload_is_bent_for_half_a_millisecond_at_most() {
        let shout = tone(300.0, 5.0 * 32_767.0, 2 * FRAME);
        for begin in 0..FRAME {
            let mut sum = tone(200.0, 20_000.0, 3 * FRAME);
            sum[begin..].iter_mut().zip(&shout).for_each(|(sum, shout)| *sum += shout);
            let out = limit(&sum);
            let bent = out.iter().filter(|s| i32::from(s.unsigned_abs()) > CEILING_I).count();
            assert!(bent <= ATTACK as usize, "{bent} samples are bent at {begin}");
            let flat = out.windows(4).filter(|w| w[0].unsigned_abs() > 31_000 && w.iter().all(|s| *s == w[0])).count();
            assert_eq!(flat, 0, "clipped at {begin}");
            for (i, (out, sum)) in out.windows(2).zip(sum.windows(2)).enumerate() {
                let step = i32::from(out[1]) - i32::from(out[0]);
                // The gain may add at most its own slope.
                let limit = (sum[1] - sum[0]).abs() + (MAX / ATTACK) as i32 + 1;
                assert!(step.abs() <= limit, "a step of {step} at {i}, begun at {begin}");
            }
        }
    }

    #[test]
    fn the_gain_comes_back_in_steps_of_half_a_decibel() {
        let mut sum = tone(1_000.0, 4.0 * CEILING as f64, FRAME);
        sum.extend(tone(1_000.0, 3_000.0, 40 * FRAME));
        let out = limit(&sum);
        let peaks: Vec<f32> =
            out.chunks(FRAME).map(|f| f32::from(f.iter().map(|s| s.unsigned_abs()).max().unwrap())).collect();
        assert!((peaks[1] - 3_000.0 / 4.0 * RELEASE).abs() < 2.0, "{peaks:?}");
        assert!(peaks[1..].windows(2).all(|w| w[1] >= w[0] && w[1] <= w[0] * RELEASE + 1.0), "{peaks:?}");
        assert!(out[26 * FRAME..].iter().zip(&sum[26 * FRAME..]).all(|(out, sum)| i32::from(*out) == *sum));
    }

    proptest! {
        /// Any sum of up to 64 voices: nothing wraps, nothing gets louder, nothing changes sign.
        #[test]
        fn no_sum_wraps_or_grows(
            sums in proptest::collection::vec(prop_oneof![-2_097_152..2_097_152_i32, -40_000..40_000_i32], 3 * FRAME),
        ) {
            for (out, sum) in limit(&sums).iter().zip(&sums) {
                let out = i32::from(*out);
                prop_assert!(out.abs() <= sum.abs() && i64::from(out) * i64::from(*sum) >= 0, "{out} of {sum}");
            }
        }
    }
}
