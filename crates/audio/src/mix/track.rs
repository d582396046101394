use super::Stats;
use super::conceal::{Concealer, HISTORY};
use super::ring::Ring;
use crate::FRAME;
use crate::level::{is_silent, power};
use crate::vad::Detector;

/// A timestamp that is off by no more than this (40 ms) can continue the block before; drift is corrected below it.
const FAR: f32 = 1_920.0;
/// One that is later than the last ones were by this (15 ms) comes after a hole: of a frame of 20 ms, whatever the
/// jitter.
const HOLE: f32 = 720.0;
/// Following a drifting clock begins at 5 ms and ends at 1 ms.
const SLIP_FROM: f32 = 240.0;
const SLIP_UNTIL: f32 = 48.0;
/// At most one sample in so many is repeated or left out.
const SLIP_EVERY: usize = 480;
/// Weight of the newest timestamp in the smoothed error.
const SMOOTHING: f32 = 1.0 / 16.0;
/// Length of the fade at the end of a track: 2 ms.
const FADE: usize = 96;
/// A pause of this length (2 s) or more was meant: the microphone was off.
const PAUSE: i64 = 96_000;

/// Frames without a sound after which there is nothing left to move: those of the past and the present one.
const STILL: usize = HISTORY / FRAME + 1;

/// One participant's samples, placed on the timeline. Positions are samples since its start.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: u32,
    /// What was given out, and at its end this frame.
    line: Box<[i16; HISTORY + FRAME]>,
    /// Frames of `line` that are digital silence, counted from its end.
    still: usize,
    pub(super) speaking: bool,
    /// Smoothed power while speaking.
    pub(super) power: f32,
    pub(super) leaving: bool,
    detector: Detector,
    ring: Ring,
    /// Where the next block goes if it continues the last one.
    end: Option<i64>,
    /// Smoothed distance from `end` to where timestamps say it should be.
    error: f32,
    slipping: bool,
    /// Where the last samples ended that were played.
    played: Option<i64>,
    concealer: Concealer,
}

impl Track {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            line: Box::new([0; HISTORY + FRAME]),
            still: STILL,
            speaking: false,
            power: 0.0,
            leaving: false,
            detector: Detector::new(),
            ring: Ring::new(),
            end: None,
            error: 0.0,
            slipping: false,
            played: None,
            concealer: Concealer::new(),
        }
    }

    /// This frame's samples.
    pub(super) fn frame(&self) -> &[i16] {
        &self.line[HISTORY..]
    }

    /// There is anything but digital silence in this frame.
    pub(super) fn is_heard(&self) -> bool {
        self.still == 0
    }

    /// Ended, and everything of it has been played.
    pub(super) fn is_finished(&self) -> bool {
        self.leaving && self.ring.is_empty()
    }

    /// Places a block; `floor` is the first position that can still be played.
    pub(super) fn push(&mut self, stamped: i64, pcm: &[i16], floor: i64, stats: &mut Stats) {
        self.leaving = false;
        // Contiguous, as far as timestamps can tell, and its place is still to be played.
        let continued = self.end.filter(|end| self.continues((stamped - end) as f32) && *end >= floor);
        let first = if let Some(end) = continued {
            self.observe((stamped - end) as f32);
            end
        } else {
            (self.error, self.slipping) = (0.0, false);
            stamped.max(floor).max(self.end.unwrap_or(floor))
        };
        let mut at = first;
        let pcm = if continued.is_none() {
            drop_front(pcm, first - stamped, &mut stats.late_samples)
        } else if is_silent(pcm) {
            self.make_up(&mut at, pcm, floor, stats)
        } else {
            pcm
        };
        for part in pcm.chunks(SLIP_EVERY) {
            at = self.place(at, part, floor, stats);
        }
        if at > first {
            let gap = first - self.end.unwrap_or(first);
            if gap > 0 && gap < PAUSE {
                stats.gaps += 1;
                stats.concealed_samples += gap.unsigned_abs();
            }
            self.end = Some(at);
        }
    }

    /// Digital silence is where time is made up at once: more or less of it cannot be heard. Answers what is left of it.
    fn make_up<'a>(&mut self, at: &mut i64, silence: &'a [i16], floor: i64, stats: &mut Stats) -> &'a [i16] {
        let off = (self.error as i64).clamp(-(silence.len() as i64), FRAME as i64);
        stats.slipped_samples += off.unsigned_abs();
        self.slipped(-(off as f32));
        if off > 0 {
            *at = self.write(*at, &[0; FRAME][..off as usize], floor, stats);
        }
        &silence[off.min(0).unsigned_abs() as usize..]
    }

    /// Copies one part into the ring, slipping a sample if the clock drifts, and answers where it ends.
    fn place(&mut self, at: i64, part: &[i16], floor: i64, stats: &mut Stats) -> i64 {
        if !self.slipping || part.len() < SLIP_EVERY / 4 {
            return self.write(at, part, floor, stats);
        }
        stats.slipped_samples += 1;
        // Where two neighbours are most alike, one more or less is heard least.
        let quiet = (1..part.len()).min_by_key(|i| part[*i].abs_diff(part[*i - 1])).unwrap_or(1);
        let at = self.write(at, &part[..quiet], floor, stats);
        if self.error > 0.0 {
            self.slipped(-1.0);
            let between = (i32::from(part[quiet - 1]) + i32::from(part[quiet])) / 2;
            let at = self.write(at, &[i16::try_from(between).unwrap_or(0)], floor, stats);
            self.write(at, &part[quiet..], floor, stats)
        } else {
            self.slipped(1.0);
            self.write(at, &part[quiet + 1..], floor, stats)
        }
    }

    /// Answers where what was written ends.
    fn write(&mut self, at: i64, samples: &[i16], floor: i64, stats: &mut Stats) -> i64 {
        let written = self.ring.write(at, samples, floor);
        stats.early_samples += (samples.len() - written) as u64;
        at + written as i64
    }

    /// A block whose timestamp is off by so much follows the one before.
    fn continues(&self, off: f32) -> bool {
        // Losses that are each too short to be told from jitter add up until they are far.
        off.abs() <= FAR && off - self.error < HOLE
    }

    fn observe(&mut self, error: f32) {
        self.error += (error - self.error) * SMOOTHING;
        let limit = if self.slipping { SLIP_UNTIL } else { SLIP_FROM };
        self.slipping = self.error.abs() > limit;
    }

    fn slipped(&mut self, by: f32) {
        self.error += by;
        self.slipping = self.error.abs() > SLIP_UNTIL;
    }

    /// Takes the frame that begins at `from` out of the ring, and fills what is missing in it.
    pub(super) fn read(&mut self, from: i64, stats: &mut Stats) {
        if self.still < STILL {
            self.line.copy_within(FRAME.., 0);
            self.line[HISTORY..].fill(0);
        }
        let to = from + FRAME as i64;
        let place = |at: i64| HISTORY + (at - from) as usize;
        let mut filled = from;
        while let Some(run) = self.ring.take(to) {
            if self.played != Some(run.from) {
                self.fill(filled, place(filled)..place(run.from));
                self.resume(run.from, stats);
            }
            let part = &mut self.line[place(run.from)..place(run.to)];
            self.ring.read(run.from, part);
            self.concealer.blend(part);
            self.played = Some(run.to);
            filled = run.to;
        }
        self.fill(filled, place(filled)..HISTORY + FRAME);
        if self.is_finished() {
            fade_out(&mut self.line[HISTORY..]);
        }
        self.still = if is_silent(self.frame()) { STILL.min(self.still + 1) } else { 0 };
        self.judge();
    }

    /// Continues the sound into a hole that begins at position `at`, or goes on there.
    fn fill(&mut self, at: i64, hole: std::ops::Range<usize>) {
        if hole.is_empty() {
            return;
        }
        if self.played == Some(at)
            && let Some(past) = self.line[..hole.start].last_chunk()
        {
            self.concealer.start(past);
        }
        if self.concealer.is_sounding() {
            self.concealer.fill(&mut self.line[hole]);
        }
    }

    /// The hole ends at position `at`.
    fn resume(&mut self, at: i64, stats: &mut Stats) {
        let hole = self.played.map_or(PAUSE, |played| at - played);
        if hole < PAUSE {
            stats.continued_samples += self.concealer.made() as u64;
        }
        self.concealer.end();
    }

    fn judge(&mut self) {
        self.speaking = self.detector.push(&self.line[HISTORY..]);
        if self.is_heard() && self.speaking {
            let power = power(self.frame()).energy as f32 / FRAME as f32;
            self.power += (power - self.power) * 0.2;
        } else {
            self.power *= 0.8;
        }
    }
}

/// Cuts `count` samples off the front and counts them.
fn drop_front<'a>(pcm: &'a [i16], count: i64, dropped: &mut u64) -> &'a [i16] {
    let count = usize::try_from(count).unwrap_or(0).min(pcm.len());
    *dropped += count as u64;
    &pcm[count..]
}

/// Lowers the level to nothing over the last samples.
fn fade_out(samples: &mut [i16]) {
    for (i, sample) in samples.iter_mut().rev().take(FADE).enumerate() {
        *sample = (i32::from(*sample) * (i as i32 + 1) / (FADE as i32 + 1)) as i16;
    }
}
