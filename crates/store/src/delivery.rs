use muster_session::event::Event;
use muster_session::{EndpointId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

/// One webhook to one address, with the attempts so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its id.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// Where it goes.
    pub url: Url,
    /// The endpoint whose address that was when it was made; none for an address of the bot's own.
    pub endpoint: Option<EndpointId>,
    /// When it was made.
    pub made_at: Timestamp,
    /// What is sent.
    pub event: Event,
    /// How far it is.
    pub status: DeliveryStatus,
    /// Failed attempts since it became pending.
    pub failures: u32,
    /// Every attempt ever made.
    pub attempts: Vec<Attempt>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Waits for its next attempt.
    Pending {
        /// Not before.
        next_at: Timestamp,
    },
    /// A 2xx was received.
    Delivered,
    /// Given up: schedule used up, or the receiver said 410.
    Failed,
}

/// Names of [`DeliveryStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waits for its next attempt.
    Pending,
    /// A 2xx was received.
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryState {
    /// The name in storage and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl DeliveryStatus {
    /// Its name.
    #[must_use]
    pub const fn state(self) -> DeliveryState {
        match self {
            Self::Pending { .. } => DeliveryState::Pending,
            Self::Delivered => DeliveryState::Delivered,
            Self::Failed => DeliveryState::Failed,
        }
    }
}

/// A filter over a tenant's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerQuery {
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only of this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only of this event, by `event` or `bot_event`.
    pub event: Option<String>,
    /// Made at or after.
    pub from: Option<Timestamp>,
    /// Made before.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Page size, 1 to 1,000.
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct LedgerPage {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// Answer's HTTP status; none if there was no answer.
    pub http_status: Option<u16>,
    /// Milliseconds until the answer or the failure.
    pub latency_ms: u64,
    /// First part of the answer's body, or what went wrong.
    pub detail: String,
    /// Where it went, if that was not the address of its delivery: an endpoint's may change. Those of old have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_went_to_the_address_of_its_delivery_is_stored_as_it_always_was() {
        let old = r#"{"at":1790000000000,"http_status":200,"latency_ms":7,"detail":"ok"}"#;
        let attempt: Attempt = serde_json::from_str(old).unwrap();
        assert_eq!(attempt.url, None);
        assert_eq!(serde_json::to_string(&attempt).unwrap(), old);
    }
}
