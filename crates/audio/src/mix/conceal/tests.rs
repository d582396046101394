use proptest::prelude::*;

use super::*;
use crate::tone;

/// A steady vowel: a voice at `hz` with overtones under two formants.
fn vowel(hz: f32, ms: u32) -> Vec<i16> {
    let mut sum = vec![0.0_f32; ms as usize * 48];
    for k in 1..25_u16 {
        let f = hz * f32::from(k);
        let formant = |at: f32, width: f32| (-((f - at) / width).powi(2)).exp();
        let amplitude = 0.05 + formant(600.0, 250.0) + 0.6 * formant(1_200.0, 300.0);
        let phase = f32::from(k * k);
        for (i, slot) in sum.iter_mut().enumerate() {
            *slot += amplitude * (std::f32::consts::TAU * f * i as f32 / 48_000.0 + phase).sin();
        }
    }
    let peak = sum.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    sum.iter().map(|s| (s / peak * 12_000.0).round() as i16).collect()
}

/// The sound with a hole in it, concealed.
fn conceal(sound: &[i16], hole: std::ops::Range<usize>) -> Vec<i16> {
    let mut out = sound.to_vec();
    let mut concealer = Concealer::new();
    concealer.start(sound[..hole.start].last_chunk().unwrap());
    out[hole.clone()].fill(0);
    concealer.fill(&mut out[hole.clone()]);
    concealer.end();
    // In parts, as it comes.
    out[hole.end..].chunks_mut(100).for_each(|part| concealer.blend(part));
    out
}

fn energy(samples: impl IntoIterator<Item = f64>) -> f64 {
    samples.into_iter().map(|s| s * s).sum()
}

/// Energy of what the concealment got wrong, over that of what silence gets wrong.
fn error(sound: &[i16], hole: std::ops::Range<usize>) -> f64 {
    let out = conceal(sound, hole.clone());
    let wrong = energy(out.iter().zip(sound).map(|(out, sound)| f64::from(*out) - f64::from(*sound)));
    wrong / energy(sound[hole].iter().map(|s| f64::from(*s)))
}

fn largest_step(samples: &[i16]) -> u16 {
    samples.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap_or(0)
}

#[test]
fn a_hole_of_20_ms_in_a_vowel_is_far_nearer_to_the_vowel_than_to_silence() {
    for hz in [87.3, 110.0, 133.0, 196.0, 220.0, 311.0, 394.0] {
        let sound = vowel(hz, 300);
        for hole in [4_800..5_760, 5_111..6_071, 7_003..7_963] {
            let error = error(&sound, hole.clone());
            assert!(error < 0.1, "{hz} Hz, {hole:?}: {error:.3} of the error of silence");
        }
    }
}

#[test]
fn what_is_made_up_is_never_louder_than_what_was_before_and_silent_after_60_ms() {
    let sound = vowel(147.0, 400);
    let at = 9_600;
    let out = conceal(&sound, at..sound.len());
    let peak = |samples: &[i16]| samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
    assert!(peak(&out[at..]) <= peak(&sound[at - LONGEST..at]));
    let levels: Vec<f64> =
        out[at..at + LENGTH + 480].chunks(480).map(|c| energy(c.iter().map(|s| f64::from(*s)))).collect();
    assert!(levels.windows(2).all(|w| w[1] <= w[0] * 1.2), "it only falls: {levels:?}");
    assert!(out[at + LENGTH..].iter().all(|s| *s == 0));
    assert!(peak(&out[at + LENGTH - 480..]) < peak(&sound) / 10);
}

#[test]
fn both_edges_are_free_of_clicks() {
    for hz in [87.3, 133.0, 220.0, 394.0] {
        let sound = vowel(hz, 400);
        let natural = largest_step(&sound);
        for (begin, length) in [(4_800, 960), (5_000, 100), (6_001, 480), (7_777, 2_000), (8_000, 4_000)] {
            let out = conceal(&sound, begin..begin + length);
            let found = largest_step(&out);
            assert!(found <= natural + natural / 4, "{hz} Hz, {length} at {begin}: a step of {found}, not {natural}");
        }
    }
}

#[test]
fn silence_stays_silence() {
    let mut concealer = Concealer::new();
    let mut hole = [0; 960];
    concealer.start(&[0; HISTORY]);
    concealer.fill(&mut hole);
    assert!(!concealer.is_sounding() && hole == [0; 960]);
    // Neither does a word come back that was over.
    let mut past = [0; HISTORY];
    past[..HISTORY - SOUNDING].copy_from_slice(&vowel(120.0, 40)[..HISTORY - SOUNDING]);
    concealer.start(&past);
    concealer.fill(&mut hole);
    assert!(hole == [0; 960]);
}

#[test]
fn the_period_is_that_of_the_voice_or_a_multiple() {
    for hz in [55.0, 100.0, 160.0, 200.0, 440.0] {
        let sound = vowel(hz, 100);
        let found = pitch(sound.last_chunk().unwrap()) as f32 * hz / 48_000.0;
        assert!((found - found.round()).abs() < 0.02 * found.round() && found > 0.5, "{hz} Hz: {found} periods");
    }
    assert_eq!(pitch(&[0; HISTORY]), LONGEST);
    assert!(error(&tone::sine(440.0, 300, 0.5, 48_000), 4_800..5_760) < 0.1);
}

proptest! {
    /// Whatever the past is: no panic, never louder, over after 60 ms.
    #[test]
    fn any_past_is_continued_within_its_range(
        past in proptest::collection::vec(prop_oneof![any::<i16>(), -300..300_i16, Just(i16::MIN)], HISTORY),
        hole in 0_usize..4_000,
    ) {
        let mut sound = past.clone();
        sound.resize(HISTORY + 4_000 + MERGE, 0);
        let out = conceal(&sound, HISTORY..HISTORY + hole);
        let peak = past[HISTORY - LONGEST..].iter().map(|s| s.unsigned_abs()).max().unwrap();
        prop_assert!(out[HISTORY..].iter().all(|s| s.unsigned_abs() <= peak));
        prop_assert!(out[HISTORY + LENGTH.min(hole) + MERGE..].iter().all(|s| *s == 0));
    }
}
