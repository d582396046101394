//! What a bot captured, as far as there is any.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use muster_session::{ArtifactKind, ArtifactState, Session, State as At};
use object_store::path::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::media_links;
use super::super::state::ApiState;
use super::show::artifact;
use crate::recordings;

/// Where the recording can be fetched.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audio {
    /// Ogg Opus, mono. Usable for an hour without an API key.
    audio_url: String,
}

/// Not ready yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InProgress {
    /// Always `in_progress`.
    audio_status: &'static str,
    message: &'static str,
}

/// Pictures of the call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Screenshots {
    bot_id: String,
    /// Always 0: none are taken.
    screenshots_count: u32,
    screenshots: Vec<String>,
}

/// The session, if its recording is there; nothing while the call goes on or the recording is being joined. A
/// recording that will not come is a 404 that says why, one that was deleted a 410.
pub(super) fn recorded(bot: OwnBot) -> Result<Option<Session>, ApiError> {
    let session = bot.with_media()?;
    match artifact(&session, ArtifactKind::Audio) {
        Some(ArtifactState::Ready) => Ok(Some(session)),
        Some(ArtifactState::Failed { message }) => Err(ApiError::not_found(format!("There is no audio: {message}"))),
        None if session.state == At::Done => {
            let why = session.end.as_ref().map_or("the bot was never in the meeting", |end| &end.message);
            Err(ApiError::not_found(format!("There is no audio: {why}")))
        }
        Some(ArtifactState::Pending) | None => Ok(None),
    }
}

/// 202, for clients to ask again.
pub(super) fn pending() -> Response {
    let message = "The recording is not ready yet";
    (StatusCode::ACCEPTED, Json(InProgress { audio_status: "in_progress", message })).into_response()
}

/// The recording of the call
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_audio", tag = "media", params(("bot_id" = String, Path)),
    responses(
        (status = 200, body = Audio),
        (status = 202, description = "Not ready yet", body = InProgress),
        (status = 404, description = "There is none, with the reason", body = Message),
        (status = 410, description = "Deleted", body = Message),
    )
)]
pub(crate) async fn get_audio(State(state): State<ApiState>, bot: OwnBot) -> Result<Response, ApiError> {
    let Some(session) = recorded(bot)? else { return Ok(pending()) };
    let path = match &session.remote {
        None => recordings::audio(&session.tenant, session.id),
        Some(remote) => match fetched(&state, &session).await? {
            Some(path) => path,
            None => {
                return Err(ApiError::not_found(format!(
                    "The recording is kept by {}, which ran the bot",
                    remote.source
                )));
            }
        },
    };
    Ok(Json(Audio { audio_url: media_links::link(&state, &path) }).into_response())
}

/// The recording that was fetched from the service which ran the bot.
async fn fetched(state: &ApiState, session: &Session) -> Result<Option<Path>, ApiError> {
    let mut objects = state.storage.list(Some(&recordings::fetched(&session.tenant, session.id)));
    Ok(objects.try_next().await?.map(|object| object.location))
}

/// Always 404: no video is recorded
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_video", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message))
)]
pub(crate) async fn get_video(_bot: OwnBot) -> ApiError {
    ApiError::not_found("There is no video: this server records audio only (get_audio)")
}

/// Always empty: no screenshots are taken
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_screenshots", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 200, body = Screenshots), (status = 404, body = Message))
)]
pub(crate) async fn get_screenshots(OwnBot(session): OwnBot) -> Json<Screenshots> {
    Json(Screenshots { bot_id: session.id.to_string(), screenshots_count: 0, screenshots: Vec::new() })
}
