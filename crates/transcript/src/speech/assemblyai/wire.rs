//! AssemblyAI's messages. Pure.

use serde::Deserialize;

use super::super::{Error, Recognised, RecognisedSegment, Word};
use crate::listen::stream::{Event, Final, Reader};

/// Silence after the last word of a turn that belongs to the turn.
const TAIL_MS: u64 = 100;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Incoming {
    Turn(TurnMessage),
    Termination,
    Error {
        error_code: Option<u16>,
        #[serde(default)]
        error: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Clone, Deserialize)]
struct TurnMessage {
    turn_order: u64,
    #[serde(default)]
    end_of_turn: bool,
    #[serde(default)]
    turn_is_formatted: bool,
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<WireWord>,
    language_code: Option<String>,
}

#[derive(Clone, Deserialize)]
struct WireWord {
    text: String,
    start: f64,
    end: f64,
    #[serde(default)]
    confidence: f32,
}

/// Reads a stream: every finished turn is a phrase, once, formatted if that is to come.
#[derive(Debug)]
pub(super) struct Turns {
    /// A finished turn comes a second time, formatted.
    formatted: bool,
    /// Finished, but its formatted form is to come.
    held: Option<(u64, Final)>,
    /// Turns before this were given.
    next: u64,
}

impl Turns {
    pub(super) const fn new(formatted: bool) -> Self {
        Self { formatted, held: None, next: 0 }
    }

    fn turn(&mut self, turn: TurnMessage) -> Vec<Event> {
        let mut events = Vec::new();
        let order = turn.turn_order;
        // A later turn shows that the one held back comes in no other form.
        if self.held.as_ref().is_some_and(|(held, _)| *held < order) {
            events.extend(self.rest().map(Event::Final));
        }
        if !turn.end_of_turn || order < self.next {
            events.push(Event::Alive);
            return events;
        }
        let formatted = turn.turn_is_formatted || !self.formatted;
        let last = turn.last();
        if formatted {
            self.held = None;
            self.next = order.saturating_add(1);
            events.push(Event::Final(last));
        } else {
            self.held = Some((order, last));
            events.push(Event::Alive);
        }
        events
    }
}

impl Reader for Turns {
    fn read(&mut self, text: &str) -> Vec<Event> {
        match serde_json::from_str(text) {
            Ok(Incoming::Turn(turn)) => self.turn(turn),
            Ok(Incoming::Termination) => vec![Event::Done],
            Ok(Incoming::Error { error_code, error }) => vec![Event::Failed(error_code, error)],
            Ok(Incoming::Other) => vec![Event::Alive],
            Err(error) => match serde_json::from_str::<Untyped>(text) {
                Ok(untyped) => vec![Event::Failed(None, untyped.error)],
                Err(_) => {
                    tracing::warn!(%error, "a message of AssemblyAI cannot be read");
                    vec![Event::Alive]
                }
            },
        }
    }

    fn rest(&mut self) -> Option<Final> {
        let (order, last) = self.held.take()?;
        self.next = order.saturating_add(1);
        Some(last)
    }
}

/// An error in its older form.
#[derive(Deserialize)]
struct Untyped {
    error: String,
}

impl TurnMessage {
    fn last(self) -> Final {
        let words: Vec<Word> = self.words.into_iter().map(WireWord::word).collect();
        let until_ms = words.last().map_or(0, |word| word.end_ms.saturating_add(TAIL_MS));
        Final { text: self.transcript, words, language: self.language_code, end_of_turn: true, until_ms }
    }
}

impl WireWord {
    fn word(self) -> Word {
        // A cast saturates, and makes zero of what is not a number.
        let start_ms = self.start.round() as u64;
        let confidence = if self.confidence.is_nan() { 0.0 } else { self.confidence.clamp(0.0, 1.0) };
        Word { word: self.text, start_ms, end_ms: (self.end.round() as u64).max(start_ms), confidence }
    }
}

#[derive(Deserialize)]
struct Uploaded {
    upload_url: String,
}

/// Where an uploaded file is.
pub(super) fn uploaded(body: &str) -> Result<String, Error> {
    let uploaded: Uploaded =
        serde_json::from_str(body).map_err(|error| Error::BadAnswer { detail: format!("not an upload: {error}") })?;
    Ok(uploaded.upload_url)
}

#[derive(Deserialize)]
struct TranscriptMessage {
    id: String,
    status: String,
    text: Option<String>,
    words: Option<Vec<WireWord>>,
    language_code: Option<String>,
    error: Option<String>,
}

/// How far a transcript is.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// To be asked for again by its id.
    Waiting(String),
    /// Ready.
    Done(Recognised),
    /// Given up by the vendor, and why.
    Failed(String),
}

/// How far a transcript of a piece of `duration_ms` is.
pub(super) fn transcript(body: &str, duration_ms: u64) -> Result<State, Error> {
    let answer: TranscriptMessage = serde_json::from_str(body)
        .map_err(|error| Error::BadAnswer { detail: format!("not a transcript: {error}") })?;
    match answer.status.as_str() {
        "queued" | "processing" => Ok(State::Waiting(answer.id)),
        "completed" => {
            let words = answer.words.unwrap_or_default().into_iter().map(WireWord::word).collect();
            let segment = RecognisedSegment::of(answer.text.unwrap_or_default(), words, duration_ms);
            Ok(State::Done(Recognised { language: answer.language_code, segments: segment.into_iter().collect() }))
        }
        status => {
            let error = answer.error.unwrap_or_else(|| status.to_owned());
            // Silence has no language to be found.
            if error.contains("no spoken audio") {
                return Ok(State::Done(Recognised::default()));
            }
            Ok(State::Failed(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turn(order: u64, end_of_turn: bool, formatted: bool, text: &str) -> String {
        let words: Vec<_> = text
            .split(' ')
            .enumerate()
            .map(|(index, word)| json!({
                "text": word, "start": index * 300, "end": index * 300 + 250, "confidence": 0.5, "word_is_final": true,
            }))
            .collect();
        json!({
            "type": "Turn", "turn_order": order, "end_of_turn": end_of_turn, "turn_is_formatted": formatted,
            "transcript": text, "end_of_turn_confidence": 0.7, "words": words, "utterance": "",
        })
        .to_string()
    }

    fn texts(events: Vec<Event>) -> Vec<String> {
        events
            .into_iter()
            .filter_map(|event| if let Event::Final(last) = event { Some(last.text) } else { None })
            .collect()
    }

    #[test]
    fn a_turn_that_comes_twice_is_given_once_formatted() {
        let mut reader = Turns::new(true);
        assert_eq!(texts(reader.read(&turn(0, false, false, "hi"))), [""; 0]);
        assert_eq!(texts(reader.read(&turn(0, true, false, "hi there"))), [""; 0]);
        let got = reader.read(&turn(0, true, true, "Hi there."));
        let [Event::Final(last)] = &got[..] else { panic!("{got:?}") };
        assert_eq!((last.text.as_str(), last.until_ms, last.end_of_turn), ("Hi there.", 650, true));
        assert_eq!(texts(reader.read(&turn(0, true, true, "Hi there."))), [""; 0], "again");
        assert_eq!(reader.rest(), None);
    }

    #[test]
    fn a_turn_whose_formatted_form_never_comes_is_not_lost() {
        let mut reader = Turns::new(true);
        reader.read(&turn(0, true, false, "one"));
        assert_eq!(texts(reader.read(&turn(1, false, false, "two"))), ["one"]);
        assert_eq!(texts(reader.read(&turn(0, true, true, "One."))), [""; 0], "too late");
        reader.read(&turn(1, true, false, "two"));
        assert_eq!(reader.rest().unwrap().text, "two");
        assert_eq!(reader.rest(), None);
        assert_eq!(texts(Turns::new(false).read(&turn(0, true, false, "plain"))), ["plain"]);
    }

    #[test]
    fn other_messages_are_told_apart() {
        let mut reader = Turns::new(true);
        let failed = |code, text: &str| vec![Event::Failed(code, text.into())];
        assert_eq!(reader.read(r#"{"type":"Begin","id":"x","expires_at":1}"#), [Event::Alive]);
        assert_eq!(reader.read(r#"{"type":"Termination","audio_duration_seconds":1}"#), [Event::Done]);
        assert_eq!(
            reader.read(r#"{"type":"Error","error_code":3008,"error":"expired"}"#),
            failed(Some(3008), "expired")
        );
        assert_eq!(reader.read(r#"{"error":"Not Authorized"}"#), failed(None, "Not Authorized"));
        assert_eq!(reader.read("nonsense"), [Event::Alive]);
    }

    #[test]
    fn a_transcript_waits_is_done_or_has_failed() {
        let state = |body: serde_json::Value| transcript(&body.to_string(), 1_000);
        let waiting = state(json!({"id": "t1", "status": "queued", "words": null})).unwrap();
        assert_eq!(waiting, State::Waiting("t1".into()));
        let words = json!([{"text": "Hi.", "start": 100, "end": 400, "confidence": 0.9, "speaker": null}]);
        let done =
            state(json!({"id": "t1", "status": "completed", "text": "Hi.", "words": words, "language_code": "en"}));
        let State::Done(got) = done.unwrap() else { panic!() };
        assert_eq!((got.text().as_str(), got.language.as_deref(), got.segments[0].end_ms), ("Hi.", Some("en"), 400));
        let failed = |error: &str| state(json!({"id": "t1", "status": "error", "error": error}));
        assert_eq!(failed("bad file").unwrap(), State::Failed("bad file".into()));
        assert_eq!(failed("files with no spoken audio.").unwrap(), State::Done(Recognised::default()));
        assert!(matches!(uploaded("{}"), Err(Error::BadAnswer { .. })));
    }
}
