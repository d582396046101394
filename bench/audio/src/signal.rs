//! What is heard: something with the shape of speech, different on both sides and for every bot.

use std::f32::consts::TAU;

/// Interleaved stereo of so many frames.
pub fn speech(seed: u32, frames: usize) -> Vec<i16> {
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    let pitch = 100.0 + (seed % 97) as f32 * 1.3;
    (0..frames)
        .flat_map(|at| {
            let t = at as f32 / 48_000.0;
            let loud = (TAU * 2.1 * t + seed as f32).sin().powi(2);
            let voice: f32 = (1..12).map(|k| (TAU * pitch * k as f32 * t).sin() / k as f32).sum();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 8) as f32 / 8_388_608.0 - 1.0;
            let left = 6_000.0 * loud * (voice + 0.3 * hiss);
            [left as i16, (0.7 * left + 300.0 * hiss) as i16]
        })
        .collect()
}
