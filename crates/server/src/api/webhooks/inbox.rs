//! Webhooks that came in from elsewhere.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use muster_session::Timestamp;
use muster_store::{InboxEntry, InboxOutcome, InboxQuery};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::error::{ApiError, Message};
use super::super::query::Query;
use super::super::state::ApiState;
use super::{LIMIT_DEFAULT, LIMIT_MAX};

/// One page of the inbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InboxAnswer {
    /// Newest first.
    entries: Vec<InboxItem>,
    /// To be sent back as `cursor`.
    next_cursor: Option<String>,
    /// All that is kept, whatever the filters; none that is zero.
    counts: Vec<InboxTally>,
}

/// How many webhooks of a source had an outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InboxTally {
    source: String,
    outcome: &'static str,
    count: u64,
}

/// A webhook that came in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InboxItem {
    /// Source and the sender's id of the event.
    key: String,
    source: String,
    /// The sender's name for the event; empty if it has none.
    event: String,
    /// `applied`: it changed its bot. `late`: its bot knew that already, or is further. `no_session`: there is no such bot, or the
    /// source has no say in it. `unknown`: it means nothing to a bot.
    outcome: &'static str,
    bot_id: Option<String>,
    received_at: String,
    /// When it happened, if the sender says so.
    produced_at: Option<String>,
    detail: String,
}

/// A webhook that came in, with its body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InboxItemWithBody {
    #[serde(flatten)]
    entry: InboxItem,
    /// As it came, or the beginning of a long one.
    body: String,
}

impl InboxItem {
    fn split(entry: InboxEntry) -> (Self, String) {
        let item = Self {
            key: entry.key,
            source: entry.source,
            event: entry.event,
            outcome: entry.outcome.as_str(),
            bot_id: entry.bot.map(|bot| bot.to_string()),
            received_at: entry.received_at.to_rfc3339(),
            produced_at: entry.produced_at.map(Timestamp::to_rfc3339),
            detail: entry.detail,
        };
        (item, entry.body)
    }
}

/// Webhooks that came in, newest first, with counts
#[utoipa::path(
    get, path = "/inbox", tag = "webhooks",
    params(
        ("source" = Option<String>, Query, description = "Only from this source"),
        ("outcome" = Option<String>, Query, description = "`applied`, `late`, `no_session` or `unknown`"),
        ("from" = Option<String>, Query, description = "Received on or after this day (YYYY-MM-DD, UTC) or time"),
        ("to" = Option<String>, Query, description = "Received on or before this day (YYYY-MM-DD, UTC) or before this time"),
        ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 50"),
    ),
    responses((status = 200, body = InboxAnswer), (status = 400, body = Message))
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
) -> Result<Json<InboxAnswer>, ApiError> {
    let query = Query::parse(raw.as_deref());
    let wanted = InboxQuery {
        source: query.get("source").map(str::to_owned),
        outcome: query.choice("outcome", &InboxOutcome::ALL, InboxOutcome::as_str)?,
        from: query.from()?,
        to: query.to()?,
        cursor: query.get("cursor").map(str::to_owned),
        limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
    };
    let page = state.store.inbox(&caller.tenant, &wanted).await?;
    let counts = state.store.inbox_counts(&caller.tenant).await?;
    let tally =
        |of: muster_store::InboxCount| InboxTally { source: of.source, outcome: of.outcome.as_str(), count: of.count };
    Ok(Json(InboxAnswer {
        entries: page.entries.into_iter().map(|entry| InboxItem::split(entry).0).collect(),
        next_cursor: page.next,
        counts: counts.into_iter().map(tally).collect(),
    }))
}

/// One webhook that came in, with its body
#[utoipa::path(
    get, path = "/inbox/{key}", tag = "webhooks", params(("key" = String, Path)),
    responses((status = 200, body = InboxItemWithBody), (status = 404, body = Message))
)]
pub(crate) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<InboxItemWithBody>, ApiError> {
    let entry = state.store.received(&key).await?.filter(|entry| entry.tenant == caller.tenant);
    let (entry, body) =
        InboxItem::split(entry.ok_or_else(|| ApiError::not_found("There is no such entry in the inbox"))?);
    Ok(Json(InboxItemWithBody { entry, body }))
}
