//! Recordings and transcripts whose storage or recogniser is away for a while.

use std::sync::Arc;
use std::time::Duration;

use muster_recording::TrackId;
use muster_server::roles::media;
use muster_session::job::{Job, Topic};
use muster_session::{Artifact, ArtifactState, BotId, State, TranscriptStatus};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde_json::json;
use url::Url;

use super::harness::{Api, drive_to};
use super::transcribing::{DEAF, fake_openai, feed, setup, voice, writer};

/// A bot whose call is over, with somebody who spoke.
async fn recorded(api: &Api) -> BotId {
    let bot = api.bot_with(json!({"recording_config": {"transcript": {"provider": {"meetstream": {}}}}})).await;
    let mut writer = writer(api, bot);
    feed(&mut writer, 3_000, &[(TrackId::new("ada", "Ada"), voice(500, 2_000))]);
    writer.close().await;
    drive_to(api, bot, State::Processing).await;
    bot
}

/// Jobs that come again later.
async fn waiting(api: &Api) -> u64 {
    api.backend.queue.depth(Topic::Media).await.unwrap().delayed
}

fn is_pending(artifact: &Artifact) -> bool {
    artifact.state == ArtifactState::Pending
}

#[tokio::test]
async fn a_recording_waits_for_its_storage_and_fails_only_when_nobody_waits_for_it() {
    for comes_back in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut api = Api::start().await;
        api.state.storage = muster_recording::storage::open(&Url::from_directory_path(dir.path()).unwrap()).unwrap();
        let bot = recorded(&api).await;
        let setup = setup(Arc::clone(&api.state.storage), "");
        // Nothing can be stored in its place.
        let place = dir.path().join(format!("recordings/first/{bot}/audio.ogg/held"));
        std::fs::create_dir_all(&place).unwrap();
        // Whichever try it is, and if two processes have the job at once, it comes again once.
        for last in [false, true] {
            media::step(&api.backend, &setup, &Job::Process { bot }, last).await.unwrap();
            let session = api.session(bot).await;
            assert!(session.state == State::Processing && session.artifacts.iter().all(is_pending), "{session:?}");
            assert_eq!(waiting(&api).await, 1);
        }
        if comes_back {
            std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
        } else {
            api.advance(Duration::from_secs(2 * 3_600 - 60));
        }
        media::step(&api.backend, &setup, &Job::Process { bot }, false).await.unwrap();
        let session = api.session(bot).await;
        let [manifest, audio] = [0, 1].map(|at| session.artifacts[at].state.clone());
        if comes_back {
            assert_eq!((manifest, audio), (ArtifactState::Ready, ArtifactState::Ready));
        } else {
            let ArtifactState::Failed { message } = audio else { panic!("{audio:?}") };
            assert!(message.starts_with("the recording could not be finalised: storage: "), "{message}");
        }
        assert_eq!((session.state, waiting(&api).await), (State::Done, 1));
    }
}

#[tokio::test]
async fn transcripts_wait_for_their_recogniser_and_the_recording_is_made_once() {
    let api = Api::start().await;
    let bot = recorded(&api).await;
    let deaf = setup(Arc::clone(&api.state.storage), &DEAF.replace(".deepgram", ""));
    let hears = format!("[transcription]\nurl = \"{}\"", fake_openai(Arc::default()).await);
    let hears = setup(Arc::clone(&api.state.storage), &hears);
    let own = api.session(bot).await.transcripts[0].id;
    let status = async |id| {
        let transcripts = api.session(bot).await.transcripts;
        transcripts.iter().find(|transcript| transcript.id == id).map(|transcript| transcript.status)
    };

    // The recogniser is asked several times, with pauses that need not be waited for here.
    tokio::time::pause();
    media::step(&api.backend, &deaf, &Job::Process { bot }, true).await.unwrap();
    tokio::time::resume();
    let pending = api.session(bot).await.artifacts.iter().filter(|artifact| is_pending(artifact)).count();
    assert_eq!((status(own).await, pending, waiting(&api).await), (Some(TranscriptStatus::Processing), 1, 1));
    let audio = Path::from(format!("recordings/first/{bot}/audio.ogg"));
    api.state.storage.put(&audio, PutPayload::from_static(b"as it was")).await.unwrap();
    media::step(&api.backend, &hears, &Job::Process { bot }, false).await.unwrap();
    assert_eq!(status(own).await, Some(TranscriptStatus::Success));
    let kept = api.state.storage.get(&audio).await.unwrap().bytes().await.unwrap();
    assert_eq!(&kept[..], b"as it was");

    // So does one that is asked for later.
    let request = json!({"provider": {"meetstream": {}}});
    let body = api.post(&format!("/api/v1/bots/{bot}/transcribe"), &request).await.expect(200);
    let transcript = body["transcript_id"].as_str().unwrap().parse().unwrap();
    let job = Job::Transcribe { bot, transcript };
    tokio::time::pause();
    media::step(&api.backend, &deaf, &job, true).await.unwrap();
    tokio::time::resume();
    assert_eq!((status(transcript).await, waiting(&api).await), (Some(TranscriptStatus::Processing), 2));
    media::step(&api.backend, &hears, &job, false).await.unwrap();
    assert_eq!(status(transcript).await, Some(TranscriptStatus::Success));
}
