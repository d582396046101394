//! The HTTP client for customers' URLs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use muster_session::Fault;
use url::Url;

use crate::guard::{self, Policy, Refused};
use crate::resolve::{GuardedDns, NoTurn, ResolveError, Resolver, SystemResolver};
use crate::tls;

/// How long a call may take and how much of the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until connected, name lookup and TLS included.
    pub connect: Duration,
    /// From start to the end of the answer.
    pub total: Duration,
    /// The rest of a longer answer is not read.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(10), max_body_bytes: 64 * 1024 }
    }
}

/// The beginning of a client for a server that the operator chose, at `url`; nothing is guarded. It goes through the
/// machine's proxy, which is for the way out, unless the server is beside us.
pub fn unguarded(url: &Url) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::client_config()).user_agent(USER_AGENT);
    if guard::is_loopback(url) { builder.no_proxy() } else { builder }
}

/// An HTTP client that reaches only what its [`Policy`] lets through. Follows no redirects and uses no proxy.
#[derive(Clone, Debug)]
pub struct GuardedClient {
    http: reqwest::Client,
    policy: Arc<Policy>,
    max_body_bytes: usize,
}

/// Sends webhooks. The real one is [`GuardedClient`].
#[async_trait]
pub trait Post: Send + Sync + fmt::Debug + 'static {
    /// Sends `body`. Any status is an answer. Dropping the future gives the call up.
    async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, CallError>;
}

#[async_trait]
impl Post for GuardedClient {
    async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, CallError> {
        Self::post(self, url, headers, body).await
    }
}

/// What the other side answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status; 3xx is an answer like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body; what had arrived if it broke off.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guard refused the address.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Not called: too many names are being looked up. Say nothing of the receiver, and call again.
    #[error(transparent)]
    Busy(#[from] NoTurn),
    /// No answer in time.
    #[error("no answer within the time limit")]
    Timeout,
    /// No connection, or it broke before the answer.
    #[error("{detail}")]
    Unreachable {
        /// What happened.
        detail: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// Who can do something about it: the one who gave the URL, unless it was not called.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Busy(_) => Fault::Us,
            Self::Refused(_) | Self::Timeout | Self::Unreachable { .. } => Fault::Customer,
        }
    }
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built")]
pub struct SetupError(#[from] reqwest::Error);

impl GuardedClient {
    /// A client over the system's resolver.
    pub fn new(policy: Policy, limits: Limits) -> Result<Self, SetupError> {
        Self::with_resolver(policy, limits, Arc::new(SystemResolver))
    }

    /// A client over another resolver. The guard judges its answers all the same.
    pub fn with_resolver(policy: Policy, limits: Limits, resolver: Arc<dyn Resolver>) -> Result<Self, SetupError> {
        let policy = Arc::new(policy);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config())
            .dns_resolver(Arc::new(GuardedDns { resolver, policy: Arc::clone(&policy) }))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(limits.connect.min(limits.total))
            .read_timeout(limits.total)
            .timeout(limits.total)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { http, policy, max_body_bytes: limits.max_body_bytes })
    }

    /// The policy it goes by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sends `body`. Any status is an answer. Dropping the future gives the call up.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, CallError> {
        // The resolver is not asked about literal addresses, so they are judged here.
        self.policy.check_url(url)?;
        let sent = self.http.post(url.clone()).headers(headers).body(body).send().await;
        let mut response = sent.map_err(classify)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut read = Vec::new();
        while read.len() < self.max_body_bytes {
            // A receiver that answered has answered, even if its body breaks off.
            let Ok(Some(chunk)) = response.chunk().await else { break };
            let room = self.max_body_bytes - read.len();
            read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(Answer { status, headers, body: read.into() })
    }

    /// Asks for what is there, without reading it. Dropping the future gives the call up.
    pub async fn get(&self, url: &Url) -> Result<reqwest::Response, CallError> {
        self.policy.check_url(url)?;
        self.http.get(url.clone()).send().await.map_err(classify)
    }

    /// Sends a JSON document with `content-type: application/json`.
    pub async fn post_json(&self, url: &Url, document: &serde_json::Value) -> Result<Answer, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        self.post(url, headers, Bytes::from(document.to_string())).await
    }
}

/// How this software names itself to receivers.
pub const USER_AGENT: &str = concat!("Muster/", env!("CARGO_PKG_VERSION"));

fn classify(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    match resolving(&error) {
        Some(ResolveError::Refused(refused)) => return CallError::Refused(refused.clone()),
        Some(ResolveError::NoTurn(busy)) => return CallError::Busy(*busy),
        Some(ResolveError::Lookup { .. } | ResolveError::NoAddress { .. }) | None => {}
    }
    if error.is_timeout() {
        return CallError::Timeout;
    }
    CallError::Unreachable { detail: chain(&error), source: Box::new(error) }
}

/// What became of the name, wherever in the client's chain of errors it is.
fn resolving<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ResolveError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// All messages of a chain of errors in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = error.source();
    }
    text
}
