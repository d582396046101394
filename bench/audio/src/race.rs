//! Timing in turns: every round lets everybody run once, so that what else the machine does hits all alike; the best
//! round of each counts. Time is what the thread had of its core, not what went by while others had it.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::peers::{Resampler, Setting};

/// Somebody who takes part.
pub trait Runner {
    /// Does the work once.
    fn run(&mut self);
}

/// Runs all in turns and answers each one's best time. The first round warms up and does not count.
pub fn race(runners: &mut [&mut dyn Runner], rounds: usize) -> Vec<Duration> {
    let mut best = vec![Duration::MAX; runners.len()];
    for round in 0..=rounds {
        for (runner, best) in runners.iter_mut().zip(&mut best) {
            let start = core_time();
            runner.run();
            let took = core_time().saturating_sub(start);
            if round > 0 {
                *best = took.min(*best);
            }
        }
    }
    best
}

/// What this thread has had of a core so far.
fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// One stream through one resampler, block by block.
pub struct Stream<'a> {
    inner: Box<dyn Resampler>,
    block: usize,
    input: &'a [i16],
    out: Vec<i16>,
}

impl<'a> Stream<'a> {
    pub fn new(setting: &Setting, input: &'a [i16]) -> Result<Self> {
        Ok(Self { inner: setting.open()?, block: setting.block, input, out: Vec::with_capacity(input.len()) })
    }

    /// Seconds of audio that a run takes.
    pub fn seconds(&self) -> f64 {
        let frames = self.input.len() / 2;
        (frames - frames % self.block) as f64 / 48_000.0
    }
}

impl Runner for Stream<'_> {
    fn run(&mut self) {
        for block in self.input.chunks_exact(2 * self.block) {
            self.out.clear();
            self.inner.process(black_box(block), &mut self.out);
            black_box(&self.out);
        }
    }
}
