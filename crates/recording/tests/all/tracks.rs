use std::sync::Arc;

use muster_audio::probe;
use muster_recording::{Error, Layout, Limits, Manifest, TrackId, Writer, finalise, read_audio_16k, read_notes};
use object_store::ObjectStore;
use serde_json::json;

use crate::support::{START_MS, feed, layout, memory, plan, prefix, put};

async fn record(store: &Arc<dyn ObjectStore>, layout: Layout, ms: u32, people: &[(TrackId, Vec<i16>)]) -> Manifest {
    let mut writer = Writer::open(Arc::clone(store), layout);
    feed(&mut writer, &plan(ms, &[]), people);
    writer.close().await;
    finalise(store, &prefix()).await.unwrap().manifest
}

fn near(found: u64, want: u64, tolerance: u64) {
    assert!(found.abs_diff(want) <= tolerance, "{found}, not {want}");
}

#[tokio::test]
async fn each_run_of_speech_is_a_file_at_its_place() {
    let store = memory();
    let ada = TrackId::new("ada", "Ada");
    let grace = TrackId::new("users/7 @x", "Grace");
    let people = [
        (ada.clone(), plan(16_000, &[(440.0, 1_010, 2_010), (440.0, 3_010, 3_510), (440.0, 9_000, 13_500)])),
        (grace.clone(), plan(16_000, &[(880.0, 5_000, 6_000)])),
        (TrackId::new("quiet", "Quiet"), plan(16_000, &[])),
    ];
    let manifest = record(&store, layout(1, 0), 16_000, &people).await;
    let names: Vec<&str> = manifest.participants.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Ada", "Grace"]);
    let segments = &manifest.participants[0].streams[0].segments;
    assert_eq!(segments.len(), 2, "a pause of one second does not split, one of five does: {segments:?}");
    // Runs begin up to 200 ms before and end 300 ms after what is heard in them.
    for (segment, (from, to)) in segments.iter().zip([(1_010, 3_510), (9_000, 13_500)]) {
        near(segment.start_ms, from - 100, 150);
        near(segment.start_ms + segment.duration_ms, to + 300, 60);
        assert_eq!((segment.sample_rate, segment.channels, segment.codec.as_str()), (48_000, 1, "opus"));
    }
    // The exact start: what is heard in the file is where it was in the call.
    let pcm = read_audio_16k(&store, &segments[0].path).await.unwrap();
    assert_eq!(pcm.len() as u64, segments[0].duration_ms * 16);
    let heard = probe::onsets(&pcm, 16_000, 440.0);
    assert_eq!(heard.len(), 2, "{heard:?}");
    near(segments[0].start_ms + u64::from(heard[0].0), 1_010, 20);
    near(segments[0].start_ms + u64::from(heard[1].1), 3_510, 20);
    // A run over several pieces is one file without a seam.
    let pcm = read_audio_16k(&store, &segments[1].path).await.unwrap();
    let heard = probe::onsets(&pcm, 16_000, 440.0);
    assert_eq!(heard.len(), 1, "{heard:?}");
    near(u64::from(heard[0].1 - heard[0].0), 4_500, 20);
    let stream = &manifest.participants[1].streams[0];
    assert_eq!((manifest.participants[1].id.as_str(), stream.segments.len()), ("users/7 @x", 1));
    assert!(stream.segments[0].path.as_ref().ends_with("000000.ogg"));
}

#[tokio::test]
async fn the_timeline_says_who_spoke_when() {
    let store = memory();
    let people = [
        (TrackId::new("ada", "Ada"), plan(10_000, &[(440.0, 1_000, 4_000), (440.0, 8_000, 9_000)])),
        (TrackId::new("grace", "Grace"), plan(10_000, &[(880.0, 3_500, 6_000)])),
    ];
    let manifest = record(&store, layout(1, 0), 10_000, &people).await;
    let spans: Vec<(&str, u64, u64)> =
        manifest.speakers.iter().map(|s| (s.speaker_id.as_str(), s.start_ms, s.end_ms)).collect();
    let want = [("ada", 1_000, 4_000), ("grace", 3_500, 6_000), ("ada", 8_000, 9_000)];
    assert_eq!(spans.len(), want.len(), "{spans:?}");
    for (found, want) in spans.iter().zip(want) {
        assert_eq!(found.0, want.0);
        near(found.1, want.1, 20);
        near(found.2, want.2, 20);
    }
}

#[tokio::test]
async fn without_separate_tracks_only_the_timeline_knows_speakers() {
    let store = memory();
    let people = [(TrackId::new("ada", "Ada"), plan(3_000, &[(440.0, 1_000, 2_000)]))];
    let manifest = record(&store, Layout { separate_tracks: false, ..layout(1, 0) }, 3_000, &people).await;
    assert_eq!(manifest.speakers.len(), 1);
    assert_eq!((manifest.participants[0].name.as_str(), manifest.participants[0].streams.len()), ("Ada", 0));
}

#[tokio::test]
async fn who_leaves_and_returns_has_runs_on_both_sides() {
    let store = memory();
    let ada = TrackId::new("ada", "Ada");
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    feed(&mut writer, &plan(1_500, &[]), &[(ada.clone(), plan(1_500, &[(440.0, 500, 1_500)]))]);
    feed(&mut writer, &plan(500, &[]), &[]);
    let renamed = TrackId::new("ada", "Ada L.");
    feed(&mut writer, &plan(1_000, &[]), &[(renamed, plan(1_000, &[(440.0, 0, 1_000)]))]);
    writer.close().await;
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    assert_eq!(manifest.participants.len(), 1);
    assert_eq!(manifest.participants[0].name, "Ada L.");
    let segments = &manifest.participants[0].streams[0].segments;
    assert_eq!(segments.len(), 2);
    assert_eq!(segments[0].start_ms + segments[0].duration_ms, 1_500);
    near(segments[1].start_ms, 2_000, 40);
}

#[tokio::test]
async fn tracks_of_several_attempts_are_numbered_on() {
    let store = memory();
    let ada = TrackId::new("ada", "Ada");
    for (attempt, after) in [(1, 0), (2, 20_000)] {
        record(&store, layout(attempt, after), 3_000, &[(ada.clone(), plan(3_000, &[(440.0, 1_000, 2_000)]))]).await;
    }
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    let segments = &manifest.participants[0].streams[0].segments;
    assert_eq!(segments.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1]);
    near(segments[1].start_ms - segments[0].start_ms, 20_000, 20);
}

#[tokio::test]
async fn a_killed_writer_keeps_the_pieces_of_a_run() {
    let store = memory();
    let people = [(TrackId::new("ada", "Ada"), plan(7_500, &[(440.0, 500, 7_500)]))];
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    feed(&mut writer, &plan(7_500, &[]), &people);
    writer.idle().await;
    drop(writer);
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    let segment = &manifest.participants[0].streams[0].segments[0];
    let end = segment.start_ms + segment.duration_ms;
    assert!(end > 6_500, "at most one segment is lost: {end}");
    assert!(manifest.speakers[0].end_ms > 6_500, "{:?}", manifest.speakers);
}

#[tokio::test]
async fn participants_beyond_the_limit_are_counted_and_still_named() {
    let store = memory();
    let people: Vec<(TrackId, Vec<i16>)> = (0..5)
        .map(|i| (TrackId::new(&format!("p{i}"), &format!("P {i}")), plan(2_000, &[(440.0, 500, 1_500)])))
        .collect();
    let limits = Limits { tracks: 3, ..Limits::default() };
    let mut writer = Writer::open_with(Arc::clone(&store), layout(1, 0), limits);
    feed(&mut writer, &plan(2_000, &[]), &people);
    assert_eq!(writer.close().await.tracks_refused, 2);
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    assert_eq!(manifest.participants.len(), 5);
    assert_eq!(manifest.participants.iter().filter(|p| !p.streams.is_empty()).count(), 3);
    assert_eq!(manifest.speakers.len(), 5);
}

#[tokio::test]
async fn a_voice_whose_owner_was_known_late_is_one_participant() {
    let store = memory();
    let (unknown, ada) = (TrackId::new("unknown-1", "Unknown 1"), TrackId::new("ada", "Ada"));
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    let tone = plan(2_000, &[(440.0, 500, 2_000)]);
    feed(&mut writer, &plan(2_000, &[]), &[(unknown.clone(), tone.clone())]);
    writer.owner(&unknown, &ada);
    writer.owner(&TrackId::new("never heard", ""), &ada);
    feed(&mut writer, &plan(2_000, &[]), &[(ada.clone(), tone)]);
    writer.close().await;
    let manifest = finalise(&store, &prefix()).await.unwrap().manifest;
    let [ada] = &manifest.participants[..] else { panic!("{:?}", manifest.participants) };
    assert_eq!((ada.id.as_str(), ada.name.as_str(), ada.streams.len()), ("ada", "Ada", 2));
    near(ada.streams.iter().flat_map(|s| &s.segments).map(|s| s.start_ms).min().unwrap(), 350, 160);
    assert!(manifest.speakers.iter().all(|span| span.speaker_id == "ada"), "{:?}", manifest.speakers);
}

#[tokio::test]
async fn notes_are_read_by_kind_and_named_after_the_owner_of_the_voice() {
    let store = memory();
    let (unknown, ada) = (TrackId::new("unknown-1", "Unknown 1"), TrackId::new("ada", "Ada"));
    let said = |id: &str, name: &str, text: &str| json!({"speaker_id": id, "speaker": name, "text": text});
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    feed(&mut writer, &plan(1_500, &[]), &[]);
    writer.event("words", said("unknown-1", "Unknown 1", "one"));
    writer.event("chat", json!({"text": "not this"}));
    writer.owner(&unknown, &ada);
    feed(&mut writer, &plan(1_500, &[]), &[]);
    writer.event("words", said("grace", "Grace", "two"));
    writer.event("words", json!("nobody's"));
    writer.close().await;
    assert_eq!(read_notes(&store, &prefix(), "words").await.unwrap(), [], "the recording is not finalised");
    finalise(&store, &prefix()).await.unwrap();
    let notes = read_notes(&store, &prefix(), "words").await.unwrap();
    let want = [said("ada", "Ada", "one"), said("grace", "Grace", "two"), json!("nobody's")];
    assert!(notes.iter().map(|note| &note.data).eq(&want), "{notes:?}");
    let times: Vec<i64> = notes.iter().map(|note| note.at.as_millis() - START_MS).collect();
    assert_eq!(times, [1_500, 3_000, 3_000]);
    put(&store, "events.jsonl", b"{\"torn".to_vec()).await;
    assert!(matches!(read_notes(&store, &prefix(), "words").await, Err(Error::Notes(_))));
}
