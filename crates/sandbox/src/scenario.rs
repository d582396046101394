//! What happens in a meeting, written down before it happens.
//!
//! Times are seconds from the zero of the room's [`Clock`]. [`Scenario::validate`] finds every mistake that can be seen
//! without opening a sound; [`Schedule`] says what is due at a time.

mod action;
mod schedule;
pub(crate) mod validate;

pub use action::{Action, Sound, Target};
pub use schedule::{Schedule, Step};
pub use validate::{Invalid, Problem, is_id};

use serde::{Deserialize, Serialize};

/// A meeting's script. Everything may be left out: the default is an open room with nobody in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Who decides whether a guest comes in.
    pub lobby: Lobby,
    /// Virtual participants.
    pub participants: Vec<Participant>,
    /// What else happens, and when.
    pub timeline: Vec<TimedAction>,
    /// What the times count from.
    pub clock: Clock,
    /// For how many seconds a guest without a signalling connection keeps its place, and its page tries to come back.
    /// Default 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_seconds: Option<f64>,
}

/// The waiting room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lobby {
    /// What becomes of a guest who arrives.
    pub mode: LobbyMode,
    /// How long each guest waits before it is admitted or denied; unused in the other modes.
    pub seconds: f64,
}

/// What becomes of a guest who arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LobbyMode {
    /// It is in the call at once.
    #[default]
    Open,
    /// It waits, then is let in.
    AdmitAfter,
    /// It waits, then is refused.
    DenyAfter,
    /// It waits until an action decides.
    Hold,
}

/// What the times of a scenario count from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The admission of the first guest who is not virtual.
    #[default]
    FirstGuest,
    /// The creation of the room.
    Creation,
}

/// Somebody without a browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Letters, digits, `-` and `_`. It is also the id of the MediaStream that guests receive.
    pub id: String,
    /// Shown to the others; the id if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it joins.
    #[serde(default)]
    pub joins_at: f64,
    /// When it leaves; stays to the end if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_at: Option<f64>,
    /// What it says.
    #[serde(default)]
    pub speaks: Vec<Speech>,
}

impl Participant {
    /// The name that the others see.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Something that a virtual participant says. Exactly one of `tone_hz`, `file` and `wav_base64` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// When it starts. Sent within one packet, 20 ms.
    pub at: f64,
    /// Repeats it with this period, in seconds, until the participant leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<f64>,
    /// A sine of this frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone_hz: Option<f64>,
    /// Length of the tone in milliseconds. Default 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u32>,
    /// Amplitude of the tone, 0 to 1. Default 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// A WAV file in the scenario directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A WAV file, here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wav_base64: Option<String>,
}

impl Speech {
    /// What is heard, without when.
    #[must_use]
    pub fn sound(&self) -> Sound {
        Sound {
            tone_hz: self.tone_hz,
            ms: self.ms,
            level: self.level,
            file: self.file.clone(),
            wav_base64: self.wav_base64.clone(),
        }
    }
}

/// An action at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedAction {
    /// When.
    pub at: f64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

impl Scenario {
    /// A short meeting to try a bot on: two voices that chime in turn for a minute, some chat, and the host's end.
    #[must_use]
    pub fn hello() -> Self {
        let chime = |at: f64, tone_hz: f64| Speech {
            at,
            every: Some(8.0),
            tone_hz: Some(tone_hz),
            ms: Some(900),
            level: Some(0.3),
            ..Speech::default()
        };
        let voice = |id: &str, name: &str, speaks| Participant {
            id: id.to_owned(),
            name: Some(name.to_owned()),
            speaks,
            ..Participant::default()
        };
        let say = |at, text: &str| TimedAction {
            at,
            action: Action::Chat { from: Some("ada".to_owned()), text: text.to_owned() },
        };
        Self {
            participants: vec![
                voice("ada", "Ada", vec![chime(2.0, 523.25), chime(3.2, 659.25)]),
                voice("ben", "Ben", vec![chime(6.0, 392.0), chime(7.2, 329.63)]),
            ],
            timeline: vec![
                say(3.0, "Hello! This meeting ends by itself after a minute."),
                TimedAction { at: 60.0, action: Action::End {} },
            ],
            ..Self::default()
        }
    }

    /// For how long a guest keeps its place without a connection.
    #[must_use]
    pub fn reconnect(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.reconnect_seconds.unwrap_or(15.0).clamp(0.0, validate::MAX_SECONDS))
    }
}

#[cfg(test)]
mod tests;
