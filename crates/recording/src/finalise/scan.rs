use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::Error;

/// A segment that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// The directory of the track; empty for the mix and the notes.
    pub(super) directory: String,
    pub(super) attempt: u32,
    pub(super) seq: u64,
    pub(super) path: Path,
}

/// All segments of a bot, each kind in order.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) mixed: Vec<Found>,
    pub(super) tracks: Vec<Found>,
    pub(super) notes: Vec<Found>,
}

impl Scan {
    pub(super) async fn of(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<Self, Error> {
        let mut scan = Self::default();
        let mut objects = store.list(Some(prefix));
        while let Some(object) = objects.try_next().await? {
            scan.add(prefix, object.location);
        }
        scan.mixed.sort();
        scan.tracks.sort();
        scan.notes.sort();
        Ok(scan)
    }

    /// The attempts of which anything is there.
    pub(super) fn attempts(&self) -> BTreeSet<u32> {
        [&self.mixed, &self.tracks, &self.notes].into_iter().flatten().map(|found| found.attempt).collect()
    }

    /// Anything that is not named like a segment is not one.
    fn add(&mut self, prefix: &Path, path: Path) {
        let Some(parts) = path.prefix_match(prefix) else { return };
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (list, attempt, directory, file, extension) = match parts[..] {
            [attempt, "mixed", file] => (&mut self.mixed, attempt, "", file, ".ogg"),
            [attempt, "tracks", directory, file] => (&mut self.tracks, attempt, directory, file, ".ogg"),
            [attempt, "events", file] => (&mut self.notes, attempt, "", file, ".jsonl"),
            _ => return,
        };
        let attempt = attempt.strip_prefix('a').and_then(|number| number.parse().ok());
        let seq = file.strip_suffix(extension).and_then(|number| number.parse().ok());
        if let (Some(attempt), Some(seq)) = (attempt, seq) {
            list.push(Found { directory: directory.to_owned(), attempt, seq, path });
        }
    }
}
