//! The inner loop of the filters.

/// Samples that one step of [`dot`] takes; filters are padded to a multiple of it.
pub(super) const LANES: usize = 16;

/// Scalar product of two slices of one length, a multiple of [`LANES`].
///
/// Independent sums per lane are what lets the compiler use vector registers; the order of additions is fixed, so the
/// result does not depend on how a stream was cut into blocks.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert!(a.len() == b.len() && a.len().is_multiple_of(LANES));
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
