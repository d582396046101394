//! Live recognition by whole utterances, for recognisers that take pieces.
//!
//! A few utterances are recognised at a time; their words come in the order in which the utterances ended. One that
//! meets a recogniser that is away is tried again until it is back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Budget, Heard, Listener, Listening, Pace, Phrase};
use crate::duration_ms;
use crate::speech::{Error, Recognised, SpeechToText, Word};
use crate::utterance::{Utterance, UtteranceBuilder};

/// Utterances recognised at a time, so that one long one does not hold up the others.
const AT_A_TIME: usize = 2;

/// Cuts each voice into utterances and has them recognised by `speech`.
pub fn listen(speech: Arc<dyn SpeechToText>, language: Option<String>, pace: Pace) -> Listening {
    let (utterances, waiting) = mpsc::unbounded_channel();
    let (heard, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        speech,
        language,
        pace,
        budget: pace.budget(),
        waiting_ms: AtomicU64::new(0),
        told: AtomicBool::new(false),
        refused: AtomicBool::new(false),
    });
    let task = AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(&shared), waiting, heard.clone())));
    let listener = Utterances { shared, builders: HashMap::new(), out: Some(Out { utterances, heard }), _task: task };
    (Box::new(listener), receiver)
}

#[derive(Debug)]
struct Utterances {
    shared: Arc<Shared>,
    builders: HashMap<String, UtteranceBuilder>,
    /// Until nothing more comes.
    out: Option<Out>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Out {
    utterances: mpsc::UnboundedSender<(String, Utterance)>,
    heard: mpsc::UnboundedSender<Heard>,
}

#[derive(Debug)]
struct Shared {
    speech: Arc<dyn SpeechToText>,
    language: Option<String>,
    pace: Pace,
    budget: Budget,
    /// Taken and not recognised yet.
    waiting_ms: AtomicU64,
    /// Trouble was told and is not over.
    told: AtomicBool,
    /// The recogniser does not want us.
    refused: AtomicBool,
}

impl Listener for Utterances {
    fn frame(&mut self, voice: &str, at_ms: u64, pcm16k: &[i16], speech: bool) {
        let builder = match self.builders.get_mut(voice) {
            Some(builder) => builder,
            None => self.builders.entry(voice.to_owned()).or_default(),
        };
        if let Some(utterance) = builder.push(pcm16k, speech, at_ms) {
            self.offer(voice, utterance);
        }
    }

    fn gone(&mut self, voice: &str) {
        if let Some(utterance) = self.builders.remove(voice).and_then(|mut builder| builder.flush()) {
            self.offer(voice, utterance);
        }
    }

    fn finish(&mut self) {
        let mut voices: Vec<String> = self.builders.keys().cloned().collect();
        voices.sort();
        for voice in voices {
            self.gone(&voice);
        }
        self.out = None;
    }

    fn waiting_ms(&self) -> u64 {
        self.shared.waiting_ms.load(Ordering::Relaxed)
    }
}

impl Utterances {
    fn offer(&self, voice: &str, utterance: Utterance) {
        let Some(Out { utterances, heard }) = &self.out else { return };
        let ms = duration_ms(&utterance.pcm16k);
        if self.shared.budget.take(utterance.pcm16k.len()) {
            self.shared.waiting_ms.fetch_add(ms, Ordering::Relaxed);
            let _ = utterances.send((voice.to_owned(), utterance));
        } else {
            let _ = heard.send(Heard::Dropped { ms });
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    waiting: mpsc::UnboundedReceiver<(String, Utterance)>,
    heard: mpsc::UnboundedSender<Heard>,
) {
    let utterances = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
    let results = utterances
        .map(|(voice, utterance)| {
            let (shared, heard) = (Arc::clone(&shared), heard.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { shared.recognise(&voice, utterance, &heard).await }))
        })
        .buffered(AT_A_TIME);
    tokio::pin!(results);
    while let Some(result) = results.next().await {
        match result {
            Ok(Some(what)) => {
                let _ = heard.send(what);
            }
            Ok(None) => {}
            Err(panicked) => tracing::error!(error = %panicked, "recognition panicked"),
        }
    }
}

impl Shared {
    async fn recognise(
        &self,
        voice: &str,
        utterance: Utterance,
        heard: &mpsc::UnboundedSender<Heard>,
    ) -> Option<Heard> {
        let ms = duration_ms(&utterance.pcm16k);
        let result = self.until_there(&utterance.pcm16k, heard).await;
        self.budget.give_back(utterance.pcm16k.len());
        self.waiting_ms.fetch_sub(ms, Ordering::Relaxed);
        match result {
            Some(recognised) => phrase(voice, &utterance, recognised).map(Heard::Phrase),
            None => Some(Heard::Unrecognised { ms }),
        }
    }

    /// Tries until the recogniser is there; none if it refuses.
    async fn until_there(&self, pcm16k: &[i16], heard: &mpsc::UnboundedSender<Heard>) -> Option<Recognised> {
        let mut pause = self.pace.first_pause;
        while !self.refused.load(Ordering::Relaxed) {
            match self.speech.transcribe(pcm16k, self.language.as_deref()).await {
                Ok(recognised) => {
                    self.told.store(false, Ordering::Relaxed);
                    return Some(recognised);
                }
                Err(error) if error.is_transient() => self.tell(heard, format!("{error}; trying again")),
                Err(error) => {
                    if matches!(error, Error::Rejected { status: 401..=403, .. } | Error::Setup { .. }) {
                        self.refused.store(true, Ordering::Relaxed);
                    }
                    self.tell(heard, error.to_string());
                    return None;
                }
            }
            tokio::time::sleep(pause).await;
            pause = self.pace.longer(pause);
        }
        None
    }

    fn tell(&self, heard: &mpsc::UnboundedSender<Heard>, text: String) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let _ = heard.send(Heard::Trouble(text));
        }
    }
}

fn phrase(voice: &str, utterance: &Utterance, recognised: Recognised) -> Option<Phrase> {
    let text = recognised.text();
    let at = |ms: u64| utterance.start_ms + ms;
    let words = recognised.segments.into_iter().flat_map(|segment| segment.words).map(|word| Word {
        start_ms: at(word.start_ms),
        end_ms: at(word.end_ms),
        ..word
    });
    Phrase::of(voice, text, words.collect(), recognised.language, utterance.end_of_turn)
}
