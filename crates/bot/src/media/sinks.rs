//! Everything that takes frames.

use std::time::Duration;

use muster_audio::FRAME_MS;
use muster_audio::level::{self, Meter, SILENCE_DBFS};
use muster_audio::mix::Frame;
use muster_session::Timestamp;
use muster_session::protocol::{BotSpec, HealthFigures};
use muster_transcript::live::LiveFigures;
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

/// Words that are lost are noted in steps of at least so much speech.
const LOST_NOTE_MS: u64 = 1_000;
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
    skipped: Skipped,
    /// Speech of which it is noted that it became no words.
    noted_lost_ms: u64,
    voice: bool,
    meter: Meter,
    loudest_dbfs: f32,
    reporter: Reporter,
}

/// Milliseconds that were not even made, because the machine could not follow.
#[derive(Clone, Copy, Debug, Default)]
struct Skipped {
    live_ms: u64,
    words_ms: u64,
    tracks_ms: u64,
}

impl Sinks {
    pub(super) fn start(spec: &BotSpec, outlets: Outlets, start: Timestamp, reporter: Reporter) -> Self {
        Self {
            voices: Voices::new(spec.attempt),
            recording: Recording::open(spec, outlets.store, start),
            live: outlets.live_audio.map(|settings| LiveAudio::start(settings, reporter.clone())),
            words: outlets.words.map(|outlet| Words::start(outlet, start)),
            pressure: Pressure::default(),
            skipped: Skipped::default(),
            noted_lost_ms: 0,
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
        self.recording.separate_tracks(given_up < GivenUp::Tracks);
        self.recording.frame(frame.mixed, &voices);
        self.note_words();
        self.skipped.tracks_ms += u64::from(given_up >= GivenUp::Tracks && !voices.is_empty()) * FRAME_MS;
        if given_up >= GivenUp::LiveCopies {
            self.skipped.live_ms += u64::from(self.live.is_some()) * FRAME_MS;
            self.skipped.words_ms += u64::from(self.words.is_some() && !voices.is_empty()) * FRAME_MS;
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

    /// Keeps what was said with the recording: the words of a bot that is killed survive it.
    fn note_words(&mut self) {
        for said in self.words.iter_mut().flat_map(Words::take) {
            self.recording.event("words", json!(said));
        }
        self.note_lost(LOST_NOTE_MS);
    }

    /// Notes how much speech became no words since the last such note, if it is at least so much.
    fn note_lost(&mut self, least_ms: u64) {
        let Some(figures) = self.words.as_ref().map(Words::figures) else { return };
        let lost_ms = figures.dropped_ms + figures.unrecognised_ms + self.skipped.words_ms;
        let new_ms = lost_ms.saturating_sub(self.noted_lost_ms);
        if new_ms >= least_ms {
            self.recording.event("words_lost", json!({"ms": new_ms}));
            self.noted_lost_ms = lost_ms;
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
        let mut complaints = self.recording.complaints();
        complaints.extend(troubles(self.words.as_mut()));
        complaints
    }

    /// The figures that are known here; starts a new period of the level.
    pub(super) fn figures(&mut self) -> HealthFigures {
        let stats = self.recording.stats();
        let sent = self.live.as_ref().map_or(0, LiveAudio::dropped);
        let words_ms = self.words.as_ref().map_or(0, |words| words.figures().dropped_ms) + self.skipped.words_ms;
        HealthFigures {
            recorded_ms: stats.recorded_ms,
            level_dbfs: self.meter.take().rms_dbfs,
            live_dropped: sent + (self.skipped.live_ms + words_ms) / LIVE_FRAME_MS,
            segments_dropped: stats.segments_dropped,
            ..HealthFigures::default()
        }
    }

    /// Stores and sends what is left, for at most `within`. The last words are recorded too, so the recording waits for
    /// them, for half of that.
    pub(super) async fn finish(mut self, within: Duration) -> Finished {
        let until = tokio::time::Instant::now() + within;
        let left = || until.saturating_duration_since(tokio::time::Instant::now());
        let live = self.live.take();
        let live = async {
            match live {
                Some(live) => live.finish(within).await,
                None => 0,
            }
        };
        let storing = async {
            if let Some(words) = &mut self.words {
                words.hear_out(within / 2).await;
                self.note_words();
                self.note_lost(1);
            }
            let Self { recording, mut words, reporter, skipped, .. } = self;
            let troubles = troubles(words.as_mut());
            let posting = async {
                match words {
                    Some(words) => words.finish(left()).await,
                    None => LiveFigures::default(),
                }
            };
            let ((recorded_ms, complaints), words) = tokio::join!(recording.finish(left()), posting);
            for complaint in complaints.into_iter().chain(troubles).chain(lost(skipped, words)) {
                reporter.note(Level::Warn, complaint);
            }
            (recorded_ms, reporter, skipped)
        };
        let (dropped, (recorded_ms, reporter, skipped)) = tokio::join!(live, storing);
        let lost_ms = dropped * LIVE_FRAME_MS + skipped.live_ms;
        if lost_ms > 0 {
            reporter.note(Level::Warn, format!("the receiver of live audio did not get {lost_ms} ms of it"));
        }
        Finished { recorded_ms }
    }
}

/// Trouble of live words, to be told.
fn troubles(words: Option<&mut Words>) -> Vec<String> {
    let troubles = words.map(Words::troubles).unwrap_or_default();
    troubles.into_iter().map(|text| format!("live words: {text}")).collect()
}

/// What is lost of words and of participants' own audio.
fn lost(skipped: Skipped, words: LiveFigures) -> Vec<String> {
    let mut complaints = Vec::new();
    let not_taken_ms = words.dropped_ms + skipped.words_ms;
    if not_taken_ms + words.unrecognised_ms > 0 {
        complaints.push(format!(
            "the words of {} ms are lost ({not_taken_ms} ms too much at a time, {} ms not recognised)",
            not_taken_ms + words.unrecognised_ms,
            words.unrecognised_ms
        ));
    }
    if words.failed > 0 {
        complaints.push(format!("the receiver of live words did not get {} phrases", words.failed));
    }
    if skipped.tracks_ms > 0 {
        complaints.push(format!("participants' own audio is missing for {} ms", skipped.tracks_ms));
    }
    complaints
}
