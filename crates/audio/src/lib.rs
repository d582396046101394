//! What happens to samples between capture and storage: mixing on one timeline, resampling, levels, voice activity,
//! and coding as Opus.
//!
//! There is no async and no clock in this crate: time comes in as timestamps, and the same input gives the same output.
//! Everything that runs once per frame works in buffers that it owns and allocates nothing once warm
//! (`tests/allocations.rs` counts). Samples are `i16` at 48 kHz mono unless a name says otherwise; frames are 20 ms.
//!
//! The walk of a sample: [`mix::Mixer`] takes blocks with timestamps, follows the clocks of their tracks, conceals what is
//! missing, and gives frames with a limited mix; [`vad::Detector`] and
//! [`level::Meter`] look at them, [`resample::Decimator`] makes them small for speech to text, [`codec::Encoder`] and
//! [`ogg::Writer`] make them a file.

pub mod codec;
mod error;
pub mod level;
pub mod mix;
pub mod ogg;
pub mod probe;
pub mod resample;
pub mod tone;
pub mod vad;
pub mod wav;

pub use error::Error;

/// The rate of capture, mixing and recording, in samples per second.
pub const RATE: u32 = 48_000;
/// Samples of one frame.
pub const FRAME: usize = 960;
/// Milliseconds of one frame.
pub const FRAME_MS: u64 = 20;
