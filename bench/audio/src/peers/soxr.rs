//! libsoxr, the SoX resampler.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr::{NonNull, null_mut};

use anyhow::{Result, ensure};

use super::{BLOCKS, Resampler, Setting, room};
use crate::convert::{append, append_i16, downmix_f32, downmix_i16};

const FLOAT32: c_int = 0;
const INT16: c_int = 3;
const NO_DITHER: c_ulong = 8;
const HQ: c_ulong = 4;

#[repr(C)]
struct IoSpec {
    itype: c_int,
    otype: c_int,
    scale: f64,
    e: *mut c_void,
    flags: c_ulong,
}

#[repr(C)]
struct QualitySpec {
    precision: f64,
    phase_response: f64,
    passband_end: f64,
    stopband_begin: f64,
    e: *mut c_void,
    flags: c_ulong,
}

#[repr(C)]
struct RuntimeSpec {
    log2_min_dft_size: c_uint,
    log2_large_dft_size: c_uint,
    coef_size_kbytes: c_uint,
    num_threads: c_uint,
    e: *mut c_void,
    flags: c_ulong,
}

#[link(name = "soxr")]
unsafe extern "C" {
    fn soxr_quality_spec(recipe: c_ulong, flags: c_ulong) -> QualitySpec;
    fn soxr_runtime_spec(threads: c_uint) -> RuntimeSpec;
    fn soxr_create(
        from: f64,
        to: f64,
        channels: c_uint,
        error: *mut *const c_char,
        io: *const IoSpec,
        quality: *const QualitySpec,
        runtime: *const RuntimeSpec,
    ) -> *mut c_void;
    fn soxr_process(
        soxr: *mut c_void,
        input: *const c_void,
        frames: usize,
        taken: *mut usize,
        output: *mut c_void,
        room: usize,
        given: *mut usize,
    ) -> *const c_char;
    fn soxr_delete(soxr: *mut c_void);
}

/// What is varied.
#[derive(Clone, Copy)]
struct Choice {
    recipe: c_ulong,
    /// Instead of the recipe's, in bits.
    precision: Option<f64>,
    /// Instead of the recipe's, as a fraction of 8 kHz.
    pass: Option<f64>,
    log2_dft: c_uint,
    float: bool,
}

impl Choice {
    const fn recipe(recipe: c_ulong, float: bool) -> Self {
        Self { recipe, precision: None, pass: None, log2_dft: 10, float }
    }

    fn name(self) -> String {
        let recipe = ["QQ", "LQ", "MQ", "16 bit", "HQ", "24 bit", "VHQ"][self.recipe as usize];
        let precision = self.precision.map_or_else(|| recipe.into(), |bits| format!("{bits} bit"));
        let pass = self.pass.map_or_else(String::new, |pass| format!(", pass to {:.2} kHz", 8.0 * pass));
        let kind = if self.float { "f32" } else { "s16" };
        format!("{precision}{pass}, DFT 2^{}, {kind}", self.log2_dft)
    }
}

pub(super) fn settings() -> Vec<Setting> {
    let mut choices = Vec::new();
    for recipe in [1, 2, 3, 4, 6] {
        choices.extend([true, false].map(|float| Choice::recipe(recipe, float)));
    }
    // 15 bits is the least that it takes; what is flat to less than 7 kHz may still be flat enough.
    for precision in [None, Some(15.0), Some(16.0)] {
        for pass in [0.875, 0.84, 0.82] {
            for log2_dft in [8, 10, 11, 12] {
                choices.push(Choice { precision, pass: Some(pass), log2_dft, ..Choice::recipe(HQ, true) });
            }
        }
    }
    let with_blocks = |choice: Choice| {
        BLOCKS.map(|block| Setting::new("libsoxr", choice.name(), (block, 3), move || Soxr::new(choice, block)))
    };
    choices.into_iter().flat_map(with_blocks).collect()
}

struct Soxr {
    inner: NonNull<c_void>,
    float: bool,
    mono: Vec<i16>,
    mono_f32: Vec<f32>,
    output: Vec<f32>,
}

impl Soxr {
    fn new(choice: Choice, block: usize) -> Result<Self> {
        let kind = if choice.float { FLOAT32 } else { INT16 };
        let io = IoSpec { itype: kind, otype: kind, scale: 1.0, e: null_mut(), flags: NO_DITHER };
        // SAFETY: both make a struct from numbers.
        let (mut quality, mut runtime) = unsafe { (soxr_quality_spec(choice.recipe, 0), soxr_runtime_spec(1)) };
        runtime.log2_min_dft_size = choice.log2_dft;
        quality.precision = choice.precision.unwrap_or(quality.precision);
        if let Some(pass) = choice.pass {
            (quality.passband_end, quality.stopband_begin) = (pass, 1.0);
        }
        let mut error = std::ptr::null();
        // SAFETY: the pointers are to live structs of the library's layout.
        let inner = unsafe { soxr_create(48_000.0, 16_000.0, 1, &raw mut error, &io, &quality, &runtime) };
        ensure!(error.is_null(), "libsoxr refuses the setting");
        let inner = NonNull::new(inner).ok_or_else(|| anyhow::anyhow!("libsoxr gives no resampler"))?;
        Ok(Self {
            inner,
            float: choice.float,
            mono: vec![0; block],
            mono_f32: vec![0.0; block],
            output: vec![0.0; room(block)],
        })
    }

    /// # Safety
    /// `input` has `frames` samples and `output` room for `room`, of the kind that was chosen.
    unsafe fn convert(&mut self, input: *const c_void, frames: usize, output: *mut c_void, room: usize) -> usize {
        let (mut taken, mut given) = (0, 0);
        let soxr = self.inner.as_ptr();
        // SAFETY: the handle is live, the rest is the caller's promise.
        let error = unsafe { soxr_process(soxr, input, frames, &raw mut taken, output, room, &raw mut given) };
        assert!(error.is_null() && taken == frames, "libsoxr took {taken} of {frames}");
        given
    }
}

impl Resampler for Soxr {
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
        let frames = stereo.len() / 2;
        if self.float {
            downmix_f32(stereo, &mut self.mono_f32[..frames]);
            let (input, output) = (self.mono_f32.as_ptr().cast(), self.output.as_mut_ptr().cast());
            // SAFETY: the lengths are those of the buffers.
            let given = unsafe { self.convert(input, frames, output, self.output.len()) };
            append_i16(&self.output[..given], out);
        } else {
            downmix_i16(stereo, &mut self.mono[..frames]);
            let input = self.mono.as_ptr().cast();
            // SAFETY: the lengths are those of the buffers.
            append(out, room(frames), |to| unsafe { self.convert(input, frames, to.as_mut_ptr().cast(), to.len()) });
        }
    }
}

impl Drop for Soxr {
    fn drop(&mut self) {
        // SAFETY: made by `soxr_create`, and deleted once.
        unsafe { soxr_delete(self.inner.as_ptr()) };
    }
}
