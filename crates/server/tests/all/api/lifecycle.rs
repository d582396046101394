use muster_session::{EndReason, State, Terminal};
use serde_json::{Value, json};

use super::harness::{Api, drive_to};

const LIVE: [State; 6] =
    [State::Queued, State::Joining, State::WaitingRoom, State::InMeeting, State::Recording, State::Leaving];

#[tokio::test]
async fn every_state_has_its_status() {
    let api = Api::start().await;
    for state in LIVE.into_iter().chain([State::Processing]) {
        let bot = api.bot_with(json!({"custom_attributes": {"a": "b"}})).await;
        drive_to(&api, bot, state).await;
        let body = api.get(&format!("/api/v1/bots/{bot}/status")).await.expect(200);
        let expected =
            json!({"bot_id": bot.to_string(), "status": state.wire_status(), "custom_attributes": {"a": "b"}});
        assert_eq!(body, expected);
    }
}

/// Each reason ends a bot that was on its way in, and is told in the detail; but for the end of its worker, which hands it back.
#[tokio::test]
async fn the_terminal_matrix() {
    let api = Api::start().await;
    for reason in EndReason::ALL.iter().copied() {
        let bot = api.bot().await;
        api.acquire(bot).await;
        if reason == EndReason::WorkerShutdown {
            api.end(bot, reason).await;
            let session = api.session(bot).await;
            assert_eq!((session.state, session.attempt), (State::Queued, 0));
            continue;
        }
        // What is worth another attempt ends the bot with the last one.
        while api.session(bot).await.state.is_live() {
            api.end(bot, reason).await;
            if api.session(bot).await.state == State::Queued {
                api.acquire(bot).await;
            }
        }
        let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
        let details = &detail["bot_details"];
        let step = match reason.terminal() {
            Terminal::Stopped | Terminal::Kicked => "Stopped",
            Terminal::NotAllowed => "BotNotAllowed",
            Terminal::Denied => "BotRejected",
            Terminal::Failed => "Error",
        };
        for (name, entry) in details["StatusTimeline"].as_object().unwrap() {
            let reached = [step, "Joining", "Leaving", "Done"].contains(&name.as_str());
            assert_eq!(entry["status"], reached, "{reason}: {name}");
            assert_eq!(entry["message"].is_string(), reached, "{reason}: {name}");
            assert_eq!(entry["timestamp"].is_string(), reached, "{reason}: {name}");
        }
        assert_eq!(details["Status"], "Done", "{reason}");
        assert_eq!(details["end_reason"], reason.as_str());
        assert_eq!(details["fault"], json!(reason.fault()));
        assert_eq!(details["end_message"], reason.message());
        assert_eq!(details["attempt"], if reason.worth_retry() { 3 } else { 1 }, "{reason}");
        let filter = match reason.terminal() {
            Terminal::Stopped => "Stopped",
            Terminal::Kicked => continue,
            Terminal::NotAllowed => "NotAllowed",
            Terminal::Denied => "denied",
            Terminal::Failed => "FAILED",
        };
        let page = api.get(&format!("/api/v1/bots?status={filter}&limit=1")).await.expect(200);
        assert_eq!(page["bots"][0]["bot_id"], bot.to_string(), "{reason}");
    }
}

#[tokio::test]
async fn the_detail_has_every_documented_key() {
    let api = Api::start().await;
    let bot = api.bot_with(json!({"bot_message": "hello", "bot_image_url": "https://example.com/i.png"})).await;
    let detail = api.get(&format!("/api/v1/bots/{bot}/detail")).await.expect(200);
    let details = detail["bot_details"].as_object().unwrap();
    for key in "BotID, BotImageURL, BotMessage, BotProfile, BotUsername, CreatedAt, Duration, EndTime, LastUpdatedAt, \
                ManifestStatus, MediaS3Bucket, MeetingLink, NativeSTT, OfferingType, Platform, PlatformCreatedAt, \
                PlatformStatusCreatedAt, RequestPayload, StartTime, Status, StatusCreatedAt, StatusTimeline, AudioStatus, \
                TranscriptStatus, UserID, caption_file, participant_events, custom_attributes, transcript_id"
        .split(", ")
    {
        assert!(details.contains_key(key), "{key}");
    }
    assert_eq!(details["BotMessage"], "hello");
    assert_eq!(details["Platform"], "GMeet");
    assert_eq!(details["StatusTimeline"].as_object().unwrap().len(), 15);
    assert_eq!(details["Duration"], Value::Null);
    let summary = api.get(&format!("/api/v1/bots/{bot}/summary")).await.expect(200);
    assert_eq!(summary, detail);
}

#[tokio::test]
async fn the_detail_of_a_recorded_call() {
    let api = Api::start().await;
    let plan = json!({"recording_config": {"transcript": {"provider": {"deepgram": {}}}}});
    let bot = api.recorded(plan, b"ogg").await;
    let path = format!("/api/v1/bots/{bot}/detail");
    let details = api.get(&path).await.expect(200)["bot_details"].take();
    assert_eq!(details["Status"], "MediaProcessing");
    assert_eq!(details["Duration"], 90);
    assert_eq!((&details["AudioStatus"], &details["ManifestStatus"]), (&json!("Success"), &json!("Success")));
    assert_eq!(details["TranscriptStatus"], Value::Null, "still being made");
    let failed = muster_session::ArtifactState::Failed { message: "no words".into() };
    api.settle(bot, muster_session::ArtifactKind::Transcript, failed).await;
    let details = api.get(&path).await.expect(200)["bot_details"].take();
    assert_eq!((&details["Status"], &details["TranscriptStatus"]), (&json!("Done"), &json!("Failed")));
    assert!(details["StatusTimeline"]["AudioProcessing"]["status"].as_bool().unwrap());
    assert!(!details["StatusTimeline"]["TranscriptionReady"]["status"].as_bool().unwrap());
}

#[tokio::test]
async fn remove_bot_takes_get_and_post() {
    let api = Api::start().await;
    for state in LIVE {
        for post in [false, true] {
            let bot = api.bot().await;
            drive_to(&api, bot, state).await;
            let path = format!("/api/v1/bots/{bot}/remove_bot");
            let reply = if post { api.post(&path, &json!({})).await } else { api.get(&path).await };
            let body = reply.expect(200);
            assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
            let session = api.session(bot).await;
            assert!(session.stop_requested.is_some(), "{state:?}");
            if state == State::Queued {
                assert_eq!(session.end.unwrap().reason, EndReason::LeaveRequested);
                api.get(&path).await.refusal(409);
            } else {
                api.get(&path).await.expect(200);
            }
        }
    }
}

#[tokio::test]
async fn a_bot_that_has_left_cannot_be_removed() {
    let api = Api::start().await;
    let bot = api.bot().await;
    drive_to(&api, bot, State::Processing).await;
    let message = api.get(&format!("/api/v1/bots/{bot}/remove_bot")).await.refusal(409);
    assert!(message.contains("MediaProcessing"), "{message}");
}

#[tokio::test]
async fn a_scheduled_bot_that_is_removed_ends_with_its_webhooks() {
    let api = Api::start().await;
    let bot =
        api.bot_with(json!({"join_at": "2026-09-21T18:00:00Z", "callback_url": "https://example.com/hook"})).await;
    api.get(&format!("/api/v1/bots/{bot}/remove_bot")).await.expect(200);
    let ledger = api.get(&format!("/api/v1/bots/{bot}/events")).await.expect(200);
    let names: Vec<&str> = ledger["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["bot.scheduled", "bot.leaving", "bot.stopped", "bot.done"]);
}

#[tokio::test]
async fn commands_to_a_running_bot_are_refused_honestly() {
    let api = Api::start().await;
    let out = api.bot().await;
    let inside = api.bot().await;
    api.record(inside).await;
    for command in ["send_message", "send_image", "pause_recording", "resume_recording"] {
        let message =
            api.post(&format!("/api/v1/bots/{inside}/{command}"), &json!({"message": "hi"})).await.refusal(501);
        assert!(message.contains("not supported"), "{message}");
        let message = api.post(&format!("/api/v1/bots/{out}/{command}"), &json!({})).await.refusal(409);
        assert!(message.contains("not in a meeting"), "{message}");
    }
}
