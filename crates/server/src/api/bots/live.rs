//! Commands to a bot in a call that MeetStream has and this server does not.

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};

fn refuse(bot: OwnBot, what: &str) -> ApiError {
    let OwnBot(session) = bot;
    if session.was_admitted() && session.state.is_live() {
        ApiError::not_supported(format!("{what} is not supported by this server"))
    } else {
        ApiError::conflict(format!("The bot is not in a meeting (and {what} is not supported by this server)"))
    }
}

/// Refused: chat messages are not sent
#[utoipa::path(
    post, path = "/bots/{bot_id}/send_message", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message), (status = 409, body = Message), (status = 501, body = Message))
)]
pub(crate) async fn send_message(bot: OwnBot) -> ApiError {
    refuse(bot, "sending chat messages")
}

/// Refused: the bot has no camera picture
#[utoipa::path(
    post, path = "/bots/{bot_id}/send_image", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message), (status = 409, body = Message), (status = 501, body = Message))
)]
pub(crate) async fn send_image(bot: OwnBot) -> ApiError {
    refuse(bot, "sending images")
}

/// Refused: recording is not paused
#[utoipa::path(
    post, path = "/bots/{bot_id}/pause_recording", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message), (status = 409, body = Message), (status = 501, body = Message))
)]
pub(crate) async fn pause_recording(bot: OwnBot) -> ApiError {
    refuse(bot, "pausing the recording")
}

/// Refused: recording is not paused, so it is not resumed
#[utoipa::path(
    post, path = "/bots/{bot_id}/resume_recording", tag = "not supported", params(("bot_id" = String, Path)),
    responses((status = 404, body = Message), (status = 409, body = Message), (status = 501, body = Message))
)]
pub(crate) async fn resume_recording(bot: OwnBot) -> ApiError {
    refuse(bot, "resuming the recording")
}
