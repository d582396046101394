//! The pack file as it is written. Unknown keys are mistakes everywhere.

use std::collections::BTreeMap;

use muster_session::EndReason;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackFile {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) seen: String,
    pub(super) example: String,
    #[serde(default)]
    pub(super) link: Vec<Link>,
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    #[serde(default)]
    pub(super) evidence: Vec<Evidence>,
    pub(super) roster: Option<Roster>,
    pub(super) chat: Option<Chat>,
    #[serde(default)]
    pub(super) tracks: TrackOwner,
    #[serde(default)]
    pub(super) leave: Vec<Step>,
}

/// A link rule: exactly one of `join_url` (with `key`), `rewrite` and `refuse`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) pattern: String,
    pub(super) join_url: Option<String>,
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) keep_query: BTreeMap<String, String>,
    pub(super) rewrite: Option<String>,
    pub(super) refuse: Option<String>,
}

/// One step on the way in or out. Exactly one of `wait`, `click`, `fill` and `press` says what to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For people: where a bot got stuck.
    pub name: String,
    /// Selector: wait until something visible matches.
    pub wait: Option<String>,
    /// Selector: click the first visible, enabled match.
    pub click: Option<String>,
    /// Selector: put `text` into the first visible, enabled match.
    pub fill: Option<String>,
    /// Name of a key to press, such as `Enter`.
    pub press: Option<String>,
    /// What to fill in; `{bot_name}` stands for the bot's name.
    pub text: Option<String>,
    /// Regular expression: of the matches, only those with such a text count.
    pub with_text: Option<String>,
    /// Selector: the step is repeated until something visible matches this.
    pub until: Option<String>,
    /// Selector: the step is not needed as soon as something visible matches this.
    pub skip_if: Option<String>,
    /// Going on without it is fine.
    #[serde(default)]
    pub optional: bool,
    /// Longest time for the step.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

const fn default_timeout_ms() -> u64 {
    20_000
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<'a> {
    /// Wait for the selector.
    Wait(&'a str),
    /// Click it.
    Click(&'a str),
    /// Fill in the text.
    Fill(&'a str, &'a str),
    /// Press the key.
    Press(&'a str),
}

impl Step {
    /// What it does; `None` only before the check of the pack.
    #[must_use]
    pub fn action(&self) -> Option<Action<'_>> {
        match (&self.wait, &self.click, &self.fill, &self.press) {
            (Some(selector), None, None, None) => Some(Action::Wait(selector)),
            (None, Some(selector), None, None) => Some(Action::Click(selector)),
            (None, None, Some(selector), None) => self.text.as_deref().map(|text| Action::Fill(selector, text)),
            (None, None, None, Some(key)) => Some(Action::Press(key)),
            _ => None,
        }
    }
}

/// What is evidence of a state: all conditions given must hold at once, the ones on a match for one and the same element.
/// Regular expressions ignore case; runs of white space in texts count as one space, curly apostrophes as straight ones.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The state.
    pub state: Shown,
    /// Where several rules hold, the highest priority decides.
    #[serde(default)]
    pub priority: i32,
    /// How long the rule must hold without a break.
    #[serde(default)]
    pub debounce_ms: u64,
    /// Counts only once this was seen.
    pub after: Option<Seen>,
    /// Counts only as long as this was not seen.
    pub before: Option<Seen>,
    /// For people, instead of the reason's own words.
    pub message: Option<String>,
    /// Something visible matches this selector.
    pub selector: Option<String>,
    /// Nothing visible matches this selector.
    pub absent: Option<String>,
    /// Regular expression for the visible text of the match, or of the whole page if there is no `selector`.
    pub text: Option<String>,
    /// An attribute of the match.
    pub attribute: Option<Attribute>,
    /// The match counts although it is not visible.
    #[serde(default)]
    pub hidden: bool,
    /// The match is at least this large, width and height in CSS pixels.
    pub min_size: Option<[u32; 2]>,
    /// Regular expression for the page's address.
    pub url: Option<String>,
    /// Regular expression for the page's title.
    pub title: Option<String>,
}

/// A condition on an attribute.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Regular expression for its value.
    pub pattern: String,
}

/// How far a visit got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The lobby, or the call itself.
    Lobby,
    /// The call.
    Admitted,
}

/// What a page shows about us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Waiting to be let in.
    Lobby,
    /// In the call.
    Admitted,
    /// Out of the call by our own leaving.
    Left,
    /// The host refused us.
    Denied,
    /// A participant removed us.
    Removed,
    /// The host ended the meeting.
    Ended,
    /// Nobody answered our knock, and the page gave up.
    NoAnswer,
    /// The meeting was over before we came.
    Over,
    /// The meeting has not begun, and the page does not wait for it.
    NotStarted,
    /// There is no such meeting.
    NotFound,
    /// No more participants fit in.
    MeetingFull,
    /// The passcode was refused.
    PasswordWrong,
    /// Guests may not join.
    SignIn,
    /// A captcha stands in the way.
    Captcha,
    /// The platform refuses us.
    Blocked,
    /// The page lost its connection and gave up.
    ConnectionLost,
}

impl Shown {
    /// The reason of the end that this state is; `None` for the lobby and the call.
    #[must_use]
    pub const fn end(self) -> Option<EndReason> {
        Some(match self {
            Self::Lobby | Self::Admitted => return None,
            Self::Left | Self::ConnectionLost => EndReason::ConnectionLost,
            Self::Denied => EndReason::JoinDenied,
            Self::Removed => EndReason::Kicked,
            Self::Ended => EndReason::HostEnded,
            Self::NoAnswer => EndReason::LobbyTimeout,
            Self::Over => EndReason::MeetingOver,
            Self::NotStarted => EndReason::MeetingNotStarted,
            Self::NotFound => EndReason::MeetingNotFound,
            Self::MeetingFull => EndReason::MeetingFull,
            Self::PasswordWrong => EndReason::PasswordWrong,
            Self::SignIn => EndReason::SignInRequired,
            Self::Captcha => EndReason::Captcha,
            Self::Blocked => EndReason::PlatformBlocked,
        })
    }
}

/// Where a value is, seen from an element.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The nearest enclosing element that matches (the element itself counts).
    pub closest: Option<String>,
    /// From there, the first element inside that matches.
    pub selector: Option<String>,
    /// The attribute; without it the text.
    pub attribute: Option<String>,
    /// Regular expression: the value is its first group.
    pub pattern: Option<String>,
}

/// Who is there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Selector: the roster is known only while this is on the page; otherwise nothing is said about it.
    pub within: Option<String>,
    /// Selector: one match for each participant.
    pub list: String,
    /// The participant's id.
    pub id: Field,
    /// The participant's name.
    pub name: Field,
    /// Selector: a match that also matches this is ourselves.
    #[serde(rename = "self")]
    pub own: Option<String>,
}

/// Messages.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Selector: one match for each message.
    pub list: String,
    /// Id of the message.
    pub id: Field,
    /// Id of the author.
    pub from: Field,
    /// Name of the author.
    pub name: Field,
    /// What was said.
    pub text: Field,
}

/// How a track finds its speaker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum TrackOwner {
    /// It does not: one mixed track for everybody.
    #[default]
    Mixed,
    /// The id of one of its streams is the id of a participant in the roster.
    StreamId {
        /// Regular expression: the participant's id is the first group.
        pattern: Option<String>,
    },
    /// A media element on the page plays its stream; the participant's id is found from that element.
    Element {
        /// Selector of the media elements.
        selector: String,
        /// The participant's id, seen from the element.
        id: Field,
    },
    /// The body of a JavaScript function. It returns an object from stream or track ids to participants' ids.
    Script {
        /// The body.
        script: String,
    },
}
