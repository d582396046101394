//! AVX2 and FMA; the same with the twice as many registers of AVX-512 where they are.

#![expect(unsafe_code, reason = "calls of what the machine was found to have, and loads and stores of registers")]

use std::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_blend_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_mul_ps, _mm256_permute4x64_pd, _mm256_permutevar8x32_ps, _mm256_set1_ps, _mm256_setr_epi32,
    _mm256_shuffle_ps, _mm256_storeu_ps,
};

use super::vector::Vectors;
use super::{CHUNK, Filter, LANES, Phases};
use crate::resample::sample::Sample;

/// Proof that this machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2 {
    /// Thirty-two registers instead of sixteen.
    wide: bool,
}

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self { wide })
    }

    /// With all registers, and with half of them.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let all = Self::detect().map(|most| if most.wide { vec![most, Self { wide: false }] } else { vec![most] });
        all.unwrap_or_default()
    }

    pub(super) fn load<S: Sample>(self, phases: &mut Phases, at: usize, input: &[S], channels: usize) {
        // SAFETY: a value of this type exists only where AVX2 and FMA were found.
        unsafe { load(self, phases, at, input, channels) }
    }

    pub(super) fn filter(self, phases: &Phases, filter: &Filter, out: &mut [f32]) {
        if self.wide {
            // SAFETY: `wide` says that AVX-512 was found.
            unsafe { wide(self, phases, filter, out) }
        } else {
            // SAFETY: as for `load`.
            unsafe { narrow(self, phases, filter, out) }
        }
    }

    pub(super) fn store<S: Sample>(self, outputs: &[f32], out: &mut Vec<S>) {
        // SAFETY: as for `load`.
        unsafe { store(outputs, out) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn load<S: Sample>(avx2: Avx2, phases: &mut Phases, at: usize, input: &[S], channels: usize) {
    match phases.factor {
        2 => phases.load(at, input, channels, |phases, at, mono| avx2.spread::<2>(phases, at, mono)),
        3 => phases.load(at, input, channels, |phases, at, mono| avx2.spread::<3>(phases, at, mono)),
        _ => phases.load(at, input, channels, |phases, at, mono| avx2.spread::<6>(phases, at, mono)),
    }
}

/// The portable code, compiled for wider registers.
#[target_feature(enable = "avx2,fma")]
fn store<S: Sample>(outputs: &[f32], out: &mut Vec<S>) {
    super::store(outputs, out);
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
fn wide(avx2: Avx2, phases: &Phases, filter: &Filter, out: &mut [f32]) {
    avx2.convolve::<10>(phases, filter, out);
}

#[target_feature(enable = "avx2,fma")]
fn narrow(avx2: Avx2, phases: &Phases, filter: &Filter, out: &mut [f32]) {
    avx2.convolve::<4>(phases, filter, out);
}

impl Vectors for Avx2 {
    type Vector = __m256;

    #[inline(always)]
    fn splat(self, number: f32) -> __m256 {
        // SAFETY: a value of this type exists only where AVX2 and FMA were found. So below.
        unsafe { _mm256_set1_ps(number) }
    }

    #[inline(always)]
    fn sum(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn read(self, samples: &[f32; LANES]) -> __m256 {
        // SAFETY: see `splat`; the array is as long as the register, and the load an unaligned one.
        unsafe { _mm256_loadu_ps(samples.as_ptr()) }
    }

    #[inline(always)]
    fn write(self, sum: __m256, out: &mut [f32; LANES]) {
        // SAFETY: see `splat`; the array is as long as the register, and the store an unaligned one.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), sum) };
    }
}

/// To be compiled as part of functions that have the instructions enabled.
impl Avx2 {
    #[inline(always)]
    fn spread<const D: usize>(self, phases: &mut Phases, at: usize, mono: &[f32; CHUNK]) {
        let (v, _) = mono.as_chunks();
        let v: [__m256; CHUNK / LANES] = std::array::from_fn(|i| self.read(&v[i]));
        let rows: [__m256; CHUNK / LANES] = match D {
            2 => {
                let [a, b] = self.by_2(v[0], v[1]);
                let [c, d] = self.by_2(v[2], v[3]);
                let [e, f] = self.by_2(v[4], v[5]);
                [a, c, e, b, d, f]
            }
            3 => {
                let [a, b, c] = self.by_3(v[0], v[1], v[2]);
                let [d, e, f] = self.by_3(v[3], v[4], v[5]);
                [a, d, b, e, c, f]
            }
            _ => {
                let [a, b, c] = self.by_3(v[0], v[1], v[2]);
                let [d, e, f] = self.by_3(v[3], v[4], v[5]);
                let ([a, d], [b, e], [c, f]) = (self.by_2(a, d), self.by_2(b, e), self.by_2(c, f));
                [a, b, c, d, e, f]
            }
        };
        for (row, vectors) in rows.chunks_exact(CHUNK / LANES / D).enumerate() {
            let slots = phases.slots(row, at, CHUNK / D).as_chunks_mut().0.iter_mut();
            slots.zip(vectors).for_each(|(slot, vector)| self.write(*vector, slot));
        }
    }

    /// The samples at even places, and those at odd ones.
    #[inline(always)]
    fn by_2(self, a: __m256, b: __m256) -> [__m256; 2] {
        // SAFETY: see `splat`.
        unsafe {
            // Of each half, two from `a` and two from `b`; then the quarters into order.
            let order = |v| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)));
            [order(_mm256_shuffle_ps::<0b10_00_10_00>(a, b)), order(_mm256_shuffle_ps::<0b11_01_11_01>(a, b))]
        }
    }

    /// The samples whose places are 0, 1 and 2 modulo 3.
    #[inline(always)]
    fn by_3(self, a: __m256, b: __m256, c: __m256) -> [__m256; 3] {
        // SAFETY: see `splat`.
        unsafe {
            // The places of the three vectors that are alike modulo 3 never meet, so blending loses none.
            let row = |a, b, c, order| {
                let blended = _mm256_blend_ps::<0b0010_0100>(_mm256_blend_ps::<0b1001_0010>(a, b), c);
                _mm256_permutevar8x32_ps(blended, order)
            };
            [
                row(a, b, c, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5)),
                row(c, a, b, _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6)),
                row(b, c, a, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7)),
            ]
        }
    }
}
