//! Words that are known to be missing: made of what is recorded, or missed; never a success without them.

use super::*;

/// The text of the bot's own transcript, or why there is none.
async fn transcript(api: &Api, config: &str, bot: BotId) -> std::result::Result<Value, String> {
    drive_to(api, bot, State::Processing).await;
    process(api, &setup(Arc::clone(&api.state.storage), config), bot).await;
    let record = api.session(bot).await.transcripts[0].clone();
    let answer = api.get(&format!("/api/v1/transcript/{}/get_transcript", record.id)).await;
    match record.status {
        TranscriptStatus::Success => Ok(answer.expect(200)),
        _ => Err(answer.refusal(404)),
    }
}

#[tokio::test]
async fn words_that_a_killed_bot_had_not_noted_are_made_of_the_recording_or_missed() {
    let openai = format!("[transcription]\nurl = \"{}\"", fake_openai(Arc::default()).await);
    let table = [(&*openai, true, Ok("word1")), ("", true, Err("1 files of notes missing")), ("", false, Ok("Hello"))];
    for (config, killed, want) in table {
        let api = Api::start().await;
        let bot = api.bot_with(streaming()).await;
        let mut writer = writer(&api, bot);
        writer.event("words", said(&api, ("ada", "Ada"), 600, &["Hello"]));
        feed(&mut writer, 4_000, &[(TrackId::new("ada", "Ada"), voice(500, 2_000))]);
        if killed {
            writer.idle().await;
            drop(writer);
        } else {
            writer.close().await;
        }
        match (transcript(&api, config, bot).await, want) {
            (Ok(found), Ok(text)) => assert_eq!(found[0]["transcript"], json!(text)),
            (Err(message), Err(why)) => assert!(message.contains(why), "{message}"),
            (found, want) => panic!("{found:?}, not {want:?}"),
        }
    }
}
