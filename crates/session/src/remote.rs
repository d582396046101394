//! Bots that run elsewhere: what is known of them, and what webhooks say.

use serde::{Deserialize, Serialize};

use crate::{Artifact, ArtifactKind, EndReason, Timestamp};

/// A bot that runs elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remote {
    /// Name of the source of webhooks that says how it goes.
    pub source: String,
    /// Its id there, once that is known.
    #[serde(default)]
    pub bot: Option<String>,
    /// We send it there and fetch what it brings. Otherwise the caller did, and only its webhooks are ours.
    #[serde(default)]
    pub ours: bool,
    /// When what was said last happened, by the clock there.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// What was said of artifacts.
    #[serde(default)]
    pub settled: Vec<Artifact>,
    /// It was said that nothing more will come.
    #[serde(default)]
    pub done: bool,
    /// It was looked at in vain since it was last heard of.
    #[serde(default)]
    pub unheard: Option<Unheard>,
}

/// Looks in vain at a bot that we sent elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unheard {
    /// So often the service refused to say how it fares.
    pub refusals: u32,
    /// When it first did.
    pub refused_since: Option<Timestamp>,
}

/// What came of a look at a bot that we sent elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Looked {
    /// The service said how it fares.
    Heard,
    /// The service is away, or in trouble.
    Away,
    /// The service does not know it (any more), or not us; in its words.
    Refused(String),
}

impl Remote {
    /// A bot that we are to send there.
    #[must_use]
    pub fn ours(source: impl Into<String>) -> Self {
        Self { ours: true, ..Self::theirs(source, None) }
    }

    /// A bot that its caller has there; its id there says which webhooks are meant, if they do not say ours.
    #[must_use]
    pub fn theirs(source: impl Into<String>, bot: Option<String>) -> Self {
        let source = source.into();
        Self { source, bot, ours: false, seen_at: None, settled: Vec::new(), done: false, unheard: None }
    }
}

/// What a source says of a bot that runs elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Observation {
    /// On its way in.
    Joining,
    /// Held in a lobby.
    WaitingRoom,
    /// Let in.
    InMeeting,
    /// Capturing.
    Recording,
    /// On its way out.
    Leaving {
        /// Why, if that is said already.
        why: Option<EndReason>,
    },
    /// Out of the call.
    Ended {
        /// Why, in our words.
        reason: EndReason,
        /// Why, in theirs.
        message: String,
    },
    /// Somebody came or went.
    Person {
        /// Came (true) or went.
        joined: bool,
        /// The platform's id.
        id: String,
        /// Display name.
        name: String,
    },
    /// Something that it recorded is there, or will not come.
    Artifact {
        /// What.
        kind: ArtifactKind,
        /// Why it will not come.
        failure: Option<String>,
    },
    /// Nothing more will come.
    Done,
}
