//! Live transcription: utterances in, webhooks out.
//!
//! Recognition runs for a few utterances at a time; what is posted keeps the order in which utterances were offered.
//! Everything is bounded: when the recogniser or the receiver cannot follow, new utterances are dropped and counted, and
//! the recording is not held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use muster_hooks::client::{CallError, GuardedClient};
use muster_session::{BotId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::document::{rounded, seconds};
use crate::speech::{Error, Recognised, SpeechToText, Word};

/// Longest running text sent along, in characters.
const RUNNING_CHARS: usize = 4_000;
/// Pauses between attempts to post; one attempt more than there are pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];
/// Recognised utterances that may wait for the receiver.
const WAITING_POSTS: usize = 4;

/// What live transcription of one bot needs to know.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// The bot.
    pub bot: BotId,
    /// Echoed in every body.
    pub custom_attributes: Map<String, Value>,
    /// The receiver.
    pub webhook: Url,
    /// Language hint.
    pub language: Option<String>,
    /// Utterances that may wait for the recogniser; more are dropped.
    pub queue: usize,
    /// Utterances recognised at a time.
    pub concurrency: usize,
}

/// A finished phrase of one speaker, as it is posted and noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The platform's id of the participant.
    pub speaker_id: String,
    /// Display name.
    pub speaker: String,
    /// From, in milliseconds since the epoch: the attempts of a bot share this clock.
    pub start_ms: i64,
    /// To.
    pub end_ms: i64,
    /// With punctuation.
    pub text: String,
    /// Its words; their times count from `start_ms`.
    pub words: Vec<Word>,
    /// The language as the recogniser names it, if it does.
    pub language: Option<String>,
    /// The speaker paused after it.
    pub end_of_turn: bool,
}

/// Something somebody said.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The platform's id of the participant.
    pub speaker_id: String,
    /// Display name.
    pub speaker: String,
    /// When it began.
    pub at: Timestamp,
    /// When it began, since the start of the recording.
    pub start_ms: u64,
    /// Mono, 16 kHz.
    pub pcm16k: Vec<i16>,
    /// The speaker paused after it.
    pub end_of_turn: bool,
}

/// What became of the utterances so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveFigures {
    /// Not taken because too many were waiting.
    pub dropped: u64,
    /// Taken, but lost to the recogniser.
    pub unrecognised: u64,
    /// Accepted by the receiver.
    pub posted: u64,
    /// Recognised, but not accepted by the receiver in several attempts.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    dropped: AtomicU64,
    unrecognised: AtomicU64,
    posted: AtomicU64,
    failed: AtomicU64,
}

/// Live transcription of one bot. Dropping it gives up what is under way; [`finish`](Self::finish) does not.
#[derive(Debug)]
pub struct Live {
    utterances: mpsc::Sender<Spoken>,
    counters: Arc<Counters>,
    task: AbortOnDropHandle<()>,
}

impl Live {
    /// Starts a task that recognises and posts until [`finish`](Self::finish).
    #[must_use]
    pub fn start(settings: LiveSettings, speech: Arc<dyn SpeechToText>, client: GuardedClient) -> Self {
        let (utterances, waiting) = mpsc::channel(settings.queue.max(1));
        let counters = Arc::new(Counters::default());
        let task = AbortOnDropHandle::new(tokio::spawn(run(settings, speech, client, waiting, Arc::clone(&counters))));
        Self { utterances, counters, task }
    }

    /// Hands an utterance in. Never waits: false when it was dropped because too many are waiting.
    pub fn offer(&self, spoken: Spoken) -> bool {
        let taken = self.utterances.try_send(spoken).is_ok();
        if !taken {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// What became of the utterances so far.
    #[must_use]
    pub fn figures(&self) -> LiveFigures {
        self.counters.read()
    }

    /// Works off what was offered, for at most `within`.
    pub async fn finish(self, within: Duration) -> LiveFigures {
        let Self { utterances, counters, task } = self;
        drop(utterances);
        if tokio::time::timeout(within, task).await.is_err() {
            tracing::warn!("live transcription did not finish in time");
        }
        counters.read()
    }
}

impl Counters {
    fn read(&self) -> LiveFigures {
        LiveFigures {
            dropped: self.dropped.load(Ordering::Relaxed),
            unrecognised: self.unrecognised.load(Ordering::Relaxed),
            posted: self.posted.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

async fn run(
    settings: LiveSettings,
    speech: Arc<dyn SpeechToText>,
    client: GuardedClient,
    waiting: mpsc::Receiver<Spoken>,
    counters: Arc<Counters>,
) {
    let (recognised, mut ready) = mpsc::channel(WAITING_POSTS);
    let language = settings.language.clone();
    let recognise = async {
        let utterances = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
        // Tasks of their own: while the receiver holds things up, requests to the recogniser still go on.
        let results = utterances
            .map(|spoken| {
                AbortOnDropHandle::new(tokio::spawn(recognise(Arc::clone(&speech), spoken, language.clone())))
            })
            .buffered(settings.concurrency.max(1));
        tokio::pin!(results);
        while let Some(result) = results.next().await {
            match result {
                Ok((spoken, Ok(words))) => {
                    if recognised.send((spoken, words)).await.is_err() {
                        return;
                    }
                }
                Ok((_, Err(error))) => {
                    tracing::warn!(%error, "an utterance was not recognised");
                    counters.unrecognised.fetch_add(1, Ordering::Relaxed);
                }
                Err(panicked) => {
                    tracing::error!(error = %panicked, "recognition panicked");
                    counters.unrecognised.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        drop(recognised);
    };
    let post = async {
        let mut running = String::new();
        while let Some((spoken, words)) = ready.recv().await {
            let text = words.text();
            if text.is_empty() {
                continue;
            }
            append(&mut running, &text);
            let accepted = post(&client, &settings.webhook, &body(&settings, &spoken, &words, &running)).await;
            let counter = if accepted { &counters.posted } else { &counters.failed };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(recognise, post);
}

async fn recognise(
    speech: Arc<dyn SpeechToText>,
    spoken: Spoken,
    language: Option<String>,
) -> (Spoken, Result<Recognised, Error>) {
    let result = speech.transcribe(&spoken.pcm16k, language.as_deref()).await;
    (spoken, result)
}

/// Posts until accepted, refused for good, or out of attempts.
async fn post(client: &GuardedClient, webhook: &Url, body: &Value) -> bool {
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

/// The body that MeetStream's clients read.
fn body(settings: &LiveSettings, spoken: &Spoken, recognised: &Recognised, running: &str) -> Value {
    let text = recognised.text();
    let words: Vec<Value> = recognised
        .words()
        .map(|word| {
            json!({
                "word": word.bare(),
                "punctuated_word": word.word,
                "start": seconds(spoken.start_ms + word.start_ms),
                "end": seconds(spoken.start_ms + word.end_ms),
                "confidence": rounded(word.confidence),
                "speech_confidence": rounded(word.confidence),
                "speaker": spoken.speaker,
                "word_is_final": true,
            })
        })
        .collect();
    json!({
        "bot_id": settings.bot,
        "speakerId": spoken.speaker_id,
        "speakerName": spoken.speaker,
        "timestamp": spoken.at.to_rfc3339(),
        "new_text": text,
        "utterance": text,
        "transcript": running,
        "words": words,
        "is_final": true,
        "end_of_turn": spoken.end_of_turn,
        "turn_is_formatted": true,
        "transcription_mode": "sentence",
        "custom_attributes": settings.custom_attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::RecognisedSegment;

    #[test]
    fn the_body_has_every_field_that_clients_read() {
        let settings = LiveSettings {
            bot: BotId::from_uuid(uuid::Uuid::from_u128(7)),
            custom_attributes: Map::from_iter([("call".to_owned(), json!(3))]),
            webhook: "https://example.com/".parse().unwrap(),
            language: None,
            queue: 1,
            concurrency: 1,
        };
        let spoken = Spoken {
            speaker_id: "p1".into(),
            speaker: "Ann".into(),
            at: Timestamp::parse("2026-01-31T09:00:05Z").unwrap(),
            start_ms: 5000,
            pcm16k: Vec::new(),
            end_of_turn: true,
        };
        let word = Word { word: "Hello!".into(), start_ms: 250, end_ms: 500, confidence: 0.5 };
        let segment = RecognisedSegment { start_ms: 250, end_ms: 500, text: "Hello!".into(), words: vec![word] };
        let recognised = Recognised { language: None, segments: vec![segment] };
        let got = body(&settings, &spoken, &recognised, "Earlier. Hello!");
        assert_eq!(
            got,
            json!({
                "bot_id": "00000000-0000-0000-0000-000000000007",
                "speakerId": "p1",
                "speakerName": "Ann",
                "timestamp": "2026-01-31T09:00:05.000Z",
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
