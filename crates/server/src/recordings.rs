//! Where the recordings of a bot are in the object store.

use muster_session::{BotId, TenantId, TranscriptId};
use object_store::path::Path;

/// Everything of one bot is below this.
#[must_use]
pub fn prefix(tenant: &TenantId, bot: BotId) -> Path {
    Path::from_iter(["recordings", tenant.as_str(), &bot.to_string()])
}

/// The two forms of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptPaths {
    /// Speaker segments.
    pub processed: Path,
    /// `raw=true`.
    pub raw: Path,
}

/// Where a transcript is.
#[must_use]
pub fn transcript_paths(tenant: &TenantId, bot: BotId, transcript: TranscriptId) -> TranscriptPaths {
    let dir = prefix(tenant, bot).join("transcripts");
    TranscriptPaths {
        processed: dir.clone().join(format!("{transcript}.json")),
        raw: dir.join(format!("{transcript}.raw.json")),
    }
}
