//! Speech to text.

mod answer;
mod openai;

use std::sync::Arc;

use async_trait::async_trait;
use muster_session::Fault;
use muster_session::protocol::SpeechSpec;
use serde::{Deserialize, Serialize};

use openai::OpenAiCompatible;

/// Something that turns speech into words.
#[async_trait]
pub trait SpeechToText: Send + Sync + std::fmt::Debug {
    /// Recognises one piece of mono 16 kHz audio. `language` is an ISO 639-1 hint; without it the implementation's own
    /// setting or detection decides. Times in the answer count from the start of the piece. Silence is an answer
    /// without segments. Cancel safe.
    async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, Error>;
}

/// A client for the recogniser. Connects to nothing: what is wrong with the settings themselves is found here.
pub fn open(spec: &SpeechSpec) -> Result<Arc<dyn SpeechToText>, Error> {
    match spec.clone() {
        SpeechSpec::Openai { url, model, api_key, language } => {
            Ok(Arc::new(OpenAiCompatible::new(openai::Settings { url, model, api_key, language })?))
        }
        SpeechSpec::Deepgram { .. } | SpeechSpec::Assemblyai { .. } => {
            Err(Error::Setup { detail: format!("{} is not supported", spec.name()) })
        }
    }
}

/// What was said in one piece of audio.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// The language as the server names it, if it does.
    pub language: Option<String>,
    /// In order of time.
    pub segments: Vec<RecognisedSegment>,
}

impl Recognised {
    /// Everything that was said, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Every word, in order of time.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.segments.iter().flat_map(|segment| &segment.words)
    }
}

/// A phrase. Never without words.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognisedSegment {
    /// From.
    pub start_ms: u64,
    /// To.
    pub end_ms: u64,
    /// The text with punctuation, trimmed.
    pub text: String,
    /// Its words; spread over the segment by their length when the server gave no times.
    pub words: Vec<Word>,
}

/// A word as it is written, punctuation included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word.
    pub word: String,
    /// From.
    pub start_ms: u64,
    /// To.
    pub end_ms: u64,
    /// `0.0..=1.0`; 0 when the server does not say.
    pub confidence: f32,
}

impl Word {
    /// The word in lower case without punctuation around it.
    #[must_use]
    pub fn bare(&self) -> String {
        self.word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
    }
}

/// Why there are no words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint's settings cannot be used.
    #[error("the speech-to-text endpoint cannot be used: {detail}")]
    Setup {
        /// What is wrong.
        detail: String,
    },
    /// The server refused the request and would again: a wrong key, model or address.
    #[error("the speech-to-text server answered {status}: {detail}")]
    Rejected {
        /// Its HTTP status.
        status: u16,
        /// First part of its answer.
        detail: String,
    },
    /// The server could not be reached, was too slow or had trouble of its own, in several attempts.
    #[error("the speech-to-text server is unavailable: {detail}")]
    Unavailable {
        /// What happened last.
        detail: String,
        /// The client's error, if there was no answer.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The server answered something else than a transcription.
    #[error("the speech-to-text server's answer cannot be read: {detail}")]
    BadAnswer {
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// True when another try later can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Setup { .. } | Self::Rejected { .. } | Self::BadAnswer { .. } => false,
        }
    }

    /// Who can do something about it: the endpoint belongs to the operator.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Us
    }
}
