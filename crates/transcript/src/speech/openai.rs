//! The client for `/v1/audio/transcriptions`, as OpenAI and many local servers speak it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use url::{Host, Url};

use super::answer::parse;
use super::{Error, Recognised, SpeechToText};
use crate::duration_ms;

/// Pauses between attempts; one attempt more than there are pauses.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// A server that is busy with others answers late.
const BASE_TIMEOUT: Duration = Duration::from_secs(60);
/// A small machine needs several times the length of the audio.
const TIMEOUT_PER_AUDIO: u32 = 4;
const EXCERPT_CHARS: usize = 300;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

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
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(muster_hooks::tls::client_config())
            .user_agent(muster_hooks::client::USER_AGENT)
            .connect_timeout(Duration::from_secs(10));
        // The machine's proxy is for the way out, not for a server beside us.
        if is_loopback(&settings.url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| setup(error.to_string()))?;
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
        let plain = self.plain.load(Ordering::Relaxed);
        let first = self.send(wav, timeout, language, plain).await.map_err(Failure::no_answer)?;
        if plain || !matches!(first.status(), StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) {
            return read(first).await;
        }
        let refusal = read(first).await;
        match self.send(wav, timeout, language, true).await {
            Ok(second) if second.status().is_success() => {
                self.plain.store(true, Ordering::Relaxed);
                read(second).await
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
        let mut pauses = PAUSES.iter();
        loop {
            match self.attempt(&wav, timeout, language).await {
                Ok(body) => return parse(&body, duration_ms),
                Err(Failure { error, retry_after }) => {
                    let pause = pauses.next().filter(|_| error.is_transient());
                    let Some(pause) = pause else { return Err(error) };
                    tracing::debug!(%error, "speech to text failed; trying again");
                    tokio::time::sleep(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER).max(*pause)).await;
                }
            }
        }
    }
}

/// Why an attempt failed, and how long the server wants to be left alone.
struct Failure {
    error: Error,
    retry_after: Option<Duration>,
}

impl Failure {
    fn no_answer(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let detail = if error.is_timeout() {
            "no answer within the time limit".to_owned()
        } else {
            std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": ")
        };
        Self { error: Error::Unavailable { detail, source: Some(Box::new(error)) }, retry_after: None }
    }
}

/// The body of a good answer.
async fn read(response: Response) -> Result<String, Failure> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = response.text().await.map_err(Failure::no_answer)?;
    if status.is_success() {
        return Ok(body);
    }
    let detail: String = body.trim().chars().take(EXCERPT_CHARS).collect();
    let error = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            Error::Unavailable { detail: format!("{status}: {detail}"), source: None }
        }
        status if status.is_server_error() => {
            Error::Unavailable { detail: format!("{status}: {detail}"), source: None }
        }
        status => Error::Rejected { status: status.as_u16(), detail },
    };
    Err(Failure { error, retry_after })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A WAV file: PCM, mono, 16 bit, 16 kHz.
fn wav(pcm16k: &[i16]) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let data_bytes = u32::try_from(pcm16k.len() * 2).expect("pieces of audio are far below 4 GiB");
    let mut file = Vec::with_capacity(44 + pcm16k.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&2u16.to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    file.extend(pcm16k.iter().flat_map(|sample| sample.to_le_bytes()));
    file
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

    #[test]
    fn the_wav_header_is_right() {
        let file = wav(&[1, -2]);
        assert_eq!(file.len(), 48);
        assert_eq!(&file[..4], b"RIFF");
        assert_eq!(file[4..8], 40u32.to_le_bytes());
        assert_eq!(file[24..28], 16_000u32.to_le_bytes());
        assert_eq!(file[40..], [4, 0, 0, 0, 1, 0, 0xfe, 0xff]);
    }
}
