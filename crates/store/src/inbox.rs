use muster_session::{BotId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// One webhook that came in, and what became of it. Written in the same step as what it caused, so it takes effect once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxEntry {
    /// Source and the sender's id of the event: what is the same when it is sent again.
    pub key: String,
    /// Whose sessions the source may speak of.
    pub tenant: TenantId,
    /// Name of the source.
    pub source: String,
    /// The sender's name for the event; empty if it has none.
    pub event: String,
    /// What became of it.
    pub outcome: InboxOutcome,
    /// The session it is about, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotId>,
    /// When it came in.
    pub received_at: Timestamp,
    /// When it happened, if the sender says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced_at: Option<Timestamp>,
    /// For people.
    pub detail: String,
    /// Its body, or the beginning of a long one.
    pub body: String,
}

/// What became of a webhook that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxOutcome {
    /// It changed its session.
    Applied,
    /// Its session knew that already, or is further.
    Late,
    /// It is about a session that is not here, or that its source has no say in.
    NoSession,
    /// It is of a kind that means nothing to a session.
    Unknown,
}

impl InboxOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Late, Self::NoSession, Self::Unknown];

    /// The name in storage and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Late => "late",
            Self::NoSession => "no_session",
            Self::Unknown => "unknown",
        }
    }
}

/// A filter over a tenant's inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxQuery {
    /// Only of this source.
    pub source: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<InboxOutcome>,
    /// Received at or after.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Page size, 1 to 1,000.
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct InboxPage {
    /// Newest first.
    pub entries: Vec<InboxEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// How many webhooks of a source had an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxCount {
    /// Name of the source.
    pub source: String,
    /// What became of them.
    pub outcome: InboxOutcome,
    /// How many of those that are kept.
    pub count: u64,
}
