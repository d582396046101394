//! Finds every mistake in a scenario, not only the first.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::{Action, LobbyMode, Participant, Scenario, Sound};

/// The longest time in a scenario: a day.
pub(super) const MAX_SECONDS: f64 = 86_400.0;
const MAX_PARTICIPANTS: usize = 63;
const MAX_SPEAKS: usize = 1_000;
const MAX_TIMELINE: usize = 2_000;
/// Characters of a participant's name.
pub(crate) const MAX_NAME: usize = 100;
/// Characters of a chat message.
pub(crate) const MAX_TEXT: usize = 2_000;
/// Milliseconds of one sound.
pub(crate) const MAX_SOUND_MS: u32 = 600_000;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, as a path such as `participants[0].speaks[1].at`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// All mistakes of a scenario or an action; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", problem.field, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Collects problems.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { field: field.into(), message: message.into() });
    }

    pub(crate) fn result(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid(self.0)) }
    }

    fn time(&mut self, field: impl Into<String>, seconds: f64) {
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            self.add(field, format!("must be between 0 and {MAX_SECONDS} seconds"));
        }
    }

    fn name(&mut self, field: impl Into<String>, name: &str) {
        if name.trim().is_empty() || name.chars().count() > MAX_NAME {
            self.add(field, format!("must have 1 to {MAX_NAME} characters"));
        }
    }

    fn id(&mut self, field: impl Into<String>, id: &str) {
        if !is_id(id) {
            self.add(field, "must have 1 to 64 letters, digits, '-' or '_'");
        }
    }
}

/// True for what may be the id of a participant or the name of a room: 1 to 64 ASCII letters, digits, `-`, `_`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Scenario {
    /// Checks everything that can be checked without opening a sound.
    ///
    /// # Errors
    /// All mistakes, each with its field.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut problems = Problems::default();
        if matches!(self.lobby.mode, LobbyMode::AdmitAfter | LobbyMode::DenyAfter) {
            problems.time("lobby.seconds", self.lobby.seconds);
        }
        if let Some(seconds) = self.reconnect_seconds {
            problems.time("reconnect_seconds", seconds);
        }
        if self.participants.len() > MAX_PARTICIPANTS {
            problems.add("participants", format!("at most {MAX_PARTICIPANTS}"));
        }
        let mut known = BTreeSet::new();
        for (index, participant) in self.participants.iter().enumerate() {
            let field = format!("participants[{index}]");
            if !known.insert(participant.id.as_str()) {
                problems.add(format!("{field}.id"), format!("`{}` is there twice", participant.id));
            }
            check_participant(participant, &field, &mut problems);
        }
        self.check_timeline(known, &mut problems);
        problems.result()
    }

    fn check_timeline<'a>(&'a self, mut known: BTreeSet<&'a str>, problems: &mut Problems) {
        if self.timeline.len() > MAX_TIMELINE {
            problems.add("timeline", format!("at most {MAX_TIMELINE}"));
        }
        known.extend(self.timeline.iter().filter_map(|timed| match &timed.action {
            Action::ParticipantJoin { target, .. } => Some(target.as_str()),
            _ => None,
        }));
        for (index, timed) in self.timeline.iter().enumerate() {
            let field = format!("timeline[{index}]");
            problems.time(format!("{field}.at"), timed.at);
            check_action(&timed.action, &format!("{field}."), problems);
            if let Action::Speak { target, .. } | Action::ParticipantLeave { target } = &timed.action
                && !known.contains(target.as_str())
            {
                problems.add(format!("{field}.target"), format!("there is no participant `{target}`"));
            }
        }
    }
}

impl Action {
    /// Checks everything that can be checked without opening a sound.
    ///
    /// # Errors
    /// All mistakes, each with its field.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut problems = Problems::default();
        check_action(self, "", &mut problems);
        problems.result()
    }
}

fn check_participant(participant: &Participant, field: &str, problems: &mut Problems) {
    problems.id(format!("{field}.id"), &participant.id);
    if let Some(name) = &participant.name {
        problems.name(format!("{field}.name"), name);
    }
    problems.time(format!("{field}.joins_at"), participant.joins_at);
    if let Some(leaves_at) = participant.leaves_at {
        problems.time(format!("{field}.leaves_at"), leaves_at);
        if leaves_at <= participant.joins_at {
            problems.add(format!("{field}.leaves_at"), "must be after joins_at");
        }
    }
    if participant.speaks.len() > MAX_SPEAKS {
        problems.add(format!("{field}.speaks"), format!("at most {MAX_SPEAKS}"));
    }
    for (index, speech) in participant.speaks.iter().enumerate() {
        let field = format!("{field}.speaks[{index}]");
        problems.time(format!("{field}.at"), speech.at);
        if speech.at < participant.joins_at {
            problems.add(format!("{field}.at"), "is before the participant joins");
        }
        if participant.leaves_at.is_some_and(|leaves_at| speech.at >= leaves_at) {
            problems.add(format!("{field}.at"), "is after the participant has left");
        }
        if speech.every.is_some_and(|every| !(0.1..=MAX_SECONDS).contains(&every)) {
            problems.add(format!("{field}.every"), format!("must be between 0.1 and {MAX_SECONDS} seconds"));
        }
        check_sound(&speech.sound(), &format!("{field}."), problems);
    }
}

fn check_action(action: &Action, prefix: &str, problems: &mut Problems) {
    match action {
        Action::Chat { from, text } => {
            if let Some(from) = from {
                problems.name(format!("{prefix}from"), from);
            }
            if text.trim().is_empty() || text.chars().count() > MAX_TEXT {
                problems.add(format!("{prefix}text"), format!("must have 1 to {MAX_TEXT} characters"));
            }
        }
        Action::ParticipantJoin { target, name } => {
            problems.id(format!("{prefix}target"), target);
            if let Some(name) = name {
                problems.name(format!("{prefix}name"), name);
            }
        }
        _ => {}
    }
    if let Some(sound) = action.sound() {
        check_sound(&sound, prefix, problems);
    }
}

fn check_sound(sound: &Sound, prefix: &str, problems: &mut Problems) {
    let field = |name: &str| format!("{prefix}{name}");
    let given = [sound.tone_hz.is_some(), sound.file.is_some(), sound.wav_base64.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        problems.add(field("tone_hz"), "exactly one of tone_hz, file and wav_base64 must be given");
    }
    if sound.tone_hz.is_none() {
        for (name, present) in [("ms", sound.ms.is_some()), ("level", sound.level.is_some())] {
            if present {
                problems.add(field(name), "is only for tones");
            }
        }
    }
    if sound.tone_hz.is_some_and(|hz| !(20.0..=20_000.0).contains(&hz)) {
        problems.add(field("tone_hz"), "must be between 20 and 20000");
    }
    if sound.ms.is_some_and(|ms| !(20..=MAX_SOUND_MS).contains(&ms)) {
        problems.add(field("ms"), format!("must be between 20 and {MAX_SOUND_MS}"));
    }
    if sound.level.is_some_and(|level| !(0.0..=1.0).contains(&level)) {
        problems.add(field("level"), "must be between 0 and 1");
    }
}
