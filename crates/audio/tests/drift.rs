//! Four hours of a call whose participants' clocks differ, in virtual time.
#![expect(clippy::unwrap_used, reason = "tests")]

use muster_audio::mix::Mixer;
use muster_audio::{FRAME, probe, tone};

const START: i64 = 1_700_000_000_000_000;
/// Blocks of 20 ms in four hours.
const BLOCKS: u64 = 4 * 60 * 60 * 50;
/// A marker of 100 ms every two minutes.
const MARKER_EVERY: u64 = 6_000;
const MARKER: u64 = 5;
/// What drifts sounds all the time: there is no silence in which time could be made up.
const HUM: i16 = 200;

/// A participant whose 48,000 samples last a second and `ppm` microseconds of the true time.
struct Source {
    id: u32,
    ppm: i64,
    hz: f32,
    /// Blocks so far.
    block: u64,
    marker: Vec<i16>,
    hum: Vec<i16>,
    heard: Vec<i16>,
}

impl Source {
    fn new(id: u32, ppm: i64, hz: f32) -> Self {
        let marker = tone::sine(hz, 100, 0.4, 48_000);
        let hum = tone::sine(150.0, 20, f32::from(HUM) / 32_768.0, 48_000);
        Self { id, ppm, hz, block: 0, marker, hum, heard: Vec::new() }
    }

    /// When a block was heard in truth.
    fn at_us(&self, block: u64) -> i64 {
        let block = i64::try_from(block).unwrap();
        block * 20_000 + block * 20_000 * self.ppm / 1_000_000
    }

    /// Pushes what was heard by now.
    fn push(&mut self, mixer: &mut Mixer, now_us: i64) {
        while self.at_us(self.block + 1) <= now_us {
            let part = self.block % MARKER_EVERY;
            let pcm = if part < MARKER { &self.marker[part as usize * FRAME..][..FRAME] } else { &self.hum[..] };
            mixer.push(self.id, START + self.at_us(self.block), pcm);
            self.block += 1;
        }
    }

    /// Checks the marker that was heard in the frames around one that begins at `frame`.
    fn check(&mut self, marker: u64, first_frame: u64) {
        let found = probe::onsets(&self.heard, 48_000, self.hz);
        let [(begin, end)] = found[..] else { panic!("track {}, marker {marker}: {found:?}", self.id) };
        let length = end - begin;
        let truth = self.at_us(marker * MARKER_EVERY) / 1_000;
        let begin = i64::try_from(first_frame).unwrap() * 20 + i64::from(begin);
        assert!((begin - truth).abs() <= 40, "track {}, marker {marker}: at {begin}, not {truth}", self.id);
        assert!((90..=110).contains(&length), "track {}, marker {marker}: {length} ms long", self.id);
        self.heard.clear();
    }
}

#[test]
fn tracks_that_drift_apart_for_four_hours_stay_within_40_ms() {
    let mut mixer = Mixer::new(START);
    let mut sources = [Source::new(1, 200, 700.0), Source::new(2, -200, 900.0), Source::new(3, 0, 1_100.0)];
    let mut markers = 0;
    // Frames are kept from 200 ms before a marker is due to 400 ms after.
    let (before, kept) = (10, 30);
    for tick in 0..=BLOCKS {
        let now = i64::try_from(tick).unwrap() * 20_000;
        for source in &mut sources {
            source.push(&mut mixer, now);
        }
        mixer.advance(START + now, &mut |frame| {
            // The true time of a marker moves by up to 2.9 s; the frames kept move with it.
            for source in &mut sources {
                let (_, pcm) = frame.tracks.iter().find(|(id, _)| *id == source.id).unwrap();
                let marker = (frame.index + MARKER_EVERY / 2) / MARKER_EVERY;
                let due = u64::try_from(source.at_us(marker * MARKER_EVERY) / 20_000).unwrap();
                let Some(first) = due.checked_sub(before) else { continue };
                if (first..first + kept).contains(&frame.index) {
                    source.heard.extend_from_slice(pcm);
                }
                if frame.index == first + kept {
                    source.check(marker, first);
                    markers += 1;
                }
            }
        });
    }
    // The fast clock's last one comes 2.9 s before the end.
    assert_eq!(markers, 3 * (BLOCKS / MARKER_EVERY - 1) + 1, "every marker of everybody was heard");
    let stats = mixer.stats();
    assert_eq!((stats.gaps, stats.late_samples, stats.early_samples), (0, 0, 0), "{stats:?}");
    // 200 ppm of four hours are 138,240 samples; the clock that is right needs none.
    let wanted = 2 * BLOCKS * FRAME as u64 * 200 / 1_000_000;
    assert!(stats.slipped_samples.abs_diff(wanted) <= 2 * 480, "{} slipped, not {wanted}", stats.slipped_samples);
}
