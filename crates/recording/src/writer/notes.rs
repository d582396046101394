use muster_audio::FRAME_MS;
use serde_json::{Value, json};

use super::upload::Uploader;
use crate::finalise::{END, Note, OWNER, Owner, SPEECH};
use crate::layout::{Layout, TrackId};

/// What happened, as lines that wait for the end of the segment.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lines: Vec<u8>,
    seq: u64,
}

impl Notes {
    pub(super) fn event(&mut self, layout: &Layout, frame: u64, kind: &str, data: Value) {
        let elapsed = i64::try_from(frame * FRAME_MS).unwrap_or(i64::MAX);
        let at_ms = layout.start.as_millis().saturating_add(elapsed);
        let note = Note { at_ms, kind: kind.to_owned(), data };
        if serde_json::to_writer(&mut self.lines, &note).is_ok() {
            self.lines.push(b'\n');
        }
    }

    /// Somebody spoke in the frames `from..to`.
    pub(super) fn speech(&mut self, layout: &Layout, who: &TrackId, from: u64, to: u64) {
        self.event(layout, from, SPEECH, json!({"id": who.id(), "name": who.name(), "from": from, "to": to}));
    }

    /// What was heard under `placeholder` is the voice of `owner`.
    pub(super) fn owner(&mut self, layout: &Layout, frame: u64, placeholder: &TrackId, owner: &TrackId) {
        let owner = Owner {
            placeholder: placeholder.id().to_owned(),
            id: owner.id().to_owned(),
            name: owner.name().to_owned(),
        };
        self.event(layout, frame, OWNER, json!(owner));
    }

    /// Nothing is noted any more. Without this in the last file, notes are missing.
    pub(super) fn end(&mut self, layout: &Layout, frame: u64) {
        self.event(layout, frame, END, Value::Null);
    }

    /// Stores the lines, if there are any.
    pub(super) fn store(&mut self, layout: &Layout, uploader: &Uploader) {
        if !self.lines.is_empty() {
            uploader.store(layout.events(self.seq), std::mem::take(&mut self.lines));
            self.seq += 1;
        }
    }
}
