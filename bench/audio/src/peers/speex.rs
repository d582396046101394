//! speexdsp's resampler.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use anyhow::{Result, ensure};

use super::{BLOCKS, Resampler, Setting, room};
use crate::convert::{append, append_i16, downmix_f32, downmix_i16};

#[link(name = "speexdsp")]
unsafe extern "C" {
    fn speex_resampler_init(channels: u32, from: u32, to: u32, quality: c_int, error: *mut c_int) -> *mut c_void;
    fn speex_resampler_process_float(
        state: *mut c_void,
        channel: u32,
        input: *const f32,
        frames: *mut u32,
        output: *mut f32,
        room: *mut u32,
    ) -> c_int;
    fn speex_resampler_process_int(
        state: *mut c_void,
        channel: u32,
        input: *const i16,
        frames: *mut u32,
        output: *mut i16,
        room: *mut u32,
    ) -> c_int;
    fn speex_resampler_destroy(state: *mut c_void);
}

pub(super) fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for quality in 0..=10 {
        for float in [true, false] {
            let name = format!("quality {quality}, {}", if float { "f32" } else { "s16" });
            all.extend(BLOCKS.map(|block| {
                Setting::new("speexdsp", name.clone(), (block, 3), move || Speex::new(quality, float, block))
            }));
        }
    }
    all
}

struct Speex {
    inner: NonNull<c_void>,
    float: bool,
    mono: Vec<i16>,
    mono_f32: Vec<f32>,
    output: Vec<f32>,
}

impl Speex {
    fn new(quality: c_int, float: bool, block: usize) -> Result<Self> {
        let mut error = 0;
        // SAFETY: numbers, and a pointer to a live one.
        let inner = unsafe { speex_resampler_init(1, 48_000, 16_000, quality, &raw mut error) };
        ensure!(error == 0, "speexdsp refuses the setting: {error}");
        let inner = NonNull::new(inner).ok_or_else(|| anyhow::anyhow!("speexdsp gives no resampler"))?;
        Ok(Self { inner, float, mono: vec![0; block], mono_f32: vec![0.0; block], output: vec![0.0; room(block)] })
    }
}

/// What a call has taken and given.
fn settle(error: c_int, frames: usize, taken: u32, given: u32) -> usize {
    assert!(error == 0 && taken as usize == frames, "speexdsp took {taken} of {frames}: {error}");
    given as usize
}

impl Resampler for Speex {
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
        let frames = stereo.len() / 2;
        let mut taken = frames as u32;
        let state = self.inner.as_ptr();
        if self.float {
            downmix_f32(stereo, &mut self.mono_f32[..frames]);
            let mut given = self.output.len() as u32;
            let (input, output) = (self.mono_f32.as_ptr(), self.output.as_mut_ptr());
            // SAFETY: the handle is live, the lengths are those of the buffers.
            let error =
                unsafe { speex_resampler_process_float(state, 0, input, &raw mut taken, output, &raw mut given) };
            append_i16(&self.output[..settle(error, frames, taken, given)], out);
        } else {
            downmix_i16(stereo, &mut self.mono[..frames]);
            append(out, room(frames), |to| {
                let mut given = to.len() as u32;
                let (input, output) = (self.mono.as_ptr(), to.as_mut_ptr());
                // SAFETY: the handle is live, the lengths are those of the buffers.
                let error =
                    unsafe { speex_resampler_process_int(state, 0, input, &raw mut taken, output, &raw mut given) };
                settle(error, frames, taken, given)
            });
        }
    }
}

impl Drop for Speex {
    fn drop(&mut self) {
        // SAFETY: made by `speex_resampler_init`, and destroyed once.
        unsafe { speex_resampler_destroy(self.inner.as_ptr()) };
    }
}
