//! Two hours of a call of twelve, in virtual time, from stamped blocks to the finalised recording.

use std::sync::Arc;

use muster_audio::codec::Decoder;
use muster_audio::mix::Mixer;
use muster_audio::{FRAME, ogg, probe, tone};
use muster_recording::{TrackId, Writer, finalise};
use object_store::ObjectStoreExt;

use crate::support::{START_MS, get, layout, memory, prefix};

const SPEAKERS: i64 = 12;
const SECOND_US: i64 = 1_000_000;
const BLOCK_US: i64 = 20_000;
const CALL_US: i64 = 2 * 60 * 60 * SECOND_US;
const START_US: i64 = START_MS * 1_000;
/// Blocks of a marker: 200 ms of a tone that nothing else has.
const MARKER: i64 = 10;
/// Everybody says something of 3 s every 4 minutes, one after the other.
const TURN_US: i64 = 240 * SECOND_US;
const SAYS_US: i64 = 3 * SECOND_US;
/// How late a block is that comes alone after its frame has gone out, in blocks.
const LATE: i64 = 15;
/// Blocks that come together after a stall. The mixer waits for longer than that.
const STALL: i64 = 7;

/// What really happened, as far as the mixer is to count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Truth {
    gaps: u64,
    missing: u64,
    late: u64,
}

struct Speaker {
    id: i64,
    ppm: i64,
    /// When they are there, in microseconds from the start, and how many of these visits are over.
    visits: Vec<(i64, i64)>,
    visit: usize,
    /// When each marker is to begin; when it did.
    markers: [i64; 3],
    played: Vec<i64>,
    voice: Vec<i16>,
    marker: Vec<i16>,
    random: u32,
    /// Blocks of this visit so far.
    block: i64,
    /// Blocks left of the marker that is played.
    marking: i64,
    /// Blocks left of the loss or stall that goes on.
    lost: i64,
    stalled: i64,
    held: Vec<(i64, i64)>,
    late: Vec<(i64, i64)>,
    /// Missing since the last block that came.
    missing: u64,
}

impl Speaker {
    fn new(id: i64) -> Self {
        let (minute, hz) = (60 * SECOND_US, 180.0 + 13.0 * id as f32);
        let visits = match id % 4 {
            0 => vec![(0, CALL_US)],
            1 => vec![(id * minute, CALL_US - id * minute)],
            2 => vec![(0, 50 * minute), (65 * minute + 7_000, CALL_US)],
            _ => vec![(id * 2 * minute + 3_000, 30 * minute), (40 * minute, 110 * minute)],
        };
        let (first, last) = (visits[0].0, visits[visits.len() - 1].1);
        let own = 3 * id * SECOND_US;
        let mut voice = tone::sine(hz, 1_000, 0.2, 48_000);
        voice.iter_mut().zip(tone::sine(3.0 * hz, 1_000, 0.1, 48_000)).for_each(|(a, b)| *a += b);
        Self {
            id,
            ppm: (id - 6) * 200 / 6 + i64::from(id == 11) * 34,
            visits,
            visit: 0,
            markers: [first + 20 * SECOND_US + own, 70 * minute + own, last - minute - own],
            played: Vec::new(),
            voice,
            marker: tone::sine(marker_hz(id), 200, 0.3, 48_000),
            random: id as u32 + 1,
            block: 0,
            marking: 0,
            lost: 0,
            stalled: 0,
            held: Vec::new(),
            late: Vec::new(),
            missing: 0,
        }
    }

    fn random(&mut self, below: u32) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.random >> 8) % below
    }

    /// Everything that has happened by `now`.
    fn live(&mut self, mixer: &mut Mixer, now: i64, truth: &mut Truth) {
        while let Some((joined, left)) = self.visits.get(self.visit).copied() {
            let at = joined + self.block * BLOCK_US + self.block * BLOCK_US * self.ppm / SECOND_US;
            if at + BLOCK_US > left.min(now) {
                if left <= now {
                    self.deliver_held(mixer, truth);
                    self.late.clear();
                    mixer.remove_track(self.id as u32);
                    (self.visit, self.block, self.missing, self.stalled, self.lost) = (self.visit + 1, 0, 0, 0, 0);
                    continue;
                }
                return;
            }
            self.send(mixer, at, truth);
            self.block += 1;
        }
    }

    /// One block on its way.
    fn send(&mut self, mixer: &mut Mixer, at: i64, truth: &mut Truth) {
        if self.played.len() < 3 && self.markers[self.played.len()] < at + BLOCK_US {
            self.played.push(at);
            self.marking = MARKER;
        }
        let part = MARKER - self.marking;
        self.marking = (self.marking - 1).max(0);
        let steady = part < MARKER || self.markers.iter().any(|marker| (marker - at).abs() < 10 * BLOCK_US);
        let chance = self.random(6_000);
        if let Some((_, at)) = self.late.pop_if(|(block, _)| *block <= self.block) {
            mixer.push(self.id as u32, self.stamp(at), &[1; FRAME]);
            truth.late += FRAME as u64;
        }
        if self.lost > 0 && !steady {
            self.lost -= 1;
            self.missing += 1;
            return;
        }
        match chance {
            // Bursts of three on average, so one block in a hundred is lost.
            0..20 if !steady && self.stalled == 0 => {
                self.lost = i64::from(self.random(5));
                self.missing += 1;
                return;
            }
            20..23 if !steady && self.stalled == 0 && self.late.is_empty() => {
                self.late.push((self.block + LATE, at));
                self.missing += 1;
                return;
            }
            23..26 if !steady && self.stalled == 0 => self.stalled = STALL,
            _ => {}
        }
        if self.stalled > 0 {
            self.held.push((at, part));
            self.stalled -= 1;
            if self.stalled == 0 {
                self.deliver_held(mixer, truth);
            }
            return;
        }
        self.deliver(mixer, at, part, truth);
    }

    fn deliver_held(&mut self, mixer: &mut Mixer, truth: &mut Truth) {
        for (at, part) in std::mem::take(&mut self.held) {
            self.deliver(mixer, at, part, truth);
        }
    }

    fn deliver(&mut self, mixer: &mut Mixer, at: i64, part: i64, truth: &mut Truth) {
        if self.missing > 0 && (self.missing as i64) < self.block {
            truth.gaps += 1;
            truth.missing += self.missing * FRAME as u64;
        }
        self.missing = 0;
        let stamp = self.stamp(at);
        let says = (at + self.id * TURN_US / SPEAKERS) % TURN_US < SAYS_US;
        let pcm = match part {
            MARKER if says => &self.voice[(self.block % 50) as usize * FRAME..][..FRAME],
            MARKER => &[0; FRAME],
            part => &self.marker[part as usize * FRAME..][..FRAME],
        };
        mixer.push(self.id as u32, stamp, pcm);
    }

    /// When a block was heard, as well as can be told: within 2 ms.
    fn stamp(&mut self, at: i64) -> i64 {
        START_US + (at + i64::from(self.random(4_000)) - 2_000).max(0)
    }
}

fn marker_hz(id: i64) -> f32 {
    2_000.0 + 150.0 * id as f32
}

/// Two seconds of a recording around a time in milliseconds, and when they begin.
fn around(stream: &ogg::Stream, ms: i64) -> (i64, Vec<i16>) {
    // A decoder that begins anywhere is right after a few packets.
    const SETTLE: usize = 10;
    let first = usize::try_from(ms / 20 - 50).unwrap_or(0).max(SETTLE);
    let mut decoder = Decoder::new().unwrap();
    let packets = stream.packets[first - SETTLE..].iter().take(SETTLE + 100);
    let pcm: Vec<i16> = packets.flat_map(|packet| decoder.decode(packet).unwrap().to_vec()).collect();
    let begin = SETTLE * FRAME + usize::from(stream.pre_skip);
    (first as i64 * 20, pcm[begin..].to_vec())
}

#[tokio::test]
async fn two_hours_of_twelve_who_drift_and_lose_and_come_and_go_are_in_place() {
    let store = memory();
    let mut layout = layout(1, 0);
    layout.segment_seconds = 5;
    let mut writer = Writer::open(Arc::clone(&store), layout);
    let mut mixer = Mixer::new(START_US);
    let mut speakers: Vec<Speaker> = (0..SPEAKERS).map(Speaker::new).collect();
    let ids: Vec<TrackId> = (0..SPEAKERS).map(|id| TrackId::new(&format!("p{id}"), &format!("P {id}"))).collect();
    let mut truth = Truth::default();
    for tick in 0..=CALL_US / BLOCK_US {
        let now = tick * BLOCK_US;
        for speaker in &mut speakers {
            speaker.live(&mut mixer, now, &mut truth);
        }
        // The rest at the end, without waiting.
        let until = if now == CALL_US { now + SECOND_US / 5 } else { now };
        mixer.advance(START_US + until, &mut |frame| {
            let tracks: Vec<(TrackId, &[i16])> =
                frame.tracks.iter().map(|(id, pcm)| (ids[*id as usize].clone(), *pcm)).collect();
            writer.frame(frame.mixed, &tracks);
        });
        if tick % 1_000 == 0 {
            writer.idle().await;
        }
    }
    let stats = mixer.stats();
    assert_eq!((stats.gaps, stats.late_samples, stats.early_samples), (truth.gaps, truth.late, 0), "{stats:?}");
    assert!(truth.gaps > 10_000 && truth.late > 100 * FRAME as u64, "{truth:?}");
    // Every hole takes up what the clock was off just then: up to 5 ms of drift, 2 ms of jitter.
    let off = stats.concealed_samples.abs_diff(truth.missing);
    assert!(off < truth.missing / 100, "{} samples concealed, {} missing", stats.concealed_samples, truth.missing);

    let written = writer.close().await;
    assert_eq!((written.recorded_ms, written.segments_dropped, written.tracks_refused), (7_200_000, 0, 0));
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    assert!(manifest.duration_ms.abs_diff(7_200_000) <= 40, "{} ms", manifest.duration_ms);
    assert_eq!((manifest.gaps.len(), manifest.segments_skipped, manifest.participants.len()), (0, 0, 12));

    let stream = ogg::read(&get(&store, "audio.ogg").await).unwrap();
    for Speaker { id, ppm, played, .. } in &speakers {
        assert_eq!(played.len(), 3);
        for truth in played.iter().map(|at| at / 1_000) {
            let (begin, pcm) = around(&stream, truth);
            let found = probe::onsets(&pcm, 48_000, marker_hz(*id));
            let [(from, to)] = found[..] else { panic!("{id} at {truth}: {found:?}") };
            let off = begin + i64::from(from) - truth;
            assert!(off.abs() <= 40, "speaker {id} ({ppm} ppm): {off} ms off at {truth} ms");
            assert!((180..=220).contains(&(to - from)), "speaker {id}: {} ms long", to - from);
            // Their own track has it, too.
            let place = u64::try_from(truth).unwrap();
            let own = manifest.participants.iter().filter(|p| p.id == ids[*id as usize].id()).flat_map(|p| &p.streams);
            let inside =
                |s: &&muster_recording::Segment| s.start_ms <= place + 40 && place < s.start_ms + s.duration_ms;
            let segment = own.flat_map(|stream| &stream.segments).find(inside);
            let segment = segment.unwrap_or_else(|| panic!("speaker {id} at {truth} ms: no segment"));
            let file = store.get(&segment.path).await.unwrap().bytes().await.unwrap();
            let found = probe::onsets(&ogg::decode(&file).unwrap(), 48_000, marker_hz(*id));
            let near = |(from, _): &(u32, u32)| (segment.start_ms + u64::from(*from)).abs_diff(place) <= 40;
            assert!(found.iter().any(near), "speaker {id} at {truth} ms: {found:?} from {} ms", segment.start_ms);
        }
    }
}
