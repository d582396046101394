use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use muster_session::{BotId, Session, TranscriptId};
use muster_store::{CreateGuard, Created};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::body;
use super::super::error::{ApiError, Message};
use super::super::openapi::requests::CreateBot;
use super::super::state::ApiState;
use super::request::{self, Rules};
use crate::roles::admit;

/// A bot that was made, or that was there already.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedBot {
    /// The bot, for its whole life.
    bot_id: String,
    /// Where the post-call transcript will be; null without one, for one that is made of live words (the detail has
    /// its id), and on an idempotent replay.
    transcript_id: Option<String>,
    /// The link as it was given.
    meeting_url: String,
    /// `Active` for a new bot, otherwise the present status.
    status: &'static str,
}

impl CreatedBot {
    fn new(session: &Session, transcript: bool, status: &'static str) -> Json<Self> {
        let told = transcript && session.media.transcript.is_some();
        let transcript_id = session.transcript().filter(|_| told).map(|t| t.id.to_string());
        let meeting_url = session.meeting.link.clone();
        Json(Self { bot_id: session.id.to_string(), transcript_id, meeting_url, status })
    }
}

/// Sends a bot into a meeting
///
/// A 201 means that the bot is on record and will be run, whatever happens to this server. With `join_at` in the
/// future the bot is scheduled; a past time means at once. A bot that there is no place for now waits in line: its detail
/// says where, in `queue`.
///
/// `Idempotency-Key` makes the call safe to repeat: the second call with a key answers **507, which is a success**,
/// with the bot of the first. `deduplication_key` binds a bot to a booking: the same meeting answers 200 with the
/// existing bot, another meeting 409. The header is looked at first.
#[utoipa::path(
    post, path = "/bots/create_bot", tag = "bots", request_body = CreateBot,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 2,000 printable ASCII characters")),
    responses(
        (status = 201, description = "Created", body = CreatedBot),
        (status = 200, description = "`deduplication_key` was used before for this meeting", body = CreatedBot),
        (status = 507, description = "Success: idempotent replay of an earlier call", body = CreatedBot),
        (status = 400, description = "Every problem of the request, by field", body = Message),
        (status = 409, description = "`deduplication_key` was used before for another meeting", body = Message),
        (status = 413, description = "The body is larger than 64 KiB", body = Message),
        (status = 429, description = "Too many requests; or too many bots at a time, for a tenant whose bots do not wait in \
            line; or too many in line. `Retry-After` says when to try again", body = Message),
    )
)]
pub(crate) async fn create_bot(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers)?;
    let bytes = body::read_kept(body).await?;
    let rules = Rules {
        packs: &state.packs,
        guard: &state.guard,
        engines: &state.engines,
        tenant: &caller.tenant,
        own: Some(&state.public_url),
        runtimes: &state.runtimes,
    };
    let request = request::parse(&bytes, &rules).map_err(|problems| ApiError::bad_request(problems.to_string()))?;

    let id = BotId::from_uuid(Uuid::now_v7());
    let transcript_id = TranscriptId::from_uuid(Uuid::new_v4());
    let new = request.into_session(caller.tenant, id, transcript_id, state.retention, state.rejoin);
    Ok(match admit::create(&state.line, new, CreateGuard { idempotency_key }).await? {
        Created::New(session) => {
            tracing::info!(bot = %session.id, tenant = %session.tenant, platform = session.meeting.platform, held = session.held, "bot created");
            (StatusCode::CREATED, CreatedBot::new(&session, true, "Active")).into_response()
        }
        Created::Replayed(session) => {
            let body = CreatedBot::new(&session, false, session.wire_status());
            (StatusCode::INSUFFICIENT_STORAGE, body).into_response()
        }
        Created::Duplicate(session) => CreatedBot::new(&session, true, session.wire_status()).into_response(),
        Created::Conflict(session) => {
            let bot = session.id;
            let message = format!("deduplication_key: already used for another meeting, by bot {bot}");
            return Err(ApiError::conflict(message));
        }
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str().ok().filter(|key| request::is_printable_key(key)) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::bad_request("Idempotency-Key: expected 1 to 2000 printable ASCII characters")),
    }
}
