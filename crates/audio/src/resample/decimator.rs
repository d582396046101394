use super::kernel::{BLOCK, Filter, Kernel, MIDDLE, Phases};
use super::sample::Sample;
use super::taps;
use crate::RATE;

/// A rate to decimate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 24 kHz.
    Hz24000,
    /// 16 kHz, what speech to text wants.
    Hz16000,
    /// 8 kHz.
    Hz8000,
}

impl Rate {
    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        RATE / self.factor() as u32
    }

    const fn factor(self) -> usize {
        match self {
            Self::Hz24000 => 2,
            Self::Hz16000 => 3,
            Self::Hz8000 => 6,
        }
    }

    /// The first half of the filter, and its middle.
    const fn half_filter(self) -> &'static [f32] {
        match self {
            Self::Hz24000 => &taps::BY_2,
            Self::Hz16000 => &taps::BY_3,
            Self::Hz8000 => &taps::BY_6,
        }
    }
}

/// Layout of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One channel.
    Mono,
    /// Two, interleaved; their mean is taken.
    Stereo,
}

impl Channels {
    pub(super) const fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }
}

/// Streaming conversion from 48 kHz to a lower rate, mono.
///
/// Linear phase; flat within 0.1 dB up to 7/8 of the output's Nyquist frequency (7 kHz at 16 kHz), at least 90 dB down
/// from the Nyquist frequency on. Blocks may have any length, down to half a stereo pair; the output does not depend on
/// how the input was cut.
#[derive(Clone, Debug)]
pub struct Decimator {
    rate: Rate,
    channels: Channels,
    kernel: Kernel,
    filter: Filter,
    phases: Phases,
    outputs: Box<[f32; BLOCK]>,
    /// Samples that have come of the next group.
    started: usize,
    /// A left sample whose right one has not come yet.
    left: Option<f32>,
}

impl Decimator {
    /// A decimator at rest, with the fastest instructions that this machine has.
    #[must_use]
    pub fn new(rate: Rate, input: Channels) -> Self {
        Self::with_kernel(rate, input, Kernel::detect())
    }

    pub(super) fn with_kernel(rate: Rate, channels: Channels, kernel: Kernel) -> Self {
        Self {
            rate,
            channels,
            kernel,
            filter: Filter::new(rate.half_filter(), rate.factor()),
            phases: Phases::new(rate.factor()),
            outputs: Box::new([0.0; BLOCK]),
            started: 0,
            left: None,
        }
    }

    /// Delay of the output, in output samples: what happens at input sample `3 * n` shows at output sample
    /// `n + latency` (for 16 kHz). The same for every rate: 1.7 ms at 16 kHz.
    #[must_use]
    pub const fn latency_samples(&self) -> usize {
        MIDDLE
    }

    /// Multiplications that one output takes. The filter is about twice as long; it is symmetric.
    #[must_use]
    pub fn multiplications(&self) -> usize {
        self.filter.multiplications()
    }

    /// Appends the conversion of interleaved samples to `out`. Does not allocate if `out` has room for
    /// [`output_len`](Self::output_len) more. Output as `f32` can go beyond full scale a little where the input reaches
    /// it; as `i16` it saturates.
    pub fn process<I: Sample, O: Sample>(&mut self, input: &[I], out: &mut Vec<O>) {
        let mut rest = input;
        while !rest.is_empty() {
            rest = &rest[self.fill(rest, out)..];
        }
    }

    /// How many outputs the next `input` interleaved samples give.
    #[must_use]
    pub const fn output_len(&self, input: usize) -> usize {
        let frames = (input + self.left.is_some() as usize) / self.channels.count();
        (frames + self.started) / self.rate.factor()
    }

    /// Appends what is still inside, as if silence followed, and returns to rest. Altogether there are then
    /// [`latency_samples`](Self::latency_samples) more outputs than the input had groups, the last one rounded up.
    pub fn finish<O: Sample>(&mut self, out: &mut Vec<O>) {
        let silence = [0_i16; 12];
        let group = self.rate.factor() * self.channels.count();
        // What has begun has an output of its own.
        let begun = self.started > 0 || self.left.is_some();
        for _ in 0..self.latency_samples() + usize::from(begun) {
            self.process(&silence[..group], out);
        }
        self.left = None;
        self.phases.clear();
        self.started = 0;
    }

    /// Takes as many samples as make one block, gives out what they complete, and answers how many they were.
    fn fill<I: Sample, O: Sample>(&mut self, input: &[I], out: &mut Vec<O>) -> usize {
        let (factor, channels) = (self.rate.factor(), self.channels.count());
        let mut used = 0;
        let mut groups = 0;
        // One by one until a group begins, then whole groups, then one by one what does not make one.
        while used < input.len() && (self.started > 0 || self.left.is_some()) {
            groups += self.take(input[used], groups);
            used += 1;
        }
        let whole = ((input.len() - used) / (factor * channels)).min(BLOCK - groups);
        let end = used + whole * factor * channels;
        self.kernel.load(&mut self.phases, groups, &input[used..end], channels);
        (used, groups) = (end, groups + whole);
        while used < input.len() && groups < BLOCK {
            groups += self.take(input[used], groups);
            used += 1;
        }
        let outputs = &mut self.outputs[..groups];
        self.kernel.filter(&self.phases, &self.filter, outputs);
        self.kernel.store(outputs, out);
        self.phases.pass(groups);
        used
    }

    /// Takes one sample of group `group` and answers whether it completes the group.
    fn take<I: Sample>(&mut self, sample: I, group: usize) -> usize {
        let sample = match (self.channels, self.left.take()) {
            (Channels::Mono, _) => sample.to_f32(),
            (Channels::Stereo, Some(left)) => (left + sample.to_f32()) * 0.5,
            (Channels::Stereo, None) => {
                self.left = Some(sample.to_f32());
                return 0;
            }
        };
        self.phases.set(group, self.started, sample);
        self.started += 1;
        let complete = self.started == self.rate.factor();
        if complete {
            self.started = 0;
        }
        usize::from(complete)
    }
}

#[cfg(test)]
mod tests;
