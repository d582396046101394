//! Words that are known to be missing: made of what is recorded, or missed; never a success without them.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;

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

/// A call in which people speak: the mix is the sum of them.
fn call(writer: &mut Writer, ms: u32, people: &[(TrackId, Vec<i16>)]) {
    for index in 0..(ms / 20) as usize {
        let tracks: Vec<(TrackId, &[i16])> =
            people.iter().map(|(id, pcm)| (id.clone(), &pcm[index * FRAME..][..FRAME])).collect();
        let mut mixed = [0_i16; FRAME];
        for (_, pcm) in &tracks {
            mixed.iter_mut().zip(*pcm).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
        }
        writer.frame(&mixed, &tracks);
    }
}

#[tokio::test]
async fn more_speakers_than_there_are_tracks_are_all_in_the_transcript_or_there_is_none() {
    let openai = format!("[transcription]\nurl = \"{}\"", fake_openai(Arc::default()).await);
    for recorded in [true, false] {
        let api = Api::start().await;
        let bot = api.bot_with(json!({"recording_config": {"transcript": {"provider": {"meetstream": {}}}}})).await;
        let pcm = [voice(500, 4_000), tone::silence(500, 48_000)].concat();
        let people: Vec<_> = (0..17).map(|n| (TrackId::new(&format!("p{n}"), &format!("P{n}")), pcm.clone())).collect();
        let mut writer = writer(&api, bot);
        call(&mut writer, 5_000, &people);
        assert_eq!(writer.close().await.tracks_refused, 1);
        if !recorded {
            // Three seconds of the mix, in which the last of them is.
            for segment in 1..4 {
                let path = format!("recordings/first/{bot}/a1/mixed/{segment:06}.ogg");
                api.state.storage.delete(&Path::from(path)).await.unwrap();
            }
        }
        match transcript(&api, &openai, bot).await {
            Ok(found) if recorded => {
                let speakers: BTreeSet<_> =
                    found.as_array().unwrap().iter().map(|segment| segment["speaker"].to_string()).collect();
                assert_eq!(speakers.len(), 17, "{speakers:?}");
            }
            Err(message) if !recorded => assert!(message.contains("3000 ms of what was said are neither"), "{message}"),
            found => panic!("{found:?}"),
        }
    }
}
