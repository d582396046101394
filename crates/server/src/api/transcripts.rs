//! Transcripts: fetch, list, make another.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster_session::{
    ArtifactKind, ArtifactState, Input, Session, State as At, TranscriptId, TranscriptPlan, TranscriptRecord,
    TranscriptStatus,
};
use object_store::ObjectStoreExt;
use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, OwnBot};
use super::body;
use super::bots::post_call_provider;
use super::error::{ApiError, Message};
use super::fields::{Fields, Problems};
use super::media_links;
use super::openapi::requests::Transcribe;
use super::openapi::responses::Segment;
use super::query::Query;
use super::state::{ApiState, MAX_KEPT_BYTES};
use crate::recordings;

/// Transcripts that one recording can have.
const TRANSCRIPTS_MAX: usize = 20;

/// The transcripts of a bot.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transcriptions {
    bot_id: String,
    /// The one of the create request first.
    transcriptions: Vec<Transcription>,
}

/// A transcript and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transcription {
    transcript_id: String,
    provider: String,
    /// `Success`, `Processing` or `Failed`.
    status: &'static str,
    created_at: String,
    /// The provider's options, as given.
    config: Value,
    /// Usable for an hour; null unless the status is `Success`.
    download_urls: Option<DownloadUrls>,
}

/// Where the two forms of a transcript can be fetched without an API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DownloadUrls {
    raw_transcript: String,
    processed_transcript: String,
}

/// A transcript that is being made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transcribing {
    bot_id: String,
    transcript_id: String,
    provider: String,
    message: String,
}

/// A transcript
///
/// By default an array of segments; with `raw=true` one object with words and utterances. 202 while it is being made,
/// or while the call goes on. A transcript that failed is 404 with the reason.
#[utoipa::path(
    get, path = "/transcript/{transcript_id}/get_transcript", tag = "transcripts",
    params(("transcript_id" = String, Path), ("raw" = Option<bool>, Query)),
    responses(
        (status = 200, body = Vec<Segment>),
        (status = 202, description = "Not ready yet", body = Message),
        (status = 404, body = Message),
        (status = 410, description = "Deleted", body = Message),
    )
)]
pub(crate) async fn get_transcript(
    State(state): State<ApiState>,
    caller: Caller,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("There is no such transcript");
    let Ok(Path(id)) = id else { return Err(unknown()) };
    let id: TranscriptId = id.parse().map_err(|_| unknown())?;
    let session = state.store.find_transcript(&caller.tenant, id).await?.ok_or_else(unknown)?;
    if session.state == At::MediaExpired {
        return Err(ApiError::gone("The transcript was deleted"));
    }
    let record = session.transcripts.iter().find(|record| record.id == id).ok_or_else(unknown)?;
    match record.status {
        TranscriptStatus::Processing => {
            let message = Message { message: "The transcript is not ready yet".into() };
            Ok((StatusCode::ACCEPTED, Json(message)).into_response())
        }
        TranscriptStatus::Failed => Err(ApiError::not_found(failure(record))),
        TranscriptStatus::Success => {
            let paths = recordings::transcript_paths(&session.tenant, session.id, id);
            let raw = matches!(Query::parse(query.as_deref()).get("raw"), Some("true" | "True" | "1"));
            let object = state.storage.get(if raw { &paths.raw } else { &paths.processed }).await?;
            let body = Body::from_stream(object.into_stream());
            Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
        }
    }
}

/// Why there is no transcript.
fn failure(record: &TranscriptRecord) -> String {
    match &record.failure {
        Some(reason) => format!("The transcript could not be made: {reason}"),
        None => "The transcript could not be made".to_owned(),
    }
}

/// The bot's transcripts
#[utoipa::path(
    get, path = "/bots/{bot_id}/transcriptions", tag = "transcripts", params(("bot_id" = String, Path)),
    responses((status = 200, body = Transcriptions), (status = 404, body = Message))
)]
pub(crate) async fn transcriptions(State(state): State<ApiState>, OwnBot(session): OwnBot) -> Json<Transcriptions> {
    let transcriptions = session.transcripts.iter().map(|record| transcription(&state, &session, record)).collect();
    Json(Transcriptions { bot_id: session.id.to_string(), transcriptions })
}

fn transcription(state: &ApiState, session: &Session, record: &TranscriptRecord) -> Transcription {
    let ready = record.status == TranscriptStatus::Success && session.state != At::MediaExpired;
    let download_urls = ready.then(|| {
        let paths = recordings::transcript_paths(&session.tenant, session.id, record.id);
        DownloadUrls {
            raw_transcript: media_links::link(state, &paths.raw),
            processed_transcript: media_links::link(state, &paths.processed),
        }
    });
    Transcription {
        transcript_id: record.id.to_string(),
        provider: record.plan.provider.clone(),
        status: match record.status {
            TranscriptStatus::Processing => "Processing",
            TranscriptStatus::Success => "Success",
            TranscriptStatus::Failed => "Failed",
        },
        created_at: record.created_at.to_rfc3339(),
        config: record.plan.options.clone(),
        download_urls,
    }
}

/// Makes another transcript of the recording
///
/// Its one event (`transcription.processed` or `transcription.failed`) goes to the `callback_url` of this request.
#[utoipa::path(
    post, path = "/bots/{bot_id}/transcribe", tag = "transcripts", params(("bot_id" = String, Path)),
    request_body = Transcribe,
    responses(
        (status = 200, body = Transcribing),
        (status = 400, body = Message),
        (status = 404, body = Message),
        (status = 409, description = "There is no recording yet, or none at all", body = Message),
        (status = 413, description = "The body is larger than 64 KiB, or the options of all transcripts of the bot together",
            body = Message),
        (status = 501, description = "No speech-to-text is configured for this provider", body = Message),
    )
)]
pub(crate) async fn transcribe(
    State(state): State<ApiState>,
    bot: OwnBot,
    body: Body,
) -> Result<Json<Transcribing>, ApiError> {
    let session = bot.with_media()?;
    if let Some(remote) = &session.remote {
        let source = &remote.source;
        return Err(ApiError::conflict(format!("The bot ran at {source}: its recording cannot be transcribed here")));
    }
    let request = body::read_kept_json(body).await?;
    let (plan, callback_url) =
        parse(&request, &state).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    if state.engines.choose(&session.tenant, &plan).is_none() {
        let provider = &plan.provider;
        let message = format!("This server has no speech-to-text configured for {provider} (transcription.url)");
        return Err(ApiError::not_supported(message));
    }
    let recorded = session
        .artifacts
        .iter()
        .any(|artifact| artifact.kind == ArtifactKind::Audio && artifact.state == ArtifactState::Ready);
    if session.state == At::Done && !recorded {
        return Err(ApiError::conflict("There is no recording of this bot to transcribe"));
    }
    if session.transcripts.len() >= TRANSCRIPTS_MAX {
        return Err(ApiError::conflict(format!("The bot has {TRANSCRIPTS_MAX} transcripts already")));
    }
    check_options(&session, &plan)?;
    let id = TranscriptId::from_uuid(Uuid::new_v4());
    let provider = plan.provider.clone();
    state.backend().apply(session.id, Input::AddTranscript { id, plan, callback_url }).await?;
    Ok(Json(Transcribing {
        bot_id: session.id.to_string(),
        transcript_id: id.to_string(),
        provider,
        message: "The transcript is being made".into(),
    }))
}

/// They are all kept in one record.
fn check_options(session: &Session, plan: &TranscriptPlan) -> Result<(), ApiError> {
    let plans = session.transcripts.iter().map(|record| &record.plan).chain([plan]);
    let bytes: usize = plans.map(|plan| plan.options.to_string().len()).sum();
    if bytes > MAX_KEPT_BYTES {
        let message = format!(
            "provider: the options of all transcripts of a bot may have {MAX_KEPT_BYTES} bytes together, and with these they have {bytes}"
        );
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(())
}

fn parse(request: &Value, state: &ApiState) -> Result<(TranscriptPlan, Option<Url>), Problems> {
    let mut problems = Problems::default();
    let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
    let plan = post_call_provider(&fields, &mut problems);
    let callback_url = fields.url("callback_url", &["http", "https"], &state.guard, &mut problems);
    let plan = problems.none_or(plan)?;
    plan.map(|plan| (plan, callback_url)).ok_or_else(|| Problems::of("provider: required".to_owned()))
}
