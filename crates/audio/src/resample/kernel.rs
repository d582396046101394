//! The inner loops of a decimator: samples into phases, the filter, and samples out again.
//!
//! A filter that keeps every `D`-th output is the sum of `D` filters, each over every `D`-th sample of the input. With
//! these phases apart, neighbouring outputs need neighbouring samples, so one vector register holds as many outputs as
//! it has lanes and nothing is ever summed across lanes.
//!
//! Every kernel adds in the same order, whatever the block, so a stream may be cut anywhere. Between kernels only the
//! rounding of the multiplication differs: fused ones round once, the scalar one twice.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(dead_code, reason = "no vectors here"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use super::sample::Sample;

/// Taps of one phase.
const TAPS: usize = 56;
/// Outputs of one vector.
const LANES: usize = 8;
/// Groups kept from before a block: as many as a filter reaches back, and aligned.
pub(super) const HISTORY: usize = 64;
/// Groups that a block may have.
pub(super) const BLOCK: usize = 320;
/// Frames that are spread at a time: whole vectors for every factor.
const CHUNK: usize = 48;
/// Length of one phase: the last vector of outputs may reach beyond the block.
pub(super) const STRIDE: usize = HISTORY + BLOCK + LANES;

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// None in particular: the reference.
    Scalar,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Kernel {
    /// The fastest one that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = x86::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(neon) = neon::Neon::detect() {
            return Self::Neon(neon);
        }
        Self::Scalar
    }

    /// All that this machine has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(x86::Avx2::all().into_iter().map(Self::Avx2));
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::Neon::detect().map(Self::Neon));
        all
    }

    /// Spreads interleaved frames of `channels` samples over the phases, from `at` on. The input is whole groups, and
    /// they fit. Of two channels the mean is taken.
    pub(super) fn load<S: Sample>(self, phases: &mut Phases, at: usize, input: &[S], channels: usize) {
        match self {
            Self::Scalar => phases.load(at, input, channels, Phases::spread),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.load(phases, at, input, channels),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => phases.load(at, input, channels, Phases::spread),
        }
    }

    /// The outputs that the first groups of the block complete, one per group, as many as `out` holds.
    pub(super) fn filter(self, phases: &Phases, filter: &Filter, out: &mut [f32]) {
        match self {
            Self::Scalar => scalar::filter(phases, filter, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.filter(phases, filter, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) => neon.filter(phases, filter, out),
        }
    }

    /// Appends the outputs.
    pub(super) fn store<S: Sample>(self, outputs: &[f32], out: &mut Vec<S>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.store(outputs, out),
            _ => store(outputs, out),
        }
    }
}

/// The samples of a stream, every `factor`-th in a row of its own.
#[derive(Clone, Debug)]
pub(super) struct Phases {
    factor: usize,
    /// `factor` rows of [`STRIDE`]; in each, [`HISTORY`] samples of the past come first.
    rows: Box<[f32]>,
}

impl Phases {
    pub(super) fn new(factor: usize) -> Self {
        Self { factor, rows: vec![0.0; factor * STRIDE].into_boxed_slice() }
    }

    /// Silence from the beginning of time.
    pub(super) fn clear(&mut self) {
        self.rows.fill(0.0);
    }

    pub(super) fn set(&mut self, group: usize, phase: usize, sample: f32) {
        self.rows[phase * STRIDE + HISTORY + group] = sample;
    }

    /// Makes the first `groups` of the block the past. What has come of the group after them is kept.
    pub(super) fn pass(&mut self, groups: usize) {
        for row in self.rows.chunks_exact_mut(STRIDE) {
            // By way of a copy of known length, which takes a few vector registers.
            let kept: [f32; HISTORY + LANES] = row[groups..][..HISTORY + LANES].try_into().expect("as long as that");
            row[..HISTORY + LANES].copy_from_slice(&kept);
        }
    }

    #[inline(always)]
    fn row(&self, phase: usize) -> &[f32] {
        &self.rows[phase * STRIDE..(phase + 1) * STRIDE]
    }

    /// The part of a row that takes `count` groups from `at` on.
    #[inline(always)]
    fn slots(&mut self, row: usize, at: usize, count: usize) -> &mut [f32] {
        &mut self.rows[row * STRIDE + HISTORY + at..][..count]
    }

    /// The portable [`Kernel::load`], with what spreads a whole chunk.
    #[inline(always)]
    fn load<S: Sample>(
        &mut self,
        at: usize,
        input: &[S],
        channels: usize,
        spread: impl Fn(&mut Self, usize, &[f32; CHUNK]),
    ) {
        let groups = CHUNK / self.factor;
        let mut chunks = input.chunks_exact(CHUNK * channels);
        let mut next = at;
        for chunk in &mut chunks {
            let mut mono = [0.0; CHUNK];
            match (chunk.as_array::<CHUNK>(), chunk.as_array::<{ 2 * CHUNK }>()) {
                (Some(samples), _) => (0..CHUNK).for_each(|i| mono[i] = samples[i].to_f32()),
                (_, Some(pairs)) => (0..CHUNK).for_each(|i| mono[i] = pairs[2 * i].mean(pairs[2 * i + 1])),
                _ => unreachable!("one channel or two"),
            }
            spread(self, next, &mono);
            next += groups;
        }
        for (i, frame) in chunks.remainder().chunks_exact(channels).enumerate() {
            let mono = if let [left, right] = frame { left.mean(*right) } else { frame[0].to_f32() };
            self.set(next + i / self.factor, i % self.factor, mono);
        }
    }

    fn spread(&mut self, at: usize, mono: &[f32; CHUNK]) {
        for row in 0..self.factor {
            let samples = mono.iter().skip(row).step_by(self.factor);
            self.slots(row, at, CHUNK / self.factor).iter_mut().zip(samples).for_each(|(slot, sample)| *slot = *sample);
        }
    }
}

#[inline(always)]
fn store<S: Sample>(outputs: &[f32], out: &mut Vec<S>) {
    out.extend(outputs.iter().map(|y| S::from_f32(*y)));
}

/// A symmetric filter as the kernels use it: samples at the same distance from its middle are added first, then
/// multiplied once.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// The tap in the middle; its sample is [`MIDDLE`] groups back in the first row.
    middle: f32,
    pairs: Vec<Pairs>,
}

/// The pairs of samples of two rows, or of one, that share taps.
#[derive(Clone, Debug)]
struct Pairs {
    /// This row, from the newest sample of a group backwards ...
    newer: usize,
    /// ... meets this one, from [`Self::back`] groups earlier forwards.
    older: usize,
    back: usize,
    /// By position modulo [`LANES`], then by position.
    taps: Vec<f32>,
    /// How many pairs there are.
    count: usize,
}

/// Groups from the newest sample of a filter to the one in its middle.
pub(super) const MIDDLE: usize = TAPS / 2 - 1;

impl Filter {
    /// `half` is the first half of a filter of `factor * TAPS - 1` taps, and its middle.
    pub(super) fn new(half: &[f32], factor: usize) -> Self {
        let (middle, half) = half.split_last().expect("a filter has taps");
        // Output `m` is complete with the last row of group `m`, so tap `k` meets row `factor - 1 - k % factor`.
        let pairs = (0..=factor / 2).map(|row| {
            let older = (factor - row) % factor;
            let back = TAPS - 1 - usize::from(row == 0);
            let count = if older == row { back.div_ceil(2) } else { TAPS };
            let tap = |back: usize| {
                let k = factor * back + factor - 1 - row;
                half.get(k).or_else(|| half.get(2 * half.len() - k)).copied().expect("the filter is symmetric")
            };
            let taps = (0..LANES).flat_map(|residue| (residue..count).step_by(LANES)).map(tap).collect();
            Pairs { newer: row, older, back, taps, count }
        });
        Self { middle: *middle, pairs: pairs.collect() }
    }

    /// Multiplications for one output.
    pub(super) fn multiplications(&self) -> usize {
        1 + self.pairs.iter().map(|pairs| pairs.count).sum::<usize>()
    }
}
