//! The worker's side: segments in, one recording out.

mod mix_only;
mod mixed;
mod notes;
mod scan;
mod tracks;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use muster_audio::FRAME_MS;
use muster_session::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

pub(crate) use notes::{END, Note, OWNER, Owner, SPEECH};

use crate::manifest::{AudioFile, Manifest};
use crate::piece::Piece;
use crate::read::{EVENTS, MANIFEST};
use crate::{Error, Participant};
use scan::{Found, Scan};

/// Segments that are fetched ahead.
const AHEAD: usize = 8;
const AUDIO: &str = "audio.ogg";

/// A recording that is complete and readable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finalised {
    /// What was written to `manifest.json`.
    pub manifest: Manifest,
}

/// Joins everything below the prefix into `audio.ogg`, files per run of speech and `manifest.json`. What somebody said of
/// whom there is no audio of their own at the time is cut from the mix.
///
/// May be called again at any time, also while another call runs or after one that died: the same segments give the
/// same bytes, and the manifest comes last. Segments that cannot be read are left out and counted. Nothing is deleted.
pub async fn finalise(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<Finalised, Error> {
    let scan = Scan::of(store, prefix).await?;
    if scan.mixed.is_empty() {
        return Err(Error::Empty);
    }
    let mixed = mixed::join(store, &prefix.clone().join(AUDIO), &scan.mixed).await?;
    let tracks = tracks::join(store, prefix, &scan.tracks, &mixed.timeline).await?;
    let notes = notes::read(store, &scan, &mixed.timeline).await?;
    if !notes.events.is_empty() {
        store.put(&prefix.clone().join(EVENTS), PutPayload::from(notes.events)).await?;
    }
    let mut participants = tracks::settle(tracks.participants, &notes.owners);
    let mix_only = mix_only::cut(store, prefix, &mixed.placed, &notes.speech, &participants).await?;
    for span in &notes.spans {
        if !participants.iter().any(|known| known.id == span.speaker_id) {
            let (id, name) = (span.speaker_id.clone(), span.speaker_name.clone());
            participants.push(Participant { id, name, streams: Vec::new() });
        }
    }
    let manifest = Manifest {
        duration_ms: mixed.frames * FRAME_MS,
        started_at: Some(mixed.timeline.start),
        audio: Some(AudioFile { path: prefix.clone().join(AUDIO), bytes: mixed.bytes }),
        segments: mixed.segments,
        segments_skipped: mixed.skipped + tracks.skipped + notes.skipped,
        notes_skipped: notes.missing.saturating_add(notes.skipped),
        gaps: mixed.gaps,
        participants,
        speakers: notes.spans,
        mix_only: mix_only.participants,
        lost_ms: mix_only.lost_ms,
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(Error::Manifest)?;
    store.put(&prefix.clone().join(MANIFEST), PutPayload::from(json)).await?;
    Ok(Finalised { manifest })
}

/// Where attempts are in the recording.
#[derive(Debug)]
struct Timeline {
    /// When the recording begins.
    start: Timestamp,
    /// First frame in the recording of each attempt of which there is a mix.
    attempts: BTreeMap<u32, u64>,
    /// The frame after the last one of each.
    ends: BTreeMap<u32, u64>,
}

impl Timeline {
    /// The place in the recording of a frame of an attempt.
    fn place(&self, attempt: u32, frame: u64) -> Option<u64> {
        self.attempts.get(&attempt).map(|base| base + frame)
    }
}

/// Fetches segments in order, some ahead.
fn fetch<'a>(
    store: &'a Arc<dyn ObjectStore>,
    found: &'a [Found],
) -> impl Stream<Item = Result<(&'a Found, Bytes), Error>> + Send + 'a {
    futures_util::stream::iter(found)
        .map(move |found| async move {
            let bytes = store.get(&found.path).await?.bytes().await?;
            Ok((found, bytes))
        })
        .buffered(AHEAD)
}

/// Reads a segment; says why if it cannot be read.
fn piece(path: &Path, bytes: &[u8]) -> Option<Piece> {
    Piece::from_ogg(bytes)
        .inspect_err(|error| tracing::warn!(%path, %error, "a segment cannot be read and is left out"))
        .ok()
}
