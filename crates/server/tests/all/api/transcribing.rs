//! Transcripts as the media role makes them: out of live words, file by file, and never owed for ever.

mod lost;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use muster_audio::FRAME;
use muster_audio::tone;
use muster_recording::{Layout, TrackId, Writer};
use muster_server::config::{Config, Sources};
use muster_server::engines::Engines;
use muster_server::roles::control;
use muster_server::roles::media::{self, MediaSetup};
use muster_session::job::Job;
use muster_session::{BotId, State, TranscriptStatus};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::harness::{Api, drive_to};

fn streaming() -> Value {
    json!({"recording_config": {"transcript": {"provider": {"deepgram_streaming": {}}}}})
}

pub(super) fn setup(storage: Arc<dyn ObjectStore>, config: &str) -> MediaSetup {
    let sources = Sources { file: Some(("muster.toml".into(), config.to_owned())), ..Sources::default() };
    let engines = Engines::new(Config::load(&sources).unwrap().transcription);
    MediaSetup { storage, engines: Arc::new(engines), concurrency: 1 }
}

/// Nothing listens there: whoever asks it fails.
pub(super) const DEAF: &str = "[transcription.deepgram]\nurl = \"http://127.0.0.1:9\"\napi_key = \"k\"";

/// A recorder of the bot's call, `ms` milliseconds of which somebody speaks if there are any tracks.
pub(super) fn writer(api: &Api, bot: BotId) -> Writer {
    let layout = Layout {
        prefix: Path::from(format!("recordings/first/{bot}")),
        attempt: 1,
        start: api.now(),
        segment_seconds: 1,
        separate_tracks: true,
    };
    Writer::open(Arc::clone(&api.state.storage), layout)
}

pub(super) fn feed(writer: &mut Writer, ms: u32, people: &[(TrackId, Vec<i16>)]) {
    let silence = [0_i16; FRAME];
    for index in 0..(ms / 20) as usize {
        let part = |pcm: &'_ Vec<i16>| index * FRAME + FRAME <= pcm.len();
        let tracks: Vec<(TrackId, &[i16])> = people
            .iter()
            .filter(|(_, pcm)| part(pcm))
            .map(|(id, pcm)| (id.clone(), &pcm[index * FRAME..][..FRAME]))
            .collect();
        writer.frame(&silence, &tracks);
    }
}

/// A voice for this long, after silence.
pub(super) fn voice(silent_ms: u32, ms: u32) -> Vec<i16> {
    [tone::silence(silent_ms, 48_000), tone::sine(440.0, ms, 0.4, 48_000)].concat()
}

/// A phrase as a bot notes it.
fn said(api: &Api, speaker: (&str, &str), after_ms: i64, words: &[&str]) -> Value {
    let times = |index: usize| (index as u64 * 200, index as u64 * 200 + 150);
    let list = words.iter().enumerate().map(|(index, word)| {
        let (start_ms, end_ms) = times(index);
        json!({"word": word, "start_ms": start_ms, "end_ms": end_ms, "confidence": 0.9})
    });
    json!({
        "speaker_id": speaker.0, "speaker": speaker.1, "text": words.join(" "), "words": list.collect::<Value>(),
        "start_ms": api.now().as_millis() + after_ms,
        "end_ms": api.now().as_millis() + after_ms + words.len() as i64 * 200,
        "language": "en", "end_of_turn": true,
    })
}

async fn process(api: &Api, setup: &MediaSetup, bot: BotId) {
    media::step(&api.backend, setup, &Job::Process { bot }, false).await.unwrap();
}

/// The events of the bot's ledger.
async fn told(api: &Api, bot: BotId) -> Vec<Value> {
    let ledger = api.get(&format!("/api/v1/bots/{bot}/events")).await.expect(200);
    ledger["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_transcript_of_live_words_has_the_same_words_and_their_owners() {
    let api = Api::start().await;
    let mut request = streaming();
    request["meeting_link"] = json!(super::harness::MEET);
    request["callback_url"] = json!("https://example.com/hook");
    let created = api.create(&request).await.expect(201);
    assert_eq!(created["transcript_id"], Value::Null, "as MeetStream does it");
    let bot: BotId = created["bot_id"].as_str().unwrap().parse().unwrap();
    let listed = api.get(&format!("/api/v1/bots/{bot}/transcriptions")).await.expect(200);
    let entry = &listed["transcriptions"][0];
    assert_eq!((&entry["provider"], &entry["status"]), (&json!("deepgram_streaming"), &json!("Processing")));
    let id = entry["transcript_id"].as_str().unwrap().to_owned();

    let (unknown, ada) = (TrackId::new("unknown-1", "Unknown 1"), TrackId::new("ada", "Ada"));
    let mut writer = writer(&api, bot);
    feed(&mut writer, 3_000, &[(unknown.clone(), voice(500, 2_000))]);
    writer.event("words", said(&api, ("unknown-1", "Unknown 1"), 600, &["Hello", "there."]));
    writer.owner(&unknown, &ada);
    feed(&mut writer, 1_000, &[]);
    writer.event("words", said(&api, ("grace", "Grace"), 3_200, &["Good", "morning."]));
    writer.event("words_lost", json!({"ms": 1_000}));
    writer.close().await;

    drive_to(&api, bot, State::Processing).await;
    process(&api, &setup(Arc::clone(&api.state.storage), DEAF), bot).await;
    let session = api.session(bot).await;
    assert_eq!((session.state, session.transcripts[0].status), (State::Done, TranscriptStatus::Success));
    let transcript = api.get(&format!("/api/v1/transcript/{id}/get_transcript")).await.expect(200);
    let segments: Vec<_> = transcript.as_array().unwrap().iter().map(|s| (&s["speaker"], &s["transcript"])).collect();
    assert_eq!(segments, [(&json!("Ada"), &json!("Hello there.")), (&json!("Grace"), &json!("Good morning."))]);
    assert_eq!(transcript[0]["start_time"], json!(0.6));
    assert_eq!(transcript[1]["words"][1]["punctuated_word"], "morning.");
    let raw = api.get(&format!("/api/v1/transcript/{id}/get_transcript?raw=true")).await.expect(200);
    assert_eq!((&raw["provider"], &raw["engine"]), (&json!("deepgram_streaming"), &json!("deepgram")));
    let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
    assert_eq!(detail["bot_details"]["transcript_id"], json!(id));
    let last: Vec<_> = told(&api, bot).await.into_iter().map(|event| event["event"].clone()).collect();
    assert_eq!(last[last.len() - 2..], ["transcription.processed", "bot.done"]);
}

#[tokio::test]
async fn live_words_that_never_came_are_a_failure_only_if_somebody_spoke() {
    let none = "the default engine is not configured, and there is no key";
    let table = [
        (DEAF, 3_000, Some("no words came")),
        (DEAF, 0, None),
        ("", 3_000, Some("no speech-to-text is configured for deepgram_streaming")),
        ("", 0, Some("no speech-to-text is configured")),
    ];
    for (config, spoken_ms, failure) in table {
        let api = Api::start().await;
        let bot = api.bot_with(streaming()).await;
        let mut writer = writer(&api, bot);
        feed(&mut writer, 4_000, &[(TrackId::new("ada", "Ada"), voice(500, spoken_ms))]);
        writer.close().await;
        drive_to(&api, bot, State::Processing).await;
        process(&api, &setup(Arc::clone(&api.state.storage), config), bot).await;
        let record = api.session(bot).await.transcripts[0].clone();
        match failure {
            None => assert_eq!(record.status, TranscriptStatus::Success, "{config:?} {spoken_ms}: {none}"),
            Some(why) => {
                let message = api.get(&format!("/api/v1/transcript/{}/get_transcript", record.id)).await.refusal(404);
                assert!(message.contains(why), "{config:?} {spoken_ms}: {message}");
            }
        }
        assert_eq!(api.session(bot).await.state, State::Done);
    }
}

#[tokio::test]
async fn words_that_are_known_to_be_lost_are_made_of_the_recording_or_missed() {
    let openai = format!("[transcription]\nurl = \"{}\"", fake_openai(Arc::default()).await);
    let table = [
        (&*openai, "words_lost", json!({"ms": 1_200}), Ok("word1")),
        (&*openai, "words", json!({"not": "a phrase"}), Ok("word2")),
        ("", "words_lost", json!({"ms": 1_200}), Err("words were lost during the call (2400 ms not recognised")),
    ];
    for (config, kind, data, want) in table {
        let api = Api::start().await;
        let bot = api.bot_with(streaming()).await;
        let mut writer = writer(&api, bot);
        feed(&mut writer, 4_000, &[(TrackId::new("ada", "Ada"), voice(500, 2_000))]);
        writer.event("words", said(&api, ("ada", "Ada"), 600, &["Hello"]));
        // One alone may be a noise.
        writer.event(kind, data.clone());
        writer.event(kind, data);
        writer.close().await;
        drive_to(&api, bot, State::Processing).await;
        process(&api, &setup(Arc::clone(&api.state.storage), config), bot).await;
        let id = api.session(bot).await.transcripts[0].id;
        let path = format!("/api/v1/transcript/{id}/get_transcript");
        match want {
            Ok(word) => assert_eq!(api.get(&path).await.expect(200)[0]["transcript"], json!(word)),
            Err(why) => {
                let message = api.get(&path).await.refusal(404);
                assert!(message.contains(why), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_transcript_that_comes_too_late_is_not_kept() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = (Arc::clone(&asked), Arc::clone(&go));
    let hear = move |_: Bytes| {
        let (asked, go) = wait.clone();
        async move {
            asked.notify_one();
            go.notified().await;
            axum::Json(json!({"text": "late"}))
        }
    };
    let app = Router::new().route("/v1/audio/transcriptions", post(hear)).layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!("[transcription]\nurl = \"http://{}\"", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let api = Api::start().await;
    let bot = api.bot_with(json!({})).await;
    let mut writer = writer(&api, bot);
    feed(&mut writer, 3_000, &[(TrackId::new("ada", "Ada"), voice(500, 2_000))]);
    writer.close().await;
    drive_to(&api, bot, State::Processing).await;
    let setup = setup(Arc::clone(&api.state.storage), &config);
    process(&api, &setup, bot).await;
    let request = json!({"provider": {"meetstream": {}}});
    let body = api.post(&format!("/api/v1/bots/{bot}/transcribe"), &request).await.expect(200);
    let transcript = body["transcript_id"].as_str().unwrap().parse().unwrap();
    let job = Job::Transcribe { bot, transcript };
    let (result, ()) = tokio::join!(media::step(&api.backend, &setup, &job, false), async {
        asked.notified().await;
        api.advance(Duration::from_secs(2 * 3_600));
        control::step(&api.backend, &mut control::Schedule::default()).await.unwrap();
        go.notify_one();
    });
    result.unwrap();
    let record = api.session(bot).await.transcripts.iter().find(|t| t.id == transcript).cloned().unwrap();
    assert_eq!(record.status, TranscriptStatus::Failed);
    let prefix = Path::from(format!("recordings/first/{bot}/transcripts"));
    assert_eq!(api.state.storage.list(Some(&prefix)).count().await, 0);
}

#[tokio::test]
async fn a_transcript_whose_job_was_lost_fails_at_its_deadline() {
    let api = Api::start().await;
    let bot = api.recorded(json!({}), b"ogg").await;
    let request = json!({"provider": {"deepgram": {}}, "callback_url": "https://example.com/t"});
    let body = api.post(&format!("/api/v1/bots/{bot}/transcribe"), &request).await.expect(200);
    let path = format!("/api/v1/transcript/{}/get_transcript", body["transcript_id"].as_str().unwrap());
    api.advance(Duration::from_secs(2 * 3_600 - 1));
    control::step(&api.backend, &mut control::Schedule::default()).await.unwrap();
    api.get(&path).await.expect(202);
    api.advance(Duration::from_secs(1));
    control::step(&api.backend, &mut control::Schedule::default()).await.unwrap();
    let message = api.get(&path).await.refusal(404);
    assert!(message.contains("not finished before the transcription deadline"), "{message}");
    let last = told(&api, bot).await.pop().unwrap();
    assert_eq!((&last["event"], &last["url"]), (&json!("transcription.failed"), &json!("https://example.com/t")));
}

/// A store that counts the audio files of participants that were read.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn ObjectStore>,
    open: Arc<Open>,
}

/// Files that were read and are not recognised yet, and the most there ever were.
#[derive(Debug, Default)]
pub(super) struct Open {
    files: AtomicUsize,
    most: AtomicUsize,
    heard: AtomicUsize,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let parts: Vec<_> = location.parts().collect();
        // `recordings/first/{bot}/tracks/…` is what was joined; segments have their attempt before `tracks`.
        if parts.get(3).is_some_and(|part| part.as_ref() == "tracks") {
            let files = self.open.files.fetch_add(1, Ordering::SeqCst) + 1;
            self.open.most.fetch_max(files, Ordering::SeqCst);
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A fake of an OpenAI-compatible server: it hears one word in everything.
pub(super) async fn fake_openai(open: Arc<Open>) -> String {
    let hear = move |_: Bytes| {
        let open = Arc::clone(&open);
        async move {
            open.files.fetch_sub(1, Ordering::SeqCst);
            let count = open.heard.fetch_add(1, Ordering::SeqCst) + 1;
            axum::Json(json!({"text": format!("word{count}")}))
        }
    };
    let app = Router::new().route("/v1/audio/transcriptions", post(hear)).layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test]
async fn a_call_is_transcribed_file_by_file() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"recording_config": {"transcript": {"provider": {"meetstream": {}}}}})).await;
    // Four people who each speak four times, far enough apart for files of their own.
    let turns: Vec<i16> = (0..4).flat_map(|_| voice(5_000, 600)).collect();
    let people: Vec<_> = (0..4).map(|n| (TrackId::new(&format!("p{n}"), &format!("P{n}")), turns.clone())).collect();
    let mut writer = writer(&api, bot);
    feed(&mut writer, 23_000, &people);
    writer.close().await;
    drive_to(&api, bot, State::Processing).await;

    let open = Arc::new(Open::default());
    let url = fake_openai(Arc::clone(&open)).await;
    let storage = Arc::new(Counted { inner: Arc::clone(&api.state.storage), open: Arc::clone(&open) });
    process(&api, &setup(storage, &format!("[transcription]\nurl = \"{url}\"")), bot).await;
    let session = api.session(bot).await;
    assert_eq!((session.state, session.transcripts[0].status), (State::Done, TranscriptStatus::Success));
    let [files, most, heard] = [&open.files, &open.most, &open.heard].map(|count| count.load(Ordering::SeqCst));
    assert_eq!((files, heard), (0, 16), "every file is read once and recognised once");
    // One being read, one that may go on, and two at the recogniser with one more waiting for them.
    assert!(most <= 5, "{most} of 16 files were held at a time");
}
