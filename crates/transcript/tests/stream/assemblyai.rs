use std::time::Duration;

use muster_session::protocol::SpeechSpec;
use muster_transcript::listen::{Heard, Pace};
use serde_json::{Value, json};

use super::vendor::{Sent, Stream, Vendor};
use super::{KEY, Speaker, named, pace, words};

fn spec(vendor: &Vendor) -> SpeechSpec {
    let options = json!({"sample_rate": 48000, "max_turn_silence": 700, "keyterms_prompt": ["Muster"]});
    SpeechSpec::Assemblyai { url: vendor.url(), api_key: KEY.into(), options }
}

/// A turn with the words of a stream from one to another.
fn turn(stream: &Stream, order: usize, from: usize, to: usize, end: bool, formatted: bool) -> Value {
    let all = stream.words();
    let words: Vec<Value> = all[from..to]
        .iter()
        .map(|&(level, start, end)| {
            let text = if formatted { format!("w{level}") } else { format!("raw{level}") };
            json!({"text": text, "start": start, "end": end, "confidence": 0.9, "word_is_final": true})
        })
        .collect();
    let text: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
    json!({
        "type": "Turn", "turn_order": order, "turn_is_formatted": formatted, "end_of_turn": end,
        "transcript": text.join(" "), "end_of_turn_confidence": 0.8, "words": words, "utterance": "",
    })
}

/// Ends turns when asked to, up to the end, as the vendor does.
async fn until_closed(mut stream: Stream, mut order: usize, mut said: usize) {
    loop {
        let message = stream.next().await;
        let kind = match &message {
            Sent::Text(message) => message["type"].as_str().unwrap(),
            Sent::Closed => return,
        };
        assert!(matches!(kind, "ForceEndpoint" | "Terminate"), "{kind}");
        let all = stream.words().len();
        if all > said {
            for formatted in [false, true] {
                let turn = turn(&stream, order, said, all, true, formatted);
                stream.say(turn).await;
            }
            (order, said) = (order + 1, all);
        }
        if kind == "Terminate" {
            stream
                .say(json!({"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 1}))
                .await;
            stream.close(1000, "").await;
            return;
        }
    }
}

#[tokio::test]
async fn every_message_is_as_the_vendor_wants_it() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.silence(1_000);
    ann.say(1);
    ann.say(2);
    let mut stream = vendor.accept().await;
    assert_eq!((stream.url.path(), stream.authorization.as_str()), ("/v3/ws", KEY));
    let want = [
        ("sample_rate", "16000"),
        ("encoding", "pcm_s16le"),
        ("format_turns", "true"),
        ("speech_model", "universal-streaming-english"),
        ("keyterms_prompt", r#"["Muster"]"#),
        ("max_turn_silence", "700"),
    ];
    assert_eq!(stream.query(), want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    stream.say(json!({"type": "Begin", "id": "s1", "expires_at": 1_800_000_000})).await;
    stream.hear(1_000).await;
    let partial = turn(&stream, 0, 0, 1, false, false);
    stream.say(partial).await;
    ann.silence(3_000);
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "ForceEndpoint"})));
    // 50 to 1000 ms in a message.
    assert!(stream.messages.iter().all(|samples| (800..=16_000).contains(samples)), "{:?}", stream.messages);
    // A turn comes twice, and is said once.
    for formatted in [false, true, true] {
        let end = turn(&stream, 0, 0, 2, true, formatted);
        stream.say(end).await;
    }
    assert_eq!(ann.phrase().await, [("w1".into(), 1_000, 1_300), ("w2".into(), 1_400, 1_700)]);
    ann.say(3);
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 1, 2));
    let [Heard::Phrase(phrase)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((phrase.text.as_str(), phrase.start_ms, phrase.end_of_turn), ("w3", 4_800, true));
    vendor.assert_left_alone();
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_turn_loses_no_word_and_repeats_none() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    for word in 1..=3 {
        ann.say(word);
    }
    let mut stream = vendor.accept().await;
    stream.hear(1_200).await;
    // The first turn is over, its formatted form is on its way; the second has begun.
    let first = turn(&stream, 0, 0, 1, true, false);
    stream.say(first).await;
    let second = turn(&stream, 1, 1, 2, false, false);
    stream.say(second).await;
    assert_eq!(ann.phrase().await, [("raw1".into(), 0, 300)]);
    stream.drop();
    let vendor = vendor.restart().await;
    assert!(ann.trouble().await.starts_with("AssemblyAI: "));
    ann.say(4);
    let stream = vendor.accept().await;
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0, 0));
    assert_eq!(words(&heard), named(&[2, 3, 4]));
    let Heard::Phrase(phrase) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!(phrase.start_ms, 400);
}

#[tokio::test]
async fn a_finished_turn_is_not_lost_with_its_connection() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    ann.say(2);
    let mut stream = vendor.accept().await;
    stream.hear(800).await;
    let end = turn(&stream, 0, 0, 1, true, false);
    stream.say(end).await;
    // The session's time is over: no refusal, whatever came before.
    stream.close(3008, "Session Expired").await;
    assert_eq!(ann.phrase().await, [("raw1".into(), 0, 300)]);
    assert!(ann.trouble().await.contains("3008"));
    let (heard, ()) = tokio::join!(ann.rest(), async { until_closed(vendor.accept().await, 0, 0).await });
    assert_eq!(words(&heard), named(&[2]));
}

#[tokio::test]
async fn a_refused_key_is_told_once() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    let errors = [
        json!({"error": "Not Authorized"}),
        json!({"type": "Error", "error_code": 4001, "error": "Not Authorized"}),
        json!({"error": "Not Authorized"}),
    ];
    for error in errors {
        let mut stream = vendor.accept().await;
        stream.say(error).await;
        stream.close(4001, "See Error message for details").await;
    }
    assert!(ann.trouble().await.contains("4001 Not Authorized"));
    assert_eq!(ann.rest().await, [Heard::Unrecognised { ms: 400 }]);
    vendor.assert_left_alone();
}

#[tokio::test]
async fn too_many_streams_at_a_time_are_no_refusal() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    for _ in 0..4 {
        let mut stream = vendor.accept().await;
        stream.say(json!({"error": "Too many concurrent sessions"})).await;
        stream.close(1008, "See Error message for details").await;
    }
    assert!(ann.trouble().await.contains("Too many"));
    let (heard, ()) = tokio::join!(ann.rest(), async { until_closed(vendor.accept().await, 0, 0).await });
    assert_eq!((words(&heard), heard.len()), (named(&[1]), 1));
}

#[tokio::test]
async fn what_the_vendor_makes_no_words_of_is_settled_and_speech_after_it_is_heard() {
    let vendor = Vendor::start().await;
    let brief = Pace { mute: Duration::from_secs(1), kept: Duration::from_secs(2), ..pace() };
    let mut ann = Speaker::new(&spec(&vendor), brief);
    // Music, to the detector speech: as much as there is room for.
    ann.frames(1_600, 0, true);
    let mut stream = vendor.accept().await;
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "Terminate"})));
    assert_eq!(stream.audio.len() / 16, 1_000);
    stream.say(json!({"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 1})).await;
    stream.close(1000, "").await;
    // What was settled leaves room.
    let mut stream = vendor.accept().await;
    stream.hear(500).await;
    ann.say(1);
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0, 0));
    assert_eq!((words(&heard), heard.len()), (named(&[1]), 1));
}

#[tokio::test]
async fn times_out_of_this_world_do_no_harm() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    let mut stream = vendor.accept().await;
    stream.hear(300).await;
    let mut strange = turn(&stream, 0, 0, 1, true, true);
    strange["turn_order"] = json!(u64::MAX);
    strange["words"][0]["end"] = json!(1e300);
    stream.say(strange).await;
    let words = ann.phrase().await;
    assert_eq!((words[0].0.as_str(), words[0].1), ("w1", 0));
    assert!(words[0].2 <= 400, "{words:?}");
}

#[tokio::test]
async fn a_stream_that_is_closed_in_a_pause_is_no_trouble() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    ann.silence(2_000);
    let mut stream = vendor.accept().await;
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "ForceEndpoint"})));
    let mut end = turn(&stream, 0, 0, 1, true, true);
    // The detector heard speech until the word's last consonant had died away.
    end["words"][0]["end"] = json!(400);
    stream.say(end).await;
    assert_eq!(ann.phrase().await, [("w1".into(), 0, 400)]);
    stream.close(3008, "Session Expired").await;
    ann.say(2);
    let (heard, ()) = tokio::join!(ann.rest(), async { until_closed(vendor.accept().await, 0, 0).await });
    assert_eq!((words(&heard), heard.len()), (named(&[2]), 1));
}
