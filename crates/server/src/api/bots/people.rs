//! Who was there and what they wrote.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use muster_session::{Session, Timestamp};
use muster_store::LogEntry;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::state::ApiState;

/// Longest log that is read back.
const LOG_LIMIT: u32 = 50_000;
/// `status` of a participant, as MeetStream numbers it.
const IN_MEETING: u32 = 1;
const LEFT: u32 = 6;

/// Somebody who is or was in the call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Participant {
    device_id: String,
    display_name: String,
    full_name: String,
    profile_picture: Option<String>,
    /// 1 in the call, 6 not any more.
    status: u32,
    /// `in_meeting` or `left`.
    #[serde(rename = "humanized_status")]
    humanized_status: &'static str,
    stream_ids: Vec<String>,
    last_updated: String,
}

/// Who is or was in the call, in order of arrival
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_participants", tag = "meeting data", params(("bot_id" = String, Path)),
    responses((status = 200, body = Vec<Participant>), (status = 404, body = Message), (status = 410, body = Message))
)]
pub(crate) async fn get_participants(
    State(state): State<ApiState>,
    bot: OwnBot,
) -> Result<Json<Vec<Participant>>, ApiError> {
    let session = bot.with_media()?;
    let lines = state.store.log(session.id, "participant", LOG_LIMIT).await?;
    Ok(Json(participants(&lines, session.ended_at)))
}

/// The roster that the lines add up to. Nobody is in a call that the bot has left.
fn participants(lines: &[LogEntry], ended_at: Option<Timestamp>) -> Vec<Participant> {
    let mut order: Vec<Participant> = Vec::new();
    for line in lines {
        let (id, name) = (text(&line.data, "id"), text(&line.data, "name"));
        let joined = line.data.get("joined").and_then(Value::as_bool).unwrap_or(true);
        let (status, humanized_status) = if joined { (IN_MEETING, "in_meeting") } else { (LEFT, "left") };
        let last_updated = line.at.to_rfc3339();
        match order.iter_mut().find(|known| known.device_id == id) {
            Some(known) => {
                if !name.is_empty() {
                    (known.display_name, known.full_name) = (name.clone(), name);
                }
                (known.status, known.humanized_status, known.last_updated) = (status, humanized_status, last_updated);
            }
            None => order.push(Participant {
                device_id: id,
                display_name: name.clone(),
                full_name: name,
                profile_picture: None,
                status,
                humanized_status,
                stream_ids: Vec::new(),
                last_updated,
            }),
        }
    }
    if let Some(ended) = ended_at {
        for person in order.iter_mut().filter(|person| person.status == IN_MEETING) {
            (person.status, person.humanized_status, person.last_updated) = (LEFT, "left", ended.to_rfc3339());
        }
    }
    order
}

/// The chat of a call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chats {
    metadata: ChatMetadata,
    speakers: Vec<ChatSpeaker>,
    /// In order of arrival.
    chat_messages: Vec<ChatMessage>,
    /// The same messages by `deviceId`.
    messages_by_speaker: BTreeMap<String, Vec<ChatMessage>>,
    server_metadata: ServerMetadata,
}

/// About the chat as a whole.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatMetadata {
    session_id: String,
    start_time: Option<String>,
    last_updated: Option<String>,
    total_messages: usize,
    unique_speakers: usize,
    bot_id: String,
    meeting_id: String,
}

/// An author.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatSpeaker {
    device_id: String,
    name: String,
    display_name: String,
    message_count: usize,
}

/// A message.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatMessage {
    message_id: String,
    device_id: String,
    timestamp: String,
    text: String,
    speaker_name: String,
    speaker_display_name: String,
    /// Milliseconds since the epoch.
    client_timestamp: i64,
    /// Milliseconds since the bot was let in.
    session_timestamp: i64,
}

/// About this answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerMetadata {
    generated_at: String,
}

/// What was written in the chat
#[utoipa::path(
    get, path = "/bots/{bot_id}/get_chats", tag = "meeting data", params(("bot_id" = String, Path)),
    responses((status = 200, body = Chats), (status = 404, body = Message), (status = 410, body = Message))
)]
pub(crate) async fn get_chats(State(state): State<ApiState>, bot: OwnBot) -> Result<Json<Chats>, ApiError> {
    let session = bot.with_media()?;
    let lines = state.store.log(session.id, "chat", LOG_LIMIT).await?;
    Ok(Json(chats(&session, &lines, state.clock.now())))
}

fn chats(session: &Session, lines: &[LogEntry], now: Timestamp) -> Chats {
    let start = session.admitted_at.unwrap_or(session.created_at);
    let chat_messages: Vec<ChatMessage> = lines.iter().map(|line| message(line, start)).collect();
    let mut speakers: Vec<ChatSpeaker> = Vec::new();
    let mut messages_by_speaker: BTreeMap<String, Vec<ChatMessage>> = BTreeMap::new();
    for message in &chat_messages {
        match speakers.iter_mut().find(|speaker| speaker.device_id == message.device_id) {
            Some(speaker) => speaker.message_count += 1,
            None => speakers.push(ChatSpeaker {
                device_id: message.device_id.clone(),
                name: message.speaker_name.clone(),
                display_name: message.speaker_display_name.clone(),
                message_count: 1,
            }),
        }
        messages_by_speaker.entry(message.device_id.clone()).or_default().push(message.clone());
    }
    Chats {
        metadata: ChatMetadata {
            session_id: session.id.to_string(),
            start_time: session.admitted_at.map(Timestamp::to_rfc3339),
            last_updated: lines.last().map(|line| line.at.to_rfc3339()),
            total_messages: chat_messages.len(),
            unique_speakers: speakers.len(),
            bot_id: session.id.to_string(),
            meeting_id: session.meeting.key.clone(),
        },
        speakers,
        chat_messages,
        messages_by_speaker,
        server_metadata: ServerMetadata { generated_at: now.to_rfc3339() },
    }
}

fn message(line: &LogEntry, start: Timestamp) -> ChatMessage {
    let name = text(&line.data, "name");
    ChatMessage {
        message_id: text(&line.data, "id"),
        device_id: text(&line.data, "from"),
        timestamp: line.at.to_rfc3339(),
        text: text(&line.data, "text"),
        speaker_name: name.clone(),
        speaker_display_name: name,
        client_timestamp: line.at.as_millis(),
        session_timestamp: line.at.as_millis().saturating_sub(start.as_millis()).max(0),
    }
}

fn text(data: &Value, key: &str) -> String {
    data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
