//! Live transcription: voices in, words out, to be recorded and to be posted.
//!
//! The words that are handed out ([`Live::take`]) and those that are posted are the same, in the same order. Everything
//! is bounded: when the recogniser or the receiver cannot follow, what is too much is dropped and counted, and the
//! recording is not held up.

mod post;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_hooks::client::GuardedClient;
use muster_session::{BotId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub use post::post;

use crate::listen::{Heard, Listener, Pace, Phrase};
use crate::speech::{SpeechToText, Word};

/// Phrases that may wait for the receiver.
const WAITING_POSTS: usize = 256;

/// What live transcription of one bot needs to know.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// The bot.
    pub bot: BotId,
    /// Echoed in every body.
    pub custom_attributes: Map<String, Value>,
    /// The receiver, if words are posted, and the client that may call it.
    pub webhook: Option<(Url, GuardedClient)>,
    /// Language hint.
    pub language: Option<String>,
    /// How patient recognition is.
    pub pace: Pace,
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

/// What became of what was said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveFigures {
    /// Milliseconds of speech that were not taken because too much was waiting.
    pub dropped_ms: u64,
    /// Milliseconds of speech that were taken, but lost to the recogniser.
    pub unrecognised_ms: u64,
    /// Phrases that the receiver accepted.
    pub posted: u64,
    /// Phrases that the receiver did not accept in several attempts, or could not be offered in time.
    pub failed: u64,
}

/// Live transcription of one bot. Dropping it gives up what is under way; [`finish`](Self::finish) does not.
#[derive(Debug)]
pub struct Live {
    listener: Box<dyn Listener>,
    shared: Arc<Shared>,
    /// Comes when everything is recognised.
    recognised: Option<oneshot::Receiver<()>>,
    collecting: AbortOnDropHandle<()>,
    posting: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Names of the speakers by id.
    names: HashMap<String, String>,
    said: Vec<Said>,
    troubles: Vec<String>,
    figures: LiveFigures,
    /// Phrases on their way to the receiver.
    posting: u64,
}

impl Live {
    /// Starts to listen. `start` is when the recording of this attempt begins: the times of frames count from it.
    #[must_use]
    pub fn start(settings: LiveSettings, start: Timestamp, speech: Arc<dyn SpeechToText>) -> Self {
        let LiveSettings { bot, custom_attributes, webhook, language, pace } = settings;
        let (listener, heard) = speech.listen(language, pace);
        let shared = Arc::new(Shared::default());
        let mut posts = None;
        let posting = webhook.map(|(url, client)| {
            let (sender, waiting) = mpsc::channel(WAITING_POSTS);
            posts = Some(sender);
            let receiver = post::Receiver { bot, custom_attributes, url, client, start };
            AbortOnDropHandle::new(tokio::spawn(receiver.run(waiting, Arc::clone(&shared))))
        });
        let (done, recognised) = oneshot::channel();
        let collecting = collect(heard, start, Arc::clone(&shared), posts, done);
        let collecting = AbortOnDropHandle::new(tokio::spawn(collecting));
        Self { listener, shared, recognised: Some(recognised), collecting, posting }
    }

    /// Takes the next frame (usually 20 ms) of a speaker (id and name), when it begins since the start of the
    /// recording, and whether a detector hears speech in it. Never waits.
    pub fn frame(&mut self, speaker: (&str, &str), at_ms: u64, pcm16k: &[i16], speech: bool) {
        let (id, name) = speaker;
        if speech {
            let mut state = self.shared.lock();
            if state.names.get(id).is_none_or(|known| known != name) {
                state.names.insert(id.to_owned(), name.to_owned());
            }
        }
        self.listener.frame(id, at_ms, pcm16k, speech);
    }

    /// The speaker is gone; what they said is still recognised.
    pub fn gone(&mut self, speaker_id: &str) {
        self.listener.gone(speaker_id);
    }

    /// The phrases that were finished since the last call, in the order in which they are posted.
    pub fn take(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.shared.lock().said)
    }

    /// Trouble with the recogniser since the last call, for people.
    pub fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().troubles)
    }

    /// What became of what was said so far.
    #[must_use]
    pub fn figures(&self) -> LiveFigures {
        self.shared.lock().figures
    }

    /// Nothing more comes: waits until everything is recognised, for at most `within`. What is not recognised then is
    /// given up and counted. To be called once; posts may still be on their way.
    pub async fn hear_out(&mut self, within: Duration) {
        let Some(recognised) = self.recognised.take() else { return };
        self.listener.finish();
        if tokio::time::timeout(within, recognised).await.is_ok() {
            return;
        }
        tracing::warn!("live transcription did not finish in time");
        self.collecting.abort();
        let _ = (&mut self.collecting).await;
        let mut state = self.shared.lock();
        state.figures.unrecognised_ms += self.listener.waiting_ms();
    }

    /// Works off what was said, for at most `within`: [`hear_out`](Self::hear_out) unless that was done, then the
    /// posts. Answers the phrases that were not taken yet.
    pub async fn finish(mut self, within: Duration) -> (Vec<Said>, LiveFigures) {
        let until = tokio::time::Instant::now() + within;
        self.hear_out(within).await;
        if let Some(posting) = &mut self.posting
            && tokio::time::timeout_at(until, &mut *posting).await.is_err()
        {
            tracing::warn!("live words could not all be posted in time");
            posting.abort();
            let _ = posting.await;
            let mut state = self.shared.lock();
            state.figures.failed += std::mem::take(&mut state.posting);
        }
        (self.take(), self.figures())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out what is heard, and offers it to the receiver.
async fn collect(
    mut heard: mpsc::UnboundedReceiver<Heard>,
    start: Timestamp,
    shared: Arc<Shared>,
    posts: Option<mpsc::Sender<Said>>,
    done: oneshot::Sender<()>,
) {
    while let Some(heard) = heard.recv().await {
        let mut state = shared.lock();
        match heard {
            Heard::Phrase(phrase) => {
                let name = state.names.get(&phrase.voice).cloned().unwrap_or_default();
                let said = said(phrase, name, start);
                if let Some(posts) = &posts {
                    match posts.try_send(said.clone()) {
                        Ok(()) => state.posting += 1,
                        Err(_) => state.figures.failed += 1,
                    }
                }
                state.said.push(said);
            }
            Heard::Trouble(text) => {
                tracing::warn!(text, "trouble with the recogniser");
                state.troubles.push(text);
            }
            Heard::Dropped { ms } => state.figures.dropped_ms += ms,
            Heard::Unrecognised { ms } => state.figures.unrecognised_ms += ms,
        }
    }
    let _ = done.send(());
}

fn said(phrase: Phrase, speaker: String, start: Timestamp) -> Said {
    let at = |ms: u64| start.as_millis().saturating_add_unsigned(ms);
    Said {
        start_ms: at(phrase.start_ms),
        end_ms: at(phrase.end_ms),
        speaker_id: phrase.voice,
        speaker,
        text: phrase.text,
        words: phrase.words,
        language: phrase.language,
        end_of_turn: phrase.end_of_turn,
    }
}
