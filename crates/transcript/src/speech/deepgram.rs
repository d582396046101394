//! Deepgram: streaming over a WebSocket, whole pieces over HTTP.

mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{self, HeaderValue};
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
const STREAMING: &[&str] = &[
    "interim_results",
    "endpointing",
    "vad_events",
    "utterance_end_ms",
    "no_delay",
    "language",
    "detect_language",
    "keyterms",
];
/// What only a whole piece understands.
const PRERECORDED: &[&str] = &[
    "paragraphs",
    "utterances",
    "utt_split",
    "summarize",
    "topics",
    "intents",
    "sentiment",
    "language",
    "detect_language",
    "keyterms",
];

/// A client for Deepgram.
pub(super) struct Deepgram {
    http: reqwest::Client,
    url: Url,
    key: String,
    authorization: HeaderValue,
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
        let authorization = secret(&format!("Token {key}"))?;
        Ok(Self { http: http::client(&url)?, url, key, authorization, options })
    }

    /// The option's value, if it has one.
    fn given(&self, name: &str) -> Option<&Value> {
        self.options.get(name).filter(|value| !value.is_null())
    }

    /// Parameters about the language: the one that is wanted, or that it is to be found out.
    fn language<'a>(&'a self, hint: Option<&'a str>, model: &str, streamed: bool) -> Option<(&'static str, &'a str)> {
        if let Some(language) = language(&self.options, &["language"]).or(hint) {
            return Some(("language", language));
        }
        if streamed {
            // Streams know no detection, and only these models know several languages at a time.
            let knows = ["nova-2", "nova-3"].iter().any(|name| model.starts_with(name));
            return knows.then_some(("language", "multi"));
        }
        let detect = self.given("detect_language").is_none_or(|detect| scalar(detect).as_deref() != Some("false"));
        detect.then_some(("detect_language", "true"))
    }

    /// The address of a request with the plan's options.
    fn address(&self, scheme: &str, hint: Option<&str>, model: &str, but: &[&str]) -> Result<Url, Error> {
        let own = self.given("model").and_then(scalar);
        let about_language = self.language(hint, own.as_deref().unwrap_or(model), scheme == "ws");
        let mut url = endpoint(&self.url, scheme, "/v1/listen")?;
        let mut query = url.query_pairs_mut();
        for (name, default) in [("model", model), ("punctuate", "true")] {
            if self.options.get(name).is_none_or(Value::is_null) {
                query.append_pair(name, default);
            }
        }
        if let Some((name, value)) = about_language {
            query.append_pair(name, value);
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
        let request = request.header(header::AUTHORIZATION, self.authorization.clone()).body(wav.to_vec());
        read(request.send().await.map_err(Failure::no_answer)?, Some(&self.key)).await
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
        // Terms are known to the newer model only.
        let terms = ["keyterm", "keyterms"].iter().any(|name| self.given(name).is_some());
        let model = if terms { "nova-3" } else { "nova-2" };
        let mut url = self.address("ws", language, model, PRERECORDED)?;
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
        request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone());
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

    fn refuses(&self, code: u16, reason: &str) -> bool {
        code == 1008 && !stream::passes(reason)
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
        hinted(options, Some("fr"))
    }

    fn hinted(options: Value, hint: Option<&str>) -> Vec<(String, String)> {
        let url = "https://dg.example.com/base/".parse().unwrap();
        let request = Deepgram::new(url, "k".into(), options).unwrap().request(hint).unwrap();
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
    fn a_language_that_nobody_names_is_found_out() {
        let about = |pairs: Vec<(String, String)>| -> Vec<String> {
            let about = |name: &str| matches!(name, "model" | "language" | "detect_language");
            pairs.into_iter().filter(|(name, _)| about(name)).map(|(name, value)| format!("{name}={value}")).collect()
        };
        let streamed = |options: Value| about(hinted(options, None));
        let whole = |options: Value| {
            let client = Deepgram::new("wss://dg.example.com".parse().unwrap(), "k".into(), options).unwrap();
            let url = client.address("http", None, "nova-3", STREAMING).unwrap();
            about(url.query_pairs().into_owned().collect())
        };
        assert_eq!(streamed(json!({"detect_language": true})), ["model=nova-2", "language=multi"]);
        assert_eq!(streamed(json!({"model": "base"})), ["model=base"]);
        assert_eq!(streamed(json!({"keyterms": ["a"], "language": "de"})), ["model=nova-3", "language=de"]);
        assert_eq!(streamed(json!({"keyterm": "a", "language": "auto"})), ["model=nova-3", "language=multi"]);
        assert_eq!(whole(json!({})), ["model=nova-3", "detect_language=true"]);
        assert_eq!(whole(json!({"detect_language": false})), ["model=nova-3"]);
        assert_eq!(whole(json!({"language": "fr", "detect_language": true})), ["model=nova-3", "language=fr"]);
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
