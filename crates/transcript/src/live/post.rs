//! Posting live words.

use std::sync::Arc;
use std::time::Duration;

use muster_hooks::client::{CallError, GuardedClient};
use muster_session::{BotId, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use url::Url;

use super::{Said, Shared};
use crate::document::{rounded, seconds};

/// Longest running text sent along, in characters.
const RUNNING_CHARS: usize = 4_000;
/// Pauses between attempts to post; one attempt more than there are pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Who gets the words, and what goes with them.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) bot: BotId,
    pub(super) custom_attributes: Map<String, Value>,
    pub(super) url: Url,
    pub(super) client: GuardedClient,
    /// Times of words count from here.
    pub(super) start: Timestamp,
}

impl Receiver {
    /// Posts one phrase after another until there are no more.
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Said>, shared: Arc<Shared>) {
        let mut running = String::new();
        while let Some(said) = waiting.recv().await {
            append(&mut running, &said.text);
            let accepted = post(&self.client, &self.url, &self.body(&said, &running)).await;
            let mut state = shared.lock();
            state.posting = state.posting.saturating_sub(1);
            if accepted {
                state.figures.posted += 1;
            } else {
                state.figures.failed += 1;
            }
        }
    }

    /// The body that MeetStream's clients read.
    fn body(&self, said: &Said, running: &str) -> Value {
        let since = said.start_ms.saturating_sub(self.start.as_millis());
        let at = |ms: u64| seconds(u64::try_from(since.saturating_add_unsigned(ms)).unwrap_or(0));
        let words: Vec<Value> = said
            .words
            .iter()
            .map(|word| {
                json!({
                    "word": word.bare(),
                    "punctuated_word": word.word,
                    "start": at(word.start_ms),
                    "end": at(word.end_ms),
                    "confidence": rounded(word.confidence),
                    "speech_confidence": rounded(word.confidence),
                    "speaker": said.speaker,
                    "word_is_final": true,
                })
            })
            .collect();
        json!({
            "bot_id": self.bot,
            "speakerId": said.speaker_id,
            "speakerName": said.speaker,
            "timestamp": Timestamp::from_millis(said.start_ms).to_rfc3339(),
            "new_text": said.text,
            "utterance": said.text,
            "transcript": running,
            "words": words,
            "is_final": true,
            "end_of_turn": said.end_of_turn,
            "turn_is_formatted": true,
            "transcription_mode": "sentence",
            "custom_attributes": self.custom_attributes,
        })
    }
}

/// Posts until accepted, refused for good, or out of attempts; true if accepted. Cancel safe.
pub async fn post(client: &GuardedClient, webhook: &Url, body: &Value) -> bool {
    let mut pauses = PAUSES.iter();
    loop {
        let problem = match client.post_json(webhook, body).await {
            Ok(answer) if answer.status.is_success() => return true,
            Ok(answer) if answer.status.is_server_error() || answer.status.as_u16() == 429 => answer.status.to_string(),
            Ok(answer) => {
                tracing::warn!(status = answer.status.as_u16(), "the receiver refused live words");
                return false;
            }
            Err(CallError::Refused(refused)) => {
                tracing::warn!(%refused, "live words may not be posted there");
                return false;
            }
            Err(error) => error.to_string(),
        };
        let Some(pause) = pauses.next() else {
            tracing::warn!(problem, "live words could not be posted");
            return false;
        };
        tokio::time::sleep(*pause).await;
    }
}

/// Adds to the running text, and drops whole words from its front when it is too long.
fn append(running: &mut String, text: &str) {
    if !running.is_empty() {
        running.push(' ');
    }
    running.push_str(text);
    let surplus = running.chars().count().saturating_sub(RUNNING_CHARS);
    if surplus > 0 {
        let from = running.char_indices().nth(surplus).map_or(running.len(), |(index, _)| index);
        let from = running[from..].find(' ').map_or(from, |space| from + space + 1);
        running.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use muster_hooks::client::Limits;
    use muster_hooks::guard::Policy;

    use super::*;
    use crate::speech::Word;

    #[test]
    fn the_body_has_every_field_that_clients_read() {
        let receiver = Receiver {
            bot: BotId::from_uuid(uuid::Uuid::from_u128(7)),
            custom_attributes: Map::from_iter([("call".to_owned(), json!(3))]),
            url: "https://example.com/".parse().unwrap(),
            client: GuardedClient::new(Policy::new([]).unwrap(), Limits::default()).unwrap(),
            start: Timestamp::parse("2026-01-31T09:00:00Z").unwrap(),
        };
        let start_ms = receiver.start.as_millis() + 5_250;
        let said = Said {
            speaker_id: "p1".into(),
            speaker: "Ann".into(),
            start_ms,
            end_ms: start_ms + 250,
            text: "Hello!".into(),
            words: vec![Word { word: "Hello!".into(), start_ms: 0, end_ms: 250, confidence: 0.5 }],
            language: None,
            end_of_turn: true,
        };
        assert_eq!(
            receiver.body(&said, "Earlier. Hello!"),
            json!({
                "bot_id": "00000000-0000-0000-0000-000000000007",
                "speakerId": "p1",
                "speakerName": "Ann",
                "timestamp": "2026-01-31T09:00:05.250Z",
                "new_text": "Hello!",
                "utterance": "Hello!",
                "transcript": "Earlier. Hello!",
                "words": [{
                    "word": "hello", "punctuated_word": "Hello!", "start": 5.25, "end": 5.5, "confidence": 0.5,
                    "speech_confidence": 0.5, "speaker": "Ann", "word_is_final": true
                }],
                "is_final": true,
                "end_of_turn": true,
                "turn_is_formatted": true,
                "transcription_mode": "sentence",
                "custom_attributes": {"call": 3},
            })
        );
    }

    #[test]
    fn the_running_text_is_bounded_at_word_boundaries() {
        let mut running = String::new();
        append(&mut running, "first");
        append(&mut running, "second");
        assert_eq!(running, "first second");
        for _ in 0..2000 {
            append(&mut running, "wörter");
        }
        assert!(running.chars().count() <= RUNNING_CHARS);
        assert!(running.split(' ').all(|word| word == "wörter"), "{running:.40}");
    }
}
