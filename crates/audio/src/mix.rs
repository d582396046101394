//! Many participants on one timeline.
//!
//! Blocks come in with the time at which their first sample was heard, at any pace and in any order between tracks.
//! Frames go out on time, one for every 20 ms from the start, whether or not anything came: a sound that breaks off is
//! continued with its last pitch period and is silent within 60 ms, what comes next is faded in, and the hole is
//! counted; what comes too late is dropped and counted. Clocks of tracks that drift against the timeline are followed by
//! repeating or leaving out single samples.
//!
//! Time is an argument; nothing here reads a clock.

mod conceal;
mod dominant;
mod limiter;
mod ring;
mod track;

#[cfg(test)]
mod tests;

use dominant::Dominant;
use limiter::Limiter;
use track::Track;

use crate::FRAME;

/// How long a frame waits for late blocks if nothing else is said.
pub const DEFAULT_DELAY_MS: u32 = 200;
const FRAME_US: i64 = 20_000;

/// 20 ms of the call.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Frames since the start; this one begins `index * 20 ms` after it.
    pub index: u64,
    /// Everybody, limited so that nothing clips.
    pub mixed: &'a [i16; FRAME],
    /// Every present track with its 960 samples, silent or not, in the order in which tracks first appeared.
    pub tracks: &'a [(u32, &'a [i16])],
    /// Who is heard best among those who speak.
    pub dominant: Option<u32>,
}

/// What a mixer had to do besides adding. All counts are since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames given out.
    pub frames: u64,
    /// Tracks present now.
    pub tracks: usize,
    /// Samples put in where a track paused for less than two seconds and went on.
    pub concealed_samples: u64,
    /// Those of them that continued the sound before the hole; the others are silence. Counted when the track is heard
    /// again, which is up to the delay later.
    pub continued_samples: u64,
    /// How often that happened.
    pub gaps: u64,
    /// Samples dropped because their frame had gone out, or because they were there already.
    pub late_samples: u64,
    /// Samples dropped because they were stamped too far in the future to keep.
    pub early_samples: u64,
    /// Samples repeated or left out to follow drifting clocks.
    pub slipped_samples: u64,
    /// Frames whose peaks were turned down.
    pub limited_frames: u64,
}

impl Stats {
    /// [`concealed_samples`](Self::concealed_samples) as time.
    #[must_use]
    pub const fn concealed_ms(&self) -> u64 {
        self.concealed_samples / 48
    }
}

/// Mixes tracks; see the [module](self).
#[derive(Debug)]
pub struct Mixer {
    start_us: i64,
    delay_us: i64,
    next: u64,
    tracks: Vec<Track>,
    dominant: Dominant,
    limiter: Limiter,
    sum: Box<[i32; FRAME]>,
    mixed: Box<[i16; FRAME]>,
    /// The room of `Frame::tracks`, empty between frames.
    list: Vec<(u32, &'static [i16])>,
    stats: Stats,
}

impl Mixer {
    /// A timeline that begins at `start_us` on the caller's clock, with a delay of 200 ms.
    #[must_use]
    pub fn new(start_us: i64) -> Self {
        Self::with_delay(start_us, DEFAULT_DELAY_MS)
    }

    /// As [`new`](Self::new); frames wait `delay_ms` (at most 1,000) for late blocks.
    #[must_use]
    pub fn with_delay(start_us: i64, delay_ms: u32) -> Self {
        Self {
            start_us,
            delay_us: i64::from(delay_ms.min(1_000)) * 1_000,
            next: 0,
            tracks: Vec::new(),
            dominant: Dominant::default(),
            limiter: Limiter::default(),
            sum: Box::new([0; FRAME]),
            mixed: Box::new([0; FRAME]),
            list: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Takes a block of 48 kHz mono samples whose first one was heard at `at_us`. A track that was not known appears;
    /// it is there until [`remove_track`](Self::remove_track).
    pub fn push(&mut self, track: u32, at_us: i64, pcm: &[i16]) {
        let position = to_samples(at_us.saturating_sub(self.start_us));
        let floor = self.floor();
        let index = self.tracks.iter().position(|t| t.id == track).unwrap_or_else(|| {
            self.tracks.push(Track::new(track));
            self.tracks.len() - 1
        });
        self.tracks[index].push(position, pcm, floor, &mut self.stats);
    }

    /// Gives out every frame that is due at `now_us`: those that ended at least the delay ago. To get the rest at the
    /// end of a call, ask with a time that lies the delay in the future.
    pub fn advance(&mut self, now_us: i64, sink: &mut impl FnMut(Frame<'_>)) {
        while self.due_us(self.next) <= now_us {
            self.emit(sink);
        }
    }

    /// When the next frame is due.
    #[must_use]
    pub fn next_due_us(&self) -> i64 {
        self.due_us(self.next)
    }

    /// The track has ended: what of it is still waiting is played, then it is no longer in the frames.
    pub fn remove_track(&mut self, track: u32) {
        if let Some(track) = self.tracks.iter_mut().find(|t| t.id == track) {
            track.leaving = true;
        }
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { frames: self.next, tracks: self.tracks.len(), ..self.stats }
    }

    /// The first sample that has not been given out.
    fn floor(&self) -> i64 {
        i64::try_from(self.next).unwrap_or(i64::MAX / 960).saturating_mul(FRAME as i64)
    }

    fn due_us(&self, frame: u64) -> i64 {
        let end = i64::try_from(frame + 1).unwrap_or(i64::MAX).saturating_mul(FRAME_US);
        self.start_us.saturating_add(end).saturating_add(self.delay_us)
    }

    fn emit(&mut self, sink: &mut impl FnMut(Frame<'_>)) {
        let dominant = self.mix();
        let mut list: Vec<(u32, &[i16])> = std::mem::take(&mut self.list);
        list.extend(self.tracks.iter().map(|track| (track.id, track.frame())));
        sink(Frame { index: self.next, mixed: &self.mixed, tracks: &list, dominant });
        list.clear();
        // Collecting an emptied vector into one of the same layout keeps its allocation and ends its borrows.
        self.list = list.into_iter().map(|(id, _)| (id, &[][..])).collect();

        self.next += 1;
        self.tracks.retain(|track| !track.is_finished());
    }

    /// Makes the next frame and answers who is heard best in it. Apart from [`emit`](Self::emit), which is compiled
    /// with the sink in the caller's crate, however little that one is optimised.
    fn mix(&mut self) -> Option<u32> {
        let from = self.floor();
        self.sum.fill(0);
        for track in &mut self.tracks {
            track.read(from, &mut self.stats);
            if track.is_heard() {
                for (sum, sample) in self.sum.iter_mut().zip(track.frame()) {
                    *sum += i32::from(*sample);
                }
            }
        }
        let limited = self.limiter.process(&self.sum, &mut self.mixed);
        self.stats.limited_frames += u64::from(limited);
        self.dominant.choose(&self.tracks)
    }
}

/// Nearest sample to a time in microseconds. What is years away is as far away as any other nonsense.
fn to_samples(us: i64) -> i64 {
    const FAR: i64 = 1 << 48;
    (us.clamp(-FAR, FAR) * 48 + 500).div_euclid(1_000)
}
