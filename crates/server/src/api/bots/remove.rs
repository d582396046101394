use axum::Json;
use axum::extract::State;
use muster_session::{Input, Rejected};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::state::ApiState;
use crate::recordings;
use crate::roles::ApplyError;

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    message: String,
    bot_id: String,
    /// Stored objects removed by this call.
    deleted_objects: u64,
}

/// Makes the bot leave
///
/// Asynchronous: the answer says that the request is on record, the webhooks say when the bot is out. A GET because
/// MeetStream's clients send one; POST does the same. Repeating it while the bot leaves is harmless; once it has left,
/// the answer is 409.
#[utoipa::path(
    method(get, post), path = "/bots/{bot_id}/remove_bot", tag = "bots", params(("bot_id" = String, Path)),
    responses(
        (status = 200, body = Message),
        (status = 404, body = Message),
        (status = 409, description = "The bot has already left", body = Message),
    )
)]
pub(crate) async fn remove_bot(
    State(state): State<ApiState>,
    OwnBot(session): OwnBot,
) -> Result<Json<Message>, ApiError> {
    let session = state.backend().apply(session.id, Input::Stop).await?;
    let message = if session.state.is_live() { "The bot will leave the meeting" } else { "The bot will not join" };
    Ok(Json(Message { message: message.to_owned() }))
}

/// Deletes what the bot captured
///
/// Audio, transcripts, participants and chat are erased; the record of the call stays until it expires. Only once
/// the bot is `Done`. Repeating it deletes nothing more and is no error.
#[utoipa::path(
    delete, path = "/bots/{bot_id}/delete", tag = "bots", params(("bot_id" = String, Path)),
    responses(
        (status = 200, body = Deleted),
        (status = 404, body = Message),
        (status = 409, description = "The bot is not done yet", body = Message),
    )
)]
pub(crate) async fn delete(State(state): State<ApiState>, OwnBot(session): OwnBot) -> Result<Json<Deleted>, ApiError> {
    use muster_session::State as At;
    let bot = session.id;
    let deleted_objects = match session.state {
        At::MediaExpired => 0,
        At::Done => {
            // Objects first: a crash in between leaves a bot that still says it has data, and the call is repeated.
            let prefix = recordings::prefix(&session.tenant, bot);
            let objects = muster_recording::delete_all(&state.storage, &prefix)
                .await
                .map_err(|error| ApiError::unavailable("The recordings are out of reach; try again", error))?;
            match state.backend().apply(bot, Input::MediaDeleted { objects }).await {
                // Somebody else asked for the same at the same time, and was the one to say so.
                Err(ApplyError::Rejected(Rejected::NotNow { state: At::MediaExpired, .. })) => {}
                other => {
                    other?;
                    tracing::info!(%bot, objects, "media deleted by request");
                }
            }
            objects
        }
        _ => {
            let status = session.wire_status();
            return Err(ApiError::conflict(format!(
                "The bot's status is {status}; its data can be deleted once it is Done"
            )));
        }
    };
    Ok(Json(Deleted { message: "The bot's data was deleted".into(), bot_id: bot.to_string(), deleted_objects }))
}
