use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::leave::LeavePolicy;
use crate::{BotId, EndReason, Remote, State, TenantId, Timestamp, TranscriptId, WorkerId};

/// Everything that is known about one bot. One record in the store; written only through the machine
/// ([`Session::apply`]) and committed with the version it was read at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The bot's id, the same over all attempts.
    pub id: BotId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Optimistic lock, kept by the store: 0 before the first write.
    #[serde(skip)]
    pub version: u64,
    /// The body of the create request as it came, unknown fields included.
    pub request: Value,
    /// Where the bot goes.
    pub meeting: Meeting,
    /// The name it joins under.
    pub bot_name: String,
    /// Receives this bot's webhooks.
    pub callback_url: Option<Url>,
    /// Echoed in status and webhooks.
    pub custom_attributes: Map<String, Value>,
    /// When it leaves by itself.
    pub leave: LeavePolicy,
    /// What is captured and where it goes.
    pub media: MediaPlan,
    /// The caller's `deduplication_key`.
    #[serde(default)]
    pub deduplication_key: Option<String>,
    /// A bot that is lost after it was let in is sent in again, once.
    #[serde(default)]
    pub rejoin: bool,
    /// What it was lost by, once that happened.
    #[serde(default)]
    pub lost: Option<End>,
    /// When this attempt was first handed back: its worker went down before the bot was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_back: Option<Timestamp>,
    /// Where the session is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Queued, and waits in line: no worker is to have it until there is a place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The place that it takes is counted among its tenant's: kept by the store, by what each write does to the places.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub place: bool,
    /// Attempts at joining begun so far, but for one that was handed back and is to begin again.
    pub attempt: u32,
    /// The bot is not one of our workers': it runs elsewhere, and webhooks say how it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// If no worker takes it within so many milliseconds, it may run elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow_ms: Option<u64>,
    /// A simulated bot attended, or tried to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Grows with every acquisition; a writer with an older token is refused.
    pub fencing: u64,
    /// Who runs the bot now.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// Sequence number of the last event.
    pub sequence: u64,
    /// How many events there were that are beside the sequence ([`event::ASIDE`](crate::event::ASIDE)).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asides: u64,
    /// Time of the last event; later ones are never earlier.
    pub last_event_at: Timestamp,
    /// Somebody asked it to leave.
    #[serde(default)]
    pub stop_requested: Option<Timestamp>,
    /// Why it left. Set once.
    #[serde(default)]
    pub end: Option<End>,
    /// What happened when, for people.
    pub timeline: Vec<TimelineEntry>,
    /// What has to be settled before `bot.done`.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// Transcripts, the one of the create request first.
    #[serde(default)]
    pub transcripts: Vec<TranscriptRecord>,
    /// When it is to join, if scheduled.
    #[serde(default)]
    pub join_at: Option<Timestamp>,
    /// When the request was accepted.
    pub created_at: Timestamp,
    /// Last write.
    pub updated_at: Timestamp,
    /// When it was let in.
    #[serde(default)]
    pub admitted_at: Option<Timestamp>,
    /// When it was out of the call.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// When record and media are removed.
    pub expires_at: Timestamp,
}

/// Where a bot goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meeting {
    /// The link as the caller gave it.
    pub link: String,
    /// The platform pack that takes it.
    pub platform: String,
    /// What MeetStream clients call the platform (`GMeet`, `Zoom`, `Teams`, …).
    pub label: String,
    /// The address the browser opens.
    pub join_url: Url,
    /// Identity of the meeting: equal for all spellings of its link.
    pub key: String,
}

/// What is captured and where it goes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MediaPlan {
    /// Dial this WebSocket with live audio.
    #[serde(default)]
    pub live_audio: Option<Url>,
    /// Post live words here.
    #[serde(default)]
    pub live_transcription: Option<Url>,
    /// Post-call transcript, if asked for.
    #[serde(default)]
    pub transcript: Option<TranscriptPlan>,
    /// Live words, if asked for. Without a post-call plan the transcript is made of them.
    #[serde(default)]
    pub streaming: Option<TranscriptPlan>,
    /// Who is told at once of people who come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<ParticipantHook>,
}

/// An address that is told of people who come or go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParticipantHook {
    /// Where.
    pub url: Url,
    /// Of those who come.
    pub joins: bool,
    /// Of those who go.
    pub leaves: bool,
}

impl MediaPlan {
    /// The transcript that a bot with this plan owes after its call: recognised then, or else made of the live words.
    #[must_use]
    pub fn owed_transcript(&self) -> Option<&TranscriptPlan> {
        self.transcript.as_ref().or(self.streaming.as_ref())
    }
}

/// The one provider key of `recording_config.transcript.provider`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TranscriptPlan {
    /// Provider name on the wire.
    pub provider: String,
    /// Its options, as given.
    pub options: Value,
}

/// Why a session left its call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct End {
    /// The reason.
    pub reason: EndReason,
    /// Detail from the part that saw it.
    pub message: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// The right to run a session's bot until a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub owner: WorkerId,
    /// Until when, unless renewed.
    pub until: Timestamp,
}

/// One line of the status timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Name of the step, as MeetStream's `StatusTimeline` calls it.
    pub name: String,
    /// For people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// What a recorded session owes its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// The index of segments, gaps and speakers.
    Manifest,
    /// The joined recording.
    Audio,
    /// The transcript of the create request.
    Transcript,
}

/// How far an artifact is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ArtifactState {
    /// Being made.
    Pending,
    /// There.
    Ready,
    /// It will not come.
    Failed {
        /// Why, for people.
        message: String,
    },
}

/// One artifact and its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Artifact {
    /// Which.
    pub kind: ArtifactKind,
    /// How far.
    #[serde(flatten)]
    pub state: ArtifactState,
}

/// State of a transcript, as the API says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TranscriptStatus {
    /// Being made, or waiting for the call to end.
    Processing,
    /// There.
    Success,
    /// It will not come.
    Failed,
}

/// One transcript of a session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TranscriptRecord {
    /// Its id.
    pub id: TranscriptId,
    /// Who makes it, and how.
    pub plan: TranscriptPlan,
    /// How far it is.
    pub status: TranscriptStatus,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Receives the one event of a transcript asked for after the call.
    #[serde(default)]
    pub callback_url: Option<Url>,
    /// Why it will not come, for people; only with [`TranscriptStatus::Failed`].
    #[serde(default)]
    pub failure: Option<String>,
}

impl TranscriptRecord {
    pub(crate) const fn new(
        id: TranscriptId,
        plan: TranscriptPlan,
        callback_url: Option<Url>,
        created_at: Timestamp,
    ) -> Self {
        Self { id, plan, status: TranscriptStatus::Processing, created_at, callback_url, failure: None }
    }

    pub(crate) fn settle(&mut self, failure: Option<String>) {
        self.status = if failure.is_none() { TranscriptStatus::Success } else { TranscriptStatus::Failed };
        self.failure = failure;
    }
}

/// What the API layer hands to [`Session::create`] after validating a request.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A fresh id.
    pub id: BotId,
    /// The owner of the API key.
    pub tenant: TenantId,
    /// The body as it came.
    pub request: Value,
    /// The recognised link.
    pub meeting: Meeting,
    /// Display name.
    pub bot_name: String,
    /// Webhook receiver.
    pub callback_url: Option<Url>,
    /// Echoed data.
    pub custom_attributes: Map<String, Value>,
    /// Leave rules.
    pub leave: LeavePolicy,
    /// Capture plan.
    pub media: MediaPlan,
    /// Duplicate guard in the body.
    pub deduplication_key: Option<String>,
    /// A bot that is lost after it was let in is sent in again, once.
    pub rejoin: bool,
    /// It runs elsewhere.
    pub remote: Option<Remote>,
    /// If no worker takes it within this time, it may run elsewhere.
    pub overflow: Option<std::time::Duration>,
    /// Join later; a time not after `now` means at once.
    pub join_at: Option<Timestamp>,
    /// A fresh id for the transcript, used only if the plan owes one.
    pub transcript_id: TranscriptId,
    /// How long record and media are kept after creation or, if later, the end of the call.
    pub retention: std::time::Duration,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
