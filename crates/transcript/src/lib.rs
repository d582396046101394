//! From speech to words.
//!
//! - [`speech`] is the contract with a speech-to-text server and the client for OpenAI-compatible ones.
//! - During a call: [`utterance`] cuts a participant's audio into utterances, [`live`] has them recognised and posts them.
//! - After a call: [`document`] makes the transcript of a recording out of its participants' tracks.
//! - [`accuracy`] measures how good it is.
//!
//! All audio is mono, 16-bit, 16 kHz.

pub mod accuracy;
pub mod document;
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
