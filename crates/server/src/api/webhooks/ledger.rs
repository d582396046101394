//! What became of the webhooks of all bots.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use muster_session::TenantId;
use muster_session::event::read_event_id;
use muster_store::{Delivery, DeliveryState, LedgerQuery};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::bots::ledger::LedgerEntry;
use super::super::error::{ApiError, Message};
use super::super::query::Query;
use super::super::state::ApiState;
use super::{LIMIT_DEFAULT, LIMIT_MAX};

const STATES: [DeliveryState; 3] = [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed];

/// One page of webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookPage {
    /// One for each address, newest first.
    webhooks: Vec<LedgerEntry>,
    /// To be sent back as `cursor`.
    next_cursor: Option<String>,
}

/// One event and every address it goes to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventDeliveries {
    event_id: String,
    deliveries: Vec<LedgerEntry>,
}

/// The webhooks of all bots of the tenant, newest first
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks",
    params(
        ("state" = Option<String>, Query, description = "`pending`, `delivered` or `failed`"),
        ("endpoint_id" = Option<String>, Query, description = "Only to this endpoint"),
        ("event" = Option<String>, Query, description = "Only with this `event` or `bot_event`"),
        ("from" = Option<String>, Query, description = "Made on or after this day (YYYY-MM-DD, UTC) or time"),
        ("to" = Option<String>, Query, description = "Made on or before this day (YYYY-MM-DD, UTC) or before this time"),
        ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 50"),
    ),
    responses((status = 200, body = WebhookPage), (status = 400, body = Message))
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
) -> Result<Json<WebhookPage>, ApiError> {
    let query = Query::parse(raw.as_deref());
    let wanted = LedgerQuery {
        state: query.choice("state", &STATES, DeliveryState::as_str)?,
        endpoint: query.parsed("endpoint_id", "the id of a webhook endpoint")?,
        event: query.get("event").map(str::to_owned),
        from: query.from()?,
        to: query.to()?,
        cursor: query.get("cursor").map(str::to_owned),
        limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
    };
    let page = state.store.ledger(&caller.tenant, &wanted).await?;
    let webhooks = page.deliveries.into_iter().map(LedgerEntry::from).collect();
    Ok(Json(WebhookPage { webhooks, next_cursor: page.next }))
}

/// One webhook, with every address it goes to and every attempt
#[utoipa::path(
    get, path = "/webhooks/{event_id}", tag = "webhooks", params(("event_id" = String, Path)),
    responses((status = 200, body = EventDeliveries), (status = 404, body = Message))
)]
pub(crate) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(event_id): Path<String>,
) -> Result<Json<EventDeliveries>, ApiError> {
    let deliveries = of_event(&state, &caller.tenant, &event_id).await?;
    let deliveries = deliveries.into_iter().map(LedgerEntry::from).collect();
    Ok(Json(EventDeliveries { event_id, deliveries }))
}

/// Every delivery of an event of this tenant. Of a bot that is deleted those are left that are pending.
pub(super) async fn of_event(state: &ApiState, tenant: &TenantId, id: &str) -> Result<Vec<Delivery>, ApiError> {
    let none = || ApiError::not_found("There is no such webhook");
    let (bot, sequence) = read_event_id(id).ok_or_else(none)?;
    let mut found = state.store.deliveries(bot).await?;
    found.retain(|delivery| delivery.tenant == *tenant && delivery.event.sequence == sequence);
    if found.is_empty() { Err(none()) } else { Ok(found) }
}
