//! Speech to text.

mod answer;
mod assemblyai;
mod deepgram;
mod http;
mod openai;
mod options;

use std::sync::Arc;

use async_trait::async_trait;
use muster_session::Fault;
use muster_session::protocol::SpeechSpec;
use serde::{Deserialize, Serialize};

use reqwest::header::HeaderValue;
use url::Url;

use assemblyai::AssemblyAi;
use deepgram::Deepgram;
pub(crate) use http::redacted;
use openai::OpenAiCompatible;

use crate::listen::{Listening, Pace};

/// Something that turns speech into words.
#[async_trait]
pub trait SpeechToText: Send + Sync + std::fmt::Debug {
    /// Recognises one piece of mono 16 kHz audio. `language` is an ISO 639-1 hint; without it the implementation's own
    /// setting or detection decides. Times in the answer count from the start of the piece. Silence is an answer
    /// without segments. Cancel safe.
    async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, Error>;

    /// Recognises the voices of one call as they speak. Answers at once; trouble comes out of the channel. `language`
    /// as for [`transcribe`](Self::transcribe). Must be called within a tokio runtime.
    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening;
}

/// A client for the recogniser. Connects to nothing: what is wrong with the settings themselves is found here.
pub fn open(spec: &SpeechSpec) -> Result<Arc<dyn SpeechToText>, Error> {
    match spec.clone() {
        SpeechSpec::Openai { url, model, api_key, language } => {
            Ok(Arc::new(OpenAiCompatible::new(openai::Settings { url, model, api_key, language })?))
        }
        SpeechSpec::Deepgram { url, api_key, options } => Ok(Arc::new(Deepgram::new(url, api_key, options)?)),
        SpeechSpec::Assemblyai { url, api_key, options } => Ok(Arc::new(AssemblyAi::new(url, &api_key, options)?)),
    }
}

/// `path` at a base URL, over WebSockets (`ws`) or requests (`http`); with TLS if the base says so.
fn endpoint(base: &Url, kind: &str, path: &str) -> Result<Url, Error> {
    let tls = match base.scheme() {
        "ws" | "http" => "",
        "wss" | "https" => "s",
        _ => return Err(Error::Setup { detail: format!("{base} is not a wss, ws, https or http URL") }),
    };
    let mut url = base.clone();
    url.set_scheme(&format!("{kind}{tls}")).map_err(|()| Error::Setup { detail: format!("{base} has no host") })?;
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    Ok(url)
}

/// A header's value that is shown nowhere.
fn secret(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::Setup { detail: "the key has characters that no key has".into() })?;
    value.set_sensitive(true);
    Ok(value)
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

impl RecognisedSegment {
    /// A segment of words whose times are put right; none without words.
    fn of(text: String, words: Vec<Word>, duration_ms: u64) -> Option<Self> {
        let words: Vec<Word> = words
            .into_iter()
            .map(|word| Word { start_ms: word.start_ms.min(duration_ms), end_ms: word.end_ms.min(duration_ms), ..word })
            .collect();
        let (start_ms, end_ms) = (words.first()?.start_ms, words.last()?.end_ms);
        Some(Self { start_ms, end_ms, text, words })
    }
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
