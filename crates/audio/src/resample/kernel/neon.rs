//! NEON: two registers make a vector.

#![expect(unsafe_code, reason = "calls of what the machine was found to have, and loads and stores of registers")]

use std::arch::aarch64::{float32x4x2_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32_x2, vmulq_f32, vst1q_f32_x2};
use std::arch::is_aarch64_feature_detected;

use super::vector::Vectors;
use super::{Filter, LANES, Phases};

/// Proof that this machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    pub(super) fn filter(self, phases: &Phases, filter: &Filter, out: &mut [f32]) {
        // SAFETY: a value of this type exists only where NEON was found.
        unsafe { narrow(self, phases, filter, out) }
    }
}

/// Four vectors and the samples of both sides take 24 of the 32 registers.
#[target_feature(enable = "neon")]
fn narrow(neon: Neon, phases: &Phases, filter: &Filter, out: &mut [f32]) {
    neon.convolve::<4>(phases, filter, out);
}

impl Vectors for Neon {
    type Vector = float32x4x2_t;

    #[inline(always)]
    fn splat(self, number: f32) -> float32x4x2_t {
        // SAFETY: a value of this type exists only where NEON was found. So below.
        let one = unsafe { vdupq_n_f32(number) };
        float32x4x2_t(one, one)
    }

    #[inline(always)]
    fn sum(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: see `splat`.
        unsafe { float32x4x2_t(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn multiply(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: see `splat`.
        unsafe { float32x4x2_t(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn multiply_add(self, a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: see `splat`.
        unsafe { float32x4x2_t(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1)) }
    }

    #[inline(always)]
    fn read(self, samples: &[f32; LANES]) -> float32x4x2_t {
        // SAFETY: see `splat`; the array is as long as both registers.
        unsafe { vld1q_f32_x2(samples.as_ptr()) }
    }

    #[inline(always)]
    fn write(self, vector: float32x4x2_t, out: &mut [f32; LANES]) {
        // SAFETY: see `splat`; the array is as long as both registers.
        unsafe { vst1q_f32_x2(out.as_mut_ptr(), vector) };
    }
}
