use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use muster_audio::FRAME_MS;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scan::Scan;
use super::{Timeline, fetch};
use crate::Error;
use crate::manifest::Span;

/// The kind of the writer's own notes about who spoke.
pub(crate) const SPEECH: &str = "speech";
/// The kind of the notes that say whose voice a placeholder was.
pub(crate) const OWNER: &str = "owner";
/// The kind of the writer's last note.
pub(crate) const END: &str = "end";
/// Spans of one speaker that are no further apart than this become one.
const BREATH_MS: u64 = 700;

/// A line of notes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// When, in milliseconds since the epoch.
    pub(crate) at_ms: i64,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// Frames of an attempt in which somebody spoke.
#[derive(Debug, Deserialize)]
struct Speech {
    id: String,
    name: String,
    from: u64,
    to: u64,
}

/// What was recorded under a placeholder is the voice of `id`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) placeholder: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

/// All notes of a recording.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) spans: Vec<Span>,
    /// The same as it was noted, as far as the mix of the attempt goes: what follows is lost with the bot.
    pub(super) speech: Vec<Span>,
    pub(super) owners: Vec<Owner>,
    /// The bot's notes, one JSON document a line.
    pub(super) events: Vec<u8>,
    /// Files that cannot be read.
    pub(super) skipped: u64,
    /// Files that are not there.
    pub(super) missing: u64,
}

pub(super) async fn read(store: &Arc<dyn ObjectStore>, scan: &Scan, timeline: &Timeline) -> Result<Notes, Error> {
    let mut notes = Notes::default();
    let mut spans: Vec<(u32, Span)> = Vec::new();
    let mut ended = BTreeSet::new();
    let mut objects = pin!(fetch(store, &scan.notes));
    while let Some((found, object)) = objects.try_next().await? {
        let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read: Result<Vec<Note>, _> = lines.map(serde_json::from_slice).collect();
        let Ok(read) = read else {
            tracing::warn!(path = %found.path, "notes cannot be read and are left out");
            notes.skipped += 1;
            continue;
        };
        for note in read {
            if note.kind == SPEECH {
                spans.extend(span(timeline, found.attempt, note.data).map(|span| (found.attempt, span)));
            } else if note.kind == END {
                ended.insert(found.attempt);
            } else {
                if note.kind == OWNER {
                    notes.owners.extend(Owner::deserialize(&note.data));
                }
                serde_json::to_writer(&mut notes.events, &note).map_err(Error::Manifest)?;
                notes.events.push(b'\n');
            }
        }
    }
    notes.missing = missing(scan, &ended);
    for (_, span) in &mut spans {
        if let Some(owner) = notes.owners.iter().find(|owner| owner.placeholder == span.speaker_id) {
            (span.speaker_id, span.speaker_name) = (owner.id.clone(), owner.name.clone());
        }
    }
    let recorded = |(attempt, span): &(u32, Span)| {
        let end_ms = span.end_ms.min(timeline.ends.get(attempt)? * FRAME_MS);
        (span.start_ms < end_ms).then(|| Span { end_ms, ..span.clone() })
    };
    notes.speech = merge(spans.iter().filter_map(recorded).collect(), 0);
    notes.spans = merge(spans.into_iter().map(|(_, span)| span).collect(), BREATH_MS);
    Ok(notes)
}

/// Holes in the numbers of files, and one file for each attempt whose end is not there.
fn missing(scan: &Scan, ended: &BTreeSet<u32>) -> u64 {
    let holes = |attempt: u32| {
        let numbers: BTreeSet<u64> = scan.notes.iter().filter(|f| f.attempt == attempt).map(|f| f.seq).collect();
        numbers.last().map_or(0, |last| last - (numbers.len() as u64 - 1))
    };
    let missing = |attempt: u32| holes(attempt).saturating_add(u64::from(!ended.contains(&attempt)));
    scan.attempts().into_iter().map(missing).fold(0, u64::saturating_add)
}

fn span(timeline: &Timeline, attempt: u32, data: Value) -> Option<Span> {
    let speech: Speech = serde_json::from_value(data).ok()?;
    Some(Span {
        start_ms: timeline.place(attempt, speech.from)? * FRAME_MS,
        end_ms: timeline.place(attempt, speech.to)? * FRAME_MS,
        speaker_id: speech.id,
        speaker_name: speech.name,
    })
}

/// Joins what one speaker said without a longer pause, in order of time.
fn merge(mut spans: Vec<Span>, pause_ms: u64) -> Vec<Span> {
    spans.sort_by(|a, b| (&a.speaker_id, a.start_ms, a.end_ms).cmp(&(&b.speaker_id, b.start_ms, b.end_ms)));
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if last.speaker_id == span.speaker_id && span.start_ms <= last.end_ms + pause_ms => {
                last.end_ms = last.end_ms.max(span.end_ms);
            }
            _ => merged.push(span),
        }
    }
    merged.sort_by(|a, b| (a.start_ms, &a.speaker_id).cmp(&(b.start_ms, &b.speaker_id)));
    merged
}
