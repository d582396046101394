//! MeetStream's API, as its client.

use std::time::Duration;

use bytes::Bytes;
use muster_hooks::client::{CallError, GuardedClient, Limits, unguarded};
use muster_hooks::guard::Policy;
use muster_session::Session;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Fields that mean us and not the service.
const OURS: [&str; 6] =
    ["callback_url", "join_at", "deduplication_key", "runtime", "runtime_bot_id", "custom_attributes"];

/// A client of the service. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the client of meetstream.url cannot be built")]
pub struct SetupError(#[from] reqwest::Error);

/// Why the service did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Asking again does not help.
    #[error("{0}")]
    Refused(String),
    /// Out of reach, overloaded, or not ready.
    #[error("{why}")]
    Later {
        /// What it said.
        why: String,
        /// It wants to be left alone for so long.
        after: Option<Duration>,
    },
}

/// A recording on its way.
#[derive(Debug)]
pub(super) struct Download(Response);

impl Download {
    pub(super) fn content_type(&self) -> Option<&str> {
        self.0.headers().get("content-type")?.to_str().ok()
    }

    /// The next piece; none at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        self.0.chunk().await.map_err(unreachable)
    }
}

impl Client {
    /// Of the service at `base`, such as `https://api.meetstream.ai`, with this API key.
    pub fn new(base: Url, key: String) -> Result<Self, SetupError> {
        let http = unguarded(&base)
            .timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base, key })
    }

    /// Where the service is.
    pub(super) const fn base(&self) -> &Url {
        &self.base
    }

    /// Sends the session's bot there; answers its id there. Safe to repeat.
    pub(super) async fn create(&self, session: &Session, callback: &Url) -> Result<String, Trouble> {
        let request =
            self.request(Method::POST, "bots/create_bot").header("idempotency-key", format!("muster-{}", session.id));
        let answer = self.send(request.json(&body(session, callback)), &[StatusCode::INSUFFICIENT_STORAGE]).await?;
        match answer["bot_id"].as_str() {
            Some(bot) if !bot.is_empty() && bot.len() <= 200 => Ok(bot.to_owned()),
            _ => Err(Trouble::Refused("its answer has no bot_id".to_owned())),
        }
    }

    /// `bot_details`.
    pub(super) async fn details(&self, bot: &str) -> Result<Value, Trouble> {
        let mut answer = self.get(&format!("bots/{}/detail", segment(bot))).await?;
        Ok(answer["bot_details"].take())
    }

    /// Asks the bot to leave. One that has left is no trouble.
    pub(super) async fn remove(&self, bot: &str) -> Result<(), Trouble> {
        let request = self.request(Method::GET, &format!("bots/{}/remove_bot", segment(bot)));
        let gone = [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::GONE];
        self.send(request, &gone).await.map(drop)
    }

    /// Deletes what is kept of the bot. What is gone is no trouble.
    pub(super) async fn delete(&self, bot: &str) -> Result<(), Trouble> {
        let request = self.request(Method::DELETE, &format!("bots/{}/delete", segment(bot)));
        self.send(request, &[StatusCode::NOT_FOUND, StatusCode::GONE]).await.map(drop)
    }

    /// Where the recording is.
    pub(super) async fn audio_url(&self, bot: &str) -> Result<Url, Trouble> {
        let answer = self.get(&format!("bots/{}/get_audio", segment(bot))).await?;
        let url = answer["audio_url"].as_str().ok_or_else(|| later("the recording is not ready"))?;
        url.parse().map_err(|_| Trouble::Refused("its audio_url is no URL".to_owned()))
    }

    /// A transcript, in the form that people read or raw.
    pub(super) async fn transcript(&self, id: &str, raw: bool) -> Result<Value, Trouble> {
        let path = format!("transcript/{}/get_transcript", segment(id));
        let request = self.request(Method::GET, &path);
        let request = if raw { request.query(&[("raw", "true")]) } else { request };
        let answer = self.send(request, &[]).await?;
        // What is not ready is 202 with a message.
        match answer.is_array() || raw && answer.get("message").is_none() {
            true => Ok(answer),
            false => Err(later("the transcript is not ready")),
        }
    }

    /// What a media link names; the link vouches for itself, so the key does not go along. A link to the service's own place is
    /// as trusted as the service, any other is guarded.
    pub(super) async fn download(&self, url: &Url, own: bool, guard: &Policy) -> Result<Download, Trouble> {
        let answer = match own {
            true => {
                let request = self.http.get(url.clone()).timeout(super::fetch::LONGEST);
                request.send().await.map_err(unreachable)?
            }
            false => {
                let limits = Limits { total: super::fetch::LONGEST, ..Limits::default() };
                let client = GuardedClient::new(guard.clone(), limits).map_err(|error| later(error.to_string()))?;
                client.get(url).await.map_err(|error| match error {
                    CallError::Refused(refused) => Trouble::Refused(format!("its audio_url: {refused}")),
                    error => later(error.to_string()),
                })?
            }
        };
        match answer.status() {
            StatusCode::OK => Ok(Download(answer)),
            status => Err(later(format!("the recording is answered with {status}"))),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.send(self.request(Method::GET, path), &[]).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/{path}"));
        self.http.request(method, url).header("authorization", format!("Token {}", self.key))
    }

    /// The answer to a request, with a 2xx or one of these statuses.
    async fn send(&self, request: RequestBuilder, fine: &[StatusCode]) -> Result<Value, Trouble> {
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::Refused("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() || fine.contains(&status) {
            return Ok(body);
        }
        let said: String = ["message", "detail", "error"]
            .into_iter()
            .find_map(|name| body[name].as_str())
            .unwrap_or_default()
            .chars()
            .take(300)
            .collect();
        let why = format!("{status} {said}").trim_end().to_owned();
        let passes =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        match passes {
            true => Err(Trouble::Later { why, after: after.map(Duration::from_secs) }),
            false => Err(Trouble::Refused(why)),
        }
    }
}

/// The caller's request as the service is to have it: its webhooks come to us.
fn body(session: &Session, callback: &Url) -> Value {
    let mut body = match &session.request {
        Value::Object(request) => request.clone(),
        _ => Map::new(),
    };
    for field in OURS {
        body.remove(field);
    }
    let mut attributes = session.custom_attributes.clone();
    attributes.insert("muster_bot_id".to_owned(), session.id.to_string().into());
    body.insert("meeting_link".to_owned(), session.meeting.link.clone().into());
    body.insert("bot_name".to_owned(), session.bot_name.clone().into());
    body.insert("callback_url".to_owned(), callback.as_str().into());
    body.insert("custom_attributes".to_owned(), Value::Object(attributes));
    if !session.media.participants.is_empty()
        && let Some(config) = body.get_mut("recording_config").and_then(Value::as_object_mut)
    {
        let events = ["participant_events.join", "participant_events.leave"];
        let endpoint = json!({"type": "webhook", "url": callback.as_str(), "events": events});
        config.insert("realtime_endpoints".to_owned(), json!([endpoint]));
    }
    if session.media.live_transcription.is_some() {
        body.insert("live_transcription_required".to_owned(), json!({ "webhook_url": callback.as_str() }));
    }
    Value::Object(body)
}

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn later(why: impl Into<String>) -> Trouble {
    Trouble::Later { why: why.into(), after: None }
}

fn unreachable(error: reqwest::Error) -> Trouble {
    later(crate::chain::chain(&error.without_url()))
}
