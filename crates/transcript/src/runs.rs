//! Finds the stretches of a recorded track that are worth recognising.
//!
//! A finished track can be looked at as a whole, so the threshold follows from its own noise. In doubt a stretch counts
//! as speech: a missed word is worse than a recogniser that hears nothing.

use std::ops::Range;

use crate::SAMPLES_PER_MS;

const FRAME_SAMPLES: usize = 20 * SAMPLES_PER_MS;
const FRAMES_PER_SECOND: usize = 50;
/// Quieter frames say nothing about a track's noise: digital silence, or none.
const SILENT_DBFS: f32 = -80.0;
/// How far speech is above the noise.
const ABOVE_NOISE_DB: f32 = 9.0;
/// The threshold's range. Speech at ordinary level is never below the upper end.
const THRESHOLD_DBFS: (f32, f32) = (-55.0, -40.0);
/// Loud frames within this distance belong together.
const HANGOVER_FRAMES: usize = 15;
/// Fewer loud frames in a run are a click.
const MIN_LOUD_FRAMES: usize = 4;
/// Kept around a run.
const PADDING_FRAMES: usize = 10;
/// Runs closer than this go to the recogniser together, with the silence between them, so that it has context.
const JOIN_FRAMES: usize = FRAMES_PER_SECOND;
/// The longest piece, and the earliest place to cut a longer one.
const MAX_FRAMES: usize = 25 * FRAMES_PER_SECOND;
const CUT_FROM_FRAMES: usize = 15 * FRAMES_PER_SECOND;

/// The pieces of `pcm16k` to recognise, as ranges of samples: in order, not overlapping, at most 25 s each.
pub(crate) fn pieces(pcm16k: &[i16]) -> Vec<Range<usize>> {
    let levels: Vec<f32> = pcm16k.chunks(FRAME_SAMPLES).map(level_dbfs).collect();
    let runs = loud_runs(&levels, threshold(&levels));
    join(&padded(&runs, levels.len()))
        .into_iter()
        .flat_map(|run| cut(&levels, run))
        .map(|run| run.start * FRAME_SAMPLES..(run.end * FRAME_SAMPLES).min(pcm16k.len()))
        .collect()
}

fn level_dbfs(frame: &[i16]) -> f32 {
    let power: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / frame.len() as f64;
    (10.0 * (power.max(1e-9) / f64::from(i16::MAX).powi(2)).log10()) as f32
}

fn threshold(levels: &[f32]) -> f32 {
    let mut heard: Vec<f32> = levels.iter().copied().filter(|level| *level > SILENT_DBFS).collect();
    heard.sort_by(f32::total_cmp);
    let noise = heard.get(heard.len() / 10).copied().unwrap_or(SILENT_DBFS);
    (noise + ABOVE_NOISE_DB).clamp(THRESHOLD_DBFS.0, THRESHOLD_DBFS.1)
}

fn loud_runs(levels: &[f32], threshold: f32) -> Vec<Range<usize>> {
    let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
    for (index, _) in levels.iter().enumerate().filter(|(_, level)| **level >= threshold) {
        match runs.last_mut() {
            Some((run, loud)) if index - run.end <= HANGOVER_FRAMES => {
                run.end = index + 1;
                *loud += 1;
            }
            _ => runs.push((index..index + 1, 1)),
        }
    }
    runs.into_iter().filter(|(_, loud)| *loud >= MIN_LOUD_FRAMES).map(|(run, _)| run).collect()
}

fn padded(runs: &[Range<usize>], frames: usize) -> Vec<Range<usize>> {
    runs.iter()
        .enumerate()
        .map(|(index, run)| {
            let before = index.checked_sub(1).map_or(0, |before| runs[before].end.midpoint(run.start));
            let after = runs.get(index + 1).map_or(frames, |after| run.end.midpoint(after.start));
            run.start.saturating_sub(PADDING_FRAMES).max(before)..(run.end + PADDING_FRAMES).min(after)
        })
        .collect()
}

fn join(runs: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start - last.end < JOIN_FRAMES && run.end - last.start <= MAX_FRAMES => {
                last.end = run.end
            }
            _ => joined.push(run.clone()),
        }
    }
    joined
}

/// Cuts a run that is too long at its quietest places.
fn cut(levels: &[f32], mut run: Range<usize>) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    while run.len() > MAX_FRAMES {
        let window = run.start + CUT_FROM_FRAMES..run.start + MAX_FRAMES;
        let quietest = window.min_by(|a, b| levels[*a].total_cmp(&levels[*b])).expect("the window is not empty");
        out.push(run.start..quietest);
        run.start = quietest;
    }
    out.push(run);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stretches of (amplitude, milliseconds) of a square wave.
    fn audio(stretches: &[(i16, usize)]) -> Vec<i16> {
        let wave = |amplitude: i16| move |index: usize| if index % 20 < 10 { amplitude } else { -amplitude };
        stretches.iter().flat_map(|(amplitude, ms)| (0..ms * SAMPLES_PER_MS).map(wave(*amplitude))).collect()
    }

    fn in_ms(pcm: &[i16]) -> Vec<(usize, usize)> {
        pieces(pcm).into_iter().map(|range| (range.start / SAMPLES_PER_MS, range.end / SAMPLES_PER_MS)).collect()
    }

    #[test]
    fn speech_is_found_with_a_little_around_it() {
        assert_eq!(in_ms(&audio(&[(0, 2000), (3000, 1000), (0, 2000)])), [(1800, 3200)]);
        assert_eq!(in_ms(&audio(&[(20, 2000), (3000, 1000), (20, 2000)])), [(1800, 3200)]);
        assert_eq!(in_ms(&audio(&[(3000, 1000)])), [(0, 1000)]);
        assert_eq!(in_ms(&audio(&[(0, 2000), (3000, 40), (0, 2000)])), []);
        assert_eq!(in_ms(&[]), []);
    }

    #[test]
    fn near_stretches_go_together_and_far_ones_do_not() {
        let near = audio(&[(3000, 1000), (0, 1300), (3000, 1000)]);
        assert_eq!(in_ms(&near), [(0, 3300)]);
        let far = audio(&[(3000, 1000), (0, 1500), (3000, 1000)]);
        assert_eq!(in_ms(&far), [(0, 1200), (2300, 3500)]);
        let long = audio(&[(3000, 20_000), (0, 800), (3000, 6000)]);
        assert_eq!(in_ms(&long), [(0, 20_200), (20_600, 26_800)]);
    }

    #[test]
    fn a_monologue_is_cut_where_it_is_quietest() {
        let pcm = audio(&[(3000, 18_000), (900, 40), (3000, 12_000)]);
        assert_eq!(in_ms(&pcm), [(0, 18_000), (18_000, 30_040)]);
    }

    proptest! {
        // Each case is up to 100 s of audio.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_are_in_order_and_bounded(
            stretches in prop::collection::vec((prop::sample::select(vec![0i16, 30, 400, 8000]), 1usize..9000), 0..12)
        ) {
            let pcm = audio(&stretches);
            let pieces = pieces(&pcm);
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for piece in &pieces {
                prop_assert!(!piece.is_empty() && piece.end <= pcm.len());
                prop_assert!(piece.len() <= MAX_FRAMES * FRAME_SAMPLES);
            }
            let loud = |pcm: &[i16]| pcm.iter().filter(|s| s.abs() == 8000).count();
            let kept: usize = pieces.iter().map(|piece| loud(&pcm[piece.clone()])).sum();
            let clicks = stretches.iter().filter(|s| s.0 == 8000).count() * MIN_LOUD_FRAMES * FRAME_SAMPLES;
            prop_assert!(kept + clicks >= loud(&pcm));
        }
    }
}
