use muster_session::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// What a finalised recording consists of. Times are milliseconds from its start unless a name says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Length of the recording.
    pub duration_ms: u64,
    /// When it begins.
    pub started_at: Option<Timestamp>,
    /// The recording.
    pub audio: Option<AudioFile>,
    /// Segments of the mix that were joined.
    pub segments: u64,
    /// Segments of any kind that were left out because they could not be read.
    #[serde(default)]
    pub segments_skipped: u64,
    /// Files of the bot's notes that are missing or cannot be read; an attempt that did not end by itself counts as one,
    /// as nobody knows what it had left to note. What was said may be missing from the notes.
    #[serde(default)]
    pub notes_skipped: u64,
    /// Where nothing was recorded and silence was put in: between attempts, or for segments that are missing.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Who was heard, in order of their first word.
    #[serde(default)]
    pub participants: Vec<Participant>,
    /// What was said without audio of the speaker's own, cut from the mix: because too many spoke at a time, the machine
    /// was overloaded, or a segment is missing. Whoever else spoke is heard in it too; who spoke at once without audio of
    /// their own is in it once, under the name of the one who began.
    #[serde(default)]
    pub mix_only: Vec<Participant>,
    /// Speech of which there is no audio at all: neither the speaker's own nor the mix. What a bot that was killed had not
    /// stored yet is not counted, but a gap.
    #[serde(default)]
    pub lost_ms: u64,
    /// Who spoke when, in order of time; spans of different speakers can overlap.
    #[serde(default)]
    pub speakers: Vec<Span>,
}

/// The recording as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFile {
    /// Where it is in the store.
    #[serde(with = "path")]
    pub path: Path,
    /// Its size.
    pub bytes: u64,
}

/// A hole in the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Where it begins.
    pub at_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
}

/// Somebody who was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The platform's id.
    pub id: String,
    /// The display name, as last seen.
    pub name: String,
    /// Their own audio; none if tracks were not recorded separately.
    #[serde(default)]
    pub streams: Vec<Stream>,
}

/// A sequence of files of one participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Unique within the recording.
    #[serde(rename = "stream_id")]
    pub id: String,
    /// In order of time; between them the participant was silent.
    pub segments: Vec<Segment>,
}

/// A file with one run of speech.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Position in the stream.
    pub index: u64,
    /// Where it is in the store.
    #[serde(with = "path")]
    pub path: Path,
    /// Where it belongs in the recording.
    pub start_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
    /// 48000.
    pub sample_rate: u32,
    /// 1.
    pub channels: u16,
    /// `opus`.
    pub codec: String,
}

/// Somebody speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The platform's id of the speaker.
    pub speaker_id: String,
    /// Their display name.
    pub speaker_name: String,
    /// From here.
    pub start_ms: u64,
    /// To here.
    pub end_ms: u64,
}

/// Paths as JSON strings.
mod path {
    use object_store::path::Path;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(path.as_ref())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Path, D::Error> {
        Path::parse(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
