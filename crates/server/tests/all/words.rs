//! Live words: real speech, recognised during the call, posted with its speaker.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_transcript::accuracy::wer;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server};

pub(crate) const ADA: &str = "Good morning everyone and welcome to the weekly meeting.";
const GRACE: &str = "The mobile team needs two more days for testing.";

/// A WAV file of somebody saying it.
pub(crate) fn say(voice: &str, text: &str) -> String {
    let said = Command::new("espeak-ng").args(["--stdout", "-s", "140", "-v", voice, text]).output();
    STANDARD.encode(said.expect("espeak-ng is installed").stdout)
}

pub(crate) fn text(posts: &[Value], speaker: &str) -> String {
    let own = posts.iter().filter(|post| post["speakerName"] == speaker);
    own.map(|post| post["new_text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn live_words_come_with_their_speaker_while_the_call_goes_on() {
    let whisper = std::env::var("MUSTER_TEST_WHISPER_URL")
        .expect("MUSTER_TEST_WHISPER_URL names a speech-to-text server: run `make test`, which starts one");
    let server = Server::start(&format!("[transcription]\nurl = {whisper:?}\nlanguage = \"en\"\n"));
    let (hook, words) = (Receiver::start().await, Receiver::start().await);
    let people = json!([
        {"id": "ada", "name": "Ada", "speaks": [{"at": 1.0, "wav_base64": say("en-us", ADA)}]},
        {"id": "grace", "name": "Grace", "speaks": [{"at": 7.0, "wav_base64": say("en-gb", GRACE)}]},
    ]);
    let link = server.room("words", json!({"participants": people})).await;
    let bot = server
        .create(json!({
            "meeting_link": link,
            "callback_url": hook.url,
            "custom_attributes": {"case": "words"},
            "live_transcription_required": {"webhook_url": words.url},
            "recording_config": {"transcript": {"provider": {"meetstream_streaming": {}}}},
        }))
        .await;
    // Both were heard before the call is over: nobody has ended it yet.
    let posts = words
        .until(&bot, "words of both", |posts| {
            ["Ada", "Grace"].iter().all(|speaker| text(posts, speaker).split_whitespace().count() >= 6)
        })
        .await;
    server.act("words", json!({"do": "end"})).await;
    for (speaker, said) in [("Ada", ADA), ("Grace", GRACE)] {
        let heard = text(&posts, speaker);
        // A small model mishears a word or two of synthetic speech, not a quarter of it.
        assert!(wer(said, &heard) <= 0.25, "{speaker}: {heard}");
    }
    assert!(posts.iter().all(|post| post["custom_attributes"] == json!({"case": "words"})), "{posts:?}");
    hook.done(&bot).await;
}
