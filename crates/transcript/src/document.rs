//! The transcript of a recording, and its forms on the wire.

mod tracks;
mod wire;

use serde::{Deserialize, Serialize};

pub use tracks::{TrackAudio, transcribe_tracks};
pub(crate) use wire::{rounded, seconds};
pub use wire::{to_meetstream, to_raw};

use crate::speech::Word;

/// Segments of one speaker closer than this are one, up to a length, unless somebody else speaks in between.
const JOIN_MS: u64 = 1_000;
const MAX_SEGMENT_MS: u64 = 30_000;

/// Who said what, and when. Times count from the start of the recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// In order of their start.
    pub segments: Vec<Segment>,
    /// The language as the recogniser names it, if it does.
    pub language: Option<String>,
    /// End of the last track.
    pub duration_ms: u64,
}

impl Transcript {
    /// Everything that was said, one segment after another.
    #[must_use]
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// What one person said without a long pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Name of the speaker.
    pub speaker: String,
    /// Id of the speaker.
    pub speaker_id: String,
    /// From.
    pub start_ms: u64,
    /// To.
    pub end_ms: u64,
    /// With punctuation.
    pub text: String,
    /// Its words.
    pub words: Vec<Word>,
}

/// Orders segments by their start and joins what one speaker said in one go.
fn merged(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_by_key(|segment| segment.start_ms);
    let mut out: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        match out.last_mut() {
            Some(last)
                if last.speaker_id == segment.speaker_id
                    && segment.start_ms < last.end_ms + JOIN_MS
                    && segment.end_ms.saturating_sub(last.start_ms) <= MAX_SEGMENT_MS =>
            {
                last.end_ms = last.end_ms.max(segment.end_ms);
                last.text.push(' ');
                last.text.push_str(&segment.text);
                last.words.extend(segment.words);
            }
            _ => out.push(segment),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_speaker_says_in_one_go_is_one_segment() {
        let segment = |speaker: &str, start_ms: u64, end_ms: u64| Segment {
            speaker: speaker.into(),
            speaker_id: speaker.into(),
            start_ms,
            end_ms,
            text: start_ms.to_string(),
            words: Vec::new(),
        };
        let merged = merged(vec![
            segment("a", 3000, 4000),
            segment("a", 0, 1000),
            segment("a", 1500, 2500),
            segment("b", 4500, 5000),
            segment("a", 4800, 6000),
            segment("a", 7000, 8000),
            segment("a", 8500, 40_000),
        ]);
        let texts: Vec<_> = merged.iter().map(|s| (s.text.as_str(), s.end_ms)).collect();
        assert_eq!(texts, [("0 1500 3000", 4000), ("4500", 5000), ("4800", 6000), ("7000", 8000), ("8500", 40_000)]);
    }
}
