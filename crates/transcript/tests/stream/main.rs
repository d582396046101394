//! What goes over the wire to streaming vendors, and what becomes of words when a vendor is in trouble.

#![expect(clippy::unwrap_used, reason = "tests")]

mod assemblyai;
mod deepgram;
mod pieces;
mod vendor;

use std::sync::Arc;
use std::time::Duration;

use muster_session::protocol::SpeechSpec;
use muster_transcript::listen::{Heard, Listener, Pace};
use muster_transcript::speech;
use tokio::sync::mpsc;

const KEY: &str = "sk-very-secret";

/// Short, so that nothing is waited for long; long enough for a busy machine where it must not run out.
fn pace() -> Pace {
    Pace {
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
        keep_alive: Duration::from_millis(50),
        ..Pace::default()
    }
}

/// A participant who says words: each is 300 ms of its own level and 100 ms of another, all of it speech.
struct Speaker {
    listener: Box<dyn Listener>,
    heard: mpsc::UnboundedReceiver<Heard>,
    now_ms: u64,
    /// Who speaks.
    id: &'static str,
}

impl Speaker {
    fn new(spec: &SpeechSpec, pace: Pace) -> Self {
        let speech = speech::open(spec).unwrap();
        assert!(!format!("{speech:?}").contains(KEY));
        let (listener, heard) = Arc::clone(&speech).listen(Some("en".into()), pace);
        Self { listener, heard, now_ms: 0, id: "ann" }
    }

    fn frames(&mut self, ms: u64, level: i16, speech: bool) {
        for _ in 0..ms / 20 {
            self.listener.frame(self.id, self.now_ms, &[level; 320], speech);
            self.now_ms += 20;
        }
    }

    fn silence(&mut self, ms: u64) {
        self.frames(ms, 0, false);
    }

    /// Says word number `word`, which is not 0.
    fn say(&mut self, word: i16) {
        self.frames(300, word, true);
        self.frames(100, 0, true);
    }

    /// The next phrase, its words and when they are said. Fails on anything else.
    async fn phrase(&mut self) -> Vec<(String, u64, u64)> {
        match self.heard.recv().await {
            Some(Heard::Phrase(phrase)) => {
                let at = phrase.start_ms;
                phrase.words.into_iter().map(|word| (word.word, at + word.start_ms, at + word.end_ms)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn trouble(&mut self) -> String {
        match self.heard.recv().await {
            Some(Heard::Trouble(text)) => {
                assert!(!text.contains(KEY));
                text
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everything that is heard until the end.
    async fn rest(mut self) -> Vec<Heard> {
        self.listener.finish();
        assert!(!format!("{:?}", self.listener).contains(KEY));
        let mut rest = Vec::new();
        while let Some(heard) = self.heard.recv().await {
            rest.push(heard);
        }
        assert_eq!(self.listener.waiting_ms(), 0);
        rest
    }
}

/// All words of phrases, in order.
fn words(heard: &[Heard]) -> Vec<String> {
    let phrases = heard.iter().filter_map(|heard| if let Heard::Phrase(phrase) = heard { Some(phrase) } else { None });
    phrases.flat_map(|phrase| phrase.words.iter().map(|word| word.word.clone())).collect()
}

fn named(words: &[i16]) -> Vec<String> {
    words.iter().map(|word| format!("w{word}")).collect()
}
