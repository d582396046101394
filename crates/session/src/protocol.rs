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
    /// Until when the supervisor holds the session, by the clock of the machine, unless [`Command::Hold`] says more. None:
    /// nobody else can have the session.
    #[serde(default)]
    pub held_until: Option<Timestamp>,
    /// Attend without a browser, which only sandbox meetings allow; for load tests.
    #[serde(default)]
    pub simulated: bool,
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

/// A recogniser and everything needed to use it. `Debug` shows no keys.
#[derive(Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SpeechSpec {
    /// A server with OpenAI's interface.
    Openai {
        /// Base URL; `/v1/audio/transcriptions` is added to it.
        url: Url,
        /// Model name sent along.
        model: String,
        /// Bearer token, if it wants one.
        api_key: Option<String>,
        /// Language hint (ISO 639-1), or detect.
        language: Option<String>,
    },
    /// Deepgram, or a server that speaks its protocol.
    Deepgram {
        /// Base URL (`wss`, `ws`, `https` or `http`); `/v1/listen` is added to it.
        url: Url,
        /// Its key.
        api_key: String,
        /// An object: the provider options of the plan. What is not about recognition is left out of requests.
        options: Value,
    },
    /// AssemblyAI, or a server that speaks its protocol.
    Assemblyai {
        /// Base URL of streaming (`wss`, `ws`, `https` or `http`); `/v3/ws` is added to it.
        url: Url,
        /// Its key.
        api_key: String,
        /// An object: the provider options of the plan. What is not about recognition is left out of requests.
        options: Value,
    },
}

impl SpeechSpec {
    /// The provider's name, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Openai { .. } => "openai",
            Self::Deepgram { .. } => "deepgram",
            Self::Assemblyai { .. } => "assemblyai",
        }
    }

    /// The base URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        match self {
            Self::Openai { url, .. } | Self::Deepgram { url, .. } | Self::Assemblyai { url, .. } => url,
        }
    }
}

impl std::fmt::Debug for SpeechSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const REDACTED: &str = "redacted";
        match self {
            Self::Openai { url, model, api_key, language } => f
                .debug_struct("Openai")
                .field("url", &url.as_str())
                .field("model", model)
                .field("api_key", &api_key.as_ref().map(|_| REDACTED))
                .field("language", language)
                .finish(),
            Self::Deepgram { url, options, .. } => vendor(f, "Deepgram", url, options),
            Self::Assemblyai { url, options, .. } => vendor(f, "Assemblyai", url, options),
        }
    }
}

fn vendor(f: &mut std::fmt::Formatter<'_>, name: &str, url: &Url, options: &Value) -> std::fmt::Result {
    // Of the options only the names: a customer may have put a key of their own among them.
    let names: Vec<&String> = options.as_object().into_iter().flat_map(Map::keys).collect();
    f.debug_struct(name).field("url", &url.as_str()).field("api_key", &"redacted").field("options", &names).finish()
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
    /// The session is held until then, by the clock of the machine. A bot that is not told in time of a later end leaves
    /// its call before: from then on another worker may send one.
    Hold {
        /// The end of the lease.
        until: Timestamp,
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
        /// There is no browser ([`BotSpec::simulated`]).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        simulated: bool,
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
    /// Sign of life with figures; sent every five seconds from the start to the way out. A bot that stops saying it hangs.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recognisers_survive_the_pipe_and_debug_shows_no_key() {
        let url: Url = "wss://api.example.com".parse().unwrap();
        let specs = [
            SpeechSpec::Openai { url: url.clone(), model: "m".into(), api_key: Some("sk-1".into()), language: None },
            SpeechSpec::Deepgram { url: url.clone(), api_key: "sk-1".into(), options: json!({"token": "sk-1"}) },
            SpeechSpec::Assemblyai { url, api_key: "sk-1".into(), options: json!({}) },
        ];
        for (spec, kind) in specs.into_iter().zip(["openai", "deepgram", "assemblyai"]) {
            let line = serde_json::to_value(&spec).unwrap();
            assert_eq!(line["kind"], kind);
            assert_eq!(spec.name(), kind);
            assert_eq!(serde_json::from_value::<SpeechSpec>(line).unwrap(), spec);
            assert!(!format!("{spec:?}").contains("sk-1"), "{spec:?}");
        }
    }
}
