//! The filter in vectors of [`LANES`] outputs, for any instructions that have them.

use super::{Filter, HISTORY, LANES, MIDDLE, Phases};

/// Arithmetic on vectors of [`LANES`] numbers. All of it must be compiled as part of a function that has the
/// instructions enabled, hence `inline(always)` all the way down.
pub(super) trait Vectors: Copy {
    /// The numbers.
    type Vector: Copy;

    fn splat(self, number: f32) -> Self::Vector;
    fn sum(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn read(self, samples: &[f32; LANES]) -> Self::Vector;
    fn write(self, vector: Self::Vector, out: &mut [f32; LANES]);

    /// The outputs that the first groups of the block complete. `N` vectors of them are computed side by side: enough
    /// to hide the latency of the multiplier, and three times as many must fit the registers.
    #[inline(always)]
    fn convolve<const N: usize>(self, phases: &Phases, filter: &Filter, out: &mut [f32]) {
        let mut now = HISTORY;
        let mut tiles = out.chunks_exact_mut(N * LANES);
        for tile in &mut tiles {
            let sums = self.sums::<N>(phases, filter, now);
            for (slot, sum) in tile.as_chunks_mut().0.iter_mut().zip(sums) {
                self.write(sum, slot);
            }
            now += N * LANES;
        }
        for rest in tiles.into_remainder().chunks_mut(LANES) {
            let mut vector = [0.0; LANES];
            let [sum] = self.sums::<1>(phases, filter, now);
            self.write(sum, &mut vector);
            rest.copy_from_slice(&vector[..rest.len()]);
            now += LANES;
        }
    }

    /// `N` vectors of outputs, the first of which is complete at position `now` of the rows.
    #[inline(always)]
    fn sums<const N: usize>(self, phases: &Phases, filter: &Filter, now: usize) -> [Self::Vector; N] {
        let middle = self.splat(filter.middle);
        let samples = vectors(phases.row(0), now - MIDDLE, N);
        let mut sums = std::array::from_fn(|t| self.multiply(middle, self.read(&samples[t])));
        for pairs in &filter.pairs {
            let (newer, older) = (phases.row(pairs.newer), phases.row(pairs.older));
            let mut taps = &pairs.taps[..];
            for residue in 0..LANES {
                let (newest, oldest) = (now - residue, now + residue - pairs.back);
                let count = (pairs.count - residue).div_ceil(LANES);
                let (these, rest) = taps.split_at(count);
                taps = rest;
                sums = match count {
                    3 => self.add::<3, N>(these, newer, newest, older, oldest, sums),
                    4 => self.add::<4, N>(these, newer, newest, older, oldest, sums),
                    7 => self.add::<7, N>(these, newer, newest, older, oldest, sums),
                    _ => unreachable!("27, 28 or 56 pairs"),
                };
            }
        }
        sums
    }

    /// Adds the products of `Q` taps, `LANES` positions apart. A vector of samples serves as many taps as it meets.
    #[inline(always)]
    fn add<const Q: usize, const N: usize>(
        self,
        taps: &[f32],
        newer: &[f32],
        newest: usize,
        older: &[f32],
        oldest: usize,
        mut sums: [Self::Vector; N],
    ) -> [Self::Vector; N] {
        let newer = vectors(newer, newest - LANES * (Q - 1), N + Q - 1);
        let older = vectors(older, oldest, N + Q - 1);
        for (q, tap) in taps[..Q].iter().enumerate() {
            let tap = self.splat(*tap);
            for (t, sum) in sums.iter_mut().enumerate() {
                let (newer, older) = (self.read(&newer[t + Q - 1 - q]), self.read(&older[t + q]));
                *sum = self.multiply_add(tap, self.sum(newer, older), *sum);
            }
        }
        sums
    }
}

#[inline(always)]
fn vectors(row: &[f32], from: usize, count: usize) -> &[[f32; LANES]] {
    row[from..][..count * LANES].as_chunks().0
}
