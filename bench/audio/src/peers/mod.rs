//! Everybody who turns 48 kHz stereo into 16 kHz mono, behind one trait.

mod ffmpeg;
mod rubato;
mod soxr;
mod speex;

use anyhow::Result;

use crate::{FRAME, ours};

/// A stream from interleaved 48 kHz stereo to 16 kHz mono.
pub trait Resampler {
    /// Takes one block of the setting's length and appends what is ready, without allocating if there is room.
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>);
}

/// One way to set one library up.
pub struct Setting {
    /// Whose it is.
    pub library: &'static str,
    /// What is set.
    pub name: String,
    /// Frames of a block.
    pub block: usize,
    /// Frames of the smallest block it would take.
    pub smallest: usize,
    make: Box<dyn Fn() -> Result<Box<dyn Resampler>>>,
}

impl Setting {
    /// A setting for blocks of so many frames, of which so few are the least.
    pub fn new<R: Resampler + 'static>(
        library: &'static str,
        name: String,
        (block, smallest): (usize, usize),
        make: impl Fn() -> Result<R> + 'static,
    ) -> Self {
        Self { library, name, block, smallest, make: Box::new(move || Ok(Box::new(make()?))) }
    }

    /// A stream at rest.
    pub fn open(&self) -> Result<Box<dyn Resampler>> {
        (self.make)()
    }
}

/// Ours: 20 ms at a time, as in a call.
pub fn ours() -> Setting {
    Setting::new("muster", "Decimator".into(), (FRAME, 3), || Ok(ours::Stereo::new()))
}

/// Everybody else, at every setting that is tried.
pub fn others() -> Vec<Setting> {
    [rubato::settings(), soxr::settings(), speex::settings(), ffmpeg::settings()].into_iter().flatten().collect()
}

/// Blocks that a library is given if it takes any: 20 ms as they come, and 100 ms.
const BLOCKS: [usize; 2] = [FRAME, 5 * FRAME];

/// Room for the output of a block that a library may have held back from earlier ones.
fn room(block: usize) -> usize {
    block / 3 + 16_384
}
