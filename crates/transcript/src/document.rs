//! The transcript of a recording, and its forms on the wire.

mod wire;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

pub(crate) use wire::{rounded, seconds};
pub use wire::{to_meetstream, to_raw};

use crate::live::Said;
use crate::speech::{Error, RecognisedSegment, SpeechToText, Word};
use crate::{SAMPLES_PER_MS, duration_ms, runs};

/// Requests to the recogniser at a time.
const CONCURRENCY: usize = 2;
/// Parts of one track closer than this are joined; the recording's clock is not finer.
const JITTER_MS: u64 = 40;
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

/// A part of one participant's audio.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackAudio {
    /// Id of the participant.
    pub speaker_id: String,
    /// Name of the participant.
    pub speaker: String,
    /// Where it begins in the recording.
    pub start_ms: u64,
    /// Mono, 16 kHz.
    pub pcm16k: Vec<i16>,
}

impl std::fmt::Debug for TrackAudio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackAudio")
            .field("speaker_id", &self.speaker_id)
            .field("start_ms", &self.start_ms)
            .field("duration_ms", &duration_ms(&self.pcm16k))
            .finish_non_exhaustive()
    }
}

/// Makes the transcript of a recording out of the audio of its participants, in any order. Silence is not sent to the
/// recogniser. Fails with the first error of the recogniser. Cancel safe.
pub async fn transcribe_tracks(
    tracks: Vec<TrackAudio>,
    speech: &dyn SpeechToText,
    language: Option<&str>,
) -> Result<Transcript, Error> {
    let duration_ms = tracks.iter().map(|track| track.start_ms + duration_ms(&track.pcm16k)).max().unwrap_or(0);
    let tracks = continuous(tracks);
    let mut pieces: Vec<BoxFuture<'_, Result<_, Error>>> = Vec::new();
    // Made in a loop: with a closure over borrowed tracks the compiler cannot see that the whole may be spawned.
    for track in &tracks {
        for range in runs::pieces(&track.pcm16k) {
            let piece = async move {
                let offset_ms = track.start_ms + (range.start / SAMPLES_PER_MS) as u64;
                let recognised = speech.transcribe(&track.pcm16k[range], language).await?;
                Ok((track, offset_ms, recognised))
            };
            pieces.push(piece.boxed());
        }
    }
    let recognised: Vec<_> = stream::iter(pieces).buffered(CONCURRENCY).try_collect().await?;
    let language = recognised.iter().find_map(|(_, _, recognised)| recognised.language.clone());
    let segments = recognised
        .into_iter()
        .flat_map(|(track, offset_ms, recognised)| {
            recognised.segments.into_iter().map(move |segment| labelled(track, offset_ms, segment))
        })
        .collect();
    Ok(Transcript { segments: merged(segments), language, duration_ms })
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

/// Puts the parts of each participant together where one follows on another.
fn continuous(mut parts: Vec<TrackAudio>) -> Vec<TrackAudio> {
    parts.sort_by_key(|part| part.start_ms);
    let mut speakers: BTreeMap<String, Vec<TrackAudio>> = BTreeMap::new();
    for part in parts {
        let tracks = speakers.entry(part.speaker_id.clone()).or_default();
        match tracks.last_mut() {
            Some(last) if follows(last, part.start_ms) => {
                let missing_ms = part.start_ms.saturating_sub(last.start_ms + duration_ms(&last.pcm16k));
                last.pcm16k.extend(std::iter::repeat_n(0, missing_ms as usize * SAMPLES_PER_MS));
                last.pcm16k.extend(part.pcm16k);
            }
            _ => tracks.push(part),
        }
    }
    speakers.into_values().flatten().collect()
}

/// Whether audio that starts at `start_ms` goes on where `track` ends, give or take a pause in a sentence.
fn follows(track: &TrackAudio, start_ms: u64) -> bool {
    let end_ms = track.start_ms + duration_ms(&track.pcm16k);
    start_ms + JITTER_MS >= end_ms && start_ms < end_ms + JOIN_MS
}

fn labelled(track: &TrackAudio, offset_ms: u64, segment: RecognisedSegment) -> Segment {
    let words = segment.words.into_iter().map(|word| Word {
        start_ms: offset_ms + word.start_ms,
        end_ms: offset_ms + word.end_ms,
        ..word
    });
    Segment {
        speaker: track.speaker.clone(),
        speaker_id: track.speaker_id.clone(),
        start_ms: offset_ms + segment.start_ms,
        end_ms: offset_ms + segment.end_ms,
        text: segment.text,
        words: words.collect(),
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
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::listen::{Listening, Pace, utterances};
    use crate::speech::Recognised;

    /// Hears one word per call, named by its number and the length of the audio.
    #[derive(Debug, Default)]
    struct Counting(Mutex<Vec<u64>>);

    #[async_trait]
    impl SpeechToText for Counting {
        async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, Error> {
            let mut calls = self.0.lock().unwrap();
            calls.push(duration_ms(pcm16k));
            let word = Word { word: format!("W{}.", calls.len()), start_ms: 100, end_ms: 200, confidence: 0.5 };
            let segment = RecognisedSegment { start_ms: 100, end_ms: 300, text: word.word.clone(), words: vec![word] };
            Ok(Recognised { language: language.map(str::to_owned), segments: vec![segment] })
        }

        fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
            utterances::listen(self, language, pace)
        }
    }

    #[derive(Debug)]
    struct Broken;

    #[async_trait]
    impl SpeechToText for Broken {
        async fn transcribe(&self, _: &[i16], _: Option<&str>) -> Result<Recognised, Error> {
            Err(Error::Rejected { status: 401, detail: "no".into() })
        }

        fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
            utterances::listen(self, language, pace)
        }
    }

    fn track(id: &str, start_ms: u64, stretches: &[(i16, usize)]) -> TrackAudio {
        let wave = |level: i16| move |index: usize| if index % 20 < 10 { level } else { -level };
        let pcm16k = stretches.iter().flat_map(|(level, ms)| (0..ms * SAMPLES_PER_MS).map(wave(*level))).collect();
        TrackAudio { speaker_id: id.into(), speaker: id.to_uppercase(), start_ms, pcm16k }
    }

    #[tokio::test]
    async fn each_voiced_piece_is_recognised_once_and_put_in_its_place() {
        let speech = Counting::default();
        let tracks = vec![
            track("b", 4000, &[(3000, 1000)]),
            track("a", 0, &[(0, 1000), (3000, 1000), (0, 6000), (3000, 1000), (0, 1000)]),
        ];
        let transcript = transcribe_tracks(tracks, &speech, Some("en")).await.unwrap();
        assert_eq!(*speech.0.lock().unwrap(), [1400, 1400, 1000]);
        let said: Vec<_> =
            transcript.segments.iter().map(|s| (s.speaker.as_str(), s.text.as_str(), s.start_ms)).collect();
        assert_eq!(said, [("A", "W1.", 900), ("B", "W3.", 4100), ("A", "W2.", 7900)]);
        assert_eq!(transcript.segments[2].words[0].end_ms, 8000);
        assert_eq!((transcript.language.as_deref(), transcript.duration_ms), (Some("en"), 10_000));
        assert_eq!(transcript.text(), "W1. W3. W2.");
    }

    #[tokio::test]
    async fn parts_of_a_recording_are_one_track() {
        let speech = Counting::default();
        let tracks = vec![
            track("a", 1500, &[(3000, 1000)]),
            track("a", 0, &[(3000, 1000)]),
            track("a", 9000, &[(3000, 1000)]),
            track("b", 2500, &[(3000, 1000)]),
        ];
        transcribe_tracks(tracks, &speech, None).await.unwrap();
        assert_eq!(*speech.0.lock().unwrap(), [2500, 1000, 1000]);
    }

    #[tokio::test]
    async fn silence_costs_nothing_and_errors_are_passed_on() {
        let silence = vec![track("a", 0, &[(0, 5000)])];
        let transcript = transcribe_tracks(silence, &Broken, None).await.unwrap();
        assert_eq!((transcript.segments.len(), transcript.duration_ms), (0, 5000));
        assert_eq!(transcribe_tracks(Vec::new(), &Broken, None).await.unwrap(), Transcript::default());
        let error = transcribe_tracks(vec![track("a", 0, &[(3000, 500)])], &Broken, None).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { status: 401, .. }));
    }

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
