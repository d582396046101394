//! The client for `/v1/audio/transcriptions`, as OpenAI and many local servers speak it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use url::Url;

use super::answer::parse;
use super::http::{self, Failure, read, retried, wav};
use super::{Error, Recognised, SpeechToText};
use crate::duration_ms;
use crate::listen::{Listening, Pace, utterances};

/// A server that is busy with others answers late.
const BASE_TIMEOUT: Duration = Duration::from_secs(60);
/// A small machine needs several times the length of the audio.
const TIMEOUT_PER_AUDIO: u32 = 4;

/// What is to be known of a server.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: Url,
    pub(super) model: String,
    pub(super) api_key: Option<String>,
    pub(super) language: Option<String>,
}

/// A speech-to-text server with OpenAI's interface.
pub(super) struct OpenAiCompatible {
    http: reqwest::Client,
    endpoint: Url,
    settings: Settings,
    /// The server refused `verbose_json` but takes `json`.
    plain: AtomicBool,
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatible")
            .field("endpoint", &self.endpoint.as_str())
            .field("model", &self.settings.model)
            .finish_non_exhaustive()
    }
}

impl OpenAiCompatible {
    /// A client for the server at `settings.url`. A path that ends in `/v1` is taken as it is, otherwise `/v1` is added.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let setup = |detail: String| Error::Setup { detail };
        if !matches!(settings.url.scheme(), "http" | "https") {
            return Err(setup(format!("{} is not an http or https URL", settings.url)));
        }
        let http = http::client(&settings.url)?;
        let mut endpoint = settings.url.clone();
        let base = settings.url.path().trim_end_matches('/');
        let version = if base.ends_with("/v1") { "" } else { "/v1" };
        endpoint.set_path(&format!("{base}{version}/audio/transcriptions"));
        Ok(Self { http, endpoint, settings, plain: AtomicBool::new(false) })
    }

    /// One request; what the server said, good or bad.
    async fn send(
        &self,
        wav: &[u8],
        timeout: Duration,
        language: Option<&str>,
        plain: bool,
    ) -> reqwest::Result<Response> {
        let file = Part::bytes(wav.to_vec()).file_name("audio.wav").mime_str("audio/wav")?;
        let mut form = Form::new().part("file", file).text("model", self.settings.model.clone());
        form = if plain {
            form.text("response_format", "json")
        } else {
            form.text("response_format", "verbose_json")
                .text("timestamp_granularities[]", "word")
                .text("timestamp_granularities[]", "segment")
        };
        if let Some(language) = language {
            form = form.text("language", language.to_owned());
        }
        let mut request = self.http.post(self.endpoint.clone()).timeout(timeout).multipart(form);
        if let Some(key) = &self.settings.api_key {
            request = request.bearer_auth(key);
        }
        request.send().await
    }

    /// One attempt, with a second request if the server does not know `verbose_json`.
    async fn attempt(&self, wav: &[u8], timeout: Duration, language: Option<&str>) -> Result<String, Failure> {
        let key = self.settings.api_key.as_deref();
        let plain = self.plain.load(Ordering::Relaxed);
        let first = self.send(wav, timeout, language, plain).await.map_err(Failure::no_answer)?;
        if plain || !matches!(first.status(), StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) {
            return read(first, key).await;
        }
        let refusal = read(first, key).await;
        match self.send(wav, timeout, language, true).await {
            Ok(second) if second.status().is_success() => {
                self.plain.store(true, Ordering::Relaxed);
                read(second, key).await
            }
            _ => refusal,
        }
    }
}

#[async_trait]
impl SpeechToText for OpenAiCompatible {
    async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, Error> {
        let duration_ms = duration_ms(pcm16k);
        if duration_ms == 0 {
            return Ok(Recognised::default());
        }
        let wav = wav(pcm16k);
        let timeout = BASE_TIMEOUT + Duration::from_millis(duration_ms) * TIMEOUT_PER_AUDIO;
        let language = language.or(self.settings.language.as_deref());
        let body = retried(|| self.attempt(&wav, timeout, language)).await?;
        parse(&body, duration_ms)
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        utterances::listen(self, language, pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { url: url.parse().unwrap(), model: "m".into(), api_key: Some("sk-secret".into()), language: None }
    }

    #[test]
    fn the_path_is_added_once() {
        let endpoint = |url: &str| OpenAiCompatible::new(settings(url)).unwrap().endpoint.to_string();
        assert_eq!(endpoint("http://127.0.0.1:8000"), "http://127.0.0.1:8000/v1/audio/transcriptions");
        assert_eq!(endpoint("https://api.example.com/v1/"), "https://api.example.com/v1/audio/transcriptions");
        assert_eq!(endpoint("https://example.com/openai"), "https://example.com/openai/v1/audio/transcriptions");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_keys_not_shown() {
        let error = OpenAiCompatible::new(settings("ftp://example.com")).unwrap_err();
        assert!(matches!(error, Error::Setup { .. }) && !error.is_transient());
        assert!(!format!("{:?}", OpenAiCompatible::new(settings("http://example.com")).unwrap()).contains("sk-secret"));
    }
}
