//! What is said of an endpoint.

use muster_session::Timestamp;
use muster_store::Endpoint;
use serde::Serialize;
use utoipa::ToSchema;

/// The tenant's endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Endpoints {
    /// Oldest first.
    pub(super) webhook_endpoints: Vec<EndpointItem>,
}

/// An address that webhooks go to, whichever bot they are about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointItem {
    endpoint_id: String,
    url: String,
    description: String,
    /// Events it gets, by `event` or `bot_event`; one that ends with `*` stands for all that begin so. Empty: all.
    events: Vec<String>,
    created_at: String,
    /// It gets nothing while this is true.
    disabled: bool,
    disabled_at: Option<String>,
    disabled_reason: Option<String>,
    /// No attempt has succeeded since this one failed.
    failing_since: Option<String>,
    /// Until then, secrets from before a rotation sign too.
    old_secrets_until: Option<String>,
}

/// An endpoint with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointWithSecret {
    #[serde(flatten)]
    pub(super) endpoint: EndpointItem,
    /// `whsec_…`: what its webhooks are signed with. In no other answer.
    pub(super) secret: String,
}

impl EndpointItem {
    pub(super) fn new(endpoint: Endpoint, now: Timestamp) -> Self {
        let old = endpoint.secrets.iter().filter_map(|secret| secret.until).filter(|until| now < *until).max();
        let (disabled_at, disabled_reason) =
            endpoint.disabled.map(|disabled| (disabled.at.to_rfc3339(), disabled.reason)).unzip();
        Self {
            endpoint_id: endpoint.id.to_string(),
            url: endpoint.url.to_string(),
            description: endpoint.description,
            events: endpoint.events,
            created_at: endpoint.created_at.to_rfc3339(),
            disabled: disabled_at.is_some(),
            disabled_at,
            disabled_reason,
            failing_since: endpoint.failing_since.map(Timestamp::to_rfc3339),
            old_secrets_until: old.map(Timestamp::to_rfc3339),
        }
    }
}

/// How a test of an endpoint ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tested {
    /// It answered with a 2xx.
    pub(super) delivered: bool,
    /// Null if there was no answer.
    pub(super) http_status: Option<u16>,
    pub(super) latency_ms: u64,
    /// First part of the answer, or what went wrong.
    pub(super) detail: String,
}
