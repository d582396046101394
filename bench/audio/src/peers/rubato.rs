//! rubato, the Rust library.

use anyhow::Result;
use audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, SincInterpolationParameters, SincInterpolationType, WindowFunction,
    calculate_cutoff,
};

use super::{BLOCKS, Resampler, Setting};
use crate::convert::{append_i16, downmix_f32};

const LIBRARY: &str = "rubato 5.1";

/// Input chunks of the FFT resampler: products of 2, 3 and 5, which its transforms like.
const CHUNKS: [usize; 15] = [192, 240, 288, 384, 480, 576, 768, 960, 1_152, 1_536, 1_920, 2_304, 3_072, 3_840, 4_800];

pub(super) fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for window in [
        WindowFunction::Hann2,
        WindowFunction::Blackman,
        WindowFunction::Blackman2,
        WindowFunction::BlackmanHarris,
        WindowFunction::BlackmanHarris2,
    ] {
        all.extend(CHUNKS.map(|chunk| fft(chunk, window)));
    }
    for window in [WindowFunction::Blackman2, WindowFunction::BlackmanHarris] {
        for length in [128, 192, 256, 320, 384, 512] {
            all.extend(BLOCKS.map(|block| sinc(block, length, window)));
        }
    }
    all
}

fn fft(chunk: usize, window: WindowFunction) -> Setting {
    Setting::new(LIBRARY, format!("Fft {chunk} {window:?}"), (chunk, chunk), move || {
        Ok(Chunked::new(Fft::<f32>::new_custom(48_000, 16_000, chunk, 1, 1, window, FixedSync::Both)?, chunk))
    })
}

fn sinc(chunk: usize, length: usize, window: WindowFunction) -> Setting {
    // Whole ratio: every output falls on an input sample, so there is nothing to interpolate. The cutoff that it would
    // choose is for a third of the decimation; this is its own rule for a filter that is three times too short.
    let parameters = SincInterpolationParameters {
        sinc_len: length,
        f_cutoff: Some(calculate_cutoff(length / 3, window)),
        oversampling_factor: 1,
        interpolation: SincInterpolationType::Nearest,
        window,
    };
    Setting::new(LIBRARY, format!("Async sinc {length} {window:?}"), (chunk, chunk), move || {
        Ok(Chunked::new(Async::<f32>::new_sinc(1.0 / 3.0, 1.0, &parameters, chunk, 1, FixedAsync::Input)?, chunk))
    })
}

struct Chunked<R> {
    inner: R,
    mono: Vec<f32>,
    output: Vec<f32>,
}

impl<R: rubato::Resampler<f32>> Chunked<R> {
    fn new(inner: R, chunk: usize) -> Self {
        let output = vec![0.0; inner.output_frames_max()];
        Self { inner, mono: vec![0.0; chunk], output }
    }

    fn convert(&mut self) -> Result<usize> {
        let (frames, room) = (self.mono.len(), self.output.len());
        let input = SequentialSlice::new(&self.mono, 1, frames)?;
        let mut output = SequentialSlice::new_mut(&mut self.output, 1, room)?;
        Ok(self.inner.process_into_buffer(&input, &mut output, None)?.1)
    }
}

impl<R: rubato::Resampler<f32>> Resampler for Chunked<R> {
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
        downmix_f32(stereo, &mut self.mono);
        let written = self.convert().expect("the chunk is of the size that was asked for");
        append_i16(&self.output[..written], out);
    }
}
