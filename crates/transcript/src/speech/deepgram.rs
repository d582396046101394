//! Deepgram: streaming over a WebSocket, whole pieces over HTTP.

mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header;
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use url::Url;

use super::http::{self, Failure, read, retried, wav};
use super::options::{language, passed, scalar};
use super::{Error, Recognised, SpeechToText, endpoint, secret};
use crate::listen::stream::{self, Protocol, Reader};
use crate::listen::{Listening, Pace};
use crate::{SAMPLES_PER_MS, duration_ms};

/// Longest wait for the words of a whole piece.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What only a stream understands.
const STREAMING: &[&str] =
    &["interim_results", "endpointing", "vad_events", "utterance_end_ms", "no_delay", "language", "keyterms"];
/// What only a whole piece understands.
const PRERECORDED: &[&str] =
    &["paragraphs", "utterances", "utt_split", "summarize", "topics", "intents", "sentiment", "language", "keyterms"];

/// A client for Deepgram.
pub(super) struct Deepgram {
    http: reqwest::Client,
    url: Url,
    key: String,
    options: Value,
}

impl fmt::Debug for Deepgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deepgram").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Deepgram {
    pub(super) fn new(url: Url, key: String, options: Value) -> Result<Self, Error> {
        endpoint(&url, "ws", "/v1/listen")?;
        secret(&format!("Token {key}"))?;
        Ok(Self { http: http::client(&url)?, url, key, options })
    }

    /// The address of a request with the plan's options.
    fn address(&self, scheme: &str, hint: Option<&str>, model: &str, but: &[&str]) -> Result<Url, Error> {
        let mut url = endpoint(&self.url, scheme, "/v1/listen")?;
        let mut query = url.query_pairs_mut();
        for (name, default) in [("model", model), ("punctuate", "true")] {
            if self.options.get(name).is_none_or(Value::is_null) {
                query.append_pair(name, default);
            }
        }
        if let Some(language) = language(&self.options, &["language"]).or(hint) {
            query.append_pair("language", language);
        }
        let terms = self.options.get("keyterms").map(|terms| ("keyterm", terms));
        for (name, value) in passed(&self.options, but).chain(terms) {
            let many = value.as_array().map(|values| values.iter().filter_map(scalar).collect());
            for value in many.unwrap_or_else(|| scalar(value).into_iter().collect::<Vec<_>>()) {
                query.append_pair(name, &value);
            }
        }
        drop(query);
        Ok(url)
    }

    async fn attempt(&self, url: &Url, wav: &[u8]) -> Result<String, Failure> {
        let request = self.http.post(url.clone()).timeout(TIMEOUT).header(header::CONTENT_TYPE, "audio/wav");
        let request = request.header(header::AUTHORIZATION, format!("Token {}", self.key)).body(wav.to_vec());
        read(request.send().await.map_err(Failure::no_answer)?).await
    }
}

#[async_trait]
impl SpeechToText for Deepgram {
    async fn transcribe(&self, pcm16k: &[i16], hint: Option<&str>) -> Result<Recognised, Error> {
        let duration_ms = duration_ms(pcm16k);
        if duration_ms == 0 {
            return Ok(Recognised::default());
        }
        let url = self.address("http", hint, "nova-3", STREAMING)?;
        let wav = wav(pcm16k);
        let body = retried(|| self.attempt(&url, &wav)).await?;
        wire::prerecorded(&body, duration_ms)
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        stream::listen(self, language, pace)
    }
}

impl Protocol for Deepgram {
    fn name(&self) -> &'static str {
        "Deepgram"
    }

    fn request(&self, language: Option<&str>) -> Result<Request, Error> {
        let mut url = self.address("ws", language, "nova-2", PRERECORDED)?;
        let mut query = url.query_pairs_mut();
        query.append_pair("encoding", "linear16").append_pair("sample_rate", "16000").append_pair("channels", "1");
        for (name, default) in [("interim_results", "true"), ("endpointing", "300")] {
            if self.options.get(name).is_none_or(Value::is_null) {
                query.append_pair(name, default);
            }
        }
        drop(query);
        let mut request =
            url.as_str().into_client_request().map_err(|error| Error::Setup { detail: error.to_string() })?;
        request.headers_mut().insert(header::AUTHORIZATION, secret(&format!("Token {}", self.key))?);
        Ok(request)
    }

    fn keep_alive(&self) -> Option<&'static str> {
        Some(r#"{"type":"KeepAlive"}"#)
    }

    fn flush(&self) -> &'static str {
        r#"{"type":"Finalize"}"#
    }

    fn close(&self) -> &'static str {
        r#"{"type":"CloseStream"}"#
    }

    fn message(&self) -> usize {
        100 * SAMPLES_PER_MS
    }

    fn percent(&self) -> u32 {
        400
    }

    fn answers_silence(&self) -> bool {
        true
    }

    fn refuses(&self, code: u16, _: &str) -> bool {
        code == 1008
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(wire::Results)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(options: Value) -> Vec<(String, String)> {
        let url = "https://dg.example.com/base/".parse().unwrap();
        let request = Deepgram::new(url, "k".into(), options).unwrap().request(Some("fr")).unwrap();
        let url: Url = request.uri().to_string().parse().unwrap();
        assert_eq!((url.scheme(), url.path()), ("wss", "/base/v1/listen"));
        url.query_pairs().into_owned().collect()
    }

    #[test]
    fn the_plan_decides_about_recognition_and_we_about_audio() {
        let ours = [("encoding", "linear16"), ("sample_rate", "16000"), ("channels", "1")];
        let plain = [&[("model", "nova-2"), ("punctuate", "true"), ("language", "fr")][..], &ours].concat();
        let defaults = [("interim_results", "true"), ("endpointing", "300")];
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(query(json!({})), owned(&[plain, defaults.to_vec()].concat()));
        let got = query(json!({
            "model": "nova-3", "language": "de", "punctuate": false, "encoding": "opus", "sample_rate": 48000,
            "transcription_mode": "word", "endpointing": 10, "keyterms": ["Muster", "bot"], "paragraphs": true,
            "interim_results": false,
        }));
        let own = [("language", "de"), ("endpointing", "10"), ("interim_results", "false"), ("model", "nova-3")];
        let terms = [("punctuate", "false"), ("keyterm", "Muster"), ("keyterm", "bot")];
        assert_eq!(got, owned(&[&own[..], &terms, &ours].concat()));
    }

    #[test]
    fn debug_shows_no_key_and_bad_settings_are_refused() {
        let url: Url = "wss://api.example.com".parse().unwrap();
        let client = Deepgram::new(url.clone(), "sk-1".into(), json!({})).unwrap();
        assert!(!format!("{client:?}").contains("sk-1"));
        assert!(matches!(Deepgram::new(url, "a\nb".into(), json!({})), Err(Error::Setup { .. })));
        let error = Deepgram::new("ftp://x/".parse().unwrap(), "k".into(), json!({})).unwrap_err();
        assert!(matches!(error, Error::Setup { .. }));
    }
}
