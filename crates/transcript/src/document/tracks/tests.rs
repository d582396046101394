//! Where pieces come from, and how much of a call is held at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::listen::{Listening, Pace, utterances};
use crate::speech::Recognised;

/// Hears one word per call, named by its number and the length of the audio.
#[derive(Debug, Default)]
struct Counting(Mutex<Vec<u64>>);

#[async_trait]
impl SpeechToText for Counting {
    async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, Error> {
        let mut calls = self.0.lock().unwrap();
        calls.push(duration_ms(pcm16k));
        let word = Word { word: format!("W{}.", calls.len()), start_ms: 100, end_ms: 200, confidence: 0.5 };
        let segment = RecognisedSegment { start_ms: 100, end_ms: 300, text: word.word.clone(), words: vec![word] };
        Ok(Recognised { language: language.map(str::to_owned), segments: vec![segment] })
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        utterances::listen(self, language, pace)
    }
}

#[derive(Debug)]
struct Broken;

#[async_trait]
impl SpeechToText for Broken {
    async fn transcribe(&self, _: &[i16], _: Option<&str>) -> Result<Recognised, Error> {
        Err(Error::Rejected { status: 401, detail: "no".into() })
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        utterances::listen(self, language, pace)
    }
}

fn parts(tracks: Vec<TrackAudio>) -> impl Stream<Item = Result<TrackAudio, Error>> + Send {
    stream::iter(tracks.into_iter().map(Ok))
}

fn track(id: &str, start_ms: u64, stretches: &[(i16, usize)]) -> TrackAudio {
    let wave = |level: i16| move |index: usize| if index % 20 < 10 { level } else { -level };
    let pcm16k = stretches.iter().flat_map(|(level, ms)| (0..ms * SAMPLES_PER_MS).map(wave(*level))).collect();
    TrackAudio { speaker_id: id.into(), speaker: id.to_uppercase(), start_ms, pcm16k }
}

#[tokio::test]
async fn each_voiced_piece_is_recognised_once_and_put_in_its_place() {
    let speech = Counting::default();
    let tracks = vec![
        track("a", 0, &[(0, 1000), (3000, 1000), (0, 6000), (3000, 1000), (0, 1000)]),
        track("b", 4000, &[(3000, 1000)]),
    ];
    let transcript = transcribe_tracks(parts(tracks), &speech, Some("en")).await.unwrap();
    assert_eq!(*speech.0.lock().unwrap(), [1400, 1400, 1000]);
    let said: Vec<_> = transcript.segments.iter().map(|s| (s.speaker.as_str(), s.text.as_str(), s.start_ms)).collect();
    assert_eq!(said, [("A", "W1.", 900), ("B", "W3.", 4100), ("A", "W2.", 7900)]);
    assert_eq!(transcript.segments[2].words[0].end_ms, 8000);
    assert_eq!((transcript.language.as_deref(), transcript.duration_ms), (Some("en"), 10_000));
    assert_eq!(transcript.text(), "W1. W3. W2.");
}

#[tokio::test]
async fn parts_of_a_recording_are_one_track() {
    let speech = Counting::default();
    let tracks = vec![
        track("a", 0, &[(3000, 1000)]),
        track("a", 1500, &[(3000, 1000)]),
        track("a", 9000, &[(3000, 1000)]),
        track("b", 2500, &[(3000, 1000)]),
    ];
    transcribe_tracks(parts(tracks), &speech, None).await.unwrap();
    assert_eq!(*speech.0.lock().unwrap(), [2500, 1000, 1000]);
}

#[tokio::test]
async fn silence_costs_nothing_and_errors_are_passed_on() {
    let silence = parts(vec![track("a", 0, &[(0, 5000)])]);
    let transcript = transcribe_tracks(silence, &Broken, None).await.unwrap();
    assert_eq!((transcript.segments.len(), transcript.duration_ms), (0, 5000));
    assert_eq!(transcribe_tracks(parts(Vec::new()), &Broken, None).await.unwrap(), Transcript::default());
    let error = transcribe_tracks(parts(vec![track("a", 0, &[(3000, 500)])]), &Broken, None).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { status: 401, .. }));
    let unreadable = stream::iter([Ok(track("a", 0, &[(0, 500)])), Err(Error::Setup { detail: "torn".into() })]);
    let error = transcribe_tracks(unreadable, &Broken, None).await.unwrap_err();
    assert!(matches!(error, Error::Setup { .. }), "{error}");
}

/// What was handed out and is not recognised yet.
#[derive(Debug, Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
    heard: AtomicUsize,
}

#[async_trait]
impl SpeechToText for Held {
    async fn transcribe(&self, pcm16k: &[i16], _: Option<&str>) -> Result<Recognised, Error> {
        tokio::task::yield_now().await;
        self.now.fetch_sub(pcm16k.len(), Ordering::SeqCst);
        self.heard.fetch_add(pcm16k.len(), Ordering::SeqCst);
        Ok(Recognised::default())
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        utterances::listen(self, language, pace)
    }
}

#[tokio::test]
async fn what_is_held_does_not_grow_with_the_call() {
    // Four people who talk for 20 minutes each without a pause, in files of a minute.
    let (people, minutes) = (4, 20);
    let held = Held::default();
    let minute = track("a", 0, &[(3000, 60_000)]).pcm16k;
    let parts = stream::iter((0..people * minutes).map(|index| {
        let most = held.now.fetch_add(minute.len(), Ordering::SeqCst) + minute.len();
        held.most.fetch_max(most, Ordering::SeqCst);
        let speaker = format!("speaker {}", index / minutes);
        let start_ms = (index % minutes) as u64 * 60_000;
        Ok::<_, Error>(TrackAudio { speaker_id: speaker.clone(), speaker, start_ms, pcm16k: minute.clone() })
    }));
    let transcript = transcribe_tracks(parts, &held, None).await.unwrap();
    assert_eq!(transcript.duration_ms, minutes as u64 * 60_000);
    let [now, most, heard] = [&held.now, &held.most, &held.heard].map(|count| count.load(Ordering::SeqCst));
    assert_eq!((now, heard), (0, people * minutes * minute.len()), "everything is heard once");
    assert!(most <= 8 * minute.len(), "{} minutes were held at a time", most / minute.len());
}
