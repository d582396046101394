//! What happens to audio from admission on: one timeline, and everything that hangs on it.
//!
//! Blocks come with the page's time and are placed on the bot's; frames of 20 ms come out when they are due and go to
//! the recording, to live listeners and to speech to text. Nothing here waits or reads a clock, up to
//! [`Media::finish`].

mod outlets;
mod pressure;
mod recording;
mod sinks;
mod timing;
mod voices;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

use muster_audio::mix::{Mixer, Stats};
use muster_session::protocol::{BotSpec, HealthFigures};
use serde_json::{Value, json};

pub(crate) use outlets::Outlets;

use crate::clock;
use crate::report::{Level, Reporter};
use crate::room::Room;
use crate::watchdog::Hearing;
use sinks::Sinks;
use timing::Timing;

/// How long a frame waits for late blocks. A recording has time ...
const DELAY_MS: u32 = 1_000;
/// ... and a live listener does not: a block of 100 ms comes 100 ms late by itself, and the rest is for a busy machine.
const LIVE_DELAY_MS: u32 = 500;
/// Frames are given out a few at a time: live audio goes out in frames of 100 ms anyway, and waking up costs.
const BATCH_US: u64 = 80_000;

/// The media side of one call.
#[derive(Debug)]
pub(crate) struct Media {
    mixer: Mixer,
    delay: Duration,
    timing: Timing,
    sinks: Sinks,
    samples: u64,
    /// As of the last [`figures`](Self::figures).
    before: Stats,
    reporter: Reporter,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) recorded_ms: u64,
}

impl Media {
    /// Begins to record and to send at `now_us`, microseconds since the epoch. Must be called within a tokio runtime.
    pub(crate) fn begin(spec: &BotSpec, outlets: Outlets, reporter: Reporter, now_us: u64) -> Self {
        // Files say when they begin in milliseconds.
        let start = clock::timestamp(now_us);
        let start_us = start.as_millis().saturating_mul(1_000);
        let delay_ms = if outlets.live_audio.is_some() { LIVE_DELAY_MS } else { DELAY_MS };
        Self {
            mixer: Mixer::with_delay(start_us, delay_ms),
            delay: Duration::from_millis(delay_ms.into()),
            timing: Timing::default(),
            sinks: Sinks::start(spec, outlets, start, reporter.clone()),
            samples: 0,
            before: Stats::default(),
            reporter,
        }
    }

    /// Takes a block of 48 kHz mono that the page heard at `at_us` by its own clock.
    pub(crate) fn audio(&mut self, track: u32, at_us: u64, pcm: &[i16], now_us: u64) {
        self.samples += pcm.len() as u64;
        let (placed, note) = self.timing.place(at_us, pcm.len(), now_us);
        if let Some(note) = note {
            self.reporter.note(Level::Warn, note);
        }
        // After a stall there is more to come than the mixer can hold: what is due before this block goes out first.
        self.mixer.advance(placed.min(signed(now_us)), &mut |frame| self.sinks.frame(&frame));
        self.mixer.push(track, placed, pcm);
    }

    pub(crate) fn track_ended(&mut self, track: u32) {
        self.mixer.remove_track(track);
    }

    /// Takes over whose voice each track is. To be called when the room changed.
    pub(crate) fn learn(&mut self, room: &Room) {
        for (track, owner) in room.owners() {
            self.sinks.learn(track, &owner);
        }
    }

    /// Notes something that happened in the call, with the recording.
    pub(crate) fn event(&mut self, kind: &str, data: Value) {
        self.sinks.event(kind, data);
    }

    /// Gives out what is due, and answers whether a voice was in it.
    pub(crate) fn advance(&mut self, now_us: u64) -> bool {
        let lag = Duration::from_micros(now_us.saturating_sub(self.due_us()));
        let late = self.timing.age().saturating_sub(self.delay);
        self.sinks.look(lag.max(late));
        self.mixer.advance(signed(now_us), &mut |frame| self.sinks.frame(&frame));
        self.sinks.take_voice()
    }

    /// When [`advance`](Self::advance) is to be called next.
    pub(crate) fn due_us(&self) -> u64 {
        u64::try_from(self.mixer.next_due_us()).unwrap_or(0) + BATCH_US
    }

    /// What is known about capture. Others, tracks and received bytes are known elsewhere.
    pub(crate) fn hearing(&self) -> Hearing {
        Hearing { samples: self.samples, peak_dbfs: self.sinks.loudest_dbfs(), ..Hearing::default() }
    }

    /// Figures of the last period; starts a new one. Notes holes that it saw with the recording, and complains about
    /// what goes wrong.
    pub(crate) fn figures(&mut self, tracks: usize) -> HealthFigures {
        let stats = self.mixer.stats();
        let before = std::mem::replace(&mut self.before, stats);
        if stats.gaps > before.gaps || stats.late_samples > before.late_samples {
            self.sinks.event(
                "gap",
                json!({
                    "gaps": stats.gaps - before.gaps,
                    "concealed_ms": stats.concealed_ms() - before.concealed_ms(),
                    "late_ms": (stats.late_samples - before.late_samples) / 48,
                }),
            );
        }
        for complaint in self.sinks.complaints() {
            self.reporter.note(Level::Warn, complaint);
        }
        HealthFigures {
            captured_frames: self.samples / 480,
            concealed_ms: stats.concealed_ms(),
            tracks: u32::try_from(tracks).unwrap_or(u32::MAX),
            ..self.sinks.figures()
        }
    }

    /// Gives out everything until `now_us` without waiting for late blocks. What was heard up to then is recorded; to
    /// be called once, before [`finish`](Self::finish).
    pub(crate) fn cut(&mut self, now_us: u64) {
        let delay_us = i64::try_from(self.delay.as_micros()).unwrap_or(0);
        self.mixer.advance(signed(now_us).saturating_add(delay_us), &mut |frame| self.sinks.frame(&frame));
    }

    /// Stores and sends what is left, for at most `within`.
    pub(crate) async fn finish(self, within: Duration) -> Finished {
        self.sinks.finish(within).await
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}
