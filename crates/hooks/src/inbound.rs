//! Webhooks that come in from elsewhere: whether they are what they claim to be, and what they say of a bot.
//!
//! No I/O and no clock. A [`Source`] is a sender that was agreed upon: whose bots it speaks of, how it signs and what it
//! signs with. [`Source::verify`] needs a message as it came and the time; [`Source::read`] says in our words what a
//! message means, whoever wrote it. Reading does not verify.

use std::fmt;
use std::time::Duration;

use muster_session::TenantId;

mod canonical;
mod cause;
mod read;
#[cfg(test)]
mod tests;
mod verify;

pub use read::{Meaning, Reading, Unreadable};
pub use verify::{Refusal, Verified};

use crate::mac::Key;
use crate::sign::{LENIENT, SecretError, decode};

/// Secrets of a source at the most; each one costs an HMAC on every message.
pub const MAX_SECRETS: usize = 8;

/// A sender of webhooks.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names it in its address, in the inbox and in metrics.
    pub name: String,
    /// Whose sessions it may speak of.
    pub tenant: TenantId,
    kind: Kind,
    secrets: Vec<Secret>,
    tolerance: Duration,
}

/// How a sender signs and what its bodies look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MeetStream, or a Muster.
    MeetStream,
    /// Zoom's event subscriptions.
    Zoom,
    /// Recall.ai.
    Recall,
    /// Svix with its own header names or those of Standard Webhooks; bodies like MeetStream's.
    Svix,
    /// Standard Webhooks; bodies like MeetStream's.
    Standard,
    /// Attendee.
    Attendee,
    /// Vexa.
    Vexa,
    /// An HMAC-SHA256 that is described; bodies like MeetStream's.
    Generic(Generic),
}

impl Kind {
    /// The name in settings and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MeetStream => "meetstream",
            Self::Zoom => "zoom",
            Self::Recall => "recall",
            Self::Svix => "svix",
            Self::Standard => "standard",
            Self::Attendee => "attendee",
            Self::Vexa => "vexa",
            Self::Generic(_) => "generic",
        }
    }
}

/// A signature scheme that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generic {
    /// The header that has the signature.
    pub header: String,
    /// How it is written there.
    pub encoding: Encoding,
    /// What it begins with there, such as `sha256=`; may be empty.
    pub prefix: String,
    /// What is signed.
    pub content: Content,
    /// Stands between the parts of what is signed, and must be in neither id nor time: a message where it is is refused.
    pub separator: String,
    /// The header that has the time: Unix seconds, Unix milliseconds or ISO 8601. Checked even where it is not signed.
    pub timestamp_header: Option<String>,
    /// The header that has the id, the same each time a message is sent.
    pub id_header: Option<String>,
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Of either case.
    Hex,
    /// With or without padding.
    Base64,
}

/// What a generic signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Content {
    /// The body alone. Nothing tells an old message from a new one.
    #[serde(rename = "body")]
    Body,
    /// Time and body.
    #[serde(rename = "timestamp.body")]
    TimestampBody,
    /// Id, time and body.
    #[serde(rename = "id.timestamp.body")]
    IdTimestampBody,
}

/// A shared secret, ready for use.
#[derive(Clone)]
struct Secret(Key);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Why a source cannot be set up. Never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No secret, or too many.
    #[error("a source needs 1 to {MAX_SECRETS} secrets, not {count}")]
    Secrets {
        /// How many there are.
        count: usize,
    },
    /// A secret that this kind of source cannot have.
    #[error("secret {number}: {problem}")]
    Secret {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        problem: SecretProblem,
    },
    /// A generic scheme that does not hold together.
    #[error("{field}: {problem}")]
    Generic {
        /// The field of [`Generic`].
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Standard Webhooks and kin.
    #[error(transparent)]
    Standard(SecretError),
    /// Attendee.
    #[error("it must be the base64 of 32 bytes")]
    Attendee,
}

impl Source {
    /// A source whose messages fit one of `secrets` and, where it says when it sends, are at most `tolerance` old or early.
    pub fn new(
        name: impl Into<String>,
        tenant: TenantId,
        kind: Kind,
        secrets: &[impl AsRef<str>],
        tolerance: Duration,
    ) -> Result<Self, SourceError> {
        if let Kind::Generic(generic) = &kind {
            generic.check()?;
        }
        if !(1..=MAX_SECRETS).contains(&secrets.len()) {
            return Err(SourceError::Secrets { count: secrets.len() });
        }
        let secrets = secrets
            .iter()
            .zip(1..)
            .map(|(text, number)| {
                let key = key(&kind, text.as_ref()).map_err(|problem| SourceError::Secret { number, problem })?;
                Ok(Secret(Key::new(&key)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), tenant, kind, secrets, tolerance })
    }

    /// How it signs and writes.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }
}

/// The bytes that a source of this kind signs with.
fn key(kind: &Kind, text: &str) -> Result<Vec<u8>, SecretProblem> {
    use base64::Engine as _;

    if text.is_empty() {
        return Err(SecretProblem::Empty);
    }
    match kind {
        // Svix takes 32 to 100 characters of base64.
        Kind::Recall | Kind::Svix | Kind::Standard => decode(text.trim(), 24..=75).map_err(SecretProblem::Standard),
        Kind::Attendee => match LENIENT.decode(text.trim()) {
            Ok(key) if key.len() == 32 => Ok(key),
            _ => Err(SecretProblem::Attendee),
        },
        Kind::MeetStream | Kind::Zoom | Kind::Vexa | Kind::Generic(_) => Ok(text.as_bytes().to_vec()),
    }
}

impl Generic {
    fn check(&self) -> Result<(), SourceError> {
        let named = |field, header: Option<&String>| match header {
            Some(name) if http::HeaderName::try_from(name).is_err() => {
                Err(SourceError::Generic { field, problem: "is not the name of a header" })
            }
            _ => Ok(()),
        };
        named("header", Some(&self.header))?;
        named("timestamp_header", self.timestamp_header.as_ref())?;
        named("id_header", self.id_header.as_ref())?;
        if self.content != Content::Body && self.timestamp_header.is_none() {
            return Err(SourceError::Generic {
                field: "timestamp_header",
                problem: "is needed, as the time is signed",
            });
        }
        if self.content == Content::IdTimestampBody && self.id_header.is_none() {
            return Err(SourceError::Generic { field: "id_header", problem: "is needed, as the id is signed" });
        }
        if self.content != Content::Body && self.separator.is_empty() {
            return Err(SourceError::Generic {
                field: "separator",
                problem: "is needed: without it, the same bytes are signed for several messages",
            });
        }
        Ok(())
    }
}
