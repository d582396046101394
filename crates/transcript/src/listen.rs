//! Live recognition of the voices of one call.
//!
//! A [`Listener`] takes everybody's audio frame by frame and never waits; what it hears comes out of a channel. Audio
//! is kept until its words are final, so a recogniser that goes away and comes back loses none of them and repeats
//! none. How much is kept is bounded by a budget; what does not fit is dropped and said to be.

pub(crate) mod stream;
pub mod utterances;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::SAMPLES_PER_MS;
use crate::speech::Word;

/// What comes out of a [`Listener`].
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Finished words. Those of one voice come in order of time, each once.
    Phrase(Phrase),
    /// The recogniser is in trouble, for people; said once until it works again.
    Trouble(String),
    /// So much speech was not taken: too much was waiting already.
    Dropped {
        /// Its length.
        ms: u64,
    },
    /// So much speech was taken, but the recogniser refused it.
    Unrecognised {
        /// Its length.
        ms: u64,
    },
}

/// What one voice said, finished. Never without words.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    /// The voice, as it was given to [`Listener::frame`].
    pub voice: String,
    /// Start of the first word, on the clock of the frames.
    pub start_ms: u64,
    /// End of the last word.
    pub end_ms: u64,
    /// With punctuation.
    pub text: String,
    /// Their times count from `start_ms`.
    pub words: Vec<Word>,
    /// The language as the recogniser names it, if it does.
    pub language: Option<String>,
    /// The speaker paused after it.
    pub end_of_turn: bool,
}

impl Phrase {
    /// A phrase of words whose times are on the clock of the frames; none without words.
    pub(crate) fn of(
        voice: &str,
        text: String,
        words: Vec<Word>,
        language: Option<String>,
        end_of_turn: bool,
    ) -> Option<Self> {
        let start_ms = words.iter().map(|word| word.start_ms).min()?;
        let end_ms = words.iter().map(|word| word.end_ms).max()?.max(start_ms);
        let words = words.into_iter().map(|word| Word {
            start_ms: word.start_ms - start_ms,
            end_ms: word.end_ms.saturating_sub(start_ms),
            ..word
        });
        Some(Self { voice: voice.to_owned(), start_ms, end_ms, text, words: words.collect(), language, end_of_turn })
    }
}

/// Takes the voices of one call. Dropping it gives up what is under way.
pub trait Listener: Send + std::fmt::Debug {
    /// Takes the next frame (usually 20 ms) of a voice, when it begins, and whether a detector hears speech in it.
    /// Frames of one voice come in order of time. Never waits.
    fn frame(&mut self, voice: &str, at_ms: u64, pcm16k: &[i16], speech: bool);

    /// The voice is gone; what it said is still recognised.
    fn gone(&mut self, voice: &str);

    /// Nothing more comes. The channel ends when everything is recognised.
    fn finish(&mut self);

    /// Length of the speech that is still to become words.
    fn waiting_ms(&self) -> u64;
}

/// A listener, and what it hears.
pub type Listening = (Box<dyn Listener>, mpsc::UnboundedReceiver<Heard>);

/// How patient live recognition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Until connected, handshakes included.
    pub connect: Duration,
    /// A connection over which nothing comes for so long is given up.
    pub hang: Duration,
    /// How often a connection without audio shows a sign of life.
    pub keep_alive: Duration,
    /// A connection is closed after so long a silence.
    pub idle: Duration,
    /// A connection over which so much audio became nothing is closed, which settles it, and opened again: for
    /// recognisers that do not answer what has no words.
    pub mute: Duration,
    /// For the recogniser's last words after we asked it to close.
    pub close: Duration,
    /// Before the second attempt to reach the recogniser; doubled before each further one ...
    pub first_pause: Duration,
    /// ... up to this.
    pub longest_pause: Duration,
    /// Audio of one call that may wait for its words.
    pub kept: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            hang: Duration::from_secs(20),
            keep_alive: Duration::from_secs(4),
            idle: Duration::from_secs(30),
            mute: Duration::from_secs(60),
            close: Duration::from_secs(10),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            kept: Duration::from_secs(300),
        }
    }
}

impl Pace {
    /// The pause after one of `before`.
    pub(crate) fn longer(&self, before: Duration) -> Duration {
        (before * 2).min(self.longest_pause)
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget::new(usize::try_from(self.kept.as_millis()).unwrap_or(usize::MAX / SAMPLES_PER_MS) * SAMPLES_PER_MS)
    }
}

/// One voice may hold so many times what is left for the others.
const SHARE: usize = 4;

/// Room for samples, shared by the voices of a call.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(crate) fn new(samples: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(samples)))
    }

    /// Takes room for `samples`, all or none.
    pub(crate) fn take(&self, samples: usize) -> bool {
        let fits = |left: usize| left.checked_sub(samples);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// As [`take`](Self::take), for one of several who has `held` already: four fifths are the most for one alone, and
    /// the more is held by others, the less it is.
    pub(crate) fn take_share(&self, samples: usize, held: usize) -> bool {
        let fits = |left: usize| {
            let left = left.checked_sub(samples)?;
            (held.saturating_add(samples) <= left.saturating_mul(SHARE)).then_some(left)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub(crate) fn give_back(&self, samples: usize) {
        self.0.fetch_add(samples, Ordering::Relaxed);
    }
}
