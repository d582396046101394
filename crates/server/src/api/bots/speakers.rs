//! Who spoke when.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use muster_recording::Manifest;
use muster_session::{Session, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::state::ApiState;
use super::artifacts::{InProgress, pending, recorded};
use super::streams::{SAMPLE_RATE, manifest};
use crate::recordings;

/// Bytes of one millisecond of the decoded recording: 48 kHz, 16 bit, mono.
const BYTES_PER_MS: u64 = SAMPLE_RATE as u64 / 1_000 * 2;

/// Who spoke when.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpeakerTimeline {
    /// In order of time; chunks of two people can overlap.
    chunks: Vec<Chunk>,
    last_updated: String,
    /// Name of the stored recording.
    audio_file_path: String,
    /// Bytes of the decoded recording: 48 kHz, 16 bit, mono.
    total_file_size: u64,
}

/// Somebody's audio.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chunk {
    chunk_index: usize,
    timestamp: String,
    sample_rate: u32,
    speaker_id: String,
    speaker_name: String,
    /// Offset in the decoded recording: 48 kHz, 16 bit, mono.
    start_byte: u64,
    end_byte: u64,
}

/// Who spoke when, in bytes of the decoded recording
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_speaker_timeline", tag = "meeting data", params(("bot_id" = String, Path)),
    responses(
        (status = 200, body = SpeakerTimeline),
        (status = 202, description = "Not ready yet", body = InProgress),
        (status = 404, body = Message),
        (status = 410, body = Message),
    )
)]
pub(crate) async fn get_speaker_timeline(State(state): State<ApiState>, bot: OwnBot) -> Result<Response, ApiError> {
    let Some(session) = recorded(bot)? else { return Ok(pending()) };
    let manifest = manifest(&state, &session).await?;
    Ok(Json(timeline(&session, &manifest)).into_response())
}

fn timeline(session: &Session, manifest: &Manifest) -> SpeakerTimeline {
    let started = manifest.started_at.or(session.admitted_at).unwrap_or(session.created_at);
    let chunks = manifest.speakers.iter().enumerate().map(|(chunk_index, span)| Chunk {
        chunk_index,
        timestamp: (started + std::time::Duration::from_millis(span.start_ms)).to_rfc3339(),
        sample_rate: SAMPLE_RATE,
        speaker_id: span.speaker_id.clone(),
        speaker_name: span.speaker_name.clone(),
        start_byte: span.start_ms.saturating_mul(BYTES_PER_MS),
        end_byte: span.end_ms.saturating_mul(BYTES_PER_MS),
    });
    SpeakerTimeline {
        chunks: chunks.collect(),
        last_updated: session.ended_at.map_or_else(|| session.updated_at.to_rfc3339(), Timestamp::to_rfc3339),
        audio_file_path: recordings::prefix(&session.tenant, session.id).join("audio.ogg").to_string(),
        total_file_size: manifest.duration_ms.saturating_mul(BYTES_PER_MS),
    }
}
