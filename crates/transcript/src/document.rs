//! The transcript of a recording, and its forms on the wire.

mod tracks;
mod wire;

use serde::{Deserialize, Serialize};

pub use tracks::{TrackAudio, transcribe_tracks};
pub(crate) use wire::{rounded, seconds};
pub use wire::{to_meetstream, to_raw};

use crate::live::Said;
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

/// Makes the transcript of a recording out of the phrases that were heard live, in any order: the same words, none
/// recognised again. `started_at_ms` is when the recording starts, in milliseconds since the epoch; what lies before it
/// is moved there.
#[must_use]
pub fn from_said(said: Vec<Said>, started_at_ms: i64, duration_ms: u64) -> Transcript {
    let language = said.iter().find_map(|said| said.language.clone());
    let segments = said.into_iter().filter(|said| !said.words.is_empty()).map(|said| placed(said, started_at_ms));
    Transcript { segments: merged(segments.collect()), language, duration_ms }
}

/// A phrase on the recording's clock.
fn placed(said: Said, started_at_ms: i64) -> Segment {
    let at = |ms: i64| u64::try_from(ms.saturating_sub(started_at_ms)).unwrap_or(0);
    let since = |ms: u64| at(said.start_ms.saturating_add_unsigned(ms));
    let words =
        said.words.into_iter().map(|word| Word { start_ms: since(word.start_ms), end_ms: since(word.end_ms), ..word });
    Segment {
        words: words.collect(),
        speaker: said.speaker,
        speaker_id: said.speaker_id,
        start_ms: at(said.start_ms),
        end_ms: at(said.end_ms),
        text: said.text,
    }
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
    fn phrases_heard_live_become_the_same_words_in_order() {
        let said = |speaker: &str, start_ms: i64, text: &str| {
            let words = text.split(' ').enumerate().map(|(index, word)| {
                let start_ms = index as u64 * 100;
                Word { word: word.into(), start_ms, end_ms: start_ms + 90, confidence: 0.5 }
            });
            Said {
                speaker_id: speaker.into(),
                speaker: speaker.to_uppercase(),
                start_ms: 1_700_000_000_000 + start_ms,
                end_ms: 1_700_000_000_500 + start_ms,
                text: text.into(),
                words: words.collect(),
                language: (speaker == "b").then(|| "en".into()),
                end_of_turn: true,
            }
        };
        let heard =
            vec![said("a", 4_000, "Bye."), said("b", 2_000, "Hi you."), said("a", -100, "One"), said("a", 700, "two.")];
        let transcript = from_said(heard, 1_700_000_000_000, 6_000);
        let texts: Vec<_> = transcript.segments.iter().map(|s| (s.speaker.as_str(), s.text.as_str())).collect();
        assert_eq!(texts, [("A", "One two."), ("B", "Hi you."), ("A", "Bye.")]);
        let times: Vec<_> = transcript.segments.iter().flat_map(|s| &s.words).map(|w| (w.start_ms, w.end_ms)).collect();
        assert_eq!(times, [(0, 0), (700, 790), (2_000, 2_090), (2_100, 2_190), (4_000, 4_090)]);
        assert_eq!((transcript.language.as_deref(), transcript.duration_ms), (Some("en"), 6_000));
        assert_eq!(from_said(Vec::new(), 5, 7), Transcript { duration_ms: 7, ..Transcript::default() });
    }

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
