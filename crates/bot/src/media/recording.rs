//! The recording of one attempt, and what there is to complain about it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use muster_audio::FRAME;
use muster_recording::{Layout, TrackId, Writer, WriterStats};
use muster_session::Timestamp;
use muster_session::protocol::BotSpec;
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::Value;

/// Writes segments; see `muster_recording`.
#[derive(Debug)]
pub(super) struct Recording {
    writer: Writer,
    told: Told,
}

/// What was complained about already.
#[derive(Debug, Default)]
struct Told {
    failing: bool,
    dropped: u64,
    refused: u64,
}

impl Recording {
    pub(super) fn open(spec: &BotSpec, store: Arc<dyn ObjectStore>, start: Timestamp) -> Self {
        let layout = Layout {
            prefix: Path::from_iter(["recordings", spec.tenant.as_str(), &spec.bot.to_string()]),
            attempt: spec.attempt,
            start,
            segment_seconds: spec.segment_seconds,
            // Always: transcripts are labelled by participants' own audio.
            separate_tracks: true,
        };
        Self { writer: Writer::open(store, layout), told: Told::default() }
    }

    pub(super) fn frame(&mut self, mixed: &[i16; FRAME], voices: &[(TrackId, Cow<'_, [i16]>)]) {
        let tracks: Vec<(TrackId, &[i16])> = voices.iter().map(|(id, pcm)| (id.clone(), &pcm[..])).collect();
        self.writer.frame(mixed, &tracks);
    }

    /// Whether participants' own audio is recorded; that they speak is noted all the same.
    pub(super) const fn separate_tracks(&mut self, on: bool) {
        self.writer.separate_tracks(on);
    }

    pub(super) fn event(&mut self, kind: &str, data: Value) {
        self.writer.event(kind, data);
    }

    pub(super) fn owner(&mut self, placeholder: &TrackId, owner: &TrackId) {
        self.writer.owner(placeholder, owner);
    }

    pub(super) fn stats(&self) -> WriterStats {
        self.writer.stats()
    }

    /// What is wrong and was not told yet.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let stats = self.writer.stats();
        self.told.about(&stats)
    }

    /// Stores the rest, for at most `within`. Answers the length of the recording, and what is wrong with it.
    pub(super) async fn finish(self, within: Duration) -> (u64, Vec<String>) {
        let Self { writer, mut told } = self;
        let before = writer.stats();
        match tokio::time::timeout(within, writer.close()).await {
            Ok(stats) => (stats.recorded_ms, told.about(&stats)),
            Err(_) => {
                let text = format!(
                    "the storage did not take the end of the recording within {} s; up to {} segments are missing",
                    within.as_secs(),
                    before.segments_waiting + 1
                );
                (before.recorded_ms, vec![text])
            }
        }
    }
}

impl Told {
    fn about(&mut self, stats: &WriterStats) -> Vec<String> {
        let mut complaints = Vec::new();
        match &stats.last_error {
            Some(error) if !self.failing => {
                complaints.push(format!("segments cannot be stored; trying again: {error}"))
            }
            _ => {}
        }
        self.failing = stats.last_error.is_some();
        if stats.segments_dropped > self.dropped {
            let new = stats.segments_dropped - self.dropped;
            complaints.push(format!("{new} segments of the recording are lost: the storage was out for too long"));
            self.dropped = stats.segments_dropped;
        }
        if stats.tracks_refused > self.refused {
            complaints.push(
                "more people speak at a time than can be recorded by themselves; the others are in the mix only"
                    .to_owned(),
            );
            self.refused = u64::MAX;
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_told_once() {
        let mut told = Told::default();
        let fine = WriterStats::default();
        let failing = WriterStats { last_error: Some("no space".into()), ..fine.clone() };
        let losing = WriterStats { segments_dropped: 2, tracks_refused: 1, ..failing.clone() };
        assert!(told.about(&fine).is_empty());
        assert_eq!(told.about(&failing).len(), 1);
        assert!(told.about(&failing).is_empty());
        assert_eq!(told.about(&losing).len(), 2);
        let losing_more = WriterStats { segments_dropped: 5, tracks_refused: 9, ..losing };
        assert_eq!(
            told.about(&losing_more),
            ["3 segments of the recording are lost: the storage was out for too long"]
        );
        assert!(told.about(&WriterStats { segments_dropped: 5, tracks_refused: 9, ..fine }).is_empty());
        assert_eq!(told.about(&WriterStats { segments_dropped: 5, tracks_refused: 9, ..failing }).len(), 1, "again");
    }
}
