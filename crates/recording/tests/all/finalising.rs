use std::sync::Arc;

use muster_audio::probe;
use muster_recording::{Error, Finalised, Gap, Writer, delete_all, finalise, load_manifest, storage};
use muster_session::Timestamp;
use object_store::ObjectStore;
use proptest::prelude::*;
use url::Url;

use crate::support::{START_MS, audio, counting, feed, get, layout, memory, objects, plan, prefix, put, second_hz};

/// Records and closes one attempt.
async fn record(store: &Arc<dyn ObjectStore>, attempt: u32, after_ms: i64, mixed: &[i16]) {
    let mut writer = Writer::open(Arc::clone(store), layout(attempt, after_ms));
    feed(&mut writer, mixed, &[]);
    let stats = writer.close().await;
    assert_eq!(stats.segments_dropped, 0);
}

/// Records one attempt whose process is killed at the end.
async fn record_killed(store: &Arc<dyn ObjectStore>, attempt: u32, after_ms: i64, mixed: &[i16]) {
    let mut writer = Writer::open(Arc::clone(store), layout(attempt, after_ms));
    feed(&mut writer, mixed, &[]);
    writer.idle().await;
    drop(writer);
}

fn assert_onset(pcm: &[i16], hz: f32, want: &[(u32, u32)]) {
    let found = probe::onsets(pcm, 48_000, hz);
    assert_eq!(found.len(), want.len(), "{hz} Hz: {found:?}, not {want:?}");
    for (found, want) in found.iter().zip(want) {
        let near = found.0.abs_diff(want.0) <= 20 && found.1.abs_diff(want.1) <= 20;
        assert!(near, "{hz} Hz: {found:?}, not {want:?}");
    }
}

#[tokio::test]
async fn a_recording_has_every_tone_at_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = storage::open(&Url::from_directory_path(dir.path()).unwrap()).unwrap();
    let mixed =
        plan(12_340, &[(440.0, 700, 1_700), (880.0, 1_950, 2_050), (440.0, 4_990, 11_010), (620.0, 12_000, 12_340)]);
    record(&store, 1, 0, &mixed).await;
    let Finalised { manifest, .. } = finalise(&store, &prefix()).await.unwrap();
    assert_eq!((manifest.duration_ms, manifest.segments, manifest.segments_skipped), (12_340, 13, 0));
    assert_eq!(manifest.started_at, Some(Timestamp::from_millis(START_MS)));
    assert!(manifest.gaps.is_empty());
    let pcm = audio(&store).await;
    assert_eq!(pcm.len(), mixed.len());
    assert_onset(&pcm, 440.0, &[(700, 1_700), (4_990, 11_010)]);
    assert_onset(&pcm, 880.0, &[(1_950, 2_050)]);
    assert_onset(&pcm, 620.0, &[(12_000, 12_340)]);
    assert_eq!(load_manifest(&store, &prefix()).await.unwrap(), manifest);
    let file = manifest.audio.unwrap();
    assert_eq!(std::fs::metadata(dir.path().join(file.path.as_ref())).unwrap().len(), file.bytes);
}

#[tokio::test]
async fn joining_leaves_no_seams() {
    let store = memory();
    let tone = plan(10_000, &[(300.0, 0, 10_000)]);
    record(&store, 1, 0, &tone).await;
    finalise(&store, &prefix()).await.unwrap();
    let pcm = audio(&store).await;
    // A seam would be a step; what one encoder made in one go has none.
    let step = |pcm: &[i16]| pcm.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
    assert!(step(&pcm[4_800..]) < step(&tone) * 3 / 2, "{} and {}", step(&pcm[4_800..]), step(&tone));
}

#[tokio::test]
async fn finalising_again_gives_the_same_bytes_also_at_the_same_time() {
    let store = memory();
    record_killed(&store, 1, 0, &counting(3_700)).await;
    record(&store, 2, 8_000, &counting(2_500)).await;
    let first = finalise(&store, &prefix()).await.unwrap();
    let before = objects(&store).await;
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { finalise(&store, &prefix()).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), first);
    }
    assert_eq!(objects(&store).await, before);
}

#[tokio::test]
async fn attempts_are_joined_at_their_times_with_silence_between() {
    let store = memory();
    record_killed(&store, 1, 0, &plan(3_500, &[(440.0, 500, 1_500)])).await;
    record(&store, 2, 10_000, &plan(2_000, &[(880.0, 500, 1_500)])).await;
    let Finalised { manifest, .. } = finalise(&store, &prefix()).await.unwrap();
    assert_eq!(manifest.duration_ms, 12_000);
    assert_eq!(manifest.gaps, [Gap { at_ms: 3_000, duration_ms: 7_000 }]);
    let pcm = audio(&store).await;
    assert_eq!(pcm.len(), 12 * 48_000);
    assert_onset(&pcm, 440.0, &[(500, 1_500)]);
    assert_onset(&pcm, 880.0, &[(10_500, 11_500)]);
    assert!(pcm[3_100 * 48..9_900 * 48].iter().all(|s| s.unsigned_abs() <= 2));
}

#[tokio::test]
async fn an_attempt_whose_clock_is_behind_follows_directly() {
    let store = memory();
    record(&store, 1, 0, &plan(3_000, &[(440.0, 500, 1_500)])).await;
    record(&store, 2, -60_000, &plan(2_000, &[(880.0, 500, 1_500)])).await;
    let Finalised { manifest, .. } = finalise(&store, &prefix()).await.unwrap();
    assert_eq!((manifest.duration_ms, manifest.gaps.len()), (5_000, 0));
    assert_onset(&audio(&store).await, 880.0, &[(3_500, 4_500)]);
}

#[tokio::test]
async fn damaged_segments_are_left_out_and_counted() {
    let store = memory();
    record(&store, 1, 0, &counting(8_000)).await;
    let mut bytes = get(&store, "a1/mixed/000002.ogg").await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    put(&store, "a1/mixed/000002.ogg", bytes).await;
    let bytes = get(&store, "a1/mixed/000004.ogg").await;
    put(&store, "a1/mixed/000004.ogg", bytes[..bytes.len() - 300].to_vec()).await;
    put(&store, "a1/mixed/000006.ogg", Vec::new()).await;
    put(&store, "a1/events/000009.jsonl", b"{\"torn".to_vec()).await;
    put(&store, "a1/mixed/notes.txt", b"not a segment".to_vec()).await;
    let Finalised { manifest, .. } = finalise(&store, &prefix()).await.unwrap();
    assert_eq!((manifest.duration_ms, manifest.segments, manifest.segments_skipped), (8_000, 5, 4));
    let holes: Vec<u64> = manifest.gaps.iter().map(|gap| gap.at_ms).collect();
    assert_eq!(holes, [2_000, 4_000, 6_000]);
    let pcm = audio(&store).await;
    for second in [0, 1, 3, 5, 7] {
        let inside = &pcm[second as usize * 48_000 + 4_800..][..38_400];
        let hz = probe::dominant_frequency(inside, 48_000);
        assert!((hz - second_hz(second)).abs() < 2.0, "second {second}: {hz}");
    }
    assert!(pcm[2_100 * 48..2_950 * 48].iter().all(|s| s.unsigned_abs() <= 2));
}

#[tokio::test]
async fn nothing_and_nothing_readable_are_told_apart() {
    let store = memory();
    assert!(matches!(finalise(&store, &prefix()).await, Err(Error::Empty)));
    assert!(matches!(load_manifest(&store, &prefix()).await, Err(Error::NotFinalised)));
    put(&store, "a1/mixed/000000.ogg", b"rubbish".to_vec()).await;
    assert!(matches!(finalise(&store, &prefix()).await, Err(Error::Corrupt { segments: 1 })));
    assert!(objects(&store).await.keys().all(|path| !path.ends_with("audio.ogg")), "a failed join leaves no recording");
}

#[tokio::test]
async fn deleting_takes_everything_of_the_bot_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = storage::open(&Url::from_directory_path(dir.path()).unwrap()).unwrap();
    record(&store, 1, 0, &counting(2_500)).await;
    finalise(&store, &prefix()).await.unwrap();
    std::fs::create_dir_all(dir.path().join("recordings/default/bottle")).unwrap();
    std::fs::write(dir.path().join("recordings/default/bottle/audio.ogg"), b"x").unwrap();
    assert_eq!(delete_all(&store, &prefix()).await.unwrap(), 3 + 1 + 2);
    assert_eq!(delete_all(&store, &prefix()).await.unwrap(), 0);
    let left: Vec<String> = objects(&store).await.into_keys().collect();
    assert_eq!(left, ["recordings/default/bottle/audio.ogg"]);
    assert!(!dir.path().join("recordings/default/bot").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Invariant: a process that is killed at any moment loses at most the segment it was working on.
    #[test]
    fn a_writer_killed_at_any_frame_loses_at_most_one_segment(frames in 0_u32..420) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = memory();
            let mixed = counting(frames * 20);
            record_killed(&store, 1, 0, &mixed).await;
            let done = finalise(&store, &prefix()).await;
            if frames < 50 {
                assert!(matches!(done, Err(Error::Empty)));
                return;
            }
            let manifest = done.unwrap().manifest;
            let recorded = u64::from(frames) * 20;
            assert!(manifest.duration_ms <= recorded && recorded - manifest.duration_ms < 1_000);
            assert!(manifest.gaps.is_empty());
            let pcm = audio(&store).await;
            assert_eq!(pcm.len() as u64, manifest.duration_ms * 48);
            for (second, pcm) in (0..).zip(pcm.chunks_exact(48_000)) {
                let hz = probe::dominant_frequency(&pcm[2_400..45_600], 48_000);
                assert!((hz - second_hz(second)).abs() < 2.0, "second {second}: {hz}");
            }
        });
    }

    /// As above when the process comes back: whatever the moments of death, seconds stay where they were.
    #[test]
    fn attempts_killed_at_any_frame_keep_their_times(first in 50_u32..200, second in 50_u32..200, pause_ms in 0_u32..5_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = memory();
            let after = i64::from(first * 20 + pause_ms);
            record_killed(&store, 1, 0, &counting(first * 20)).await;
            record_killed(&store, 2, after, &counting(second * 20)).await;
            let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
            let kept = (u64::from(first / 50) + u64::from(second / 50)) * 1_000;
            let holes: u64 = manifest.gaps.iter().map(|gap| gap.duration_ms).sum();
            assert_eq!(manifest.duration_ms, kept + holes);
            let starts = manifest.duration_ms - u64::from(second / 50) * 1_000;
            assert!(starts.abs_diff(after.unsigned_abs()) <= 10, "{starts}, not {after}");
            let pcm = audio(&store).await;
            let from = usize::try_from(starts).unwrap() * 48;
            let hz = probe::dominant_frequency(&pcm[from + 2_400..from + 45_600], 48_000);
            assert!((hz - second_hz(0)).abs() < 2.0, "{hz}");
        });
    }
}
