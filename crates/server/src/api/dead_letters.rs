//! Jobs that were set aside, for the operator.

use axum::Json;
use axum::extract::{Path, State};
use muster_session::job::Topic;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::Operator;
use super::error::{ApiError, Message};
use super::state::ApiState;
use crate::inbound::Envelope;

/// Most of a topic that are listed.
const LIMIT: u32 = 1_000;

/// Of the body of a webhook so much is shown.
const SHOWN_BYTES: usize = 16 * 1024;

/// What was set aside.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// By topic, the oldest of each first, at most 1,000 of each.
    dead_letters: Vec<DeadLetter>,
}

/// A job that nobody will try again by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    /// `jobs`, `media`, `deliveries`, `inbound` or `remote`.
    topic: &'static str,
    id: String,
    /// Why it was set aside.
    reason: String,
    /// The job; of `inbound` the webhook as it came in; or the text of a message that is neither.
    job: Value,
}

/// Jobs that were set aside
///
/// For the operator: a key of the tenant `default`.
#[utoipa::path(
    get, path = "/dead_letters", tag = "extensions",
    responses((status = 200, body = DeadLetters), (status = 403, body = Message))
)]
pub(crate) async fn list(State(state): State<ApiState>, _: Operator) -> Result<Json<DeadLetters>, ApiError> {
    let mut dead_letters = Vec::new();
    for topic in Topic::ALL {
        let found = state.queue.dead(topic, LIMIT).await.map_err(out_of_reach)?;
        dead_letters.extend(found.into_iter().map(|(id, payload, reason)| DeadLetter {
            topic: topic.as_str(),
            id,
            reason,
            job: shown(topic, &payload),
        }));
    }
    Ok(Json(DeadLetters { dead_letters }))
}

/// A message for people.
fn shown(topic: Topic, payload: &[u8]) -> Value {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    // What is set aside is alone in its message.
    let webhook = Envelope::decode(payload).ok().and_then(|webhooks| webhooks.into_iter().next());
    match webhook.filter(|_| topic == Topic::Inbound) {
        Some(webhook) => {
            let headers = webhook.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
            json!({
                "source": webhook.source,
                "bot": webhook.bot,
                "received_at": webhook.received_at.to_rfc3339(),
                "headers": Value::Object(headers.collect()),
                "body": text(&webhook.body[..webhook.body.len().min(SHOWN_BYTES)]),
            })
        }
        None => serde_json::from_slice(payload).unwrap_or_else(|_| text(payload)),
    }
}

/// Puts a job back
///
/// It is tried again as if for the first time. What has become of its bot since is not undone: a job that is stale by now is
/// dropped.
#[utoipa::path(
    post, path = "/dead_letters/{topic}/{letter_id}/requeue", tag = "extensions",
    params(("topic" = String, Path), ("letter_id" = String, Path)),
    responses((status = 200, body = Message), (status = 403, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn requeue(
    State(state): State<ApiState>,
    _: Operator,
    Path((topic, id)): Path<(String, String)>,
) -> Result<Json<Message>, ApiError> {
    let none = || ApiError::not_found("There is no such dead letter");
    let topic = Topic::ALL.into_iter().find(|known| known.as_str() == topic).ok_or_else(none)?;
    if !state.queue.requeue(topic, &id).await.map_err(out_of_reach)? {
        return Err(none());
    }
    Ok(Json(Message { message: "The job will be tried again".to_owned() }))
}

fn out_of_reach(error: muster_queue::QueueError) -> ApiError {
    ApiError::unavailable("The queue is out of reach", error)
}
