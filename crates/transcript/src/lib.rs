//! From speech to words.
//!
//! - [`speech`] is the contract with a recogniser; there are clients for OpenAI-compatible servers, Deepgram and
//!   AssemblyAI.
//! - During a call: [`listen`] recognises voices as they speak, over streams or by [`utterance`]; [`live`] posts the
//!   words and hands them out to be recorded.
//! - After a call: [`document`] makes the transcript of a recording out of its participants' tracks.
//! - [`accuracy`] measures how good it is.
//!
//! All audio is mono, 16-bit, 16 kHz.

pub mod accuracy;
pub mod document;
pub mod listen;
pub mod live;
mod runs;
pub mod speech;
pub mod utterance;

/// Samples of one millisecond.
pub const SAMPLES_PER_MS: usize = 16;

/// Length of a piece of audio in milliseconds.
#[must_use]
pub fn duration_ms(pcm16k: &[i16]) -> u64 {
    (pcm16k.len() / SAMPLES_PER_MS) as u64
}
