//! What a webhook says, in our words.

use http::HeaderMap;
use muster_session::{BotId, EndReason, Observation, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::verify::unix;
use super::{Kind, Source};
use crate::mac::hex;

mod attendee;
mod meetstream;
mod recall;
mod vexa;
mod zoom;

/// Longest id of an event that is kept as it is, in bytes; of a longer one a hash is.
const MAX_ID: usize = 200;
/// Longest name of an event, in bytes.
const MAX_EVENT: usize = 200;
/// Longest id of a bot, in bytes; a longer one is no id.
const MAX_THEIRS: usize = 200;
/// Longest text for people, in bytes.
const MAX_MESSAGE: usize = 1_000;

/// What a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The same each time the sender sends it, and of this event alone. 1 to 200 visible ASCII characters.
    pub id: String,
    /// The sender's name for the event; empty if it has none. At most 200 bytes.
    pub event: String,
    /// When it happened, if the sender says so.
    pub at: Option<Timestamp>,
    /// Our id of the bot, which the sender was given and gives back.
    pub ours: Option<BotId>,
    /// The sender's id of the bot; of Vexa and Zoom, of the meeting. At most 200 bytes.
    pub theirs: Option<String>,
    /// What it means to a session.
    pub meaning: Meaning,
}

/// What a webhook means to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something was seen.
    Observed(Observation),
    /// What somebody says in the call.
    Words,
    /// Nothing that a session needs to know.
    Nothing,
}

/// Why a body says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON.
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1; 0 at the end of a line.
        column: usize,
    },
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

impl Source {
    /// Reads a message that was verified. What a sender adds to its vocabulary means nothing until it is added here.
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Reading, Unreadable> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Unreadable::NotJson { line: error.line(), column: error.column() })?;
        if !value.is_object() {
            return Err(Unreadable::NotAnObject);
        }
        let fields = Fields(&value);
        let said = match &self.kind {
            Kind::MeetStream | Kind::Svix | Kind::Standard | Kind::Generic(_) => meetstream::read(fields),
            Kind::Zoom => zoom::read(fields),
            Kind::Recall => recall::read(fields),
            Kind::Attendee => attendee::read(fields),
            Kind::Vexa => vexa::read(fields),
        };
        let id = self.id_header(headers).or(said.id).unwrap_or_else(|| hash(&[body]));
        Ok(Reading {
            id: bounded_id(id),
            event: cut(said.event, MAX_EVENT),
            at: said.at,
            ours: said.ours,
            theirs: said.theirs.filter(|id| !id.is_empty() && id.len() <= MAX_THEIRS),
            meaning: match said.meaning {
                Meaning::Observed(Observation::Ended { reason, message }) => {
                    Meaning::Observed(Observation::Ended { reason, message: cut(message, MAX_MESSAGE) })
                }
                Meaning::Observed(Observation::Artifact { kind, failure: Some(failure) }) => {
                    Meaning::Observed(Observation::Artifact { kind, failure: Some(cut(failure, MAX_MESSAGE)) })
                }
                meaning => meaning,
            },
        })
    }

    /// The id in a header. Only where it is signed, or the operator says that it is the id: what is not signed can be
    /// another one each time the same message is sent.
    fn id_header(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let id = match &self.kind {
            Kind::Recall | Kind::Svix => text("svix-id").or_else(|| text("webhook-id")),
            Kind::Standard => text("webhook-id"),
            Kind::Generic(generic) => text(generic.id_header.as_deref()?),
            Kind::MeetStream | Kind::Zoom | Kind::Attendee | Kind::Vexa => None,
        };
        id.filter(|id| !id.is_empty()).map(str::to_owned)
    }
}

/// What a vendor's body says, before anything is bounded.
#[derive(Debug)]
struct Said {
    id: Option<String>,
    event: String,
    at: Option<Timestamp>,
    ours: Option<BotId>,
    theirs: Option<String>,
    meaning: Meaning,
}

/// The fields of a body, by JSON pointer.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn get(self, at: &str) -> Option<&'a Value> {
        self.0.pointer(at).filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    fn text(self, at: &str) -> Option<&'a str> {
        self.get(at)?.as_str().filter(|text| !text.is_empty())
    }

    /// The first of several that is there.
    fn first(self, at: &[&str]) -> Option<&'a str> {
        at.iter().find_map(|at| self.text(at))
    }

    /// An id, written as a text or as a number.
    fn id(self, at: &str) -> Option<String> {
        match self.get(at)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn bot(self, at: &str) -> Option<BotId> {
        self.text(at)?.trim().parse().ok()
    }

    /// A time, as text or as a Unix time.
    fn time(self, at: &str) -> Option<Timestamp> {
        match self.get(at)? {
            Value::String(text) => Timestamp::parse(text).or_else(|| unix(text)),
            Value::Number(number) => unix(&number.to_string()),
            _ => None,
        }
    }
}

impl Meaning {
    fn ended(reason: EndReason, message: impl Into<String>) -> Self {
        Self::Observed(Observation::Ended { reason, message: message.into() })
    }
}

/// A hash of parts, none of which can be taken for the end of another.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("sha256:{}", hex(&hash.finalize()))
}

fn bounded_id(id: String) -> String {
    if id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic()) { id } else { hash(&[id.as_bytes()]) }
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}
