//! MeetStream's two forms of a transcript.

use std::time::Duration;

use muster_session::{Timestamp, TranscriptId};
use serde_json::{Value, json};

use super::{Segment, Transcript};
use crate::speech::Word;

/// The processed form: one entry for each segment. `started_at` is the start of the recording; `start_time` and
/// `end_time` are seconds since it.
#[must_use]
pub fn to_meetstream(transcript: &Transcript, started_at: Timestamp) -> Value {
    let numbers = numbers(transcript);
    let absolute = |ms: u64| (started_at + Duration::from_millis(ms)).to_rfc3339();
    transcript
        .segments
        .iter()
        .zip(numbers)
        .map(|(segment, number)| {
            json!({
                "speaker": segment.speaker,
                "speaker_id": segment.speaker_id,
                "transcript": segment.text,
                "start_time": seconds(segment.start_ms),
                "end_time": seconds(segment.end_ms),
                "absolute_start_time": absolute(segment.start_ms),
                "absolute_end_time": absolute(segment.end_ms),
                "words": segment.words.iter().map(|word| processed_word(word, number)).collect::<Value>(),
            })
        })
        .collect()
}

/// The raw form (`raw=true`): the whole text, all words and utterances with times in milliseconds.
#[must_use]
pub fn to_raw(transcript: &Transcript, id: TranscriptId, started_at: Timestamp) -> Value {
    let utterances = transcript.segments.iter().map(|segment| {
        json!({
            "speaker": segment.speaker,
            "text": segment.text,
            "start": segment.start_ms,
            "end": segment.end_ms,
            "confidence": confidence(&segment.words),
            "words": raw_words(segment).collect::<Value>(),
        })
    });
    let all: Vec<Word> = transcript.segments.iter().flat_map(|segment| segment.words.iter().cloned()).collect();
    json!({
        "id": id,
        "status": "completed",
        "text": transcript.text(),
        "language_code": transcript.language,
        "audio_url": null,
        "audio_start_time": started_at.to_rfc3339(),
        "confidence": confidence(&all),
        "audio_duration": seconds(transcript.duration_ms),
        "speaker_labels": true,
        "words": transcript.segments.iter().flat_map(raw_words).collect::<Value>(),
        "utterances": utterances.collect::<Value>(),
    })
}

fn processed_word(word: &Word, speaker: usize) -> Value {
    json!({
        "word": word.bare(),
        "punctuated_word": word.word,
        "start": seconds(word.start_ms),
        "end": seconds(word.end_ms),
        "confidence": rounded(word.confidence),
        "speaker": speaker,
        // Each participant has a track of their own: nothing is guessed.
        "speaker_confidence": 1.0,
    })
}

fn raw_words(segment: &Segment) -> impl Iterator<Item = Value> {
    segment.words.iter().map(|word| {
        json!({
            "text": word.word,
            "start": word.start_ms,
            "end": word.end_ms,
            "confidence": rounded(word.confidence),
            "speaker": segment.speaker,
        })
    })
}

/// The number of each segment's speaker, counted in order of first words.
fn numbers(transcript: &Transcript) -> Vec<usize> {
    let mut order: Vec<&str> = Vec::new();
    transcript
        .segments
        .iter()
        .map(|segment| {
            order.iter().position(|id| *id == segment.speaker_id).unwrap_or_else(|| {
                order.push(&segment.speaker_id);
                order.len() - 1
            })
        })
        .collect()
}

fn confidence(words: &[Word]) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    rounded(words.iter().map(|word| word.confidence).sum::<f32>() / words.len() as f32)
}

pub(crate) fn rounded(confidence: f32) -> f64 {
    (f64::from(confidence) * 1000.0).round() / 1000.0
}

pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Transcript {
        let segment = |speaker: &str, start_ms: u64, text: &str| Segment {
            speaker: speaker.into(),
            speaker_id: format!("id-{speaker}"),
            start_ms,
            end_ms: start_ms + 1000,
            text: text.into(),
            words: vec![Word { word: text.into(), start_ms, end_ms: start_ms + 1000, confidence: 0.9 }],
        };
        Transcript {
            segments: vec![segment("Ann", 500, "Hello!"), segment("Ben", 2000, "Hi."), segment("Ann", 4000, "Bye.")],
            language: Some("en".into()),
            duration_ms: 6000,
        }
    }

    #[test]
    fn the_processed_form_is_a_list_of_segments() {
        let started = Timestamp::parse("2026-01-31T09:00:00Z").unwrap();
        let got = to_meetstream(&sample(), started);
        assert_eq!(
            got[0],
            json!({
                "speaker": "Ann",
                "speaker_id": "id-Ann",
                "transcript": "Hello!",
                "start_time": 0.5,
                "end_time": 1.5,
                "absolute_start_time": "2026-01-31T09:00:00.500Z",
                "absolute_end_time": "2026-01-31T09:00:01.500Z",
                "words": [{
                    "word": "hello", "punctuated_word": "Hello!", "start": 0.5, "end": 1.5,
                    "confidence": 0.9, "speaker": 0, "speaker_confidence": 1.0
                }],
            })
        );
        let speakers: Vec<_> = (0..3).map(|index| got[index]["words"][0]["speaker"].clone()).collect();
        assert_eq!(speakers, [0, 1, 0]);
        assert_eq!(to_meetstream(&Transcript::default(), started), json!([]));
    }

    #[test]
    fn the_raw_form_has_everything_in_milliseconds() {
        let id = TranscriptId::from_uuid(uuid::Uuid::from_u128(5));
        let got = to_raw(&sample(), id, Timestamp::parse("2026-01-31T09:00:00Z").unwrap());
        assert_eq!(got["id"], "00000000-0000-0000-0000-000000000005");
        assert_eq!(got["status"], "completed");
        assert_eq!(got["text"], "Hello! Hi. Bye.");
        assert_eq!(got["language_code"], "en");
        assert_eq!(got["confidence"], 0.9);
        assert_eq!(got["audio_duration"], 6.0);
        assert_eq!(got["words"].as_array().unwrap().len(), 3);
        assert_eq!(
            got["utterances"][1],
            json!({
                "speaker": "Ben", "text": "Hi.", "start": 2000, "end": 3000, "confidence": 0.9,
                "words": [{"text": "Hi.", "start": 2000, "end": 3000, "confidence": 0.9, "speaker": "Ben"}],
            })
        );
    }
}
