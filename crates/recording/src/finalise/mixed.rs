use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use muster_audio::{FRAME, FRAME_MS, codec, ogg};
use muster_session::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};

use super::scan::Found;
use super::{Timeline, fetch, piece};
use crate::Error;
use crate::manifest::Gap;
use crate::piece::Piece;

/// A segment that would leave a longer hole than this (a day) is not believed.
const LONGEST_GAP: u64 = 24 * 60 * 60 * 50;
/// Parts of an upload that may be under way at a time.
const PARTS: usize = 4;

/// The joined mix.
#[derive(Debug)]
pub(super) struct Mixed {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) segments: u64,
    pub(super) skipped: u64,
    pub(super) gaps: Vec<Gap>,
    pub(super) timeline: Timeline,
    /// Where the segments are, in order of time.
    pub(super) placed: Vec<Placed>,
}

/// A segment at its place in the recording.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) path: Path,
    pub(super) place: u64,
    pub(super) frames: u64,
}

/// Joins the mix of all attempts into one file, which appears only when it is complete.
pub(super) async fn join(store: &Arc<dyn ObjectStore>, path: &Path, found: &[Found]) -> Result<Mixed, Error> {
    let mut upload = WriteMultipart::new(store.put_multipart(path).await?);
    let joined = join_to(store, found, &mut upload).await;
    match joined {
        Ok(mixed) => {
            upload.finish().await?;
            Ok(mixed)
        }
        Err(error) => {
            // Parts that stay behind cost storage and nothing else; the first error is the one to tell.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

async fn join_to(store: &Arc<dyn ObjectStore>, found: &[Found], upload: &mut WriteMultipart) -> Result<Mixed, Error> {
    let mut join: Option<Join> = None;
    let mut skipped = 0;
    let mut bytes = 0;
    let mut objects = pin!(fetch(store, found));
    while let Some((found, object)) = objects.try_next().await? {
        let Some(piece) = piece(&found.path, &object) else {
            skipped += 1;
            continue;
        };
        let join = join.get_or_insert_with(|| Join::start(&piece));
        if !join.add(found, &piece) {
            tracing::warn!(path = %found.path, "a segment does not fit into the recording and is left out");
            skipped += 1;
            continue;
        }
        let pages = join.out.take();
        bytes += pages.len() as u64;
        upload.wait_for_capacity(PARTS).await?;
        upload.write(&pages);
    }
    let Some(join) = join else { return Err(Error::Corrupt { segments: skipped }) };
    let (pages, mut mixed) = join.finish();
    upload.write(&pages);
    mixed.bytes = bytes + pages.len() as u64;
    mixed.skipped = skipped;
    Ok(mixed)
}

/// The recording as far as it is joined.
struct Join {
    out: ogg::Joiner,
    start: Timestamp,
    attempts: BTreeMap<u32, u64>,
    /// Frames so far.
    frames: u64,
    /// The packet that plays the end of the last frame, if silence follows.
    rest: Vec<u8>,
    placed: Vec<Placed>,
    ends: BTreeMap<u32, u64>,
    gaps: Vec<Gap>,
}

impl Join {
    fn start(first: &Piece) -> Self {
        let date = first.start.to_rfc3339();
        Self {
            out: ogg::Joiner::new(1, first.pre_skip, &[("DATE", &date)]),
            start: first.start,
            attempts: BTreeMap::new(),
            frames: 0,
            rest: codec::SILENCE.to_vec(),
            placed: Vec::new(),
            ends: BTreeMap::new(),
            gaps: Vec::new(),
        }
    }

    /// Adds the next segment, after silence if it does not follow directly. Answers false if it cannot be placed.
    fn add(&mut self, found: &Found, piece: &Piece) -> bool {
        let attempt = found.attempt;
        // By wall time; an attempt whose clock says that it began before the last one ended follows it directly.
        let elapsed = u64::try_from(piece.start.as_millis() - self.start.as_millis()).unwrap_or(0);
        let by_clock = (elapsed + FRAME_MS / 2) / FRAME_MS;
        let known = self.attempts.get(&attempt).copied();
        let base = known.unwrap_or_else(|| by_clock.max(self.frames));
        let place = base + piece.first;
        let Some(gap) = place.checked_sub(self.frames).filter(|gap| *gap <= LONGEST_GAP) else { return false };
        self.attempts.insert(attempt, base);
        if gap > 0 {
            self.gaps.push(Gap { at_ms: self.frames * FRAME_MS, duration_ms: gap * FRAME_MS });
            self.out.push(&self.rest);
            (1..gap).for_each(|_| self.out.push(&codec::SILENCE));
        }
        let (packets, rest) = piece.split();
        packets.iter().for_each(|packet| self.out.push(packet));
        self.rest = rest.to_vec();
        self.frames = place + piece.frames;
        self.ends.insert(attempt, self.frames);
        self.placed.push(Placed { path: found.path.clone(), place, frames: piece.frames });
        true
    }

    fn finish(mut self) -> (Vec<u8>, Mixed) {
        self.out.push(&self.rest);
        let pages = self.out.finish(Some(self.frames * FRAME as u64));
        let mixed = Mixed {
            frames: self.frames,
            bytes: 0,
            segments: self.placed.len() as u64,
            skipped: 0,
            gaps: self.gaps,
            timeline: Timeline { start: self.start, attempts: self.attempts, ends: self.ends },
            placed: self.placed,
        };
        (pages, mixed)
    }
}
