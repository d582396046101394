//! What travels through the queues. A job names its session; the truth is in the store.

use serde::{Deserialize, Serialize};

use crate::{BotId, TranscriptId};

/// Queue topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Bots to run; a worker receives only what it has room for.
    Jobs,
    /// Recordings to finalise and transcribe.
    Media,
    /// Bots that have webhooks to deliver.
    Deliveries,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Media, Self::Deliveries];

    /// The name in storage, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Media => "media",
            Self::Deliveries => "deliveries",
        }
    }
}

/// One message. Old kinds stay readable: add variants, never change them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// Run the bot of this session; `attempt` is the attempt it asks for, so a stale message is recognised.
    Run {
        /// The session.
        bot: BotId,
        /// The attempt to start: 1 at first.
        attempt: u32,
    },
    /// Finalise the recording and settle the artifacts of a session that left its call.
    Process {
        /// The session.
        bot: BotId,
    },
    /// Make one more transcript of a finished recording.
    Transcribe {
        /// The session.
        bot: BotId,
        /// The transcript record to fill.
        transcript: TranscriptId,
    },
    /// Deliver the pending webhooks of this bot, in order.
    Deliver {
        /// The session.
        bot: BotId,
    },
}

impl Job {
    /// Where it is queued.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Run { .. } => Topic::Jobs,
            Self::Process { .. } | Self::Transcribe { .. } => Topic::Media,
            Self::Deliver { .. } => Topic::Deliveries,
        }
    }

    /// The session it is about.
    #[must_use]
    pub const fn bot(&self) -> BotId {
        match self {
            Self::Run { bot, .. } | Self::Process { bot } | Self::Transcribe { bot, .. } | Self::Deliver { bot } => {
                *bot
            }
        }
    }
}
