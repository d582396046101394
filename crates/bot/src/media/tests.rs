mod words;

use muster_audio::{RATE, ogg, probe, tone};
use muster_recording::{Manifest, finalise, storage};
use muster_session::protocol::{Report, SpeechSpec};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::clock::Clock;
use crate::report;
use crate::room::Person;
use crate::spec_for_tests;

const PATIENCE: Duration = Duration::from_secs(30);
/// When the call of every test begins.
const START_US: u64 = 1_700_000_000_000_000;
const BLOCK_MS: u64 = 100;
/// How long a block takes from the end of its sound to us.
const WAY_MS: u64 = 60;

/// A call in simulated time that records into a directory.
struct Bench {
    media: Option<Media>,
    room: Room,
    spec: BotSpec,
    said: tokio::io::DuplexStream,
    writing: report::Writing,
    _dir: TempDir,
    /// Milliseconds in which a voice was heard, as the driver is told.
    voiced: Vec<u64>,
}

fn bench(change: impl FnOnce(&mut BotSpec)) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec_for_tests();
    spec.storage = Url::from_directory_path(dir.path()).unwrap();
    spec.segment_seconds = 1;
    change(&mut spec);
    let (ours, said) = tokio::io::duplex(1 << 20);
    let (reporter, writing) = report::start(ours, Clock::start());
    let media = Some(Media::begin(&spec, Outlets::prepare(&spec).unwrap(), reporter, START_US));
    Bench { media, room: Room::default(), spec, said, writing, _dir: dir, voiced: Vec::new() }
}

/// What one track carries from `from_ms` on.
struct Sound {
    track: u32,
    from_ms: u64,
    pcm: Vec<i16>,
}

/// A tone from `begin` to `end` in a track that lasts `ms`.
fn sound(track: u32, hz: f32, ms: u32, begin: u32, end: u32) -> Sound {
    let mut pcm = tone::silence(begin, RATE);
    pcm.extend(tone::sine(hz, end - begin, 0.3, RATE));
    pcm.resize(ms as usize * 48, 0);
    Sound { track, from_ms: 0, pcm }
}

impl Bench {
    fn media(&mut self) -> &mut Media {
        self.media.as_mut().unwrap()
    }

    fn owner(&mut self, track: u32, id: &str, name: &str) {
        let mut people: Vec<Person> = self.room.people().collect();
        people.push(Person { id: id.into(), name: name.into() });
        self.room.roster(people);
        self.room.track_started(track, Some(id.into()));
        let room = self.room.clone();
        self.media().learn(&room);
    }

    /// Lets time pass from `from` to `to` milliseconds after the start; blocks come as they would from a page.
    fn pass(&mut self, from: u64, to: u64, sounds: &[Sound]) {
        for now in (from..to).step_by(20) {
            self.deliver(now, sounds);
            let now_us = START_US + now * 1_000;
            if self.media().due_us() <= now_us && self.media().advance(now_us) {
                self.voiced.push(now);
            }
        }
    }

    fn deliver(&mut self, now: u64, sounds: &[Sound]) {
        let Some(begin) = now.checked_sub(WAY_MS + BLOCK_MS).filter(|begin| begin.is_multiple_of(BLOCK_MS)) else {
            return;
        };
        for Sound { track, from_ms, pcm } in sounds {
            let Some(at) = begin.checked_sub(*from_ms).map(|at| at as usize * 48) else { continue };
            if let Some(block) = pcm.get(at..at + BLOCK_MS as usize * 48) {
                self.media().audio(*track, START_US + begin * 1_000, block, START_US + now * 1_000);
            }
        }
    }

    /// Ends the call; answers its length, the recording, decoded, its manifest and its notes, and what was reported.
    async fn end(mut self, at_ms: u64) -> Recorded {
        let mut media = self.media.take().unwrap();
        media.cut(START_US + at_ms * 1_000);
        let figures = media.figures(0);
        let finished = media.finish(PATIENCE).await;
        assert_eq!(finished.recorded_ms, figures.recorded_ms);
        let store = storage::open(&self.spec.storage).unwrap();
        let prefix = Path::from(format!("recordings/{}/{}", self.spec.tenant.as_str(), self.spec.bot));
        let manifest = finalise(&store, &prefix).await.unwrap().manifest;
        let get = async |name: &str| store.get(&prefix.clone().join(name)).await.unwrap().bytes().await.unwrap();
        let pcm = ogg::decode(&get("audio.ogg").await).unwrap();
        let noted = if manifest.segments > 0 && store.head(&prefix.clone().join("events.jsonl")).await.is_ok() {
            let text = String::from_utf8(get("events.jsonl").await.to_vec()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            Vec::new()
        };
        self.writing.finish(PATIENCE).await;
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut self.said, &mut text).await.unwrap();
        let reports = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Recorded { figures, pcm, manifest, noted, reports, voiced: self.voiced }
    }
}

struct Recorded {
    figures: HealthFigures,
    pcm: Vec<i16>,
    manifest: Manifest,
    noted: Vec<Value>,
    reports: Vec<Report>,
    voiced: Vec<u64>,
}

impl Recorded {
    /// The tone of this frequency plays once, from and to these milliseconds.
    fn plays(&self, hz: f32, from: u32, to: u32) {
        let heard = probe::onsets(&self.pcm, RATE, hz);
        // Measuring is good to 5 ms and the mixer places to the sample; clocks that agree are not corrected.
        let fits = |(a, b): &(u32, u32)| a.abs_diff(from) <= 15 && b.abs_diff(to) <= 15;
        assert!(heard.len() == 1 && heard.iter().all(fits), "{hz} Hz: {heard:?}, not {from} to {to}");
    }

    fn names(&self) -> Vec<&str> {
        self.manifest.participants.iter().map(|p| p.name.as_str()).collect()
    }
}

#[tokio::test]
async fn two_people_are_recorded_where_they_spoke() {
    let mut bench = bench(|_| {});
    bench.owner(1, "ada", "Ada");
    bench.owner(2, "grace", "Grace");
    let sounds = [sound(1, 440.0, 6_000, 1_000, 2_500), sound(2, 880.0, 6_000, 2_000, 4_000)];
    bench.media().event("chat", json!({"text": "hello"}));
    bench.pass(0, 6_000, &sounds);
    let recorded = bench.end(6_000).await;
    assert_eq!(recorded.manifest.duration_ms, 6_000);
    recorded.plays(440.0, 1_000, 2_500);
    recorded.plays(880.0, 2_000, 4_000);
    assert_eq!(recorded.names(), ["Ada", "Grace"]);
    for (person, from, to) in [(0, 1_000, 2_500), (1, 2_000, 4_000)] {
        let segment = &recorded.manifest.participants[person].streams[0].segments[0];
        assert!(segment.start_ms <= from && segment.start_ms + segment.duration_ms >= to, "{segment:?}");
        let span = &recorded.manifest.speakers[person];
        assert!(span.start_ms.abs_diff(from) <= 60 && span.end_ms.abs_diff(to) <= 60, "{span:?}");
    }
    assert_eq!(recorded.noted[0]["kind"], "chat");
    let figures = &recorded.figures;
    assert_eq!((figures.recorded_ms, figures.concealed_ms, figures.segments_dropped), (6_000, 0, 0));
    assert_eq!(figures.captured_frames, 2 * 590, "blocks are 60 ms on their way, and the last pair is cut off");
    // Told a delay of 1 s after it was heard, and 300 ms longer.
    let (first, last) = (recorded.voiced[0], recorded.voiced[recorded.voiced.len() - 1]);
    assert!((2_000..2_300).contains(&first) && (5_000..5_500).contains(&last), "{first} {last}");
    assert!(recorded.reports.is_empty(), "{:?}", recorded.reports);
}

#[tokio::test]
async fn audio_is_kept_when_its_owner_is_known_late() {
    let mut bench = bench(|_| {});
    let sounds = [sound(5, 440.0, 6_000, 500, 5_000)];
    bench.pass(0, 3_000, &sounds);
    bench.owner(5, "ada", "Ada");
    bench.pass(3_000, 6_000, &sounds);
    let recorded = bench.end(6_000).await;
    recorded.plays(440.0, 500, 5_000);
    assert_eq!(recorded.names(), ["Ada"]);
    assert_eq!(recorded.manifest.participants[0].streams.len(), 2);
    let owner = recorded.noted.iter().find(|note| note["kind"] == "owner").unwrap();
    assert_eq!((&owner["data"]["placeholder"], &owner["data"]["id"]), (&json!("unknown-1-5"), &json!("ada")));
}

#[tokio::test]
async fn two_tracks_of_one_person_are_one_voice() {
    let mut bench = bench(|_| {});
    bench.owner(1, "ada", "Ada");
    bench.room.track_started(2, Some("ada".into()));
    let room = bench.room.clone();
    bench.media().learn(&room);
    bench.pass(0, 3_000, &[sound(1, 440.0, 3_000, 500, 1_500), sound(2, 880.0, 3_000, 1_000, 2_000)]);
    let recorded = bench.end(3_000).await;
    assert_eq!(recorded.names(), ["Ada"]);
    assert_eq!(recorded.manifest.participants[0].streams[0].segments.len(), 1);
    recorded.plays(440.0, 500, 1_500);
    recorded.plays(880.0, 1_000, 2_000);
}

#[tokio::test]
async fn a_stall_of_the_process_loses_nothing() {
    let mut bench = bench(|_| {});
    bench.owner(1, "ada", "Ada");
    let sounds = [sound(1, 440.0, 12_000, 1_000, 11_000)];
    bench.pass(0, 2_000, &sounds);
    // For six seconds nothing runs; then everything is there at once, and is taken before time is looked at.
    for now in (2_000..8_000).step_by(20) {
        let begin = now - WAY_MS - BLOCK_MS;
        if begin.is_multiple_of(BLOCK_MS) {
            let block = sounds[0].pcm[begin as usize * 48..][..4_800].to_vec();
            bench.media().audio(1, START_US + begin * 1_000, &block, START_US + 8_000_000);
        }
    }
    bench.pass(8_000, 12_000, &sounds);
    let recorded = bench.end(12_000).await;
    recorded.plays(440.0, 1_000, 11_000);
    assert_eq!(recorded.manifest.duration_ms, 12_000);
    assert_eq!(recorded.manifest.participants[0].streams[0].segments.len(), 1);
}

#[tokio::test]
async fn holes_are_silence_and_noted() {
    let mut bench = bench(|_| {});
    bench.owner(1, "ada", "Ada");
    let late = Sound { from_ms: 2_000, ..sound(1, 440.0, 2_000, 0, 2_000) };
    bench.pass(0, 4_500, &[sound(1, 440.0, 1_500, 500, 1_500), late]);
    let recorded = bench.end(4_500).await;
    assert_eq!(recorded.figures.concealed_ms, 500);
    let gap = recorded.noted.iter().find(|note| note["kind"] == "gap").unwrap();
    assert_eq!(gap["data"]["concealed_ms"], 500);
    let heard = probe::onsets(&recorded.pcm, RATE, 440.0);
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[tokio::test]
async fn silence_is_no_voice_and_has_no_level() {
    let mut bench = bench(|_| {});
    bench.pass(0, 3_000, &[sound(1, 440.0, 3_000, 0, 0)]);
    let hearing = bench.media().hearing();
    assert!(hearing.samples > 0 && hearing.peak_dbfs < crate::watchdog::SILENCE_DBFS, "{hearing:?}");
    let recorded = bench.end(3_000).await;
    assert!(recorded.voiced.is_empty() && recorded.names().is_empty());
    assert!(recorded.figures.level_dbfs < -100.0);
}

#[tokio::test]
async fn what_cannot_work_is_said_before_the_call() {
    let refused = |change: fn(&mut BotSpec)| {
        let mut spec = spec_for_tests();
        spec.storage = Url::from_directory_path(std::env::temp_dir()).unwrap();
        change(&mut spec);
        Outlets::prepare(&spec).unwrap_err().message
    };
    assert!(refused(|spec| spec.storage = "ftp://x/".parse().unwrap()).contains("storage"));
    assert!(refused(|spec| spec.allow_private = vec!["10.0.0.0/99".into()]).contains("10.0.0.0/99"));
    assert!(
        refused(|spec| {
            spec.media.live_transcription = Some("https://example.com/".parse().unwrap());
            let url = "ftp://x/".parse().unwrap();
            spec.speech = Some(SpeechSpec::Openai { url, model: String::new(), api_key: None, language: None });
        })
        .contains("live transcription")
    );
}
