//! Where the recordings of a bot are in the object store.

use muster_session::{BotId, TenantId, TranscriptId};
use object_store::path::Path;
use url::Url;

/// Everything of one bot is below this.
#[must_use]
pub fn prefix(tenant: &TenantId, bot: BotId) -> Path {
    Path::from_iter(["recordings", tenant.as_str(), &bot.to_string()])
}

/// The joined recording of a bot of ours.
#[must_use]
pub fn audio(tenant: &TenantId, bot: BotId) -> Path {
    prefix(tenant, bot).join("audio.ogg")
}

/// Where the recording of a bot that ran elsewhere is kept: named after what it is, by its address or else its type.
#[must_use]
pub fn fetched_audio(tenant: &TenantId, bot: BotId, url: &Url, content_type: Option<&str>) -> Path {
    let known = ["ogg", "opus", "mp3", "wav", "m4a", "mp4", "webm", "flac", "aac"];
    let named = url.path().rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let of_type = || match content_type?.split(';').next()?.trim() {
        "audio/mpeg" => Some("mp3"),
        "audio/wav" | "audio/x-wav" => Some("wav"),
        "audio/mp4" | "video/mp4" => Some("mp4"),
        "audio/webm" | "video/webm" => Some("webm"),
        "audio/flac" => Some("flac"),
        _ => None,
    };
    let end = known.into_iter().find(|known| named.as_deref() == Some(known)).or_else(of_type).unwrap_or("ogg");
    prefix(tenant, bot).join(FETCHED).join(format!("audio.{end}"))
}

/// What was fetched for a bot that ran elsewhere is below this.
const FETCHED: &str = "fetched";

/// The directory of [`fetched_audio`].
#[must_use]
pub fn fetched(tenant: &TenantId, bot: BotId) -> Path {
    prefix(tenant, bot).join(FETCHED)
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
