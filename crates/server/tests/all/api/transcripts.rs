use axum::http::Method;
use muster_session::{ArtifactKind, ArtifactState, BotId, EndReason, Input, State, TranscriptId};
use serde_json::{Value, json};

use super::harness::{Api, drive_to};

fn deepgram() -> Value {
    json!({"recording_config": {"transcript": {"provider": {"deepgram": {"language": "en"}}}}})
}

/// A recorded bot whose transcript is there.
async fn transcribed(api: &Api) -> (BotId, TranscriptId) {
    let bot = api.recorded(deepgram(), b"ogg").await;
    let id = api.session(bot).await.transcript().unwrap().id;
    put(api, bot, id).await;
    api.settle(bot, ArtifactKind::Transcript, ArtifactState::Ready).await;
    (bot, id)
}

async fn put(api: &Api, bot: BotId, id: TranscriptId) {
    api.put(&format!("recordings/first/{bot}/transcripts/{id}.json"), r#"[{"speaker":"Ada"}]"#).await;
    api.put(&format!("recordings/first/{bot}/transcripts/{id}.raw.json"), r#"{"text":"hello"}"#).await;
}

#[tokio::test]
async fn a_transcript_is_a_bare_array_or_raw() {
    let api = Api::start().await;
    let (_, id) = transcribed(&api).await;
    let path = format!("/api/v1/transcript/{id}/get_transcript");
    for (query, expected) in [
        ("", json!([{"speaker": "Ada"}])),
        ("?raw=false", json!([{"speaker": "Ada"}])),
        ("?raw=true", json!({"text": "hello"})),
        ("?raw=True", json!({"text": "hello"})),
    ] {
        let reply = api.get(&format!("{path}{query}")).await;
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.expect(200), expected, "{query}");
    }
}

#[tokio::test]
async fn it_is_202_while_pending_and_404_with_the_reason_when_it_failed() {
    let api = Api::start().await;
    let bot = api.bot_with(deepgram()).await;
    let id = api.session(bot).await.transcript().unwrap().id;
    let path = format!("/api/v1/transcript/{id}/get_transcript");
    assert!(api.get(&path).await.expect(202)["message"].is_string());
    drive_to(&api, bot, State::Processing).await;
    api.get(&path).await.expect(202);
    api.settle(bot, ArtifactKind::Transcript, ArtifactState::Failed { message: "the provider is down".into() }).await;
    assert!(api.get(&path).await.refusal(404).contains("the provider is down"));

    let denied = api.bot_with(deepgram()).await;
    api.acquire(denied).await;
    api.end(denied, EndReason::JoinDenied).await;
    let id = api.session(denied).await.transcript().unwrap().id;
    let message = api.get(&format!("/api/v1/transcript/{id}/get_transcript")).await.refusal(404);
    assert!(message.contains(EndReason::JoinDenied.message()), "{message}");

    for unknown in ["01890000-0000-7000-8000-000000000000", "x", "%FF"] {
        api.get(&format!("/api/v1/transcript/{unknown}/get_transcript")).await.refusal(404);
    }
}

#[tokio::test]
async fn the_list_has_links_once_there_is_something_behind_them() {
    let api = Api::start().await;
    let pending = api.bot_with(deepgram()).await;
    let body = api.get(&format!("/api/v1/bots/{pending}/transcriptions")).await.expect(200);
    let entry = &body["transcriptions"][0];
    assert_eq!((&entry["status"], &entry["download_urls"]), (&json!("Processing"), &Value::Null));
    assert_eq!((&entry["provider"], &entry["config"]), (&json!("deepgram"), &json!({"language": "en"})));

    let (bot, id) = transcribed(&api).await;
    let body = api.get(&format!("/api/v1/bots/{bot}/transcriptions")).await.expect(200);
    let entry = &body["transcriptions"][0];
    assert_eq!((&entry["transcript_id"], &entry["status"]), (&json!(id.to_string()), &json!("Success")));
    for (key, expected) in
        [("raw_transcript", json!({"text": "hello"})), ("processed_transcript", json!([{"speaker": "Ada"}]))]
    {
        let path = Api::local(&entry["download_urls"][key]);
        assert_eq!(api.call(Method::GET, &path, &[], "").await.expect(200), expected);
    }
    let none = api.bot().await;
    let body = api.get(&format!("/api/v1/bots/{none}/transcriptions")).await.expect(200);
    assert_eq!(body["transcriptions"], json!([]));
}

#[tokio::test]
async fn a_recording_can_be_transcribed_again() {
    let api = Api::start().await;
    let (bot, first) = transcribed(&api).await;
    let path = format!("/api/v1/bots/{bot}/transcribe");
    let request = json!({"provider": {"assemblyai": {"language_code": "de"}}, "callback_url": "https://example.com/t"});
    let body = api.post(&path, &request).await.expect(200);
    assert_eq!((&body["bot_id"], &body["provider"]), (&json!(bot.to_string()), &json!("assemblyai")));
    let id: TranscriptId = body["transcript_id"].as_str().unwrap().parse().unwrap();
    assert_ne!(id, first);
    let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
    assert_eq!(detail["bot_details"]["transcript_id"], id.to_string(), "the latest one");

    let fetch = format!("/api/v1/transcript/{id}/get_transcript");
    api.get(&fetch).await.expect(202);
    put(&api, bot, id).await;
    api.apply(bot, Input::SettleTranscript { id, result: Ok(()) }).await;
    api.get(&fetch).await.expect(200);
    let ledger = api.get(&format!("/api/v1/bots/{bot}/events")).await.expect(200);
    let last = ledger["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["url"]), (&json!("transcription.processed"), &json!("https://example.com/t")));
}

#[tokio::test]
async fn transcribe_refuses_what_it_cannot_do() {
    let api = Api::start().await;
    let (bot, _) = transcribed(&api).await;
    let path = format!("/api/v1/bots/{bot}/transcribe");
    for (body, field) in [
        (json!({}), "provider"),
        (json!({"provider": "deepgram"}), "provider"),
        (json!({"provider": {}}), "provider"),
        (json!({"provider": {"deepgram": {}, "sarvam": {}}}), "provider"),
        (json!({"provider": {"deepgram_streaming": {}}}), "provider"),
        (json!({"provider": {"deepgram": {}}, "callback_url": "http://127.0.0.1/x"}), "callback_url"),
        (json!([]), "body"),
    ] {
        let message = api.post(&path, &body).await.refusal(400);
        assert!(message.contains(field), "{body}: {message}");
    }
    let request = json!({"provider": {"deepgram": {}}});
    for state in [State::Queued, State::Recording, State::Processing] {
        let bot = api.bot().await;
        drive_to(&api, bot, state).await;
        api.post(&format!("/api/v1/bots/{bot}/transcribe"), &request).await.refusal(409);
    }
    let never_in = api.bot().await;
    api.acquire(never_in).await;
    api.end(never_in, EndReason::JoinDenied).await;
    let message = api.post(&format!("/api/v1/bots/{never_in}/transcribe"), &request).await.refusal(409);
    assert!(message.contains("no recording"), "{message}");

    api.delete(&format!("/api/v1/bots/{bot}/delete")).await.expect(200);
    api.post(&path, &request).await.refusal(410);

    let deaf = Api::start_with(false).await;
    let (bot, _) = transcribed(&deaf).await;
    let message = deaf.post(&format!("/api/v1/bots/{bot}/transcribe"), &request).await.refusal(501);
    assert!(message.contains("transcription.url"), "{message}");
}

#[tokio::test]
async fn a_recording_has_a_bounded_number_of_transcripts() {
    let api = Api::start().await;
    let (bot, _) = transcribed(&api).await;
    let path = format!("/api/v1/bots/{bot}/transcribe");
    let request = json!({"provider": {"deepgram": {}}});
    for _ in 1..20 {
        api.post(&path, &request).await.expect(200);
    }
    assert!(api.post(&path, &request).await.refusal(409).contains("20"));
}

#[tokio::test]
async fn the_options_of_all_transcripts_are_bounded_together() {
    let api = Api::start().await;
    let (bot, _) = transcribed(&api).await;
    let path = format!("/api/v1/bots/{bot}/transcribe");
    let request = |bytes| json!({"provider": {"deepgram": {"x": "x".repeat(bytes)}}});
    assert!(api.post(&path, &request(70_000)).await.refusal(413).contains("65536"));
    api.post(&path, &request(40_000)).await.expect(200);
    let message = api.post(&path, &request(40_000)).await.refusal(413);
    assert!(message.starts_with("provider: ") && message.contains("65536"), "{message}");
    api.post(&path, &request(20_000)).await.expect(200);
    assert_eq!(api.session(bot).await.transcripts.len(), 3);
}
