//! Deepgram's messages. Pure.

use serde::Deserialize;

use super::super::{Error, Recognised, RecognisedSegment, Word};
use crate::listen::stream::{Event, Final, Reader};

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Incoming {
    Results(Box<ResultsMessage>),
    Metadata,
    Error {
        #[serde(default)]
        description: String,
        #[serde(default)]
        message: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct ResultsMessage {
    start: f64,
    duration: f64,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    #[serde(default)]
    from_finalize: bool,
    channel: Channel,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
    detected_language: Option<String>,
}

#[derive(Deserialize, Default)]
struct Alternative {
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<WireWord>,
    languages: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireWord {
    word: String,
    punctuated_word: Option<String>,
    start: f64,
    end: f64,
    #[serde(default)]
    confidence: f32,
}

#[derive(Deserialize)]
struct Prerecorded {
    results: PrerecordedResults,
}

#[derive(Deserialize)]
struct PrerecordedResults {
    channels: Vec<Channel>,
}

/// Reads a stream: every final result is a phrase.
#[derive(Debug)]
pub(super) struct Results;

impl Reader for Results {
    fn read(&mut self, text: &str) -> Vec<Event> {
        let event = match serde_json::from_str(text) {
            Ok(Incoming::Results(results)) if results.is_final => Event::Final(results.last()),
            Ok(Incoming::Metadata) => Event::Done,
            Ok(Incoming::Error { description, message }) => Event::Failed(None, format!("{description} {message}")),
            Ok(Incoming::Results(_) | Incoming::Other) => Event::Alive,
            Err(error) => {
                tracing::warn!(%error, "a message of Deepgram cannot be read");
                Event::Alive
            }
        };
        vec![event]
    }

    fn rest(&mut self) -> Option<Final> {
        None
    }
}

impl ResultsMessage {
    fn last(self) -> Final {
        let language = self.channel.detected_language;
        let best = self.channel.alternatives.into_iter().next().unwrap_or_default();
        let language = language.or_else(|| best.languages.and_then(|languages| languages.into_iter().next()));
        Final {
            text: best.transcript,
            words: best.words.into_iter().map(WireWord::word).collect(),
            language,
            end_of_turn: self.speech_final || self.from_finalize,
            until_ms: millis(self.start + self.duration),
        }
    }
}

impl WireWord {
    fn word(self) -> Word {
        let start_ms = millis(self.start);
        let confidence = if self.confidence.is_nan() { 0.0 } else { self.confidence.clamp(0.0, 1.0) };
        let word = self.punctuated_word.unwrap_or(self.word);
        Word { word, start_ms, end_ms: millis(self.end).max(start_ms), confidence }
    }
}

/// The words of a whole piece.
pub(super) fn prerecorded(body: &str, duration_ms: u64) -> Result<Recognised, Error> {
    let answer: Prerecorded = serde_json::from_str(body)
        .map_err(|error| Error::BadAnswer { detail: format!("not a transcription: {error}") })?;
    let Some(channel) = answer.results.channels.into_iter().next() else { return Ok(Recognised::default()) };
    let best = channel.alternatives.into_iter().next().unwrap_or_default();
    let words: Vec<Word> = best.words.into_iter().map(WireWord::word).collect();
    let segment = RecognisedSegment::of(best.transcript, words, duration_ms);
    Ok(Recognised { language: channel.detected_language, segments: segment.into_iter().collect() })
}

fn millis(seconds: f64) -> u64 {
    // A cast saturates, and makes zero of what is not a number.
    (seconds * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_final_results_are_words() {
        let results = |is_final: bool, speech_final: bool| {
            json!({
                "type": "Results", "channel_index": [0, 1], "start": 1.5, "duration": 2.0, "is_final": is_final,
                "speech_final": speech_final, "from_finalize": false,
                "channel": {"alternatives": [{"transcript": "Hi there.", "confidence": 0.9, "words": [
                    {"word": "hi", "punctuated_word": "Hi", "start": 1.6, "end": 1.9, "confidence": 0.9},
                    {"word": "there", "punctuated_word": "there.", "start": 2.0, "end": 2.4, "confidence": 7},
                ]}]},
            })
            .to_string()
        };
        let mut reader = Results;
        assert_eq!(reader.read(&results(false, false)), [Event::Alive]);
        let got = reader.read(&results(true, true));
        let [Event::Final(last)] = &got[..] else { panic!("{got:?}") };
        assert_eq!((last.text.as_str(), last.until_ms, last.end_of_turn), ("Hi there.", 3_500, true));
        let words: Vec<_> = last.words.iter().map(|w| (w.word.as_str(), w.start_ms, w.end_ms, w.confidence)).collect();
        assert_eq!(words, [("Hi", 1_600, 1_900, 0.9), ("there.", 2_000, 2_400, 1.0)]);
    }

    #[test]
    fn other_messages_are_told_apart() {
        let mut reader = Results;
        assert_eq!(reader.read(r#"{"type":"Metadata","duration":0.0}"#), [Event::Done]);
        assert_eq!(reader.read(r#"{"type":"UtteranceEnd","last_word_end":2.1}"#), [Event::Alive]);
        assert_eq!(reader.read("nonsense"), [Event::Alive]);
        let failed = reader.read(r#"{"type":"Error","description":"no","message":"model"}"#);
        assert_eq!(failed, [Event::Failed(None, "no model".into())]);
        let silence = r#"{"type":"Results","start":0,"duration":3.25,"is_final":true,
            "channel":{"alternatives":[{"transcript":"","confidence":0,"words":[]}]}}"#;
        assert_eq!(reader.read(silence), [Event::Final(Final { until_ms: 3_250, ..Final::default() })]);
    }

    #[test]
    fn a_whole_piece_is_one_segment() {
        let body = r#"{"metadata":{},"results":{"channels":[{"detected_language":"en","alternatives":[
            {"transcript":"Hi.","confidence":0.9,"words":[{"word":"hi","start":0.1,"end":9,"confidence":0.9,"punctuated_word":"Hi."}]}]}]}}"#;
        let got = prerecorded(body, 1_000).unwrap();
        assert_eq!((got.language.as_deref(), got.text().as_str()), (Some("en"), "Hi."));
        assert_eq!((got.segments[0].start_ms, got.segments[0].words[0].end_ms), (100, 1_000));
        let silence = r#"{"results":{"channels":[{"alternatives":[{"transcript":"","words":[]}]}]}}"#;
        assert_eq!(prerecorded(silence, 1_000).unwrap().segments, []);
        assert!(matches!(prerecorded("{}", 1_000), Err(Error::BadAnswer { .. })));
    }
}
