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
    /// Webhooks that came in, as they came. Not jobs.
    Inbound,
    /// Bots that run elsewhere, to be sent, looked after and fetched from.
    Remote,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] = [Self::Jobs, Self::Media, Self::Deliveries, Self::Inbound, Self::Remote];

    /// The name in storage, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Media => "media",
            Self::Deliveries => "deliveries",
            Self::Inbound => "inbound",
            Self::Remote => "remote",
        }
    }
}

/// One message. Old kinds stay readable: add variants, never change them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// Run the bot of this session; `attempt` is the attempt it asks for, so a stale message is recognised. One that is
    /// handed back asks for the same again.
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
    /// Do what is next for a bot that runs elsewhere, or may have to.
    Tend {
        /// The session.
        bot: BotId,
    },
    /// Have deleted what a service keeps of a bot that ran there. The session may be gone by then.
    Forget {
        /// The session.
        bot: BotId,
        /// Name of the source.
        source: String,
        /// The bot's id there.
        remote: String,
        /// Times it was tried in vain.
        #[serde(default)]
        tries: u32,
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
            Self::Tend { .. } | Self::Forget { .. } => Topic::Remote,
        }
    }

    /// The session it is about.
    #[must_use]
    pub const fn bot(&self) -> BotId {
        match self {
            Self::Run { bot, .. }
            | Self::Process { bot }
            | Self::Transcribe { bot, .. }
            | Self::Deliver { bot }
            | Self::Tend { bot }
            | Self::Forget { bot, .. } => *bot,
        }
    }
}
