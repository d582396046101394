//! libswresample, what ffmpeg resamples with.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use anyhow::{Result, ensure};

use super::{BLOCKS, Resampler, Setting, room};
use crate::convert::{append, append_i16, downmix_f32, downmix_i16};

#[link(name = "swresample")]
unsafe extern "C" {
    fn swr_alloc() -> *mut c_void;
    fn swr_init(context: *mut c_void) -> c_int;
    fn swr_free(context: *mut *mut c_void);
    fn swr_convert(
        context: *mut c_void,
        output: *const *mut u8,
        room: c_int,
        input: *const *const u8,
        frames: c_int,
    ) -> c_int;
}

#[link(name = "avutil")]
unsafe extern "C" {
    fn av_opt_set(object: *mut c_void, name: *const c_char, value: *const c_char, flags: c_int) -> c_int;
}

/// What goes in and comes out.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    /// Stereo as it arrives; the library mixes down.
    Stereo,
    /// Mixed down before.
    Mono,
    /// Mixed down before, as `f32`.
    MonoF32,
}

pub(super) fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    // As it comes, and with its other engine, in every format.
    for options in ["", "resampler=soxr", "resampler=soxr:precision=16:cutoff=0.875"] {
        for kind in [Kind::Stereo, Kind::Mono, Kind::MonoF32] {
            all.extend(with_blocks(kind, options));
        }
    }
    // With 16 bits inside, its taps have 16 bits too: 70 dB, whatever the length.
    for size in [48, 64, 80] {
        all.extend(with_blocks(Kind::Mono, &kaiser(size, 9.0, 5.8)));
    }
    for size in [48, 56, 60, 64, 72, 80, 88, 96] {
        all.extend(with_blocks(Kind::MonoF32, &kaiser(size, 9.0, 5.8)));
        all.extend(with_blocks(Kind::MonoF32, &kaiser(size, 9.5, 6.1)));
    }
    for size in [64, 96, 128] {
        let cutoff = cutoff(size, 12.0);
        let options = format!("filter_type=blackman_nuttall:filter_size={size}:cutoff={cutoff:.3}");
        all.extend(with_blocks(Kind::MonoF32, &options));
    }
    all
}

/// `half_width` is how wide half the transition is with that window.
fn kaiser(size: u32, beta: f64, half_width: f64) -> String {
    let cutoff = cutoff(size, half_width);
    format!("filter_type=kaiser:kaiser_beta={beta}:filter_size={size}:cutoff={cutoff:.3}")
}

/// The cutoff with which a filter reaches its stop-band at 8 kHz.
fn cutoff(size: u32, half_width: f64) -> f64 {
    1.0 / (1.0 + half_width / f64::from(size))
}

fn with_blocks(kind: Kind, options: &str) -> [Setting; 2] {
    let name = match (kind, options) {
        (Kind::Stereo, "") => "default, its own mixing down".into(),
        (Kind::Mono, "") => "default".into(),
        (Kind::MonoF32, "") => "default, f32".into(),
        (Kind::Stereo, options) => format!("{options}, its own mixing down"),
        (Kind::Mono, options) => options.to_owned(),
        (Kind::MonoF32, options) => format!("{options}, f32"),
    };
    BLOCKS.map(|block| {
        let options = options.to_owned();
        Setting::new("libswresample", name.clone(), (block, 3), move || Swr::new(&options, kind, block))
    })
}

struct Swr {
    inner: NonNull<c_void>,
    kind: Kind,
    mono: Vec<i16>,
    mono_f32: Vec<f32>,
    output: Vec<f32>,
}

impl Swr {
    fn new(options: &str, kind: Kind, block: usize) -> Result<Self> {
        // SAFETY: no arguments.
        let inner = unsafe { swr_alloc() };
        let inner = NonNull::new(inner).ok_or_else(|| anyhow::anyhow!("libswresample gives no resampler"))?;
        let swr =
            Self { inner, kind, mono: vec![0; block], mono_f32: vec![0.0; block], output: vec![0.0; room(block)] };
        let format = if kind == Kind::MonoF32 { "flt" } else { "s16" };
        swr.set("in_chlayout", if kind == Kind::Stereo { "stereo" } else { "mono" })?;
        swr.set("out_chlayout", "mono")?;
        for (option, value) in [
            ("in_sample_rate", "48000"),
            ("out_sample_rate", "16000"),
            ("in_sample_fmt", format),
            ("out_sample_fmt", format),
        ] {
            swr.set(option, value)?;
        }
        for (option, value) in options.split(':').filter_map(|option| option.split_once('=')) {
            swr.set(option, value)?;
        }
        // SAFETY: the context is live.
        let error = unsafe { swr_init(swr.inner.as_ptr()) };
        ensure!(error >= 0, "libswresample refuses {options}: {error}");
        Ok(swr)
    }

    fn set(&self, option: &str, value: &str) -> Result<()> {
        let (name, text) = (CString::new(option)?, CString::new(value)?);
        // SAFETY: the context is live, and both strings end with a zero.
        let error = unsafe { av_opt_set(self.inner.as_ptr(), name.as_ptr(), text.as_ptr(), 0) };
        ensure!(error >= 0, "libswresample refuses {option}={value}: {error}");
        Ok(())
    }

    /// # Safety
    /// `input` has `frames` frames and `output` room for `room`, of the kind that was chosen.
    unsafe fn convert(&mut self, input: *const u8, frames: usize, output: *mut u8, room: usize) -> usize {
        // SAFETY: the context is live, the rest is the caller's promise.
        let given = unsafe {
            swr_convert(self.inner.as_ptr(), &raw const output, room as c_int, &raw const input, frames as c_int)
        };
        usize::try_from(given).expect("libswresample converts")
    }
}

impl Resampler for Swr {
    fn process(&mut self, stereo: &[i16], out: &mut Vec<i16>) {
        let frames = stereo.len() / 2;
        if self.kind == Kind::MonoF32 {
            downmix_f32(stereo, &mut self.mono_f32[..frames]);
            let (input, output) = (self.mono_f32.as_ptr().cast(), self.output.as_mut_ptr().cast());
            // SAFETY: the lengths are those of the buffers.
            let given = unsafe { self.convert(input, frames, output, self.output.len()) };
            return append_i16(&self.output[..given], out);
        }
        let input = if self.kind == Kind::Stereo {
            stereo.as_ptr()
        } else {
            downmix_i16(stereo, &mut self.mono[..frames]);
            self.mono.as_ptr()
        };
        // SAFETY: the lengths are those of the buffers.
        append(out, room(frames), |to| unsafe { self.convert(input.cast(), frames, to.as_mut_ptr().cast(), to.len()) });
    }
}

impl Drop for Swr {
    fn drop(&mut self) {
        let mut context = self.inner.as_ptr();
        // SAFETY: made by `swr_alloc`, and freed once.
        unsafe { swr_free(&raw mut context) };
    }
}
