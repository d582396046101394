//! What a supervisor and its bot process say to each other: one JSON document a line, commands on the bot's standard
//! input, reports on its standard output.
//!
//! The first line in is [`BotSpec`]; the first line out is [`Report::Ready`]. The end of the input means that the
//! supervisor is gone: the bot leaves its call and ends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::leave::LeavePolicy;
use crate::{BotId, EndReason, MediaPlan, Meeting, TenantId, Timestamp};

/// Everything a bot needs to know. Holds secrets, so it travels over a pipe and never over the environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BotSpec {
    /// The session.
    pub bot: BotId,
    /// Its owner.
    pub tenant: TenantId,
    /// 1 for the first attempt; segments of attempts are kept apart.
    pub attempt: u32,
    /// Where to go.
    pub meeting: Meeting,
    /// Under which name.
    pub bot_name: String,
    /// When to leave by itself.
    pub leave: LeavePolicy,
    /// What to capture and where to send it.
    pub media: MediaPlan,
    /// Echoed in live transcription.
    pub custom_attributes: Map<String, Value>,
    /// The platform pack, as TOML text: the child needs no files of its own.
    pub pack: String,
    /// Where recordings go (`file:///…` or `s3://…`).
    pub storage: Url,
    /// Length of one recording segment.
    pub segment_seconds: u32,
    /// The browser to start.
    pub browser: BrowserSpec,
    /// Speech to text for live words, if the plan asks for them.
    pub speech: Option<SpeechSpec>,
    /// CIDR ranges that customer URLs may reach although they are private.
    pub allow_private: Vec<String>,
    /// Longest time from launch to lobby or admission.
    pub join_timeout_ms: u64,
    /// Capture must deliver samples within this time once somebody is there to be heard.
    pub capture_timeout_ms: u64,
}

/// How to start the browser.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BrowserSpec {
    /// Path of the program; found by itself if absent.
    pub executable: Option<std::path::PathBuf>,
    /// Further command-line switches.
    #[serde(default)]
    pub extra_args: Vec<String>,
    /// Let WebRTC use loopback addresses; for sandbox meetings on this machine.
    #[serde(default)]
    pub allow_loopback: bool,
    /// Where profiles are made; a temporary directory if absent.
    pub profile_root: Option<std::path::PathBuf>,
}

/// An OpenAI-compatible speech-to-text endpoint.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SpeechSpec {
    /// Base URL; `/v1/audio/transcriptions` is added to it.
    pub url: Url,
    /// Model name sent along.
    pub model: String,
    /// Bearer token, if it wants one.
    pub api_key: Option<String>,
    /// Language hint (ISO 639-1), or detect.
    pub language: Option<String>,
}

impl std::fmt::Debug for SpeechSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechSpec")
            .field("url", &self.url.as_str())
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "redacted"))
            .field("language", &self.language)
            .finish()
    }
}

/// From the supervisor to the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Leave the call politely, flush, report [`Report::Ended`] and exit.
    Leave {
        /// The reason to report.
        reason: EndReason,
    },
}

/// From the bot to the supervisor. `at` is the bot's own clock at the moment it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The process is up, has read its spec and will try to join. Ends the launch handshake.
    Ready,
    /// The browser opens the meeting.
    Joining {
        /// When.
        at: Timestamp,
    },
    /// Held in a lobby.
    WaitingRoom {
        /// When.
        at: Timestamp,
    },
    /// Let in, by positive evidence.
    Admitted {
        /// When.
        at: Timestamp,
    },
    /// Capture and recording run.
    Recording {
        /// When.
        at: Timestamp,
    },
    /// On the way out.
    Leaving {
        /// When.
        at: Timestamp,
        /// Why: final.
        reason: EndReason,
        /// Detail for people.
        message: String,
    },
    /// Out, everything flushed; the process ends now.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
        /// Detail for people.
        message: String,
        /// Length of what was recorded in this attempt.
        recorded_ms: u64,
    },
    /// Somebody came or went.
    Participant {
        /// When.
        at: Timestamp,
        /// Came (true) or went.
        joined: bool,
        /// The platform's id.
        id: String,
        /// Display name.
        name: String,
    },
    /// A chat message was seen.
    Chat {
        /// When.
        at: Timestamp,
        /// The platform's id of the message.
        id: String,
        /// The platform's id of the author.
        from: String,
        /// The author's name.
        name: String,
        /// The text.
        text: String,
    },
    /// Sign of life with figures; sent every few seconds.
    Health {
        /// When.
        at: Timestamp,
        /// Figures for people and metrics.
        figures: HealthFigures,
    },
    /// Something worth knowing that changes no state.
    Note {
        /// When.
        at: Timestamp,
        /// `info` or `warn`.
        level: String,
        /// For people.
        text: String,
    },
}

/// What a bot measures of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthFigures {
    /// Audio frames of 10 ms captured so far, over all tracks.
    pub captured_frames: u64,
    /// Milliseconds recorded.
    pub recorded_ms: u64,
    /// Milliseconds of silence put in for late or missing audio.
    pub concealed_ms: u64,
    /// Live tracks now.
    pub tracks: u32,
    /// Level of the mix over the last period, dB below full scale.
    pub level_dbfs: f32,
    /// Live copies dropped because the receiver was too slow.
    pub live_dropped: u64,
    /// Segments dropped because the storage was out for too long.
    pub segments_dropped: u64,
}
