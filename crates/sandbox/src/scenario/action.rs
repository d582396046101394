//! What can be done to a meeting, by its timeline or by hand.

use serde::{Deserialize, Serialize};

/// Whom an action is about: the id or the exact name of a guest. Left out: everybody it can apply to.
pub type Target = Option<String>;

/// What can be done to a meeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Lets guests in from the lobby.
    Admit {
        /// Whom; everybody in the lobby if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Target,
    },
    /// Refuses guests in the lobby.
    Deny {
        /// Whom; everybody in the lobby if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Target,
    },
    /// Removes guests from the call. A virtual participant can be named too.
    Kick {
        /// Whom; every guest in the call if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Target,
    },
    /// The host ends the meeting for everybody.
    End {},
    /// Cuts guests off: no media, no signalling, no answer.
    NetworkDrop {
        /// Whom; every guest if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Target,
    },
    /// Lets guests who were cut off come back.
    NetworkReturn {
        /// Whom; everybody who is cut off if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Target,
    },
    /// Writes into the chat.
    Chat {
        /// Id of a virtual participant, or any name. Default "Host".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// What.
        text: String,
    },
    /// A virtual participant joins: one of the scenario, or a new one.
    ParticipantJoin {
        /// Its id.
        target: String,
        /// Its name if it is a new one; the id if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A virtual participant leaves.
    ParticipantLeave {
        /// Its id.
        target: String,
    },
    /// A virtual participant says something, after what it is saying already.
    Speak {
        /// Its id.
        target: String,
        /// See [`super::Speech::tone_hz`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tone_hz: Option<f64>,
        /// See [`super::Speech::ms`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u32>,
        /// See [`super::Speech::level`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<f64>,
        /// See [`super::Speech::file`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// See [`super::Speech::wav_base64`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wav_base64: Option<String>,
    },
}

impl Action {
    /// The name in `do`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Admit { .. } => "admit",
            Self::Deny { .. } => "deny",
            Self::Kick { .. } => "kick",
            Self::End {} => "end",
            Self::NetworkDrop { .. } => "network_drop",
            Self::NetworkReturn { .. } => "network_return",
            Self::Chat { .. } => "chat",
            Self::ParticipantJoin { .. } => "participant_join",
            Self::ParticipantLeave { .. } => "participant_leave",
            Self::Speak { .. } => "speak",
        }
    }

    /// What is heard, if this makes anybody speak.
    #[must_use]
    pub fn sound(&self) -> Option<Sound> {
        match self {
            Self::Speak { target: _, tone_hz, ms, level, file, wav_base64 } => Some(Sound {
                tone_hz: *tone_hz,
                ms: *ms,
                level: *level,
                file: file.clone(),
                wav_base64: wav_base64.clone(),
            }),
            _ => None,
        }
    }
}

/// A sound as a scenario gives it: exactly one of `tone_hz`, `file` and `wav_base64`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sound {
    /// Hertz.
    pub tone_hz: Option<f64>,
    /// Milliseconds of a tone.
    pub ms: Option<u32>,
    /// Amplitude of a tone, 0 to 1.
    pub level: Option<f64>,
    /// Path of a WAV file below the scenario directory.
    pub file: Option<String>,
    /// A WAV file.
    pub wav_base64: Option<String>,
}
