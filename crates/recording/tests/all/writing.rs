use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_recording::{Limits, Writer, finalise};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Outage, audio, counting, feed, get, layout, memory, objects, plan, prefix};

fn impatient() -> Limits {
    Limits { retry_from: Duration::from_millis(1), retry_to: Duration::from_millis(4), ..Limits::default() }
}

#[tokio::test]
async fn an_outage_of_the_storage_loses_nothing() {
    let inner = memory();
    let (_open, gate) = watch::channel(true);
    let outage = Outage::new(Arc::clone(&inner), 17, gate);
    let mut writer = Writer::open_with(outage, layout(1, 0), impatient());
    feed(&mut writer, &counting(10_500), &[]);
    let stats = writer.close().await;
    // The last notes are a file too.
    assert_eq!((stats.recorded_ms, stats.segments_written, stats.segments_dropped), (10_500, 11 + 1, 0));
    assert_eq!((stats.upload_failures, stats.segments_waiting, stats.last_error), (17, 0, None));
    let done = finalise(&inner, &prefix()).await.unwrap();
    assert_eq!((done.manifest.duration_ms, done.manifest.gaps.len()), (10_500, 0));
}

#[tokio::test]
async fn frames_never_wait_and_what_does_not_fit_is_counted() {
    let inner = memory();
    let (open, gate) = watch::channel(false);
    let outage = Outage::new(Arc::clone(&inner), 0, gate);
    let size = {
        let store = memory();
        let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
        feed(&mut writer, &plan(1_000, &[(440.0, 0, 1_000)]), &[]);
        writer.close().await.bytes_written
    };
    // Room for about five segments.
    let limits = Limits { waiting_bytes: usize::try_from(size * 5 + size / 2).unwrap(), ..impatient() };
    let mut writer = Writer::open_with(Arc::clone(&outage) as Arc<dyn ObjectStore>, layout(1, 0), limits);
    feed(&mut writer, &plan(12_000, &[(440.0, 0, 12_000)]), &[]);
    let before = writer.stats();
    assert!((4..=6).contains(&before.segments_waiting), "{before:?}");
    assert_eq!(before.segments_waiting + before.segments_dropped, 12);
    open.send(true).unwrap();
    writer.idle().await;
    feed(&mut writer, &plan(1_000, &[(440.0, 0, 1_000)]), &[]);
    let after = writer.close().await;
    assert_eq!(after.segments_written, before.segments_waiting + 1 + 1);
    assert_eq!(after.segments_dropped, before.segments_dropped);
    // The hole is silence of the right length.
    let done = finalise(&inner, &prefix()).await.unwrap();
    assert_eq!(done.manifest.duration_ms, 13_000);
    assert_eq!(done.manifest.gaps.iter().map(|gap| gap.duration_ms).sum::<u64>(), before.segments_dropped * 1_000);
}

#[tokio::test]
async fn closing_gives_up_on_a_storage_that_never_answers() {
    let (_shut, gate) = watch::channel(false);
    let outage = Outage::new(memory(), 0, gate);
    let limits = Limits { close_timeout: Duration::from_millis(50), ..impatient() };
    let mut writer = Writer::open_with(Arc::clone(&outage) as Arc<dyn ObjectStore>, layout(1, 0), limits);
    feed(&mut writer, &counting(2_500), &[]);
    let stats = writer.close().await;
    assert_eq!((stats.segments_written, stats.segments_dropped, stats.segments_waiting), (0, 3 + 1, 0));
    assert_eq!(outage.puts.load(Ordering::SeqCst), 3 + 1);
}

#[tokio::test]
async fn an_upload_that_hangs_is_tried_again() {
    let inner = memory();
    let (open, gate) = watch::channel(false);
    let outage = Outage::new(Arc::clone(&inner), 0, gate);
    let limits = Limits { upload_timeout: Duration::from_millis(20), ..impatient() };
    let mut writer = Writer::open_with(Arc::clone(&outage) as Arc<dyn ObjectStore>, layout(1, 0), limits);
    feed(&mut writer, &counting(1_000), &[]);
    while writer.stats().upload_failures < 2 {
        tokio::task::yield_now().await;
    }
    assert!(writer.stats().last_error.unwrap().contains("no answer"));
    open.send(true).unwrap();
    assert_eq!(writer.close().await.segments_written, 1 + 1);
}

#[tokio::test]
async fn notes_are_stored_with_their_segment_and_joined_in_order() {
    let store = memory();
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    writer.event("participant", json!({"id": "ada", "joined": true}));
    feed(&mut writer, &counting(1_500), &[]);
    writer.event("chat", json!({"text": "hello\nthere"}));
    feed(&mut writer, &counting(1_000), &[]);
    writer.idle().await;
    assert!(objects(&store).await.contains_key("recordings/default/bot/a1/events/000001.jsonl"));
    drop(writer);
    let mut writer = Writer::open(Arc::clone(&store), layout(2, 5_000));
    feed(&mut writer, &counting(100), &[]);
    writer.event("participant", json!({"id": "ada", "joined": false}));
    writer.close().await;
    finalise(&store, &prefix()).await.unwrap();
    let text = String::from_utf8(get(&store, "events.jsonl").await).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(i64, &str)> = lines
        .iter()
        .map(|l| (l["at_ms"].as_i64().unwrap() - crate::support::START_MS, l["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [(0, "participant"), (1_500, "chat"), (5_100, "participant")]);
    assert_eq!(lines[1]["data"]["text"], "hello\nthere");
}

#[tokio::test]
async fn every_segment_plays_by_itself() {
    let store = memory();
    let mut writer = Writer::open(Arc::clone(&store), layout(1, 0));
    feed(&mut writer, &counting(3_500), &[]);
    writer.close().await;
    for (second, name) in (0..).zip(["000000", "000001", "000002", "000003"]) {
        let pcm = muster_audio::ogg::decode(&get(&store, &format!("a1/mixed/{name}.ogg")).await).unwrap();
        let want = if second == 3 { 24_000 } else { 48_000 - 312 };
        assert_eq!(pcm.len(), want, "{name}");
        let hz = muster_audio::probe::dominant_frequency(&pcm[4_800..], 48_000);
        assert!((hz - crate::support::second_hz(second)).abs() < 2.0, "{name}: {hz}");
    }
    assert!(matches!(finalise(&store, &prefix()).await, Ok(done) if done.manifest.segments == 4));
    assert_eq!(audio(&store).await.len(), 168_000);
}

/// Notes a word in each of the first `seconds`, and answers how many files of notes are missing of what is stored.
async fn notes_missing(store: &Arc<dyn ObjectStore>, attempt: u32, seconds: u32, ends: bool) -> u64 {
    let mut writer = Writer::open(Arc::clone(store), layout(attempt, i64::from(attempt) * 60_000));
    for second in 0..seconds {
        writer.event("words", json!({"second": second}));
        feed(&mut writer, &counting(1_000), &[]);
    }
    if ends {
        writer.close().await;
    } else {
        writer.idle().await;
        drop(writer);
    }
    finalise(store, &prefix()).await.unwrap().manifest.notes_skipped
}

#[tokio::test]
async fn notes_that_were_not_stored_are_missing_wherever_they_were() {
    let store = memory();
    assert_eq!(notes_missing(&store, 1, 3, true).await, 0);
    assert_eq!(notes_missing(&store, 2, 3, false).await, 1, "killed: its last notes are missing");
    assert_eq!(notes_missing(&store, 3, 0, false).await, 1, "killed before anything was stored");
    assert_eq!(notes_missing(&store, 4, 3, true).await, 1, "the next attempt mends nothing");
    for (path, missing) in [("a4/events/000001.jsonl", 2), ("a4/events/000003.jsonl", 3), ("a1/events/000000.jsonl", 4)]
    {
        store.delete(&Path::from(format!("{}/{path}", prefix()))).await.unwrap();
        assert_eq!(finalise(&store, &prefix()).await.unwrap().manifest.notes_skipped, missing, "{path}");
    }
    let text = String::from_utf8(get(&store, "events.jsonl").await).unwrap();
    assert!(text.lines().all(|line| line.contains("\"words\"")), "the writer's own notes stay its own: {text}");
}
