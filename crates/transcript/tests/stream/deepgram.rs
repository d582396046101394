use std::time::Duration;

use muster_session::protocol::SpeechSpec;
use muster_transcript::listen::{Heard, Pace};
use serde_json::{Value, json};

use super::vendor::{Sent, Stream, Vendor};
use super::{KEY, Speaker, named, pace, words};

fn spec(vendor: &Vendor) -> SpeechSpec {
    let options = json!({"model": "nova-3", "smart_format": true, "transcription_mode": "sentence"});
    SpeechSpec::Deepgram { url: vendor.url(), api_key: KEY.into(), options }
}

/// A result of the words of a stream, from one to another.
fn results(stream: &Stream, from: usize, to: usize, is_final: bool) -> Value {
    let all = stream.words();
    let seconds = |ms: usize| ms as f64 / 1000.0;
    let words: Vec<Value> = all[from..to]
        .iter()
        .map(|&(level, start, end)| {
            let word = format!("w{level}");
            json!({"word": word, "punctuated_word": word, "start": seconds(start), "end": seconds(end), "confidence": 0.9})
        })
        .collect();
    let text: Vec<&str> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    let start = from.checked_sub(1).map_or(0, |before| all[before].2);
    let end = to.checked_sub(1).map_or(0, |last| all[last].2);
    json!({
        "type": "Results", "channel_index": [0, 1], "start": seconds(start), "duration": seconds(end - start),
        "is_final": is_final, "speech_final": is_final, "from_finalize": false,
        "channel": {"alternatives": [{"transcript": text.join(" "), "confidence": 0.9, "words": words}]},
    })
}

/// Answers everything that was asked for up to the end, as the vendor does.
async fn until_closed(mut stream: Stream, mut said: usize) {
    loop {
        let message = stream.next().await;
        let kind = match &message {
            Sent::Text(message) => message["type"].as_str().unwrap(),
            Sent::Closed => return,
        };
        match kind {
            "Finalize" | "CloseStream" => {
                let all = stream.words().len();
                let answer = results(&stream, said, all, true);
                stream.say(answer).await;
                said = all;
            }
            "KeepAlive" => {}
            other => panic!("{other}"),
        }
        if kind == "CloseStream" {
            stream.say(json!({"type": "Metadata", "duration": 1.0, "channels": 1})).await;
            stream.close(1000, "").await;
            return;
        }
    }
}

#[tokio::test]
async fn every_message_is_as_the_vendor_wants_it() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.silence(2_000);
    ann.say(1);
    ann.say(2);
    let mut stream = vendor.accept().await;
    assert_eq!(stream.url.path(), "/v1/listen");
    assert_eq!(stream.authorization, format!("Token {KEY}"));
    let want = [
        ("punctuate", "true"),
        ("language", "en"),
        ("model", "nova-3"),
        ("smart_format", "true"),
        ("encoding", "linear16"),
        ("sample_rate", "16000"),
        ("channels", "1"),
        ("interim_results", "true"),
        ("endpointing", "300"),
    ];
    assert_eq!(stream.query(), want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // What came before the speech is there, and little of the silence.
    stream.hear(1_000).await;
    assert!(stream.messages.iter().all(|samples| *samples == 1_600), "{:?}", stream.messages);
    assert_eq!(stream.words()[0], (1, 300, 600));
    let interim = results(&stream, 0, 1, false);
    stream.say(interim).await;
    let last = results(&stream, 0, 1, true);
    stream.say(last).await;
    assert_eq!(ann.phrase().await, [("w1".into(), 2_000, 2_300)]);

    ann.silence(5_000);
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "Finalize"})));
    let sent = stream.audio.len() / 16;
    assert_eq!(sent.div_ceil(100), (300 + 800 + 1_500usize).div_ceil(100), "silence after speech, but not all of it");
    let last = results(&stream, 1, 2, true);
    stream.say(last).await;
    assert_eq!(ann.phrase().await, [("w2".into(), 2_400, 2_700)]);
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "KeepAlive"})));
    assert_eq!(stream.next().await, Sent::Text(json!({"type": "KeepAlive"})));
    assert_eq!(stream.audio.len() / 16, sent, "nothing to hear");

    ann.say(3);
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 2));
    let [Heard::Phrase(phrase)] = &heard[..] else { panic!("{heard:?}") };
    // Seconds were left out of the stream, and are not missing from the call's time.
    assert_eq!((phrase.text.as_str(), phrase.start_ms, phrase.end_of_turn), ("w3", 7_800, true));
    vendor.assert_left_alone();
}

#[tokio::test]
async fn a_restart_in_the_middle_of_speech_loses_no_word_and_repeats_none() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    for word in 1..=4 {
        ann.say(word);
    }
    let mut stream = vendor.accept().await;
    stream.hear(1_200).await;
    let last = results(&stream, 0, 2, true);
    stream.say(last).await;
    assert_eq!(ann.phrase().await, [("w1".into(), 0, 300), ("w2".into(), 400, 700)]);
    // An interim result is no word: what it is about is lost with the connection.
    let interim = results(&stream, 2, 3, false);
    stream.say(interim).await;
    stream.drop();
    let vendor = vendor.restart().await;
    assert!(ann.trouble().await.starts_with("Deepgram: "));
    for word in 5..=7 {
        ann.say(word);
    }
    ann.silence(2_000);
    ann.say(8);
    let mut stream = vendor.accept().await;
    stream.hear(500).await;
    assert_eq!(stream.words()[0].0, 3, "from the first word that was not final");
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0));
    assert_eq!(words(&heard), named(&[3, 4, 5, 6, 7, 8]));
    let Heard::Phrase(first) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!(first.start_ms, 800);
}

#[tokio::test]
async fn a_vendor_that_is_away_or_hangs_is_waited_for_and_told_of_once() {
    let hasty = Pace { connect: Duration::from_millis(500), hang: Duration::from_millis(500), ..pace() };
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), hasty);
    ann.say(1);
    vendor.decline(503).await;
    assert!(ann.trouble().await.contains("503"));
    let silent = vendor.ignore().await;
    // Opens a stream, and then neither reads nor answers.
    let hanging = vendor.accept().await;
    let stream = vendor.accept().await;
    drop((silent, hanging));
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0));
    assert_eq!(words(&heard), named(&[1]));
    assert_eq!(heard.len(), 1, "{heard:?}");
}

#[tokio::test]
async fn a_refused_key_is_told_once_and_not_tried_forever() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    vendor.decline(401).await;
    let text = ann.trouble().await;
    assert!(text.contains("401") && text.contains("no more is tried"), "{text}");
    ann.say(2);
    let lost: u64 = ann
        .rest()
        .await
        .iter()
        .map(|heard| if let Heard::Unrecognised { ms } = heard { *ms } else { panic!("{heard:?}") })
        .sum();
    assert_eq!(lost, 800);
    vendor.assert_left_alone();
}

#[tokio::test]
async fn a_voice_that_is_refused_where_others_are_not_is_tried_again() {
    let vendor = Vendor::start().await;
    let mut room = Speaker::new(&spec(&vendor), pace());
    room.say(1);
    room.silence(2_000);
    let mut stream = vendor.accept().await;
    stream.hear(400).await;
    let last = results(&stream, 0, 1, true);
    stream.say(last).await;
    assert_eq!(room.phrase().await, [("w1".into(), 0, 300)]);
    room.id = "bob";
    room.say(2);
    vendor.decline(401).await;
    assert!(room.trouble().await.contains("trying again"));
    vendor.decline(400).await;
    let second = vendor.accept().await;
    let (heard, (), ()) = tokio::join!(room.rest(), until_closed(stream, 1), until_closed(second, 0));
    assert_eq!(words(&heard), named(&[2]));
}

#[tokio::test]
async fn a_handshake_that_fails_otherwise_is_tried_a_few_times() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    for _ in 0..2 {
        vendor.decline(404).await;
    }
    let stream = vendor.accept().await;
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0));
    assert_eq!((words(&heard), heard.len()), (named(&[1]), 1));
}

#[tokio::test]
async fn a_stream_that_is_closed_for_good_is_opened_a_few_times() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), pace());
    ann.say(1);
    for _ in 0..3 {
        vendor.accept().await.close(1008, "DATA-0000").await;
    }
    assert!(ann.trouble().await.contains("1008 DATA-0000"));
    assert_eq!(ann.rest().await, [Heard::Unrecognised { ms: 400 }]);
    vendor.assert_left_alone();
}

#[tokio::test]
async fn what_has_no_room_while_the_vendor_is_away_is_counted() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), Pace { kept: Duration::from_millis(1_000), ..pace() });
    ann.say(1);
    ann.say(2);
    ann.say(3);
    let stream = vendor.accept().await;
    let (heard, ()) = tokio::join!(ann.rest(), until_closed(stream, 0));
    assert_eq!(words(&heard), named(&[1, 2]));
    let dropped: u64 = heard.iter().map(|heard| if let Heard::Dropped { ms } = heard { *ms } else { 0 }).sum();
    assert_eq!(dropped, 400);
}

#[tokio::test]
async fn a_long_silence_closes_the_stream_and_speech_opens_another() {
    let vendor = Vendor::start().await;
    let mut ann = Speaker::new(&spec(&vendor), Pace { idle: Duration::from_millis(120), ..pace() });
    ann.say(1);
    ann.silence(2_000);
    until_closed(vendor.accept().await, 0).await;
    assert_eq!(ann.phrase().await, [("w1".into(), 0, 300)]);
    ann.say(2);
    let (heard, ()) = tokio::join!(ann.rest(), async { until_closed(vendor.accept().await, 0).await });
    let [Heard::Phrase(phrase)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((phrase.text.as_str(), phrase.start_ms), ("w2", 2_400));
}
