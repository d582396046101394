use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use muster_audio::{FRAME, FRAME_MS, RATE, ogg};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::notes::Owner;
use super::scan::Found;
use super::{Timeline, fetch, piece};
use crate::Error;
use crate::layout::{TrackId, file};
use crate::manifest::{Participant, Segment, Stream};
use crate::piece::Piece;

/// A run of speech is cut after so many frames (10 minutes), so that whoever transcribes it can hold it.
pub(super) const LONGEST: u64 = 10 * 60 * 50;

/// What participants said.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    pub(super) participants: Vec<Participant>,
    pub(super) skipped: u64,
}

/// Joins the pieces of each run of speech into a file of its own.
pub(super) async fn join(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    found: &[Found],
    timeline: &Timeline,
) -> Result<Tracks, Error> {
    let mut tracks = Tracks::default();
    let mut open: Option<Run<'_>> = None;
    let mut objects = pin!(fetch(store, found));
    while let Some((found, object)) = objects.try_next().await? {
        let piece = piece(&found.path, &object);
        let placed = piece.and_then(|piece| Some((timeline.place(found.attempt, piece.first)?, piece)));
        let Some((place, piece)) = placed else {
            tracks.skipped += 1;
            continue;
        };
        match &mut open {
            Some(run) if run.continues(found, &piece) => run.add(&piece),
            _ => {
                if let Some(run) = open.replace(Run::start(found, place, &piece)) {
                    run.store(store, prefix, &mut tracks.participants).await?;
                }
            }
        }
    }
    if let Some(run) = open {
        run.store(store, prefix, &mut tracks.participants).await?;
    }
    Ok(tracks)
}

/// Gives the streams of placeholders to their owners, and brings everybody into the order of their first word.
pub(super) fn settle(mut participants: Vec<Participant>, owners: &[Owner]) -> Vec<Participant> {
    for owner in owners {
        let Some(at) = participants.iter().position(|p| p.id == owner.placeholder) else { continue };
        let placeholder = participants.remove(at);
        match participants.iter_mut().find(|p| p.id == owner.id) {
            Some(known) => known.streams.extend(placeholder.streams),
            None => {
                let (id, name) = (owner.id.clone(), owner.name.clone());
                participants.push(Participant { id, name, streams: placeholder.streams });
            }
        }
    }
    let first = |p: &Participant| p.streams.iter().flat_map(|s| &s.segments).map(|s| s.start_ms).min();
    participants.sort_by(|a, b| first(a).cmp(&first(b)).then_with(|| a.id.cmp(&b.id)));
    participants
}

/// Pieces that follow each other without a break.
struct Run<'a> {
    directory: &'a str,
    attempt: u32,
    track: TrackId,
    place: u64,
    last: Piece,
    frames: u64,
    packets: Vec<Vec<u8>>,
}

impl<'a> Run<'a> {
    fn start(found: &'a Found, place: u64, piece: &Piece) -> Self {
        let track = piece.track.clone().unwrap_or_else(|| TrackId::new(&found.directory, ""));
        let (frames, packets) = (piece.frames, piece.split().0.to_vec());
        let (directory, attempt) = (found.directory.as_str(), found.attempt);
        Self { directory, attempt, track, place, last: piece.clone(), frames, packets }
    }

    fn continues(&self, found: &Found, next: &Piece) -> bool {
        self.directory == found.directory
            && self.attempt == found.attempt
            && self.last.run == next.run
            && self.last.end() == next.first
            && self.frames + next.frames <= LONGEST
    }

    fn add(&mut self, piece: &Piece) {
        self.packets.extend_from_slice(piece.split().0);
        self.frames += piece.frames;
        self.last = piece.clone();
    }

    /// Writes the file and lists it with its participant.
    async fn store(
        self,
        store: &Arc<dyn ObjectStore>,
        prefix: &Path,
        participants: &mut Vec<Participant>,
    ) -> Result<(), Error> {
        let (id, name) = (self.track.id(), self.track.name());
        let at = participants.iter().position(|known| known.id == id).unwrap_or_else(|| {
            let streams = vec![Stream { id: self.directory.to_owned(), segments: Vec::new() }];
            participants.push(Participant { id: id.to_owned(), name: String::new(), streams });
            participants.len() - 1
        });
        let participant = &mut participants[at];
        if !name.is_empty() {
            participant.name = name.to_owned();
        }
        let Some(stream) = participant.streams.first_mut() else { return Ok(()) };
        let index = stream.segments.len() as u64;
        let path = prefix.clone().join("tracks").join(self.directory).join(file(index));
        let mut out = ogg::Writer::new(1, self.last.pre_skip, &[("ARTIST", name), ("MUSTER_TRACK", id)]);
        self.packets.iter().for_each(|packet| out.push(packet));
        out.push(self.last.split().1);
        let bytes = out.finish(Some(self.frames * FRAME as u64));
        store.put(&path, PutPayload::from(bytes)).await?;
        stream.segments.push(segment(index, path, self.place, self.frames));
        Ok(())
    }
}

/// A file of so many frames as the manifest lists it.
pub(super) fn segment(index: u64, path: Path, place: u64, frames: u64) -> Segment {
    Segment {
        index,
        path,
        start_ms: place * FRAME_MS,
        duration_ms: frames * FRAME_MS,
        sample_rate: RATE,
        channels: 1,
        codec: "opus".to_owned(),
    }
}
