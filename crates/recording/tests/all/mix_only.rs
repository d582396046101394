//! Speech without audio of the speaker's own.

use std::sync::Arc;

use muster_audio::probe;
use muster_recording::{Limits, Manifest, Participant, TrackId, Writer, finalise, read_audio_16k};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::{feed, layout, memory, plan, prefix};

/// A writer with so many places for participants' own audio.
fn writer(store: &Arc<dyn ObjectStore>, tracks: usize) -> Writer {
    Writer::open_with(Arc::clone(store), layout(1, 0), Limits { tracks, ..Limits::default() })
}

async fn manifest(store: &Arc<dyn ObjectStore>) -> Manifest {
    finalise(store, &prefix()).await.unwrap().manifest
}

/// From and to of the files of a participant.
fn files(participant: &Participant) -> Vec<(u64, u64)> {
    let segments = participant.streams.iter().flat_map(|stream| &stream.segments);
    segments.map(|segment| (segment.start_ms, segment.start_ms + segment.duration_ms)).collect()
}

fn near(found: &[(u64, u64)], want: &[(u64, u64)]) {
    let fits = |(a, b): (&(u64, u64), &(u64, u64))| a.0.abs_diff(b.0) <= 80 && a.1.abs_diff(b.1) <= 80;
    assert!(found.len() == want.len() && found.iter().zip(want).all(fits), "{found:?}, not {want:?}");
}

#[tokio::test]
async fn a_place_is_taken_by_who_speaks_and_given_back() {
    let store = memory();
    let [unknown, ada, grace, quiet] = ["unknown-1", "ada", "grace", "quiet"].map(|id| TrackId::new(id, id));
    let mut writer = writer(&store, 1);
    let silence = |ms: u32| plan(ms, &[]);
    let early = [(quiet.clone(), silence(2_000)), (unknown.clone(), plan(2_000, &[(440.0, 500, 2_000)]))];
    feed(&mut writer, &silence(2_000), &early);
    writer.owner(&unknown, &ada);
    let known = [(quiet, silence(4_000)), (ada.clone(), plan(4_000, &[(440.0, 0, 1_000)]))];
    feed(&mut writer, &silence(4_000), &known);
    let late = [(ada, silence(2_000)), (grace, plan(2_000, &[(880.0, 500, 1_500)]))];
    feed(&mut writer, &silence(2_000), &late);
    assert_eq!(writer.close().await.tracks_refused, 0);
    let manifest = manifest(&store).await;
    let heard: Vec<_> = manifest.participants.iter().map(|p| (p.id.as_str(), p.streams.len())).collect();
    assert_eq!(heard, [("ada", 2), ("grace", 1)]);
    assert_eq!((manifest.mix_only, manifest.lost_ms), (Vec::new(), 0));
}

#[tokio::test]
async fn what_is_said_beyond_the_places_is_cut_from_the_mix() {
    let store = memory();
    let hers = [(880.0, 2_000, 3_000), (880.0, 8_000, 9_000)];
    let people = [
        (TrackId::new("ada", "Ada"), plan(10_000, &[(440.0, 1_000, 4_000)])),
        (TrackId::new("users/7 @x", "Grace"), plan(10_000, &hers)),
    ];
    let mut writer = writer(&store, 1);
    feed(&mut writer, &plan(10_000, &[&[(440.0, 1_000, 4_000)], &hers[..]].concat()), &people);
    assert_eq!(writer.close().await.tracks_refused, 1);
    let manifest = manifest(&store).await;
    let [grace] = &manifest.mix_only[..] else { panic!("{:?}", manifest.mix_only) };
    assert_eq!((grace.id.as_str(), grace.name.as_str()), ("users/7 @x", "Grace"));
    near(&files(grace), &[(1_800, 3_200)]);
    let own = manifest.participants.iter().find(|p| p.name == "Grace").unwrap();
    assert_eq!(own.streams[0].segments.len(), 1, "later there was a place: {own:?}");
    assert_eq!(manifest.lost_ms, 0);
    // What is heard in the file is where it was in the call.
    let file = &grace.streams[0].segments[0];
    let pcm = read_audio_16k(&store, &file.path).await.unwrap();
    assert_eq!(pcm.len() as u64, file.duration_ms * 16);
    let heard: Vec<_> = probe::onsets(&pcm, 16_000, 880.0)
        .into_iter()
        .map(|(from, to)| (file.start_ms + u64::from(from), file.start_ms + u64::from(to)))
        .collect();
    near(&heard, &[(2_000, 3_000)]);
    assert_eq!(finalise(&store, &prefix()).await.unwrap().manifest, manifest);
}

#[tokio::test]
async fn who_speaks_is_known_while_own_audio_is_not_recorded() {
    let store = memory();
    let voice = plan(6_000, &[(440.0, 500, 4_500)]);
    let mut writer = writer(&store, 16);
    for (from, to, separate) in [(0, 1_500, true), (1_500, 3_000, false), (3_000, 6_000, true)] {
        writer.separate_tracks(separate);
        let part = voice[from * 48..to * 48].to_vec();
        feed(&mut writer, &part.clone(), &[(TrackId::new("ada", "Ada"), part)]);
    }
    assert_eq!(writer.close().await.tracks_refused, 0);
    let manifest = manifest(&store).await;
    assert_eq!(manifest.speakers.len(), 1, "{:?}", manifest.speakers);
    // Runs begin 200 ms early, so the second one does not begin when it could but before.
    near(&files(&manifest.participants[0]), &[(340, 1_500), (2_800, 4_800)]);
    near(&files(&manifest.mix_only[0]), &[(1_300, 3_000)]);
    assert_eq!(manifest.lost_ms, 0);
}

#[tokio::test]
async fn speech_without_any_audio_is_counted_but_for_what_a_killed_bot_had_not_stored() {
    for (missing, ends, lost_ms) in [("000002", true, 1_000), ("000004", false, 0)] {
        let store = memory();
        let mut writer = writer(&store, 0);
        let voice = plan(5_000, &[(440.0, 500, 5_000)]);
        feed(&mut writer, &voice.clone(), &[(TrackId::new("ada", "Ada"), voice)]);
        if ends {
            writer.close().await;
        } else {
            writer.idle().await;
            drop(writer);
        }
        store.delete(&Path::from(format!("{}/a1/mixed/{missing}.ogg", prefix()))).await.unwrap();
        let manifest = manifest(&store).await;
        assert_eq!((manifest.mix_only.len(), manifest.lost_ms), (1, lost_ms), "{missing}");
        near(&files(&manifest.mix_only[0]), &[(300, if ends { 5_000 } else { 4_000 })]);
    }
}
