//! Everything that takes frames.

use std::time::Duration;

use muster_audio::FRAME_MS;
use muster_audio::level::{self, Meter, SILENCE_DBFS};
use muster_audio::mix::Frame;
use muster_session::Timestamp;
use muster_session::protocol::{BotSpec, HealthFigures};
use serde_json::{Value, json};

use super::Finished;
use super::outlets::Outlets;
use super::pressure::{GivenUp, Pressure};
use super::recording::Recording;
use super::voices::{Voices, person};
use super::words::Words;
use crate::live_audio::LiveAudio;
use crate::report::{Level, Reporter};
use crate::room::Person;

/// Live copies go out in pieces of so long.
const LIVE_FRAME_MS: u64 = 100;

/// Recording, live audio and live words of one call.
#[derive(Debug)]
pub(super) struct Sinks {
    voices: Voices,
    recording: Recording,
    live: Option<LiveAudio>,
    words: Option<Words>,
    pressure: Pressure,
    /// Milliseconds of live audio that were not even made.
    skipped_ms: u64,
    voice: bool,
    meter: Meter,
    loudest_dbfs: f32,
    reporter: Reporter,
}

impl Sinks {
    pub(super) fn start(spec: &BotSpec, outlets: Outlets, start: Timestamp, reporter: Reporter) -> Self {
        Self {
            voices: Voices::new(spec.attempt),
            recording: Recording::open(spec, outlets.store, start),
            live: outlets.live_audio.map(|settings| LiveAudio::start(settings, reporter.clone())),
            words: outlets.words.map(|outlet| Words::start(outlet, start)),
            pressure: Pressure::default(),
            skipped_ms: 0,
            voice: false,
            meter: Meter::default(),
            loudest_dbfs: SILENCE_DBFS,
            reporter,
        }
    }

    /// Takes 20 ms.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        self.meter.push(&frame.mixed[..]);
        self.loudest_dbfs = self.loudest_dbfs.max(level::rms_dbfs(&frame.mixed[..]));
        // Somebody is heard best only among those whose sound a detector takes for speech.
        self.voice |= frame.dominant.is_some();
        let voices = self.voices.gather(frame.tracks);
        let given_up = self.pressure.given_up();
        self.recording.frame(frame.mixed, if given_up >= GivenUp::Tracks { &[] } else { &voices });
        if given_up >= GivenUp::LiveCopies {
            self.skipped_ms += u64::from(self.live.is_some()) * FRAME_MS;
            return;
        }
        if let Some(live) = &mut self.live {
            let speaker = frame.dominant.map(|track| person(self.voices.label(track)));
            live.push(&frame.mixed[..], speaker);
        }
        if let Some(words) = &mut self.words {
            words.frame(frame.index, &voices);
        }
    }

    /// Takes over the owner of a track, also for what was recorded of it under a placeholder.
    pub(super) fn learn(&mut self, track: u32, owner: &Person) {
        if let Some(before) = self.voices.learn(track, owner) {
            self.recording.owner(&before, self.voices.label(track));
        }
    }

    pub(super) fn event(&mut self, kind: &str, data: Value) {
        self.recording.event(kind, data);
    }

    /// Decides what to give up, given how far behind everything is.
    pub(super) fn look(&mut self, behind: Duration) {
        if let Some(text) = self.pressure.look(behind) {
            self.reporter.note(Level::Warn, text);
            self.event("load", json!({"text": text}));
        }
    }

    /// Whether there was a voice since the last call.
    pub(super) fn take_voice(&mut self) -> bool {
        std::mem::take(&mut self.voice)
    }

    pub(super) const fn loudest_dbfs(&self) -> f32 {
        self.loudest_dbfs
    }

    pub(super) fn complaints(&mut self) -> Vec<String> {
        self.recording.complaints()
    }

    /// The figures that are known here; starts a new period of the level.
    pub(super) fn figures(&mut self) -> HealthFigures {
        let stats = self.recording.stats();
        let sent = self.live.as_ref().map_or(0, LiveAudio::dropped);
        let words = self.words.as_ref().map_or(0, |words| words.figures().dropped);
        HealthFigures {
            recorded_ms: stats.recorded_ms,
            level_dbfs: self.meter.take().rms_dbfs,
            live_dropped: sent + self.skipped_ms / LIVE_FRAME_MS + words,
            segments_dropped: stats.segments_dropped,
            ..HealthFigures::default()
        }
    }

    /// Stores and sends what is left, side by side, for at most `within`.
    pub(super) async fn finish(self, within: Duration) -> Finished {
        let Self { recording, live, words, reporter, skipped_ms, .. } = self;
        let live = async {
            match live {
                Some(live) => live.finish(within).await + skipped_ms / LIVE_FRAME_MS,
                None => 0,
            }
        };
        let words = async {
            match words {
                Some(words) => words.finish(within).await,
                None => Default::default(),
            }
        };
        let ((recorded_ms, complaints), dropped, words) = tokio::join!(recording.finish(within), live, words);
        for complaint in complaints {
            reporter.note(Level::Warn, complaint);
        }
        if dropped > 0 {
            let lost_ms = dropped * LIVE_FRAME_MS;
            reporter.note(Level::Warn, format!("the receiver of live audio did not get {lost_ms} ms of it"));
        }
        let lost = words.dropped + words.unrecognised + words.failed;
        if lost > 0 {
            let text = format!(
                "{lost} utterances of live words are lost ({} too many at a time, {} not recognised, {} refused by the receiver)",
                words.dropped, words.unrecognised, words.failed
            );
            reporter.note(Level::Warn, text);
        }
        Finished { recorded_ms }
    }
}
