//! Reading a server's answer: servers differ in how much of OpenAI's `verbose_json` they fill in.

use serde::Deserialize;

use super::{Error, Recognised, RecognisedSegment, Word};

/// Whisper's own rule for a segment that is silence: improbable words, probably no speech.
const NO_SPEECH: f32 = 0.6;
const IMPROBABLE: f32 = -1.0;

#[derive(Deserialize)]
struct Answer {
    text: Option<String>,
    language: Option<String>,
    segments: Option<Vec<AnswerSegment>>,
    words: Option<Vec<AnswerWord>>,
}

#[derive(Deserialize)]
struct AnswerSegment {
    start: f64,
    end: f64,
    text: String,
    words: Option<Vec<AnswerWord>>,
    no_speech_prob: Option<f32>,
    avg_logprob: Option<f32>,
}

#[derive(Deserialize, Clone)]
struct AnswerWord {
    #[serde(alias = "text")]
    word: String,
    start: f64,
    end: f64,
    #[serde(alias = "confidence", alias = "score")]
    probability: Option<f32>,
}

/// What a body says about a piece of `duration_ms`.
pub(super) fn parse(body: &str, duration_ms: u64) -> Result<Recognised, Error> {
    let answer: Answer = serde_json::from_str(body)
        .map_err(|error| Error::BadAnswer { detail: format!("not a transcription: {error}") })?;
    let (segments, words) = (answer.segments.unwrap_or_default(), answer.words.unwrap_or_default());
    let seconds = duration_ms as f64 / 1000.0;
    let segments = if segments.is_empty() {
        // Only words, or only text.
        let text = match answer.text {
            Some(text) => text,
            None => words.iter().map(|word| word.word.trim()).collect::<Vec<_>>().join(" "),
        };
        let (start, end) = match (words.first(), words.last()) {
            (Some(first), Some(last)) => (first.start, last.end),
            _ => (0.0, seconds),
        };
        vec![AnswerSegment { start, end, text, words: Some(words), no_speech_prob: None, avg_logprob: None }]
    } else {
        share_out(segments, &words)
    };
    let mut segments: Vec<_> = segments.into_iter().filter_map(|segment| segment.recognised(duration_ms)).collect();
    segments.sort_by_key(|segment| segment.start_ms);
    Ok(Recognised { language: answer.language.filter(|language| !language.is_empty()), segments })
}

/// Gives top-level words to the segments whose time they fall into, unless the segments have their own.
fn share_out(mut segments: Vec<AnswerSegment>, words: &[AnswerWord]) -> Vec<AnswerSegment> {
    if words.is_empty() || segments.iter().any(|segment| segment.words.as_ref().is_some_and(|words| !words.is_empty()))
    {
        return segments;
    }
    let mut rest = words;
    let last = segments.len() - 1;
    for (index, segment) in segments.iter_mut().enumerate() {
        let inside = |word: &AnswerWord| f64::midpoint(word.start, word.end) < segment.end;
        let count = if index == last { rest.len() } else { rest.iter().take_while(|word| inside(word)).count() };
        let (own, later) = rest.split_at(count);
        segment.words = Some(own.to_vec());
        rest = later;
    }
    segments
}

impl AnswerSegment {
    /// The segment with its times put right, unless nothing was said in it.
    fn recognised(self, duration_ms: u64) -> Option<RecognisedSegment> {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let silence = self.no_speech_prob.is_some_and(|p| p > NO_SPEECH)
            && self.avg_logprob.is_some_and(|logprob| logprob < IMPROBABLE);
        if silence || !is_speech(&text) {
            return None;
        }
        let start_ms = millis(self.start, duration_ms);
        let end_ms = millis(self.end, duration_ms).max(start_ms);
        let confidence = self.avg_logprob.map_or(0.0, |logprob| probability(logprob.exp()));
        let words: Vec<Word> = self
            .words
            .unwrap_or_default()
            .into_iter()
            .filter(|word| !word.word.trim().is_empty())
            .scan(0, |earliest, word| {
                let start_ms = millis(word.start, duration_ms).max(*earliest);
                let end_ms = millis(word.end, duration_ms).max(start_ms);
                *earliest = start_ms;
                let confidence = word.probability.map_or(confidence, probability);
                Some(Word { word: word.word.trim().to_owned(), start_ms, end_ms, confidence })
            })
            .collect();
        let words = if words.is_empty() { spread(&text, start_ms, end_ms, confidence) } else { words };
        Some(RecognisedSegment { start_ms, end_ms, text, words })
    }
}

/// False for nothing, for punctuation and for remarks such as `[BLANK_AUDIO]`, `(music)` and `*coughs*`.
fn is_speech(text: &str) -> bool {
    let remark = [('[', ']'), ('(', ')'), ('*', '*')].iter().any(|&(open, close)| {
        let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| !inner.contains([open, close]))
    });
    !remark && text.chars().any(char::is_alphanumeric)
}

/// Words with times in proportion to their length.
fn spread(text: &str, start_ms: u64, end_ms: u64, confidence: f32) -> Vec<Word> {
    let weight = |word: &str| word.chars().count() as u64 + 1;
    let total: u64 = text.split(' ').map(weight).sum();
    let at = |done: u64| start_ms + (end_ms - start_ms) * done / total.max(1);
    let mut done = 0;
    text.split(' ')
        .map(|word| {
            let from = at(done);
            done += weight(word);
            Word { word: word.to_owned(), start_ms: from, end_ms: at(done), confidence }
        })
        .collect()
}

fn millis(seconds: f64, most: u64) -> u64 {
    // A cast saturates, and makes zero of what is not a number.
    ((seconds * 1000.0).round() as u64).min(most)
}

fn probability(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(recognised: &Recognised) -> Vec<(&str, u64, u64)> {
        recognised.words().map(|word| (word.word.as_str(), word.start_ms, word.end_ms)).collect()
    }

    #[test]
    fn words_beside_segments_go_to_the_segment_they_fall_into() {
        let body = r#"{"task":"transcribe","language":"english","duration":4.0,"text":"One two. Three.",
            "segments":[{"id":0,"start":0.0,"end":2.0,"text":" One two.","avg_logprob":-0.1,"no_speech_prob":0.01},
                        {"id":1,"start":2.0,"end":4.0,"text":" Three.","avg_logprob":-0.1,"no_speech_prob":0.01}],
            "words":[{"word":"One","start":0.1,"end":0.5},{"word":"two","start":0.6,"end":1.9},
                     {"word":"Three","start":1.9,"end":3.0}]}"#;
        let got = parse(body, 4000).unwrap();
        assert_eq!(got.language.as_deref(), Some("english"));
        assert_eq!(got.text(), "One two. Three.");
        assert_eq!(got.segments[0].words.len(), 2);
        assert_eq!(words(&got), [("One", 100, 500), ("two", 600, 1900), ("Three", 1900, 3000)]);
        assert!((got.segments[0].words[0].confidence - (-0.1f32).exp()).abs() < 1e-6);
    }

    #[test]
    fn words_inside_segments_keep_their_probability() {
        let body = r#"{"text":" Hi","segments":[{"start":0.5,"end":1.0,"text":" Hi",
            "words":[{"word":" Hi","start":0.5,"end":0.9,"probability":0.75}]}],"words":null}"#;
        let got = parse(body, 1000).unwrap();
        assert_eq!(words(&got), [("Hi", 500, 900)]);
        assert!((got.segments[0].words[0].confidence - 0.75).abs() < 1e-6);
    }

    #[test]
    fn without_word_times_words_are_spread_by_their_length() {
        let body = r#"{"text":"abc d","segments":[{"start":1.0,"end":1.6,"text":" abc d"}]}"#;
        assert_eq!(words(&parse(body, 2000).unwrap()), [("abc", 1000, 1400), ("d", 1400, 1600)]);
        let only_text = parse(r#"{"text":"abc d"}"#, 600).unwrap();
        assert_eq!(words(&only_text), [("abc", 0, 400), ("d", 400, 600)]);
        assert_eq!(only_text.segments.len(), 1);
    }

    #[test]
    fn silence_and_remarks_are_not_speech() {
        for text in ["", "  ", "...", "[BLANK_AUDIO]", "(upbeat music)", "*coughs*"] {
            let body = serde_json::json!({ "text": text }).to_string();
            assert_eq!(parse(&body, 1000).unwrap().segments, [], "{text:?}");
        }
        for text in ["(a) b (c)", "[ok] go", "a"] {
            let body = serde_json::json!({ "text": text }).to_string();
            assert_eq!(parse(&body, 1000).unwrap().segments.len(), 1, "{text:?}");
        }
        let invented = r#"{"text":"Thank you.","segments":[{"start":0,"end":1,"text":"Thank you.","no_speech_prob":0.9,"avg_logprob":-1.4}]}"#;
        assert_eq!(parse(invented, 1000).unwrap().segments, []);
    }

    #[test]
    fn times_that_make_no_sense_are_put_right() {
        let body = r#"{"segments":[{"start":-3,"end":99,"text":"a b",
            "words":[{"word":"a","start":0.9,"end":0.2},{"word":"b","start":0.1,"end":77}]}]}"#;
        let got = parse(body, 1000).unwrap();
        assert_eq!((got.segments[0].start_ms, got.segments[0].end_ms), (0, 1000));
        assert_eq!(words(&got), [("a", 900, 900), ("b", 900, 1000)]);
    }

    #[test]
    fn other_answers_are_errors() {
        for body in ["", "hello", "[]", r#"{"segments":[{"text":"no times"}]}"#] {
            assert!(matches!(parse(body, 1000), Err(Error::BadAnswer { .. })), "{body:?}");
        }
    }
}
