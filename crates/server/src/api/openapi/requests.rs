//! The shapes of request bodies, for the document only: requests are read field by field, so that every problem of one
//! is told at once. A test holds the two together.
#![expect(dead_code, reason = "these types describe the wire and are never made")]

use serde_json::Value;
use utoipa::ToSchema;

/// A bot to send into a meeting. Unknown fields are kept with the bot and not judged; null is the same as absent.
#[derive(ToSchema)]
pub(crate) struct CreateBot {
    /// The link of the meeting, as people paste it.
    #[schema(max_length = 4096)]
    meeting_link: String,
    /// The name it joins under. Default: `Muster Notetaker`.
    #[schema(min_length = 1, max_length = 200)]
    bot_name: Option<String>,
    /// Receives this bot's webhooks (http or https).
    callback_url: Option<String>,
    /// Join then (ISO 8601; without an offset UTC). A past time means at once.
    join_at: Option<String>,
    /// Up to 64 keys with scalar values (texts up to 4 KiB), echoed in status and webhooks.
    custom_attributes: Option<serde_json::Map<String, Value>>,
    /// Binds the bot to a booking: 200 with the existing bot for the same meeting, 409 for another.
    #[schema(min_length = 1, max_length = 2000)]
    deduplication_key: Option<String>,
    automatic_leave: Option<AutomaticLeave>,
    recording_config: Option<RecordingConfig>,
    live_audio_required: Option<LiveAudio>,
    live_transcription_required: Option<LiveTranscription>,
    /// Ours. Where the bot runs: `fleet`, `meetstream` if the operator has such a cloud, or the name of a source of webhooks at whose
    /// service the caller has the bot. Default: what the operator set.
    runtime: Option<String>,
    /// Ours. The bot's id at that service, if its webhooks do not echo ours.
    runtime_bot_id: Option<String>,
    /// Accepted; one audio stream per participant is always kept.
    audio_separate_streams: Option<bool>,
    /// Accepted; no video is recorded.
    video_required: Option<bool>,
    /// Accepted; no video is recorded.
    video_separate_streams: Option<bool>,
    /// Accepted and kept; not sent.
    bot_message: Option<String>,
    /// Accepted and kept; not shown.
    bot_image_url: Option<String>,
    /// Accepted and kept; not run.
    workflow_config_ids: Option<Vec<String>>,
    zoom: Option<Zoom>,
    google_meet: Option<GoogleMeet>,
    teams: Option<Teams>,
}

/// When the bot leaves by itself, in seconds. The ranges are those of the meeting's platform; in sandbox meetings every
/// value may be as low as 1.
#[derive(ToSchema)]
pub(crate) struct AutomaticLeave {
    /// Longest wait in a lobby. 60-600 on GMeet, 60-1200 on Zoom, 60-1800 elsewhere. Default 600.
    #[schema(minimum = 1, maximum = 1800)]
    waiting_room_timeout: Option<u32>,
    /// Longest stay in a call that nobody else joined. 60-1800. Default 600.
    #[schema(minimum = 1, maximum = 1800)]
    no_one_joined_timeout: Option<u32>,
    /// Older spelling of `no_one_joined_timeout`, which wins.
    #[schema(minimum = 1, maximum = 1800)]
    noone_joined_timeout: Option<u32>,
    /// Longest stay after everyone else left. 60-1800. Default 300.
    #[schema(minimum = 1, maximum = 1800)]
    everyone_left_timeout: Option<u32>,
    /// Longest stay while nobody speaks. 60-1800. Default 100.
    #[schema(minimum = 1, maximum = 1800)]
    voice_inactivity_timeout: Option<u32>,
    /// Longest stay at all. 600-18000. Default 14400.
    #[schema(minimum = 1, maximum = 18000)]
    in_call_recording_timeout: Option<u32>,
    /// How long a refused recording permission is borne (Zoom). 60-300. Default 60.
    #[schema(minimum = 1, maximum = 300)]
    recording_permission_denied_timeout: Option<u32>,
    bot_detection: Option<BotDetectionRule>,
}

/// Leave when only other bots are left.
#[derive(ToSchema)]
pub(crate) struct BotDetectionRule {
    using_participant_names: Option<ParticipantNames>,
}

/// Bots are recognised by their names.
#[derive(ToSchema)]
pub(crate) struct ParticipantNames {
    /// A participant whose name contains one of these, in any case, is a bot.
    #[schema(max_items = 50)]
    matches: Vec<String>,
    /// Seconds after admission before the rule is armed. 60-1800. Default 300.
    #[schema(minimum = 1, maximum = 1800)]
    activate_after: Option<u32>,
    /// Seconds that only bots must be left. 5-300. Default 5.
    #[schema(minimum = 1, maximum = 300)]
    timeout: Option<u32>,
}

/// What is captured and made of it.
#[derive(ToSchema)]
pub(crate) struct RecordingConfig {
    transcript: Option<TranscriptConfig>,
    retention: Option<Retention>,
    /// Accepted; one audio stream per participant is always kept.
    audio_separate_streams: Option<bool>,
    /// Accepted; no video is recorded.
    video_separate_streams: Option<bool>,
    /// Accepted and kept; not acted on.
    #[schema(max_items = 20)]
    realtime_endpoints: Option<Vec<RealtimeEndpoint>>,
    /// Accepted (`speaker_view` or `grid_view`); no video is recorded.
    video_layout: Option<String>,
}

/// A transcript, live or after the call.
#[derive(ToSchema)]
pub(crate) struct TranscriptConfig {
    /// Exactly one key, with the provider's options. After the call: `deepgram`, `assemblyai`, `sarvam`, `jigsawstack`,
    /// `meetstream`. Live: `deepgram_streaming`, `assemblyai_streaming`, `jigsawstack_streaming`,
    /// `meetstream_streaming`, `meeting_captions`. Whatever the name, the server's own speech-to-text is used.
    provider: serde_json::Map<String, Value>,
}

/// How long record and media are kept after the call.
#[derive(ToSchema)]
pub(crate) struct Retention {
    /// `timed`
    r#type: Option<String>,
    #[schema(minimum = 1, maximum = 87600)]
    hours: u32,
}

/// A receiver of events while the call goes on.
#[derive(ToSchema)]
pub(crate) struct RealtimeEndpoint {
    /// `webhook`
    r#type: Option<String>,
    url: String,
    /// `participant_events.join`, `participant_events.leave`
    events: Option<Vec<String>>,
}

/// The bot dials this WebSocket and sends the call's audio.
#[derive(ToSchema)]
pub(crate) struct LiveAudio {
    /// ws or wss
    websocket_url: String,
}

/// The bot posts words here as they are spoken. Needs a live provider in `recording_config.transcript.provider` and a
/// server with speech-to-text configured.
#[derive(ToSchema)]
pub(crate) struct LiveTranscription {
    /// http or https
    webhook_url: String,
}

/// Accepted and kept; not acted on. The two exclude each other.
#[derive(ToSchema)]
pub(crate) struct Zoom {
    /// https
    zak_url: Option<String>,
    /// https
    obf_url: Option<String>,
}

/// Accepted and kept; bots join as guests.
#[derive(ToSchema)]
pub(crate) struct GoogleMeet {
    login_required: Option<bool>,
    google_login_domain: Option<String>,
    sign_in_email: Option<String>,
    strict_email: Option<bool>,
}

/// Accepted and kept; bots join as guests.
#[derive(ToSchema)]
pub(crate) struct Teams {
    login_required: Option<bool>,
    teams_login_domain: Option<String>,
    sign_in_email: Option<String>,
    strict_email: Option<bool>,
}

/// Another transcript of a recording.
#[derive(ToSchema)]
pub(crate) struct Transcribe {
    /// Exactly one key of the providers after the call, with its options.
    provider: serde_json::Map<String, Value>,
    /// Receives the one event of this transcript (http or https).
    callback_url: Option<String>,
}

/// At least one of the fields.
#[derive(ToSchema)]
pub(crate) struct ChangeScheduled {
    /// ISO 8601; without an offset UTC. A past time means at once.
    scheduled_join_time: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    bot_username: Option<String>,
    /// Replaces what was there.
    custom_attributes: Option<serde_json::Map<String, Value>>,
}

/// What to send again; without a sequence, everything.
#[derive(ToSchema)]
pub(crate) struct Replay {
    /// Only the webhook with this sequence.
    #[schema(minimum = 1)]
    sequence: Option<u32>,
}

/// A key of a tenant.
#[derive(ToSchema)]
pub(crate) struct CreateKey {
    /// Letters, digits, `-` and `_`. A tenant is there from its first key on.
    #[schema(min_length = 1, max_length = 64)]
    tenant: String,
    /// For people: who has it, and where.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// An address for the webhooks of every bot.
#[derive(ToSchema)]
pub(crate) struct CreateEndpoint {
    /// https or http
    url: String,
    /// Events it gets, by `event` or `bot_event`, such as `bot.done`; one that ends with `*`, such as `transcription.*`, stands for
    /// all that begin so. None: all.
    #[schema(max_items = 50)]
    events: Option<Vec<String>>,
    /// For people.
    #[schema(max_length = 500)]
    description: Option<String>,
}

/// At least one of the fields.
#[derive(ToSchema)]
pub(crate) struct ChangeEndpoint {
    /// https or http
    url: Option<String>,
    /// Replaces what was there; an empty list stands for all.
    #[schema(max_items = 50)]
    events: Option<Vec<String>>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// True: it gets nothing. False: it gets what happens from now on, and its failures are forgotten.
    disabled: Option<bool>,
}

/// How long the secret before the new one still signs.
#[derive(ToSchema)]
pub(crate) struct RotateSecret {
    /// Default 86400, a day; at most a week.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<u32>,
}

/// What to send again: exactly one of `event_id`, `bot_id` and `from`.
#[derive(ToSchema)]
pub(crate) struct ReplayWebhooks {
    /// Only this event.
    event_id: Option<String>,
    /// Only the events of this bot.
    bot_id: Option<String>,
    /// Only what was made at or after this time.
    from: Option<String>,
    /// With `from`: only what was made before this time.
    to: Option<String>,
    /// Only to this endpoint.
    endpoint_id: Option<String>,
    /// `failed`, `delivered`, or `settled` for both. Default `failed` with `from`, `settled` otherwise.
    state: Option<String>,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}
