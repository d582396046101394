//! From stereo as it arrives to what a resampler takes, and back: part of a peer's time, so as fast as it can be made.

/// Writes the mean of each pair, rounded down. `mono` has half as many samples.
pub fn downmix_i16(stereo: &[i16], mono: &mut [i16]) {
    assert_eq!(stereo.len(), 2 * mono.len(), "whole pairs");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::downmix_i16(stereo, mono) };
    }
    scalar::downmix_i16(stereo, mono);
}

/// Writes the mean of each pair as -1.0 to 1.0. `mono` has half as many samples.
pub fn downmix_f32(stereo: &[i16], mono: &mut [f32]) {
    assert_eq!(stereo.len(), 2 * mono.len(), "whole pairs");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::downmix_f32(stereo, mono) };
    }
    scalar::downmix_f32(stereo, mono);
}

/// Appends samples of -1.0 to 1.0, rounded to nearest and clipped.
pub fn append_i16(samples: &[f32], out: &mut Vec<i16>) {
    append(out, samples.len(), |room| {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { avx2::to_i16(samples, room) };
            return samples.len();
        }
        scalar::to_i16(samples, room);
        samples.len()
    });
}

/// Gives `write` room for `most` samples behind `out`'s; it answers how many it has written.
pub fn append(out: &mut Vec<i16>, most: usize, write: impl FnOnce(&mut [i16]) -> usize) {
    let before = out.len();
    // Allocates nothing and writes nothing once `out` has been this long: see `Vec::spare_capacity_mut`.
    out.reserve(most);
    let room = &mut out.spare_capacity_mut()[..most];
    // SAFETY: the slice is exclusively ours and properly aligned; writers only write, and any bits are an `i16`.
    let room = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<i16>(), most) };
    let written = write(room);
    assert!(written <= most, "a resampler gave more than there was room for");
    // SAFETY: `written` samples are initialised, and within the capacity.
    unsafe { out.set_len(before + written) };
}

mod scalar {
    pub(super) fn downmix_i16(stereo: &[i16], mono: &mut [i16]) {
        for (out, pair) in mono.iter_mut().zip(stereo.as_chunks::<2>().0) {
            *out = ((i32::from(pair[0]) + i32::from(pair[1])) >> 1) as i16;
        }
    }

    pub(super) fn downmix_f32(stereo: &[i16], mono: &mut [f32]) {
        for (out, pair) in mono.iter_mut().zip(stereo.as_chunks::<2>().0) {
            *out = (i32::from(pair[0]) + i32::from(pair[1])) as f32 * (0.5 / 32_768.0);
        }
    }

    pub(super) fn to_i16(samples: &[f32], out: &mut [i16]) {
        for (out, sample) in out.iter_mut().zip(samples) {
            *out = (sample * 32_768.0).round_ties_even() as i16;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::scalar;

    #[target_feature(enable = "avx2")]
    pub(super) fn downmix_i16(stereo: &[i16], mono: &mut [i16]) {
        let (blocks, rest) = stereo.as_chunks::<32>();
        let (outs, last) = mono.as_chunks_mut::<16>();
        let ones = _mm256_set1_epi16(1);
        for (out, block) in outs.iter_mut().zip(blocks) {
            // SAFETY: both loads are within the 32 samples of the block, the store within the 16 of `out`.
            unsafe {
                let low = _mm256_madd_epi16(_mm256_loadu_si256(block.as_ptr().cast()), ones);
                let high = _mm256_madd_epi16(_mm256_loadu_si256(block[16..].as_ptr().cast()), ones);
                let means = _mm256_packs_epi32(_mm256_srai_epi32::<1>(low), _mm256_srai_epi32::<1>(high));
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(means));
            }
        }
        scalar::downmix_i16(rest, last);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn downmix_f32(stereo: &[i16], mono: &mut [f32]) {
        let (blocks, rest) = stereo.as_chunks::<16>();
        let (outs, last) = mono.as_chunks_mut::<8>();
        let (ones, scale) = (_mm256_set1_epi16(1), _mm256_set1_ps(0.5 / 32_768.0));
        for (out, block) in outs.iter_mut().zip(blocks) {
            // SAFETY: the load is the 16 samples of the block, the store the 8 of `out`.
            unsafe {
                let sums = _mm256_madd_epi16(_mm256_loadu_si256(block.as_ptr().cast()), ones);
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale));
            }
        }
        scalar::downmix_f32(rest, last);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn to_i16(samples: &[f32], out: &mut [i16]) {
        let (blocks, rest) = samples.as_chunks::<16>();
        let (outs, last) = out.as_chunks_mut::<16>();
        let (scale, most) = (_mm256_set1_ps(32_768.0), _mm256_set1_ps(32_767.0));
        for (out, block) in outs.iter_mut().zip(blocks) {
            // SAFETY: both loads are within the 16 samples of the block, the store is the 16 of `out`.
            unsafe {
                let load = |at: usize| {
                    let scaled = _mm256_mul_ps(_mm256_loadu_ps(block[at..].as_ptr()), scale);
                    _mm256_cvtps_epi32(_mm256_min_ps(scaled, most))
                };
                let packed = _mm256_packs_epi32(load(0), load(8));
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
            }
        }
        scalar::to_i16(rest, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_give_the_same() {
        let stereo: Vec<i16> = (0..2 * 203_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as i16).collect();
        let (mut a, mut b) = (vec![0; 203], vec![0; 203]);
        downmix_i16(&stereo, &mut a);
        scalar::downmix_i16(&stereo, &mut b);
        assert_eq!(a, b);
        let (mut a, mut b) = (vec![0.0; 203], vec![0.0; 203]);
        downmix_f32(&stereo, &mut a);
        scalar::downmix_f32(&stereo, &mut b);
        assert_eq!(a, b);
        let loud: Vec<f32> = a.iter().map(|s| s * 4.0).collect();
        let (mut got, mut want) = (Vec::new(), vec![0; 203]);
        append_i16(&loud, &mut got);
        scalar::to_i16(&loud, &mut want);
        assert_eq!(got, want);
    }
}
