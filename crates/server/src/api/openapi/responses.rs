//! The shapes of stored answers, for the document only: they are passed through as they were written.
#![expect(dead_code, reason = "these types describe the wire and are never made")]

use utoipa::ToSchema;

/// What one speaker said in one go.
#[derive(ToSchema)]
pub(crate) struct Segment {
    speaker: String,
    transcript: String,
    /// Seconds from the start of the recording.
    start_time: f64,
    /// Seconds from the start of the recording.
    end_time: f64,
    absolute_start_time: String,
    absolute_end_time: String,
    words: Vec<Word>,
}

/// A word.
#[derive(ToSchema)]
pub(crate) struct Word {
    word: String,
    punctuated_word: String,
    /// Seconds from the start of the recording.
    start: f64,
    /// Seconds from the start of the recording.
    end: f64,
    confidence: f64,
    speaker: u32,
    speaker_confidence: f64,
}
