//! Many bots on one core: each with its own state and its own input, taking turns block by block, so that caches are as
//! warm as they would be.

use std::hint::black_box;

use anyhow::Result;

use crate::peers::{Resampler, Setting};
use crate::race::{Runner, race};
use crate::{FRAME, ours, signal};

/// Counts of bots that are measured.
pub const BOTS: [usize; 7] = [1, 3, 10, 30, 100, 300, 1_000];
/// Frames of input that each bot has: ten times 20 ms, over and over.
const RING: usize = 10 * FRAME;

/// Shares of one core, for each of [`BOTS`].
pub struct Cost {
    pub name: String,
    pub shares: Vec<f64>,
}

/// What resampling costs with each of the settings.
pub fn resampling(settings: &[&Setting]) -> Result<Vec<Cost>> {
    let mut costs: Vec<Cost> =
        settings.iter().map(|s| Cost { name: s.library.to_owned(), shares: Vec::new() }).collect();
    let inputs = inputs(BOTS[BOTS.len() - 1]);
    for bots in BOTS {
        let inputs = &inputs[..bots];
        let mut crowds = settings.iter().map(|s| Crowd::new(s, inputs)).collect::<Result<Vec<_>>>()?;
        let seconds: Vec<f64> = crowds.iter().map(Crowd::seconds).collect();
        let mut runners: Vec<&mut dyn Runner> = crowds.iter_mut().map(|crowd| crowd as &mut dyn Runner).collect();
        let times = race(&mut runners, rounds(bots));
        for ((cost, time), seconds) in costs.iter_mut().zip(times).zip(seconds) {
            cost.shares.push(time.as_secs_f64() / seconds);
        }
    }
    Ok(costs)
}

/// What our whole chain costs.
pub fn chain(opus: bool) -> Result<Cost> {
    let inputs = inputs(BOTS[BOTS.len() - 1]);
    let shares = BOTS.map(|bots| share(opus, &inputs[..bots])).into_iter().collect::<Result<_>>()?;
    let name = if opus { "muster's chain with Opus" } else { "muster's chain" };
    Ok(Cost { name: name.to_owned(), shares })
}

/// Share of one core that our whole chain takes for so many bots.
pub fn chain_share(opus: bool, bots: usize) -> Result<f64> {
    share(opus, &inputs(bots))
}

fn share(opus: bool, inputs: &[Vec<i16>]) -> Result<f64> {
    let mut chains = Chains { bots: inputs.iter().map(|_| ours::Chain::new(opus)).collect::<Result<_>>()?, inputs };
    let time = race(&mut [&mut chains], rounds(inputs.len()))[0];
    Ok(time.as_secs_f64() / (RING as f64 / 48_000.0))
}

/// Few bots are measured more often: they take less time, so trouble hits them harder.
fn rounds(bots: usize) -> usize {
    (1_000 / bots).clamp(5, 100)
}

fn inputs(bots: usize) -> Vec<Vec<i16>> {
    // Some speak louder than others, all speak: silence would be cheaper.
    (0..bots as u32).map(|bot| signal::speech(bot + 1, RING)).collect()
}

struct Crowd<'a> {
    bots: Vec<(Box<dyn Resampler>, Vec<i16>)>,
    inputs: &'a [Vec<i16>],
    block: usize,
}

impl<'a> Crowd<'a> {
    fn new(setting: &Setting, inputs: &'a [Vec<i16>]) -> Result<Self> {
        let one = |_| Ok((setting.open()?, Vec::with_capacity(setting.block + FRAME)));
        Ok(Self { bots: inputs.iter().map(one).collect::<Result<_>>()?, inputs, block: setting.block })
    }

    /// Seconds of each bot's audio that a run takes.
    fn seconds(&self) -> f64 {
        (RING - RING % self.block) as f64 / 48_000.0
    }
}

impl Runner for Crowd<'_> {
    fn run(&mut self) {
        for turn in 0..RING / self.block {
            let span = 2 * turn * self.block..2 * (turn + 1) * self.block;
            for ((resampler, out), input) in self.bots.iter_mut().zip(self.inputs) {
                out.clear();
                resampler.process(black_box(&input[span.clone()]), out);
                black_box(out);
            }
        }
    }
}

struct Chains<'a> {
    bots: Vec<ours::Chain>,
    inputs: &'a [Vec<i16>],
}

impl Runner for Chains<'_> {
    fn run(&mut self) {
        for turn in 0..RING / FRAME {
            for (bot, input) in self.bots.iter_mut().zip(self.inputs) {
                bot.push(black_box(&input[2 * turn * FRAME..2 * (turn + 1) * FRAME]));
                black_box(bot.seen);
            }
        }
    }
}
