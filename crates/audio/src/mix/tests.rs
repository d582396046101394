use proptest::prelude::*;

use super::*;
use crate::{probe, tone};

/// Everything that a mixer gave out.
#[derive(Default)]
struct Heard {
    mixed: Vec<i16>,
    frames: u64,
    dominant: Vec<Option<u32>>,
    tracks: Vec<Vec<u32>>,
    pcm: std::collections::BTreeMap<u32, Vec<i16>>,
}

impl Heard {
    fn advance(&mut self, mixer: &mut Mixer, now_us: i64) {
        mixer.advance(now_us, &mut |frame| {
            assert_eq!(frame.index, self.frames, "frames are numbered without holes");
            self.frames += 1;
            self.mixed.extend_from_slice(frame.mixed);
            self.dominant.push(frame.dominant);
            self.tracks.push(frame.tracks.iter().map(|(id, _)| *id).collect());
            for (id, pcm) in frame.tracks {
                assert_eq!(pcm.len(), FRAME);
                self.pcm.entry(*id).or_default().extend_from_slice(pcm);
            }
        });
    }
}

const START: i64 = 1_700_000_000_000_000;

/// Pushes a track in blocks of 10 ms, in step with the clock, and plays everything.
fn play(mixer: &mut Mixer, heard: &mut Heard, tracks: &[(u32, i64, &[i16])], seconds: i64) {
    for step in 0..seconds * 100 {
        let at = START + step * 10_000;
        for (id, offset, pcm) in tracks {
            let from = usize::try_from(step * 480).unwrap();
            if let Some(block) = pcm.get(from..(from + 480).min(pcm.len())) {
                mixer.push(*id, at + offset, block);
            }
        }
        heard.advance(mixer, at + 10_000);
    }
    heard.advance(mixer, START + seconds * 1_000_000 + 1_000_000);
}

#[test]
fn frames_come_on_time_with_or_without_anything_heard() {
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    heard.advance(&mut mixer, START + 219_999);
    assert_eq!(heard.frames, 0);
    assert_eq!(mixer.next_due_us(), START + 220_000);
    heard.advance(&mut mixer, START + 220_000);
    assert_eq!(heard.frames, 1);
    heard.advance(&mut mixer, START + 10_200_000);
    assert_eq!(heard.frames, 500);
    assert!(heard.mixed.iter().all(|s| *s == 0));
    assert_eq!(heard.dominant.last(), Some(&None));
}

#[test]
fn one_speaker_passes_unchanged_at_the_right_time() {
    let pcm = tone::sine(440.0, 1_000, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    play(&mut mixer, &mut heard, &[(1, 300_000, &pcm)], 1);
    let at = 300 * 48;
    assert!(heard.mixed[..at].iter().all(|s| *s == 0));
    assert!(heard.mixed[at + 100..at + pcm.len() - 100] == pcm[100..pcm.len() - 100]);
    assert!(heard.pcm[&1] == heard.mixed[heard.mixed.len() - heard.pcm[&1].len()..]);
    assert_eq!(mixer.stats(), Stats { frames: heard.frames, tracks: 1, ..Stats::default() });
}

#[test]
fn many_loud_speakers_do_not_clip_and_recover() {
    let voices: Vec<Vec<i16>> =
        (0_u16..8).map(|i| tone::sine(200.0 + 97.0 * f32::from(i), 1_000, 0.9, 48_000)).collect();
    let quiet = tone::sine(1_000.0, 4_000, 0.1, 48_000);
    let mut tracks: Vec<(u32, i64, &[i16])> = (1..).zip(&voices).map(|(id, pcm)| (id, 0, &pcm[..])).collect();
    tracks.push((100, 0, &quiet));
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    play(&mut mixer, &mut heard, &tracks, 4);
    let stats = mixer.stats();
    assert!(stats.limited_frames >= 50 && stats.limited_frames < 110, "{stats:?}");
    // A clipped mix would be flat at full scale.
    assert!(heard.mixed.windows(8).all(|w| w.iter().any(|s| s.unsigned_abs() < 32_700)));
    assert!(probe::goertzel(&heard.mixed[4_800..43_200], 48_000, 200.0) > 0.005);
    // Afterwards the quiet one is exactly as it was.
    assert!(heard.mixed[120_000..180_000] == quiet[120_000..180_000]);
}

#[test]
fn a_gap_fades_to_silence_with_soft_edges_and_is_counted() {
    let pcm = tone::sine(440.0, 1_000, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    for (i, block) in (0_i64..).zip(pcm.chunks(480)) {
        if !(30..40).contains(&i) {
            mixer.push(1, START + i * 10_000, block);
        }
        heard.advance(&mut mixer, START + i * 10_000);
    }
    heard.advance(&mut mixer, START + 2_000_000);
    let stats = mixer.stats();
    assert_eq!((stats.gaps, stats.concealed_samples, stats.concealed_ms()), (1, 4_800, 100));
    assert_eq!(stats.continued_samples, 60 * 48);
    assert!(heard.mixed[36 * 480..40 * 480].iter().all(|s| *s == 0));
    assert!(heard.mixed[40 * 480 + 96..47_000] == pcm[40 * 480 + 96..47_000]);
    assert!(largest_step(&heard.mixed) <= largest_step(&pcm) + 200);
}

fn largest_step(pcm: &[i16]) -> u16 {
    pcm.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap()
}

/// How much of a tone's power is missing or added around a hole of 20 ms.
fn error_of(heard: &[i16], pcm: &[i16]) -> f64 {
    let around = 14_000..16_500;
    let error = |(a, b): (&i16, &i16)| (f64::from(*a) - f64::from(*b)).powi(2);
    heard[around.clone()].iter().zip(&pcm[around]).map(error).sum::<f64>()
        / pcm[14_400..15_360].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>()
}

/// Which blocks come at which.
type Way<'a> = &'a dyn Fn(i64) -> Vec<i64>;

#[test]
fn a_frame_that_is_missing_or_too_late_is_concealed_and_counted() {
    let pcm = tone::sine(440.0, 1_000, 0.5, 48_000);
    // Blocks 30 and 31 never come; come alone after their frame went out at 520 ms; come with all that follows them.
    let lost = 30..32;
    let never = |i: i64| Vec::from_iter((!lost.contains(&i)).then_some(i));
    let late = |i: i64| if i == 55 { vec![30, 31, 55] } else { never(i) };
    let stalled = |i: i64| match i {
        30..53 => Vec::new(),
        53 => (30..54).collect(),
        _ => vec![i],
    };
    let ways: [(Way<'_>, u64); 3] = [(&never, 0), (&late, 960), (&stalled, 960)];
    for (way, dropped) in ways {
        let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
        for i in 0..100 {
            for k in way(i) {
                mixer.push(1, START + k * 10_000, &pcm[k as usize * 480..][..480]);
            }
            heard.advance(&mut mixer, START + i * 10_000);
        }
        heard.advance(&mut mixer, START + 2_000_000);
        let stats = mixer.stats();
        let counts = (stats.gaps, stats.concealed_samples, stats.continued_samples, stats.late_samples);
        assert_eq!(counts, (1, 960, 960, dropped));
        assert!(error_of(&heard.mixed, &pcm) < 0.1, "{}", error_of(&heard.mixed, &pcm));
        let found = largest_step(&heard.mixed);
        let at = heard.mixed.windows(2).position(|w| w[0].abs_diff(w[1]) == found);
        assert!(found <= largest_step(&pcm) * 5 / 4, "a step of {found} at {at:?}");
    }
}

#[test]
fn a_long_pause_is_not_concealment() {
    let pcm = tone::sine(440.0, 100, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    mixer.push(1, START, &pcm);
    heard.advance(&mut mixer, START + 5_000_000);
    mixer.push(1, START + 5_000_000, &pcm);
    heard.advance(&mut mixer, START + 6_000_000);
    assert_eq!((mixer.stats().gaps, mixer.stats().concealed_samples), (0, 0));
    assert_eq!(probe::onsets(&heard.mixed, 48_000, 440.0).len(), 2);
}

#[test]
fn late_data_is_dropped_and_counted_and_the_rest_of_it_is_in_place() {
    let pcm = tone::sine(440.0, 100, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    heard.advance(&mut mixer, START + 260_000);
    assert_eq!(heard.frames, 3);
    mixer.push(1, START + 20_000, &pcm);
    heard.advance(&mut mixer, START + 1_000_000);
    assert_eq!(mixer.stats().late_samples, 40 * 48);
    assert!(heard.mixed[60 * 48 + 96..117 * 48] == pcm[40 * 48 + 96..97 * 48]);
    // All of it late.
    mixer.push(1, START + 120_000, &pcm);
    assert_eq!(mixer.stats().late_samples, 140 * 48);
}

#[test]
fn data_from_far_in_the_future_is_dropped_and_counted() {
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    mixer.push(1, START + 3_600_000_000, &[5_000; 960]);
    heard.advance(&mut mixer, START + 1_000_000);
    assert_eq!(mixer.stats().early_samples, 960);
    mixer.push(1, START + 1_000_000, &[5_000; 960]);
    mixer.remove_track(1);
    heard.advance(&mut mixer, START + 2_000_000);
    assert_eq!(heard.pcm[&1].iter().filter(|s| **s == 5_000).count(), 960 - 2 * 96);
}

#[test]
fn jitter_of_timestamps_does_not_disturb_the_sound() {
    let pcm = tone::sine(440.0, 4_000, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    let mut state = 1_u32;
    for (i, block) in (0_i64..).zip(pcm.chunks(480)) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let jitter = if i == 0 { 0 } else { i64::from(state >> 20) * 2 - 4_096 };
        mixer.push(1, START + i * 10_000 + jitter, block);
        heard.advance(&mut mixer, START + i * 10_000);
    }
    heard.advance(&mut mixer, START + 5_000_000);
    assert!(heard.mixed[96..pcm.len() - 96] == pcm[96..pcm.len() - 96]);
    assert_eq!(mixer.stats().slipped_samples, 0);
}

#[test]
fn a_drifting_clock_is_followed_within_40_ms_without_gaps() {
    // A source that is 0.1 % fast or slow: in ten minutes it would be 600 ms off.
    for ppm in [1_000_i64, -1_000] {
        let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
        let pcm = tone::sine(440.0, 10, 0.5, 48_000);
        let blocks = 60_000;
        let beep = tone::sine(1_000.0, 100, 0.5, 48_000);
        let mut at = 0;
        for i in 0..blocks {
            let last = i >= blocks - 10;
            let block = if last { &beep[(i + 10 - blocks) * 480..][..480] } else { &pcm[..] };
            mixer.push(1, START + at, block);
            at += 10_000 + 10_000 * ppm / 1_000_000;
            heard.mixed.clear();
            if !last {
                heard.advance(&mut mixer, START + at);
            }
        }
        let before = heard.frames;
        heard.advance(&mut mixer, START + at + 1_000_000);
        let stats = mixer.stats();
        assert_eq!((stats.gaps, stats.late_samples, stats.early_samples), (0, 0, 0), "{ppm}: {stats:?}");
        assert!(stats.slipped_samples > 20_000, "{ppm}: {stats:?}");
        let (onset, _) = probe::onsets(&heard.mixed, 48_000, 1_000.0)[0];
        let found = i64::try_from(before).unwrap() * 20 + i64::from(onset);
        let wanted = at / 1_000 - 100;
        assert!((found - wanted).abs() <= 40, "{ppm}: {found} instead of {wanted}");
    }
}

#[test]
fn the_dominant_speaker_is_the_loudest_who_speaks_and_holds_against_equals() {
    let loud = [tone::sine(300.0, 1_000, 0.5, 48_000), tone::silence(2_000, 48_000)].concat();
    let soft = tone::sine(500.0, 3_000, 0.1, 48_000);
    let equal = tone::sine(700.0, 3_000, 0.11, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    play(&mut mixer, &mut heard, &[(7, 0, &soft), (8, 0, &loud)], 3);
    assert_eq!(heard.dominant[0], None);
    assert_eq!(heard.dominant[20], Some(8));
    assert_eq!(heard.dominant[100], Some(7));
    let changes = heard.dominant.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(changes, 3, "nobody, the loud one, the soft one, nobody");

    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    play(&mut mixer, &mut heard, &[(1, 0, &soft), (2, 400_000, &equal)], 3);
    assert_eq!(heard.dominant[100], Some(1));
}

#[test]
fn a_removed_track_plays_out_and_is_gone() {
    let pcm = tone::sine(440.0, 100, 0.5, 48_000);
    let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
    mixer.push(3, START, &pcm);
    mixer.push(4, START, &pcm);
    mixer.remove_track(3);
    mixer.remove_track(99);
    heard.advance(&mut mixer, START + 500_000);
    assert_eq!(heard.tracks[4], [3, 4]);
    assert_eq!(heard.tracks[5], [4]);
    assert!(heard.pcm[&3][96..4_704] == pcm[96..4_704] && heard.pcm[&3][4_799].abs() < 100);
    // Nobody knows that the other one has ended, too.
    assert!(heard.pcm[&4][96..4_800] == pcm[96..4_800] && heard.pcm[&4][4_900] != 0);
}

proptest! {
    /// Whatever comes, however wrong its timestamps: frames are complete and on time and nothing panics.
    #[test]
    fn any_input_gives_regular_frames(
        blocks in proptest::collection::vec((0_u32..4, -500_000_i64..3_000_000, 0_usize..5_000, any::<i16>(), 0_i64..100_000), 0..60),
    ) {
        let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
        let mut now = START;
        for (track, at, length, value, wait) in blocks {
            mixer.push(track, START + at, &vec![value; length]);
            now += wait;
            heard.advance(&mut mixer, now);
            let due = u64::try_from((now - START - 200_000).max(0) / 20_000).unwrap();
            prop_assert_eq!(heard.frames, due);
        }
        mixer.push(0, i64::MIN, &[1; 960]);
        mixer.push(0, i64::MAX, &[1; 960]);
        heard.advance(&mut mixer, now + 1_000_000);
        prop_assert_eq!(heard.mixed.len() as u64, heard.frames * 960);
    }
}

#[test]
fn losses_too_short_to_be_told_from_jitter_do_not_add_up() {
    // A loud moment every second in a sound that never stops, so that no silence lets time be made up.
    let mut pcm = tone::sine(440.0, 60_000, 0.2, 48_000);
    let moment = tone::sine(440.0, 20, 0.8, 48_000);
    let moments: Vec<usize> = (1..59).map(|second| second * 48_000 + 1_234).collect();
    moments.iter().for_each(|at| pcm[*at..][..moment.len()].copy_from_slice(&moment));
    for every in [20, 100] {
        let (mut mixer, mut heard) = (Mixer::new(START), Heard::default());
        let mut lost = 0;
        for (i, block) in (0_i64..).zip(pcm.chunks(480)) {
            // Never one with a loud moment in it.
            if i % every == every / 2 {
                lost += 1;
            } else {
                mixer.push(1, START + i * 10_000, block);
            }
            heard.advance(&mut mixer, START + (i + 1) * 10_000);
        }
        heard.advance(&mut mixer, START + 61_000_000);
        for at in &moments {
            let around = at - 9_600..at + 9_600;
            let first = around.clone().find(|i| heard.mixed[*i].unsigned_abs() > 16_000);
            let off = first.map(|i| i.abs_diff(*at));
            assert!(off.is_some_and(|off| off <= 40 * 48), "every {every}th: {off:?} samples off at {at}");
        }
        // Five of 10 ms are a hole of more than 40 ms.
        assert!(mixer.stats().gaps >= lost / 5, "{:?}, {lost} lost", mixer.stats());
    }
}
