//! AssemblyAI: streaming over a WebSocket, whole pieces over HTTP.

mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{self, HeaderValue};
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use url::Url;

use super::http::{self, Failure, read, retried, wav};
use super::options::{language, passed, scalar};
use super::{Error, Recognised, SpeechToText, endpoint, secret};
use crate::listen::stream::{self, Protocol, Reader};
use crate::listen::{Listening, Pace};
use crate::{SAMPLES_PER_MS, duration_ms};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a transcript under way is asked for, and how often at most: ten minutes.
const POLL: Duration = Duration::from_millis(500);
const POLLS: u32 = 1_200;
/// What only a stream understands.
const STREAMING: &[&str] = &[
    "speech_model",
    "format_turns",
    "vad_threshold",
    "end_of_turn_confidence_threshold",
    "inactivity_timeout",
    "min_end_of_turn_silence_when_confident",
    "min_turn_silence",
    "max_turn_silence",
    "language",
    "keyterms",
];
/// What only a whole piece understands.
const PRERECORDED: &[&str] = &[
    "speech_models",
    "punctuate",
    "format_text",
    "auto_chapters",
    "entity_detection",
    "sentiment_analysis",
    "summarization",
    "language",
    "keyterms",
];

/// A client for AssemblyAI.
pub(super) struct AssemblyAi {
    http: reqwest::Client,
    /// Where streams go, and everything else.
    streaming: Url,
    api: Url,
    key: HeaderValue,
    options: Value,
}

impl fmt::Debug for AssemblyAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssemblyAi").field("streaming", &self.streaming.as_str()).finish_non_exhaustive()
    }
}

impl AssemblyAi {
    pub(super) fn new(url: Url, key: &str, options: Value) -> Result<Self, Error> {
        let streaming = endpoint(&url, "ws", "/v3/ws")?;
        let mut api = endpoint(&url, "http", "/v2")?;
        // The vendor's streams have a host of their own; any other server answers everything.
        if let Some(rest) = url.host_str().and_then(|host| host.strip_prefix("streaming.")) {
            let host = format!("api.{rest}");
            api.set_host(Some(&host)).map_err(|error| Error::Setup { detail: error.to_string() })?;
        }
        Ok(Self { http: http::client(&api)?, streaming, api, key: secret(key)?, options })
    }

    fn call(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let mut url = self.api.clone();
        url.set_path(&format!("{}/{path}", self.api.path()));
        self.http.request(method, url).timeout(TIMEOUT).header(header::AUTHORIZATION, self.key.clone())
    }

    /// What is to be transcribed, and how.
    fn order(&self, upload: &str, hint: Option<&str>) -> Value {
        let mut order: Map<String, Value> =
            passed(&self.options, STREAMING).map(|(name, value)| (name.to_owned(), value.clone())).collect();
        order.insert("audio_url".into(), upload.into());
        order.entry("speech_models").or_insert_with(|| Value::from(vec!["universal-2"]));
        if language(&self.options, &["language_code"]).is_none() {
            order.remove("language_code");
            match language(&self.options, &["language"]).or(hint) {
                Some(language) => order.insert("language_code".into(), language.into()),
                None => order.insert("language_detection".into(), true.into()),
            };
        }
        Value::Object(order)
    }

    async fn upload(&self, wav: &[u8]) -> Result<String, Failure> {
        let request = self.call(reqwest::Method::POST, "upload");
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(wav.to_vec());
        read(request.send().await.map_err(Failure::no_answer)?, self.key.to_str().ok()).await
    }

    async fn create(&self, order: &Value) -> Result<String, Failure> {
        let request = self.call(reqwest::Method::POST, "transcript").json(order);
        read(request.send().await.map_err(Failure::no_answer)?, self.key.to_str().ok()).await
    }

    async fn get(&self, id: &str) -> Result<String, Failure> {
        let request = self.call(reqwest::Method::GET, &format!("transcript/{id}"));
        read(request.send().await.map_err(Failure::no_answer)?, self.key.to_str().ok()).await
    }
}

#[async_trait]
impl SpeechToText for AssemblyAi {
    async fn transcribe(&self, pcm16k: &[i16], hint: Option<&str>) -> Result<Recognised, Error> {
        let duration_ms = duration_ms(pcm16k);
        if duration_ms == 0 {
            return Ok(Recognised::default());
        }
        let wav = wav(pcm16k);
        let upload = wire::uploaded(&retried(|| self.upload(&wav)).await?)?;
        let order = self.order(&upload, hint);
        let mut body = retried(|| self.create(&order)).await?;
        let mut failed = false;
        for _ in 0..POLLS {
            match wire::transcript(&body, duration_ms)? {
                wire::State::Done(recognised) => return Ok(recognised),
                wire::State::Waiting(id) => {
                    tokio::time::sleep(POLL).await;
                    body = retried(|| self.get(&id)).await?;
                }
                // The vendor's own trouble; what is wrong with the audio is said again.
                wire::State::Failed(detail) if failed => return Err(Error::BadAnswer { detail }),
                wire::State::Failed(_) => {
                    failed = true;
                    tokio::time::sleep(POLL).await;
                    body = retried(|| self.create(&order)).await?;
                }
            }
        }
        Err(Error::Unavailable { detail: "the transcript was not ready in time".into(), source: None })
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        stream::listen(self, language, pace)
    }
}

impl Protocol for AssemblyAi {
    fn name(&self) -> &'static str {
        "AssemblyAI"
    }

    fn request(&self, hint: Option<&str>) -> Result<Request, Error> {
        let mut url = self.streaming.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("sample_rate", "16000").append_pair("encoding", "pcm_s16le");
        let given = |name: &str| self.options.get(name).is_some_and(|value| !value.is_null());
        if !given("format_turns") {
            query.append_pair("format_turns", "true");
        }
        if !given("speech_model") {
            let english = language(&self.options, &["language_code", "language"])
                .or(hint)
                .is_some_and(|language| language.to_ascii_lowercase().starts_with("en"));
            let model = if english { "universal-streaming-english" } else { "universal-streaming-multilingual" };
            query.append_pair("speech_model", model);
        }
        let terms = self.options.get("keyterms").map(|terms| ("keyterms_prompt", terms));
        for (name, value) in passed(&self.options, PRERECORDED).chain(terms) {
            // Lists are written as JSON.
            query.append_pair(name, &scalar(value).unwrap_or_else(|| value.to_string()));
        }
        drop(query);
        let mut request =
            url.as_str().into_client_request().map_err(|error| Error::Setup { detail: error.to_string() })?;
        request.headers_mut().insert(header::AUTHORIZATION, self.key.clone());
        Ok(request)
    }

    fn keep_alive(&self) -> Option<&'static str> {
        // Needed only with an inactivity timeout, which is the plan's wish to be closed.
        None
    }

    fn flush(&self) -> &'static str {
        r#"{"type":"ForceEndpoint"}"#
    }

    fn close(&self) -> &'static str {
        r#"{"type":"Terminate"}"#
    }

    fn message(&self) -> usize {
        100 * SAMPLES_PER_MS
    }

    fn percent(&self) -> u32 {
        // The vendor wants audio at the speed of speech; a little more catches up after trouble.
        125
    }

    fn answers_silence(&self) -> bool {
        false
    }

    fn refuses(&self, code: u16, reason: &str) -> bool {
        // 1008 stands for a wrong key, and on older servers for too many streams at a time, which passes.
        matches!(code, 1008 | 3006 | 4001..=4003) && !stream::passes(reason)
    }

    fn reader(&self) -> Box<dyn Reader> {
        let formatted = self.options.get("format_turns").is_none_or(|value| scalar(value).as_deref() != Some("false"));
        Box::new(wire::Turns::new(formatted))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(url: &str, options: Value) -> AssemblyAi {
        AssemblyAi::new(url.parse().unwrap(), "sk-1", options).unwrap()
    }

    #[test]
    fn streams_and_files_have_their_own_hosts_at_the_vendor_only() {
        let api = |url: &str| client(url, json!({})).api.to_string();
        assert_eq!(api("wss://streaming.assemblyai.com"), "https://api.assemblyai.com/v2");
        assert_eq!(api("wss://streaming.eu.assemblyai.com/"), "https://api.eu.assemblyai.com/v2");
        assert_eq!(api("ws://127.0.0.1:9/aai"), "http://127.0.0.1:9/aai/v2");
        assert!(!format!("{:?}", client("wss://streaming.assemblyai.com", json!({}))).contains("sk-1"));
    }

    #[test]
    fn the_plan_decides_about_recognition_and_we_about_audio() {
        let options = json!({
            "sample_rate": 48000, "encoding": "opus", "max_turn_silence": 900, "keyterms_prompt": ["a b", "c"],
            "transcription_mode": "word", "webhook_url": "https://x/", "punctuate": true,
        });
        let request = client("https://aai.example.com", options).request(Some("en-GB")).unwrap();
        let url: Url = request.uri().to_string().parse().unwrap();
        let got: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let want = [
            ("sample_rate", "16000"),
            ("encoding", "pcm_s16le"),
            ("format_turns", "true"),
            ("speech_model", "universal-streaming-english"),
            ("keyterms_prompt", r#"["a b","c"]"#),
            ("max_turn_silence", "900"),
        ];
        assert_eq!(got, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((url.scheme(), url.path()), ("wss", "/v3/ws"));
    }

    #[test]
    fn an_order_has_one_word_about_language() {
        let order = |options: Value, hint| client("wss://x.example.com", options).order("u", hint);
        let plain = json!({"audio_url": "u", "speech_models": ["universal-2"], "language_detection": true});
        assert_eq!(order(json!({"format_turns": true, "language_code": "auto"}), None), plain);
        let hinted = json!({"audio_url": "u", "speech_models": ["universal-2"], "language_code": "de"});
        assert_eq!(order(json!({}), Some("de")), hinted);
        assert_eq!(order(json!({"language_code": "fr"}), Some("de"))["language_code"], "fr");
    }
}
