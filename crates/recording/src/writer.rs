//! The bot's side: frames in, segment files out.

mod limits;
mod notes;
mod run;
mod track;
mod upload;

use std::sync::Arc;

use muster_audio::codec::Tuning;
use muster_audio::{FRAME, FRAME_MS};
use object_store::ObjectStore;

pub use limits::Limits;
use notes::Notes;
use run::Run;
use track::Track;
use upload::{Counts, Uploader};

use crate::layout::{Layout, TrackId};
use crate::piece::Piece;

/// What a writer has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Milliseconds taken in.
    pub recorded_ms: u64,
    /// Segments in the storage, of any kind.
    pub segments_written: u64,
    /// Segments given up: the storage was out for longer than segments could wait.
    pub segments_dropped: u64,
    /// Segments that wait for the storage.
    pub segments_waiting: u64,
    /// Bytes in the storage.
    pub bytes_written: u64,
    /// Uploads that failed and were tried again.
    pub upload_failures: u64,
    /// Participants who said something that is only in the mix because too many spoke at a time.
    pub tracks_refused: u64,
    /// Why the last upload failed, if the last one did.
    pub last_error: Option<String>,
}

/// Records one attempt. Frames are encoded as they come; a task of the writer's own stores the segments.
///
/// Dropping a writer loses the current segment and what waits for the storage; [`close`](Self::close) keeps both.
#[derive(Debug)]
pub struct Writer {
    layout: Layout,
    limits: Limits,
    frame: u64,
    mixed: Run,
    mixed_seq: u64,
    tracks: Vec<Track>,
    notes: Notes,
    uploader: Uploader,
}

impl Writer {
    /// Starts a recording with the default [`Limits`]. Must be called within a tokio runtime.
    #[must_use]
    pub fn open(store: Arc<dyn ObjectStore>, layout: Layout) -> Self {
        Self::open_with(store, layout, Limits::default())
    }

    /// As [`open`](Self::open), with limits.
    #[must_use]
    pub fn open_with(store: Arc<dyn ObjectStore>, layout: Layout, limits: Limits) -> Self {
        Self {
            frame: 0,
            mixed: Run::start(Tuning::Mix, 0),
            mixed_seq: 0,
            tracks: Vec::new(),
            notes: Notes::default(),
            uploader: Uploader::start(store, &limits),
            layout,
            limits,
        }
    }

    /// Takes the next 20 ms: everybody, and each participant who is there (960 samples each; others are ignored).
    /// Encodes on the caller's thread (well under a millisecond per voice) and never waits.
    pub fn frame(&mut self, mixed: &[i16; FRAME], tracks: &[(TrackId, &[i16])]) {
        let now = self.frame;
        self.frame += 1;
        self.mixed.push(mixed);
        for (id, pcm) in tracks {
            if let Some(pcm) = pcm.first_chunk::<FRAME>() {
                self.track(now, id, pcm);
            }
        }
        for track in &mut self.tracks {
            track.absent(now, &self.layout, &self.uploader, &mut self.notes);
        }
        if self.mixed.frames() >= self.segment_frames() {
            let piece = self.mixed.cut(self.frame, &self.layout, None);
            self.store_mixed(piece);
            self.store_notes();
        }
    }

    fn track(&mut self, now: u64, id: &TrackId, pcm: &[i16; FRAME]) {
        let index = self.tracks.iter().position(|track| track.id.id() == id.id()).unwrap_or_else(|| {
            self.tracks.push(Track::new(id.clone()));
            self.tracks.len() - 1
        });
        let length = self.segment_frames();
        let taken = self.tracks.iter().filter(|track| track.takes_place()).count();
        let separate = self.layout.separate_tracks;
        let track = &mut self.tracks[index];
        let place = separate && (track.takes_place() || taken < self.limits.tracks);
        let refused = track.push(now, id, pcm, place, length, &self.layout, &self.uploader, &mut self.notes);
        track.refused |= refused && separate;
    }

    /// From the next frame on participants' own audio is stored or not, whatever the layout says. When they spoke is noted
    /// all the same, which costs next to nothing.
    pub const fn separate_tracks(&mut self, on: bool) {
        self.layout.separate_tracks = on;
    }

    /// Notes something that happened now, to be found in `events.jsonl`. It is stored with the current segment.
    pub fn event(&mut self, kind: &str, data: serde_json::Value) {
        self.notes.event(&self.layout, self.frame, kind, data);
    }

    /// What was recorded under the label `placeholder` turned out to be the voice of `owner`: finalise joins them. Noted
    /// as an event of the kind `owner`.
    pub fn owner(&mut self, placeholder: &TrackId, owner: &TrackId) {
        self.notes.owner(&self.layout, self.frame, placeholder, owner);
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        stats(self.frame, self.refused(), self.uploader.counts())
    }

    /// Waits until no segment waits for the storage. Cancel safe.
    pub async fn idle(&self) {
        self.uploader.idle().await;
    }

    /// Stores the last, shorter segment and waits until everything is stored, or for [`Limits::close_timeout`]; what
    /// is not stored then is counted as dropped.
    pub async fn close(mut self) -> WriterStats {
        for track in &mut self.tracks {
            track.end(self.frame, &self.layout, &self.uploader, &mut self.notes);
        }
        let last = std::mem::replace(&mut self.mixed, Run::start(Tuning::Mix, self.frame));
        let piece = last.end(self.frame, &self.layout, None);
        self.store_mixed(piece);
        self.notes.end(&self.layout, self.frame);
        self.store_notes();
        let (frame, refused) = (self.frame, self.refused());
        stats(frame, refused, self.uploader.close(self.limits.close_timeout).await)
    }

    fn refused(&self) -> u64 {
        self.tracks.iter().filter(|track| track.refused).count() as u64
    }

    fn segment_frames(&self) -> u64 {
        u64::from(self.layout.segment_seconds.max(1)) * 1_000 / FRAME_MS
    }

    fn store_mixed(&mut self, piece: Option<Piece>) {
        if let Some(piece) = piece {
            self.uploader.store(self.layout.mixed(self.mixed_seq), piece.to_ogg());
            self.mixed_seq += 1;
        }
    }

    fn store_notes(&mut self) {
        for track in &mut self.tracks {
            track.note_speech(&self.layout, &mut self.notes);
        }
        self.notes.store(&self.layout, &self.uploader);
    }
}

fn stats(frames: u64, tracks_refused: u64, counts: Counts) -> WriterStats {
    WriterStats {
        recorded_ms: frames * FRAME_MS,
        segments_written: counts.written,
        segments_dropped: counts.dropped,
        segments_waiting: counts.waiting,
        bytes_written: counts.bytes_written,
        upload_failures: counts.failures,
        tracks_refused,
        last_error: counts.last_error,
    }
}
