//! What a page and its room say to each other, as JSON over a WebSocket.

use serde::{Deserialize, Serialize};

/// From the page.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum ClientMessage {
    /// The first message of every connection.
    Hello {
        name: String,
        /// The token of an earlier welcome: comes back as the same participant.
        #[serde(default)]
        resume: Option<String>,
        /// False: neither sends sound nor hears any, and is offered no connection for it.
        #[serde(default = "yes")]
        media: bool,
    },
    Answer {
        session: u32,
        sdp: String,
    },
    Candidate {
        session: u32,
        candidate: String,
    },
    Chat {
        text: String,
    },
    Mic {
        on: bool,
    },
    /// The page's connection failed: it wants a new one.
    Restart {
        session: u32,
    },
    Leave,
}

const fn yes() -> bool {
    true
}

/// From the room.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum ServerMessage {
    Welcome {
        self_id: String,
        token: String,
        reconnect_ms: u64,
    },
    Lobby,
    Admitted,
    Denied {
        reason: &'static str,
    },
    Removed,
    Ended,
    /// A new number of `session` means a new connection; `mic` is the m-line that takes the page's microphone.
    Offer {
        session: u32,
        sdp: String,
        mic: String,
    },
    Roster {
        participants: Vec<RosterEntry>,
    },
    Chat(ChatMessage),
    /// The connection ends after this.
    Error {
        code: &'static str,
        message: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RosterEntry {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mic: bool,
}

/// `at` is in milliseconds since 1970.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatMessage {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) from_name: String,
    pub(crate) text: String,
    pub(crate) at: u64,
}
