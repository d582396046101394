//! Calls to the server, with errors that say what to do.

use std::time::Duration;

use muster_hooks::client::unguarded;
use muster_session::BotId;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use url::Url;

/// No call of this client does more than read or write one record.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an answer that is not JSON is repeated.
const EXCERPT_CHARS: usize = 120;
/// Before another call to a server that is busy, if it does not say.
const BUSY: Duration = Duration::from_secs(2);
/// What the address of a server is followed by.
const API: &str = "/api/v1/";

/// A server and the key for it.
#[derive(Debug)]
pub(in crate::cli) struct Client {
    http: reqwest::Client,
    server: Url,
    key: Option<String>,
}

/// Why a call did not do what it was to do. Each text names the cause and the way to mend it.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ClientError {
    #[error(
        "no server answers at {server} ({detail}). Is `muster serve` running there? Another address is given with --server or MUSTER_SERVER"
    )]
    Unreachable { server: Url, detail: String },
    #[error("{server} did not answer within {} s: it is overloaded or stuck; its log says more", TIMEOUT.as_secs())]
    Timeout { server: Url },
    #[error(
        "the server wants an API key: set MUSTER_API_KEY to the key that `muster serve` printed on its first start, or that it was started with"
    )]
    NoKey,
    /// The key is unknown there, or this is not for whoever has it: the message says which.
    #[error("{server} refuses the API key in MUSTER_API_KEY: {message}")]
    Forbidden { server: Url, message: String },
    /// It is not followed: on the way to another address the key would be lost, and a request that creates something could become
    /// one that reads.
    #[error("{server} sends callers on to {target}: give that address with --server or MUSTER_SERVER")]
    Moved { server: Url, target: String },
    #[error("{message}")]
    Busy { message: String, retry_after: Option<Duration> },
    #[error("{server} answers, but not as a Muster server does ({detail}); check --server and MUSTER_SERVER")]
    NotMuster { server: Url, detail: String },
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    #[error("{message} (HTTP {status}, request {request_id})")]
    Broken { status: StatusCode, message: String, request_id: String },
}

impl ClientError {
    /// True when the same call may succeed a little later.
    pub(in crate::cli) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Broken { .. } | Self::Busy { .. } => true,
            Self::NoKey
            | Self::Forbidden { .. }
            | Self::Moved { .. }
            | Self::NotMuster { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// How long the server, which is there, wants to be left alone.
    pub(in crate::cli) fn busy(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => Some(retry_after.unwrap_or(BUSY)),
            _ => None,
        }
    }
}

impl Client {
    pub(in crate::cli) fn new(server: Url, key: Option<String>) -> anyhow::Result<Self> {
        let http = unguarded(&server).redirect(reqwest::redirect::Policy::none());
        let http = http.connect_timeout(Duration::from_secs(10)).timeout(TIMEOUT).build()?;
        Ok(Self { http, server, key: key.map(|key| key.trim().to_owned()) })
    }

    /// `GET /api/v1/{path}` with query parameters.
    pub(in crate::cli) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(StatusCode, Value), ClientError> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.http.get(url)).await
    }

    /// `POST /api/v1/{path}`; no body if it is null.
    pub(in crate::cli) async fn post(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<(StatusCode, Value), ClientError> {
        let mut request = self.http.post(self.url(path));
        if !body.is_null() {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    /// `PATCH /api/v1/{path}`
    pub(in crate::cli) async fn patch(&self, path: &str, body: &Value) -> Result<(StatusCode, Value), ClientError> {
        self.send(self.http.patch(self.url(path)).json(body)).await
    }

    /// `DELETE /api/v1/{path}`
    pub(in crate::cli) async fn delete(&self, path: &str) -> Result<(StatusCode, Value), ClientError> {
        self.send(self.http.delete(self.url(path))).await
    }

    /// `bot_details` of a bot.
    pub(in crate::cli) async fn detail(&self, bot: BotId) -> Result<Value, ClientError> {
        let (_, mut answer) = self.get(&format!("bots/{bot}/detail"), &[]).await?;
        match answer.get_mut("bot_details").map(Value::take) {
            Some(details @ Value::Object(_)) => Ok(details),
            _ => Err(self.not_muster("no bot_details in its answer".to_owned())),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.server.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{API}{path}"));
        url
    }

    fn not_muster(&self, detail: String) -> ClientError {
        ClientError::NotMuster { server: self.server.clone(), detail }
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<(StatusCode, Value), ClientError> {
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Token {key}"));
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        if let Some(target) = target(&response) {
            return Err(ClientError::Moved { server: self.server.clone(), target });
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("x-request-id");
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let text = response.text().await.map_err(|error| self.no_answer(&error))?;
        // A proxy may have said it, in no JSON.
        if status == StatusCode::TOO_MANY_REQUESTS {
            let body = serde_json::from_str::<Value>(&text).unwrap_or_default();
            let message = body["message"].as_str().unwrap_or("Too many requests; try again later").to_owned();
            return Err(ClientError::Busy { message, retry_after });
        }
        let Ok(body) = serde_json::from_str::<Value>(&text) else {
            let excerpt: String = text.trim().chars().take(EXCERPT_CHARS).collect();
            return Err(self.not_muster(format!("HTTP {status}: {excerpt:?}")));
        };
        // 507 is how the API says "this was done before".
        if status.is_success() || status == StatusCode::INSUFFICIENT_STORAGE {
            return Ok((status, body));
        }
        Err(self.refusal(status, &body, request_id))
    }

    fn no_answer(&self, error: &reqwest::Error) -> ClientError {
        let server = self.server.clone();
        if error.is_timeout() && !error.is_connect() {
            return ClientError::Timeout { server };
        }
        ClientError::Unreachable { server, detail: root_cause(error) }
    }

    fn refusal(&self, status: StatusCode, body: &Value, request_id: Option<String>) -> ClientError {
        let Some(message) = body.get("message").and_then(Value::as_str) else {
            return self.not_muster(format!("HTTP {status}"));
        };
        match status {
            StatusCode::UNAUTHORIZED => ClientError::NoKey,
            StatusCode::FORBIDDEN => {
                ClientError::Forbidden { server: self.server.clone(), message: message.to_owned() }
            }
            status if status.is_server_error() => ClientError::Broken {
                status,
                message: message.to_owned(),
                request_id: request_id.unwrap_or_else(|| "unknown".to_owned()),
            },
            status => ClientError::Refused { status, message: message.to_owned() },
        }
    }
}

/// The address of the server that an answer sends us on to, if it does: without what we add to one.
fn target(response: &reqwest::Response) -> Option<String> {
    let location = response.headers().get("location").filter(|_| response.status().is_redirection())?;
    let mut target = response.url().join(location.to_str().ok()?).ok()?;
    target.set_query(None);
    if let Some((base, _)) = target.path().split_once(API) {
        let base = base.to_owned();
        target.set_path(&base);
    }
    Some(target.to_string())
}

/// A text that becomes a segment of an address; `wanted` says what it has to be like.
pub(in crate::cli) fn segment(text: &str, wanted: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || !text.chars().all(allowed) {
        return Err(wanted.to_owned());
    }
    Ok(text.to_owned())
}

/// The innermost cause: "connection refused" instead of "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::Router;
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    async fn serve(router: Router) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    async fn error_at(server: Url) -> ClientError {
        Client::new(server, None).unwrap().get("bots", &[]).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_asked_after() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let error = error_at(url).await;
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(text.contains("refused") && text.contains("`muster serve`"), "{text}");
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (status, body, wanted) in [
            (401, json!({"message": "no"}), "set MUSTER_API_KEY"),
            (403, json!({"message": "no"}), "refuses the API key"),
            (403, json!({"message": "This is for the operator"}), "MUSTER_API_KEY: This is for the operator"),
            (429, json!({"message": "Too many requests of yours"}), "Too many requests of yours"),
            (404, json!({"message": "There is no such bot"}), "There is no such bot"),
            (503, json!({"message": "The store is out of reach"}), "HTTP 503"),
            (404, json!(["x"]), "not as a Muster server"),
        ] {
            let answer = move || async move { (StatusCode::from_u16(status).unwrap(), Json(body)) };
            let error = error_at(serve(Router::new().route("/base/api/v1/bots", get(answer))).await).await;
            assert!(error.to_string().contains(wanted), "{status}: {error}");
            assert_eq!(error.is_transient(), matches!(status, 429 | 503), "{status}");
        }
        let error = error_at(serve(Router::new().route("/base/api/v1/bots", get(|| async { "<html>" }))).await).await;
        assert!(error.to_string().contains("<html>"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_its_target_is_named() {
        let elsewhere = serve(Router::new().fallback(|| async { Json(json!({"bots": []})) })).await;
        let to = format!("{}/api/v1/bots?limit=1", elsewhere.as_str());
        for status in [301, 302, 307, 308] {
            let to = to.clone();
            let answer = move || async move { (StatusCode::from_u16(status).unwrap(), [("location", to)]) };
            let server = serve(Router::new().route("/base/api/v1/bots", get(answer.clone()).post(answer))).await;
            let client = Client::new(server, Some("key".to_owned())).unwrap();
            let read = client.get("bots", &[("limit", "1".to_owned())]).await.unwrap_err();
            let created = client.post("bots", &json!({}), None).await.unwrap_err();
            for error in [read, created] {
                let wanted = format!("sends callers on to {elsewhere}: give that address with --server");
                assert!(error.to_string().contains(&wanted) && !error.is_transient(), "{status}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_is_busy_says_for_how_long() {
        for (header, body, wanted) in [("7", "{}", 7), ("soon", "{\"message\":\"x\"}", 2), ("1", "<html>", 1)] {
            let answer = move || async move { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", header)], body) };
            let error = error_at(serve(Router::new().route("/base/api/v1/bots", get(answer))).await).await;
            assert_eq!(error.busy(), Some(Duration::from_secs(wanted)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_replay_is_a_success() {
        let answer = || async { (StatusCode::INSUFFICIENT_STORAGE, Json(json!({"bot_id": "x"}))) };
        let server = serve(Router::new().route("/base/api/v1/bots", get(answer))).await;
        let (status, body) = Client::new(server, None).unwrap().get("bots", &[]).await.unwrap();
        assert_eq!((status.as_u16(), &body["bot_id"]), (507, &json!("x")));
    }
}
