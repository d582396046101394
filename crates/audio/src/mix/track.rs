use std::collections::VecDeque;

use super::Stats;
use crate::FRAME;
use crate::level::energy;
use crate::vad::Detector;

/// Samples that a track can hold: 2.7 s. Enough for the delay and for a caller that stalls for a while.
const ROOM: i64 = 131_072;
/// A timestamp that is off by no more than this (40 ms) continues the block before; drift is corrected below it.
const JUMP: i64 = 1_920;
/// Following a drifting clock begins at 5 ms and ends at 1 ms.
const SLIP_FROM: f32 = 240.0;
const SLIP_UNTIL: f32 = 48.0;
/// At most one sample in so many is repeated or left out.
const SLIP_EVERY: usize = 480;
/// Weight of the newest timestamp in the smoothed error.
const SMOOTHING: f32 = 1.0 / 16.0;
/// Length of the fades at the edges of gaps: 2 ms.
const FADE: usize = 96;
/// A pause of this length (2 s) or more was meant: the microphone was off.
const PAUSE: i64 = 96_000;

/// One participant's samples, placed on the timeline. Positions are samples since its start.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: u32,
    /// This frame's samples.
    pub(super) frame: Box<[i16; FRAME]>,
    /// There is anything but digital silence in `frame`.
    pub(super) heard: bool,
    pub(super) speaking: bool,
    /// Smoothed power while speaking.
    pub(super) power: f32,
    pub(super) leaving: bool,
    detector: Detector,
    ring: Box<[i16]>,
    /// What the ring holds, in order, not touching.
    runs: VecDeque<Run>,
    /// Where the next block goes if it continues the last one.
    end: Option<i64>,
    /// Smoothed distance from `end` to where timestamps say it should be.
    error: f32,
    slipping: bool,
    /// The frame before ended in sound that was not faded out.
    open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    from: i64,
    to: i64,
}

impl Track {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            frame: Box::new([0; FRAME]),
            heard: false,
            speaking: false,
            power: 0.0,
            leaving: false,
            detector: Detector::new(),
            ring: vec![0; ROOM as usize].into_boxed_slice(),
            runs: VecDeque::with_capacity(16),
            end: None,
            error: 0.0,
            slipping: false,
            open: false,
        }
    }

    /// Ended, and everything of it has been played.
    pub(super) fn is_finished(&self) -> bool {
        self.leaving && self.runs.is_empty()
    }

    /// Places a block; `floor` is the first position that can still be played.
    pub(super) fn push(&mut self, stamped: i64, pcm: &[i16], floor: i64, stats: &mut Stats) {
        self.leaving = false;
        // Contiguous, as far as timestamps can tell, and its place is still to be played.
        let continued = self.end.filter(|end| (stamped - end).abs() <= JUMP && *end >= floor);
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
        } else if pcm.iter().all(|sample| *sample == 0) {
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

    fn write(&mut self, at: i64, samples: &[i16], floor: i64, stats: &mut Stats) -> i64 {
        let room = usize::try_from(floor + ROOM - at).unwrap_or(0).min(samples.len());
        stats.early_samples += (samples.len() - room) as u64;
        if room == 0 {
            return at;
        }
        let to = at + room as i64;
        let start = at.rem_euclid(ROOM) as usize;
        let (head, tail) = samples[..room].split_at(room.min(ROOM as usize - start));
        self.ring[start..start + head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
        match self.runs.back_mut() {
            Some(run) if run.to == at => run.to = to,
            _ => self.runs.push_back(Run { from: at, to }),
        }
        to
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

    /// Takes the frame that begins at `from` out of the ring.
    pub(super) fn read(&mut self, from: i64) {
        let to = from + FRAME as i64;
        self.frame.fill(0);
        self.heard = false;
        let mut open = false;
        while let Some(run) = self.runs.front().copied()
            && run.from < to
        {
            let first = (run.from.max(from) - from) as usize;
            let last = (run.to.min(to) - from) as usize;
            let start = run.from.max(from).rem_euclid(ROOM) as usize;
            for (i, slot) in self.frame[first..last].iter_mut().enumerate() {
                *slot = self.ring[(start + i) % ROOM as usize];
            }
            if first > 0 || !self.open {
                fade(self.frame[first..last].iter_mut());
            }
            self.heard |= self.frame[first..last].iter().any(|s| *s != 0);
            if run.to > to {
                open = true;
                self.runs[0].from = to;
                break;
            }
            fade(self.frame[first..last].iter_mut().rev());
            self.runs.pop_front();
        }
        self.open = open;
        self.judge();
    }

    fn judge(&mut self) {
        self.speaking = self.detector.push(&self.frame[..]);
        if self.heard && self.speaking {
            let power = energy(&self.frame[..]) as f32 / FRAME as f32;
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

/// Raises the level from nothing over the first samples that come.
fn fade<'a>(samples: impl Iterator<Item = &'a mut i16>) {
    for (i, sample) in samples.take(FADE).enumerate() {
        *sample = (i32::from(*sample) * (i as i32 + 1) / (FADE as i32 + 1)) as i16;
    }
}
