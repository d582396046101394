//! Live words, and what overload costs.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use muster_session::{Timestamp, TranscriptPlan};
use muster_transcript::live::Said;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// A recogniser that says what frequency it heard.
async fn recognise(form: Bytes) -> Json<Value> {
    let wav = form.windows(4).position(|part| part == b"RIFF").unwrap();
    let length = u32::from_le_bytes(form[wav + 40..wav + 44].try_into().unwrap()) as usize;
    let pcm: Vec<i16> = form[wav + 44..][..length].chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let text = format!("{:.0}", probe::dominant_frequency(&pcm, 16_000));
    Json(json!({
        "text": text, "language": "en", "duration": 1.0,
        "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": text}],
        "words": [{"word": text, "start": 0.2, "end": 1.0}],
    }))
}

#[tokio::test]
async fn live_words_are_posted_with_their_speakers() {
    let (posted, mut words) = mpsc::unbounded_channel::<Value>();
    let app = Router::new()
        .route("/v1/audio/transcriptions", post(recognise))
        .route(
            "/words",
            post(|State(posted): State<mpsc::UnboundedSender<Value>>, Json(body): Json<Value>| async move {
                posted.send(body).unwrap();
            }),
        )
        .with_state(posted);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let mut bench = bench(|spec| {
        spec.allow_private = vec!["127.0.0.0/8".into()];
        spec.media.live_transcription = Some(format!("{base}/words").parse().unwrap());
        let url = base.parse().unwrap();
        spec.speech = Some(SpeechSpec::Openai { url, model: "tiny".into(), api_key: None, language: None });
        spec.custom_attributes.insert("deal".into(), json!(7));
    });
    bench.owner(1, "ada", "Ada");
    bench.owner(2, "grace", "Grace");
    // The second one is still speaking at the end.
    bench.pass(0, 5_000, &[sound(1, 440.0, 5_000, 1_000, 2_000), sound(2, 880.0, 5_000, 3_000, 5_000)]);
    let recorded = bench.end(5_000).await;
    let said: Vec<Value> = std::iter::from_fn(|| words.try_recv().ok()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    for (body, name, hz, from, ends) in [(&said[0], "Ada", "440", 1_000, true), (&said[1], "Grace", "880", 3_000, true)]
    {
        assert_eq!((&body["speakerName"], &body["new_text"]), (&json!(name), &json!(hz)));
        assert_eq!(body["custom_attributes"]["deal"], 7);
        assert_eq!(body["end_of_turn"], ends);
        // An utterance begins up to 200 ms before the voice, and the word 200 ms into it.
        let start = body["words"][0]["start"].as_f64().unwrap() * 1_000.0;
        assert!((start - f64::from(from)).abs() < 120.0, "{start}");
    }
    // The same words are kept with the recording, which waits for the last ones.
    let noted: Vec<&Value> = recorded.noted.iter().filter(|note| note["kind"] == "words").collect();
    assert_eq!(noted.len(), said.len(), "{noted:?}");
    for (note, body) in noted.into_iter().zip(&said) {
        let said: Said = serde_json::from_value(note["data"].clone()).unwrap();
        let at = Timestamp::from_millis(said.start_ms).to_rfc3339();
        assert_eq!((&json!(said.speaker_id), &json!(said.text)), (&body["speakerId"], &body["new_text"]));
        assert_eq!((json!(at), said.words.len()), (body["timestamp"].clone(), body["words"].as_array().unwrap().len()));
    }
}

#[tokio::test]
async fn words_of_a_streaming_provider_are_recorded_without_a_receiver() {
    let app = Router::new().route("/v1/audio/transcriptions", post(recognise));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for streaming in [true, false] {
        let mut bench = bench(|spec| {
            let plan = TranscriptPlan { provider: "meetstream_streaming".into(), options: json!({}) };
            spec.media.streaming = streaming.then_some(plan);
            let (model, url) = ("tiny".into(), url.clone());
            spec.speech = Some(SpeechSpec::Openai { url, model, api_key: None, language: None });
        });
        bench.owner(1, "ada", "Ada");
        bench.pass(0, 2_500, &[sound(1, 440.0, 2_500, 500, 2_500)]);
        let recorded = bench.end(2_500).await;
        let noted = recorded.noted.iter().filter(|note| note["kind"] == "words").count();
        assert_eq!(noted, usize::from(streaming));
    }
}

#[tokio::test]
async fn load_costs_live_copies_first_then_tracks_and_never_the_mix_and_all_of_it_is_told() {
    // Nobody is there for live audio, and the recogniser wants another key.
    let app = Router::new().route("/v1/audio/transcriptions", post(|| async { StatusCode::UNAUTHORIZED }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut bench = bench(|spec| {
        spec.allow_private = vec!["127.0.0.0/8".into()];
        spec.media.live_audio = Some("ws://127.0.0.1:1/".parse().unwrap());
        spec.media.live_transcription = Some("http://127.0.0.1:1/".parse().unwrap());
        spec.speech = Some(SpeechSpec::Openai { url, model: "m".into(), api_key: None, language: None });
    });
    bench.owner(1, "ada", "Ada");
    let sounds = [sound(1, 440.0, 6_000, 0, 3_800)];
    bench.pass(0, 2_000, &sounds);
    let dropped = bench.media().figures(1).live_dropped;
    let look = |bench: &mut Bench, behind_ms: u64| {
        (0..3).for_each(|_| bench.media().sinks.look(Duration::from_millis(behind_ms)));
    };
    look(&mut bench, 1_200);
    bench.pass(2_000, 3_000, &sounds);
    // A second of live audio and one of words, in pieces of 100 ms, besides what no receiver took.
    let first = bench.media().figures(1).live_dropped;
    assert!(first >= dropped + 20, "{dropped} {first}");
    look(&mut bench, 3_000);
    bench.pass(3_000, 4_000, &sounds);
    let recorded = bench.end(4_000).await;
    recorded.plays(440.0, 0, 3_800);
    // Of what was said meanwhile there is the mix, with its speaker.
    let [ada] = &recorded.manifest.mix_only[..] else { panic!("{:?}", recorded.manifest.mix_only) };
    let part = &ada.streams[0].segments[0];
    // Given up after 3 s, when frames come out half a second late; and 200 ms around it.
    let (from, to) = (part.start_ms, part.start_ms + part.duration_ms);
    assert!(ada.name == "Ada" && from.abs_diff(2_300) <= 150 && to.abs_diff(4_000) <= 150, "{from} to {to}");
    assert_eq!(recorded.manifest.lost_ms, 0);
    // What was lost is noted for whoever makes the transcript: all that was said, and what was not even made.
    let lost = recorded.noted.iter().filter(|note| note["kind"] == "words_lost");
    let lost_ms: u64 = lost.map(|note| note["data"]["ms"].as_u64().unwrap()).sum();
    assert!((3_500..=4_500).contains(&lost_ms), "{lost_ms}");
    let notes: Vec<&str> = recorded
        .reports
        .iter()
        .filter_map(|report| if let Report::Note { text, .. } = report { Some(text.as_str()) } else { None })
        .collect();
    for want in
        ["live audio and live words pause", "only the mix is recorded", "the words of", "own audio is missing for"]
    {
        assert_eq!(notes.iter().filter(|note| note.contains(want)).count(), 1, "{want}: {notes:?}");
    }
    assert!(notes.iter().any(|note| note.starts_with("the receiver of live audio did not get")), "{notes:?}");
}
