//! Webhooks that come in: verified, made durable, answered. Nothing else is done here; what they mean is for `roles::inbound`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use muster_hooks::inbound::{Refusal, Source, Verified};
use muster_queue::QueueError;
use muster_session::BotId;

use super::body;
use super::error::{ApiError, Message};
use super::query::Query;
use crate::inbound::{Door, Envelope, verify_token};

/// Takes a webhook of a source
///
/// 200 means that it is in the queue for good. Only senders that the operator configured, as `sources.NAME`, are taken. Too
/// many at once are 503 with `Retry-After`, and nothing is lost by it: the sender still has what was not answered with 200.
#[utoipa::path(
    post, path = "/webhooks/{source}", tag = "webhooks", params(("source" = String, Path)),
    request_body(content = String, content_type = "*/*"),
    responses(
        (status = 200, description = "Taken. The challenge of Zoom's URL validation is answered with its proof"),
        (status = 401, description = "The signature is missing or wrong, or its time is not now", body = Message),
        (status = 404, description = "There is no such source", body = Message),
        (status = 413, body = Message),
        (status = 503, description = "Too many at once, or the queue is out of reach: send it again", body = Message),
    ),
    security(())
)]
pub(crate) async fn receive(
    State(door): State<Arc<Door>>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("There is no such source of webhooks");
    let Ok(Path(name)) = path else { return Err(unknown()) };
    let source = door.sources.get(&name).ok_or_else(unknown)?;
    let body = body::read_at_most(body, door.max_body).await?;
    let now = door.clock.now();
    let bot = addressed(&door, source, query.as_deref());
    if bot.is_none() {
        match source.verify(&headers, &body, now) {
            Ok(Verified::Event) => {}
            Ok(Verified::Challenge(answer)) => return Ok(Json(answer).into_response()),
            Err(refusal) => return Err(refused(source, &refusal)),
        }
    }
    let envelope = Envelope { source: name, bot, received_at: now, headers, body };
    match door.intake.take(envelope.encode()).await {
        Ok(Ok(())) => Ok(StatusCode::OK.into_response()),
        Ok(Err(QueueError::OverLimit { .. })) => {
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "The webhook is larger than the queue takes"))
        }
        Ok(Err(error)) => Err(ApiError::unavailable("The queue is out of reach; send it again", error)),
        Err(full) => Err(ApiError::busy("Too many webhooks at once; send it again", full)),
    }
}

/// The bot of the address, if the address is one that we gave out.
fn addressed(door: &Door, source: &Source, query: Option<&str>) -> Option<BotId> {
    let query = Query::parse(Some(query?));
    let bot: BotId = query.get("bot")?.parse().ok()?;
    verify_token(&door.link_secret, &source.name, bot, query.get("token")?).then_some(bot)
}

fn refused(source: &Source, refusal: &Refusal) -> ApiError {
    tracing::debug!(source = source.name, %refusal, "a webhook was refused");
    ApiError::new(StatusCode::UNAUTHORIZED, refusal.to_string())
}
