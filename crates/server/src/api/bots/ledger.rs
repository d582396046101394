//! The webhooks of a bot: what was sent, what came back, and sending it again.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use muster_store::{Delivery, DeliveryState, DeliveryStatus};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::body;
use super::super::error::{ApiError, Message};
use super::super::fields::{Fields, Problems};
use super::super::openapi::requests::Replay;
use super::super::state::ApiState;
use crate::roles::nudge::News;

/// The webhooks of a bot.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ledger {
    bot_id: String,
    /// In order of sequence.
    events: Vec<LedgerEntry>,
}

/// One webhook to one address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerEntry {
    /// `webhook-id` of every attempt.
    event_id: String,
    bot_id: String,
    /// The endpoint that it goes to; null if it goes to an address of the bot's own.
    endpoint_id: Option<String>,
    sequence: u64,
    event: String,
    bot_event: String,
    /// When it happened.
    timestamp: String,
    /// Where it was to go when it was made.
    url: String,
    /// `pending`, `delivered` or `failed`.
    status: &'static str,
    /// When the next attempt is due.
    next_attempt_at: Option<String>,
    attempts: Vec<LedgerAttempt>,
    /// The body, the same in every attempt.
    body: Value,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerAttempt {
    at: String,
    /// Null if there was no answer.
    http_status: Option<u16>,
    latency_ms: u64,
    /// First part of the answer, or what went wrong.
    detail: String,
    /// Where it went; null if that was the `url` of the webhook. The address of an endpoint may have changed since.
    url: Option<String>,
}

impl From<Delivery> for LedgerEntry {
    fn from(delivery: Delivery) -> Self {
        let event = delivery.event;
        let (status, next_attempt_at) = match delivery.status {
            DeliveryStatus::Pending { next_at } => ("pending", Some(next_at.to_rfc3339())),
            DeliveryStatus::Delivered => ("delivered", None),
            DeliveryStatus::Failed => ("failed", None),
        };
        Self {
            event_id: muster_session::event::event_id(event.bot, event.sequence),
            bot_id: event.bot.to_string(),
            endpoint_id: delivery.endpoint.map(|id| id.to_string()),
            sequence: event.sequence,
            event: event.event,
            bot_event: event.bot_event,
            timestamp: event.at.to_rfc3339(),
            url: delivery.url.to_string(),
            status,
            next_attempt_at,
            attempts: delivery
                .attempts
                .into_iter()
                .map(|attempt| LedgerAttempt {
                    at: attempt.at.to_rfc3339(),
                    http_status: attempt.http_status,
                    latency_ms: attempt.latency_ms,
                    detail: attempt.detail,
                    url: attempt.url.map(String::from),
                })
                .collect(),
            body: event.body,
        }
    }
}

/// Webhooks that are to be sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    bot_id: String,
    /// Webhooks that are pending again. Those that still were are not counted.
    replayed: u64,
}

/// The bot's webhooks with every attempt (extension)
#[utoipa::path(
    get, path = "/bots/{bot_id}/events", tag = "extensions", params(("bot_id" = String, Path)),
    responses((status = 200, body = Ledger), (status = 404, body = Message))
)]
pub(crate) async fn events(State(state): State<ApiState>, OwnBot(session): OwnBot) -> Result<Json<Ledger>, ApiError> {
    let deliveries = state.store.deliveries(session.id).await?;
    let events = deliveries.into_iter().map(LedgerEntry::from).collect();
    Ok(Json(Ledger { bot_id: session.id.to_string(), events }))
}

/// Sends webhooks again, with the same bodies and ids (extension)
#[utoipa::path(
    post, path = "/bots/{bot_id}/events/replay", tag = "extensions", params(("bot_id" = String, Path)),
    request_body = Replay,
    responses((status = 200, body = Replayed), (status = 400, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn replay(
    State(state): State<ApiState>,
    OwnBot(session): OwnBot,
    body: Body,
) -> Result<Json<Replayed>, ApiError> {
    let request = body::read_json(body).await?;
    let sequence = sequence(&request).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    let mut deliveries = state.store.deliveries(session.id).await?;
    deliveries.retain(|delivery| sequence.is_none_or(|sequence| delivery.event.sequence == sequence));
    let replayed = send_again(&state, deliveries).await?;
    Ok(Json(Replayed { bot_id: session.id.to_string(), replayed }))
}

/// Makes those of these deliveries that are settled pending again, due at once; answers how many.
pub(in crate::api) async fn send_again(state: &ApiState, mut deliveries: Vec<Delivery>) -> Result<u64, ApiError> {
    deliveries.retain(|delivery| delivery.status.state() != DeliveryState::Pending);
    if deliveries.is_empty() {
        return Ok(0);
    }
    let ids: Vec<u64> = deliveries.iter().map(|delivery| delivery.id).collect();
    let replayed = state.store.resend(&ids, state.clock.now()).await?;
    let bots = deliveries.iter().map(|delivery| delivery.event.bot).collect();
    state.backend().nudge.say(News { bots, ..News::default() });
    Ok(replayed)
}

fn sequence(request: &Value) -> Result<Option<u64>, Problems> {
    let mut problems = Problems::default();
    let sequence = Fields::root(request, &mut problems)
        .and_then(|fields| fields.integer("sequence", &(1..=u32::MAX), &mut problems));
    problems.none_or(sequence.map(u64::from))
}
