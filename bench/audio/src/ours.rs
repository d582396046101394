//! What is measured, and the only place that names it.

use anyhow::Result;
use muster_audio::codec::{Encoder, Tuning};
use muster_audio::level::Meter;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_audio::vad::Detector;

use crate::FRAME;
use crate::convert::downmix_i16;
use crate::peers::Resampler;

/// Multiply-adds that an output sample really takes: about half the length of the filter, which is symmetric.
pub fn multiplications() -> usize {
    Decimator::new(Rate::Hz16000, Channels::Mono).multiplications()
}

/// Our resampler, stereo in.
pub struct Stereo(Decimator);

impl Stereo {
    pub fn new() -> Self {
        Self(Decimator::new(Rate::Hz16000, Channels::Stereo))
    }
}

impl Resampler for Stereo {
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
        self.0.process(stereo, out);
    }
}

/// What one bot does to every 20 ms: mix down, look at them, make them small for speech to text, and code them.
pub struct Chain {
    mono: [i16; FRAME],
    meter: Meter,
    detector: Detector,
    decimator: Decimator,
    encoder: Option<Encoder>,
    out: Vec<i16>,
    /// Of what was found, so that nothing is optimised away.
    pub seen: usize,
}

impl Chain {
    pub fn new(opus: bool) -> Result<Self> {
        let encoder = opus.then(|| Encoder::new(Tuning::Voice, Tuning::Voice.default_bitrate())).transpose()?;
        Ok(Self {
            mono: [0; FRAME],
            meter: Meter::default(),
            detector: Detector::new(),
            decimator: Decimator::new(Rate::Hz16000, Channels::Mono),
            encoder,
            out: Vec::with_capacity(FRAME),
            seen: 0,
        })
    }

    /// Takes 20 ms of interleaved stereo.
    pub fn push(&mut self, stereo: &[i16]) {
        downmix_i16(stereo, &mut self.mono);
        self.meter.push(&self.mono);
        self.seen += usize::from(self.detector.push(&self.mono));
        self.out.clear();
        self.decimator.process(&self.mono, &mut self.out);
        self.seen += self.out.len();
        if let Some(encoder) = &mut self.encoder {
            self.seen += encoder.encode(&self.mono).expect("a whole frame").len();
        }
    }
}
