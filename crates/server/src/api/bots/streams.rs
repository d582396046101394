//! The recording by participant.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use muster_recording::Manifest;
use muster_session::Session;
use object_store::path::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::media_links;
use super::super::state::ApiState;
use super::artifacts::{InProgress, pending, recorded};
use crate::recordings;

/// Segments are Ogg Opus; Opus runs at this rate.
pub(super) const SAMPLE_RATE: u32 = 48_000;

/// Audio by participant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AudioStreams {
    bot_id: String,
    /// Always `Success`.
    audio_status: &'static str,
    /// False if no participant has audio of their own.
    audio_streams_available: bool,
    participants: Vec<StreamedParticipant>,
    summary: StreamSummary,
    message: &'static str,
}

/// A participant with their audio.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamedParticipant {
    participant_name: String,
    streams: Vec<Stream>,
}

/// Audio without a change of source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stream {
    stream_id: String,
    segments: Vec<StreamSegment>,
}

/// A piece of audio.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamSegment {
    segment_index: usize,
    /// Usable for an hour without an API key.
    url: String,
    filename: String,
    duration_seconds: f64,
    sample_rate: u32,
    channels: u32,
    codec: &'static str,
}

/// Figures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamSummary {
    total_participants: usize,
    total_segments: usize,
}

/// The recording by participant
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_audio_streams", tag = "media", params(("bot_id" = String, Path)),
    responses(
        (status = 200, body = AudioStreams),
        (status = 202, description = "Not ready yet", body = InProgress),
        (status = 404, body = Message),
        (status = 410, body = Message),
    )
)]
pub(crate) async fn get_audio_streams(State(state): State<ApiState>, bot: OwnBot) -> Result<Response, ApiError> {
    let Some(session) = recorded(bot)? else { return Ok(pending()) };
    let manifest = manifest(&state, &session).await?;
    let participants: Vec<_> = manifest
        .participants
        .iter()
        .map(|person| StreamedParticipant {
            participant_name: person.name.clone(),
            streams: person.streams.iter().map(|stream| streamed(&state, stream)).collect(),
        })
        .filter(|person| person.streams.iter().any(|stream| !stream.segments.is_empty()))
        .collect();
    let total_segments = participants.iter().flat_map(|p| &p.streams).map(|stream| stream.segments.len()).sum();
    let available = !participants.is_empty();
    let streams = AudioStreams {
        bot_id: session.id.to_string(),
        audio_status: "Success",
        audio_streams_available: available,
        summary: StreamSummary { total_participants: participants.len(), total_segments },
        participants,
        message: if available { "Audio streams by participant" } else { "No participant has audio of their own" },
    };
    Ok(Json(streams).into_response())
}

fn streamed(state: &ApiState, stream: &muster_recording::Stream) -> Stream {
    let segments = stream.segments.iter().enumerate().map(|(segment_index, segment)| {
        let path = Path::from(segment.path.as_ref());
        StreamSegment {
            segment_index,
            url: media_links::link(state, &path),
            filename: path.filename().unwrap_or_default().to_owned(),
            duration_seconds: seconds(segment.duration_ms),
            sample_rate: SAMPLE_RATE,
            channels: 1,
            codec: "opus",
        }
    });
    Stream { stream_id: stream.id.clone(), segments: segments.collect() }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// The index of a recording that is there.
pub(super) async fn manifest(state: &ApiState, session: &Session) -> Result<Manifest, ApiError> {
    if let Some(remote) = &session.remote {
        let message = format!("There is no index of this recording: the bot ran at {}", remote.source);
        return Err(ApiError::not_found(message));
    }
    let prefix = recordings::prefix(&session.tenant, session.id);
    muster_recording::load_manifest(&state.storage, &prefix)
        .await
        .map_err(|error| ApiError::unavailable("The recordings are out of reach; try again", error))
}

/// Always 404: no video is recorded
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_recording_streams", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message))
)]
pub(crate) async fn get_recording_streams(_bot: OwnBot) -> ApiError {
    ApiError::not_found("There is no video: this server records audio only (get_audio_streams)")
}
