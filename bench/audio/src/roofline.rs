//! How many multiply-adds this core does if it does nothing else.

use std::hint::black_box;

use crate::race::Runner;

/// Steps of the loop in one run.
const STEPS: usize = 100_000;
/// Sums that do not wait for each other: more than latency times throughput of any core there is.
const SUMS: usize = 12;

#[cfg(target_arch = "x86_64")]
const LANES: usize = 8;
#[cfg(target_arch = "aarch64")]
const LANES: usize = 4;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const LANES: usize = 1;

/// The bare loop.
pub struct Roofline;

impl Roofline {
    /// Multiply-adds of one run.
    pub fn multiply_adds(&self) -> f64 {
        let lanes = if vectors() { LANES } else { 1 };
        (STEPS * SUMS * lanes) as f64
    }
}

impl Runner for Roofline {
    fn run(&mut self) {
        if vectors() {
            // SAFETY: the processor has what the function asks for.
            unsafe { vector_loop(black_box(0.999), black_box(0.001)) };
        } else {
            scalar_loop(black_box(0.999), black_box(0.001));
        }
    }
}

fn vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn vector_loop(a: f32, b: f32) {
    use std::arch::x86_64::*;
    let (a, b) = (_mm256_set1_ps(a), _mm256_set1_ps(b));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "aarch64")]
fn vector_loop(a: f32, b: f32) {
    use std::arch::aarch64::*;
    // SAFETY: every aarch64 has NEON.
    unsafe {
        let (a, b) = (vdupq_n_f32(a), vdupq_n_f32(b));
        let mut sums = [vdupq_n_f32(0.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = vfmaq_f32(b, *sum, a);
            }
        }
        black_box(sums);
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_loop(a: f32, b: f32) {
    scalar_loop(a, b);
}

fn scalar_loop(a: f32, b: f32) {
    let mut sums = [0.0_f32; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = *sum * a + b;
        }
    }
    black_box(sums);
}
