use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use muster_session::{Artifact, ArtifactKind, ArtifactState, Session, Timestamp, TranscriptStatus};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::auth::OwnBot;
use super::super::error::{ApiError, Message};
use super::super::state::ApiState;
use super::queue::QueuePlace;

/// Where a bot is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BotStatus {
    bot_id: String,
    /// `Scheduled`, `Joining`, `InWaitingRoom`, `InMeeting`, `Recording`, `Leaving`, `MediaProcessing`, `Done` or
    /// `MediaExpired`.
    status: &'static str,
    custom_attributes: Map<String, Value>,
    /// Present, and true, if the bot was simulated: a load test.
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

/// Everything about a bot.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BotDetail {
    bot_details: BotDetails,
}

/// The keys of MeetStream, null where there is nothing to say, and some of our own in snake case at the end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BotDetails {
    #[serde(rename = "BotID")]
    bot_id: String,
    #[serde(rename = "BotImageURL")]
    bot_image_url: Option<String>,
    #[serde(rename = "BotMessage")]
    bot_message: Option<String>,
    #[serde(rename = "BotProfile")]
    bot_profile: Option<String>,
    #[serde(rename = "BotUsername")]
    bot_username: String,
    #[serde(rename = "CreatedAt")]
    created_at: String,
    /// Seconds in the call; null unless it was let in and has left.
    #[serde(rename = "Duration")]
    duration: Option<u64>,
    #[serde(rename = "EndTime")]
    end_time: Option<String>,
    #[serde(rename = "LastUpdatedAt")]
    last_updated_at: String,
    #[serde(rename = "ManifestStatus")]
    manifest_status: Option<&'static str>,
    #[serde(rename = "MediaS3Bucket")]
    media_s3_bucket: Option<String>,
    #[serde(rename = "MeetingLink")]
    meeting_link: String,
    #[serde(rename = "NativeSTT")]
    native_stt: Option<bool>,
    #[serde(rename = "OfferingType")]
    offering_type: Option<String>,
    #[serde(rename = "Platform")]
    platform: String,
    #[serde(rename = "PlatformCreatedAt")]
    platform_created_at: Option<String>,
    #[serde(rename = "PlatformStatusCreatedAt")]
    platform_status_created_at: Option<String>,
    /// The create request as it came.
    #[serde(rename = "RequestPayload")]
    request_payload: Value,
    /// When it was let in.
    #[serde(rename = "StartTime")]
    start_time: Option<String>,
    #[serde(rename = "Status")]
    status: &'static str,
    #[serde(rename = "StatusCreatedAt")]
    status_created_at: Option<String>,
    #[serde(rename = "StatusTimeline")]
    status_timeline: BTreeMap<&'static str, TimelineStep>,
    /// `Success`, `Failed`, or null while there is nothing to say.
    #[serde(rename = "AudioStatus")]
    audio_status: Option<&'static str>,
    /// `Success`, `Failed`, or null while there is nothing to say.
    #[serde(rename = "TranscriptStatus")]
    transcript_status: Option<&'static str>,
    #[serde(rename = "UserID")]
    user_id: String,
    caption_file: Option<String>,
    participant_events: Option<Value>,
    custom_attributes: Map<String, Value>,
    /// The latest transcript.
    transcript_id: Option<String>,
    /// Why the bot left, once it is decided.
    end_reason: Option<&'static str>,
    /// Who can do something about it: `host`, `platform`, `customer` or `us`.
    fault: Option<Value>,
    /// Why, for people.
    end_message: Option<String>,
    /// Attempts at joining so far.
    attempt: u32,
    /// Present, and true, if the bot was simulated: a load test.
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
    /// Present while it waits to be run by a worker of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePlace>,
    /// When it is to join, if scheduled.
    join_at: Option<String>,
    /// When record and media are removed.
    expires_at: String,
}

/// One step of the way; `status` says whether it was reached.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct TimelineStep {
    message: Option<String>,
    status: bool,
    timestamp: Option<String>,
}

/// Names of the steps, as MeetStream's clients know them.
const STEPS: [&str; 15] = [
    "Scheduled",
    "Joining",
    "WaitingRoom",
    "InMeeting",
    "Recording",
    "Leaving",
    "Stopped",
    "BotNotAllowed",
    "BotRejected",
    "Error",
    "AudioProcessing",
    "VideoProcessing",
    "TranscriptionReady",
    "Done",
    "MediaExpired",
];

/// Where the bot is
#[utoipa::path(
    get, path = "/bots/{bot_id}/status", tag = "bots", params(("bot_id" = String, Path)),
    responses((status = 200, body = BotStatus), (status = 404, body = Message))
)]
pub(crate) async fn status(OwnBot(session): OwnBot) -> Json<BotStatus> {
    Json(BotStatus {
        bot_id: session.id.to_string(),
        status: session.wire_status(),
        custom_attributes: session.custom_attributes,
        simulated: session.simulated.then_some(true),
    })
}

/// Everything about the bot
#[utoipa::path(
    get, path = "/bots/{bot_id}/detail", tag = "bots", params(("bot_id" = String, Path)),
    responses((status = 200, body = BotDetail), (status = 404, body = Message))
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    OwnBot(session): OwnBot,
) -> Result<Json<BotDetail>, ApiError> {
    let queue = QueuePlace::of(&state, &session).await.unwrap_or_else(|error| {
        tracing::warn!(bot = %session.id, ?error, "where a bot waits cannot be read, and is left out");
        None
    });
    Ok(Json(BotDetail { bot_details: details(session, queue) }))
}

/// Everything about the bot, under its other name
#[utoipa::path(
    get, path = "/bots/{bot_id}/summary", tag = "bots", params(("bot_id" = String, Path)),
    responses((status = 200, body = BotDetail), (status = 404, body = Message))
)]
pub(crate) async fn summary(state: State<ApiState>, bot: OwnBot) -> Result<Json<BotDetail>, ApiError> {
    detail(state, bot).await
}

fn details(session: Session, queue: Option<QueuePlace>) -> BotDetails {
    let asked = |key: &str| session.request.get(key).and_then(Value::as_str).map(str::to_owned);
    let end = session.end.as_ref();
    BotDetails {
        bot_id: session.id.to_string(),
        bot_image_url: asked("bot_image_url"),
        bot_message: asked("bot_message"),
        bot_profile: None,
        created_at: session.created_at.to_rfc3339(),
        duration: session.admitted_at.zip(session.ended_at).map(|(from, to)| to.since(from).as_secs()),
        end_time: session.ended_at.map(Timestamp::to_rfc3339),
        last_updated_at: session.updated_at.to_rfc3339(),
        manifest_status: settled(artifact(&session, ArtifactKind::Manifest), "Skipped"),
        media_s3_bucket: None,
        native_stt: None,
        offering_type: None,
        platform_created_at: None,
        platform_status_created_at: None,
        start_time: session.admitted_at.map(Timestamp::to_rfc3339),
        status: session.wire_status(),
        status_created_at: None,
        status_timeline: timeline(&session),
        audio_status: settled(artifact(&session, ArtifactKind::Audio), "Failed"),
        transcript_status: transcript_status(&session),
        user_id: session.tenant.to_string(),
        caption_file: None,
        participant_events: None,
        transcript_id: session.transcripts.last().map(|t| t.id.to_string()),
        end_reason: end.map(|end| end.reason.as_str()),
        fault: end.map(|end| serde_json::json!(end.reason.fault())),
        end_message: end.map(|end| end.message.clone()),
        attempt: session.attempt,
        simulated: session.simulated.then_some(true),
        queue,
        join_at: session.join_at.map(Timestamp::to_rfc3339),
        expires_at: session.expires_at.to_rfc3339(),
        bot_username: session.bot_name,
        meeting_link: session.meeting.link,
        platform: session.meeting.label,
        request_payload: session.request,
        custom_attributes: session.custom_attributes,
    }
}

/// State of an artifact that the session owes, if it does.
pub(super) fn artifact(session: &Session, kind: ArtifactKind) -> Option<&ArtifactState> {
    session.artifacts.iter().find(|artifact: &&Artifact| artifact.kind == kind).map(|artifact| &artifact.state)
}

fn settled(state: Option<&ArtifactState>, failed: &'static str) -> Option<&'static str> {
    match state? {
        ArtifactState::Pending => None,
        ArtifactState::Ready => Some("Success"),
        ArtifactState::Failed { .. } => Some(failed),
    }
}

fn transcript_status(session: &Session) -> Option<&'static str> {
    match session.transcripts.last()?.status {
        TranscriptStatus::Processing => None,
        TranscriptStatus::Success => Some("Success"),
        TranscriptStatus::Failed => Some("Failed"),
    }
}

/// Every step; of one that was taken more than once, the last time.
fn timeline(session: &Session) -> BTreeMap<&'static str, TimelineStep> {
    STEPS
        .into_iter()
        .map(|name| {
            let last = session.timeline.iter().rev().find(|entry| entry.name == name);
            let step = last.map_or_else(TimelineStep::default, |entry| TimelineStep {
                message: Some(entry.message.clone()),
                status: true,
                timestamp: Some(entry.at.to_rfc3339()),
            });
            (name, step)
        })
        .collect()
}
