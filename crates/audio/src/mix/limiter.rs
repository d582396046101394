//! Keeps the sum of many voices within range: the whole mix is turned down when it peaks and comes back slowly.

use crate::FRAME;

/// Up to here the mix is the exact sum.
const CEILING: f32 = 30_000.0;
const MAX: f32 = 32_767.0;
/// Gain regained per frame: 0.5 dB, so half a second for 12 dB.
const RELEASE: f32 = 1.06;
/// Samples over which the gain changes within a frame.
const RAMP: usize = 240;

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
        for (i, (out, sum)) in out.iter_mut().zip(sum).enumerate() {
            let part = (i as f32 / RAMP as f32).min(1.0);
            let gain = before + (self.gain - before) * part;
            *out = soft(*sum as f32 * gain) as i16;
        }
        true
    }
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
