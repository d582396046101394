//! Live transcription with a receiver of its own.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use muster_hooks::client::{GuardedClient, Limits};
use muster_hooks::guard::Policy;
use muster_session::{BotId, Timestamp};
use muster_transcript::document::from_said;
use muster_transcript::listen::{Listening, Pace, utterances};
use muster_transcript::live::{Live, LiveFigures, LiveSettings, Said};
use muster_transcript::speech::{Error, Recognised, RecognisedSegment, SpeechToText, Word};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);
const START_MS: i64 = 1_700_000_000_000;

/// Recognises the level of the audio. 1 waits for the gate, 13 is too much for it, 99 is no word, and 50 finds it away
/// for three times.
#[derive(Debug)]
struct Fake {
    gate: Semaphore,
    away: Mutex<u32>,
    called: mpsc::UnboundedSender<i16>,
}

#[async_trait]
impl SpeechToText for Fake {
    async fn transcribe(&self, pcm16k: &[i16], _: Option<&str>) -> Result<Recognised, Error> {
        let first = pcm16k.iter().position(|sample| *sample != 0).unwrap();
        let level = pcm16k[first];
        self.called.send(level).unwrap();
        match level {
            99 => return Ok(Recognised::default()),
            1 => self.gate.acquire().await.unwrap().forget(),
            13 => return Err(Error::Rejected { status: 400, detail: "unlucky".into() }),
            50 => {
                let mut away = self.away.lock().unwrap();
                if *away > 0 {
                    *away -= 1;
                    return Err(Error::Unavailable { detail: "away".into(), source: None });
                }
            }
            _ => {}
        }
        let start_ms = (first / 16) as u64;
        let word = Word { word: format!("w{level}"), start_ms, end_ms: start_ms + 300, confidence: 0.0 };
        let segment = RecognisedSegment { start_ms, end_ms: 1, text: word.word.clone(), words: vec![word] };
        Ok(Recognised { language: None, segments: vec![segment] })
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        utterances::listen(self, language, pace)
    }
}

/// What the receiver got, and what it answers next; 200 when it has no orders.
#[derive(Clone, Default)]
struct Receiver {
    bodies: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

async fn receive(State(receiver): State<Receiver>, Json(body): Json<Value>) -> StatusCode {
    receiver.bodies.lock().unwrap().push(body);
    receiver.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK)
}

struct Setup {
    live: Live,
    now_ms: u64,
    fake: Arc<Fake>,
    called: mpsc::UnboundedReceiver<i16>,
    receiver: Receiver,
    _tasks: JoinSet<()>,
}

async fn setup(answers: &[StatusCode], kept_ms: u64, policy: Option<&[&str]>) -> Setup {
    let receiver = Receiver { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Receiver::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: url::Url = format!("http://{}/live", listener.local_addr().unwrap()).parse().unwrap();
    let webhook = policy.map(|ranges| {
        let policy = Policy::new(ranges.iter().copied()).unwrap();
        (url, GuardedClient::new(policy, Limits::default()).unwrap())
    });
    let pace = Pace { kept: Duration::from_millis(kept_ms), first_pause: Duration::from_millis(1), ..Pace::default() };
    let bot = BotId::from_uuid(uuid::Uuid::from_u128(7));
    let settings = LiveSettings { bot, custom_attributes: Map::new(), webhook, language: None, pace };
    let app = Router::new().route("/live", post(receive)).with_state(receiver.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (sender, called) = mpsc::unbounded_channel();
    let fake = Arc::new(Fake { gate: Semaphore::new(0), away: Mutex::new(3), called: sender });
    let live = Live::start(settings, Timestamp::from_millis(START_MS), Arc::clone(&fake) as Arc<dyn SpeechToText>);
    Setup { live, now_ms: 0, fake, called, receiver, _tasks: tasks }
}

impl Setup {
    /// An utterance: 400 ms of a level, and silence.
    fn say(&mut self, speaker: (&str, &str), level: i16) {
        for (ms, level) in [(400, level), (1_000, 0)] {
            for _ in 0..ms / 20 {
                self.live.frame(speaker, self.now_ms, &[level; 320], level != 0);
                self.now_ms += 20;
            }
        }
    }
}

const ANN: (&str, &str) = ("p1", "Ann");
const BEN: (&str, &str) = ("p2", "Ben");
const LOOPBACK: Option<&[&str]> = Some(&["127.0.0.0/8"]);

/// What matters of a phrase: who, when, what.
fn facts(said: &[Said]) -> Vec<(String, String, String)> {
    let time = |ms| Timestamp::from_millis(ms).to_rfc3339();
    said.iter().map(|said| (said.speaker_id.clone(), time(said.start_ms), said.text.clone())).collect()
}

fn posted(bodies: &[Value]) -> Vec<(String, String, String)> {
    let field = |body: &Value, name: &str| body[name].as_str().unwrap().to_owned();
    bodies.iter().map(|body| (field(body, "speakerId"), field(body, "timestamp"), field(body, "new_text"))).collect()
}

#[tokio::test]
async fn what_is_posted_is_what_is_handed_out_in_the_order_of_speech() {
    let mut setup = setup(&[], 60_000, LOOPBACK).await;
    for (speaker, level) in [(ANN, 1), (BEN, 2), (ANN, 13), (BEN, 99), (ANN, 3)] {
        setup.say(speaker, level);
    }
    let mut first = [setup.called.recv().await.unwrap(), setup.called.recv().await.unwrap()];
    first.sort_unstable();
    assert_eq!(first, [1, 2]);
    assert_eq!(setup.live.take(), [], "the second waits for the first");
    setup.fake.gate.add_permits(1);
    setup.live.hear_out(PATIENCE).await;
    let said = setup.live.take();
    let troubles = setup.live.troubles();
    assert!(troubles.len() == 1 && troubles[0].contains("unlucky"), "{troubles:?}");
    let (rest, figures) = setup.live.finish(PATIENCE).await;
    assert_eq!(rest, []);
    assert_eq!(figures, LiveFigures { dropped_ms: 0, unrecognised_ms: 600, posted: 3, failed: 0 });
    let bodies = setup.receiver.bodies.lock().unwrap();
    assert_eq!(posted(&bodies), facts(&said));
    assert_eq!(said.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["w1", "w2", "w3"]);
    assert_eq!(
        (said[1].speaker.as_str(), said[1].start_ms, said[1].end_ms),
        ("Ben", START_MS + 1_400, START_MS + 1_700)
    );
    assert_eq!(
        (bodies[2]["transcript"].as_str(), bodies[1]["words"][0]["start"].as_f64()),
        (Some("w1 w2 w3"), Some(1.4))
    );
    // And the transcript is made of the same words.
    let transcript = from_said(said, START_MS, setup.now_ms);
    assert_eq!(transcript.text(), "w1 w2 w3");
}

#[tokio::test]
async fn what_cannot_be_followed_is_dropped_and_counted() {
    let mut setup = setup(&[], 1_300, LOOPBACK).await;
    setup.say(ANN, 1);
    assert_eq!(setup.called.recv().await, Some(1));
    // One is at the recogniser's gate, there is room for another of 600 ms.
    for _ in 0..5 {
        setup.say(BEN, 2);
    }
    setup.fake.gate.add_permits(1);
    let (said, figures) = setup.live.finish(PATIENCE).await;
    assert_eq!((said.len(), figures.posted), (2, 2));
    assert!(figures.dropped_ms >= 4 * 600 && figures.dropped_ms <= 4 * 800, "{figures:?}");
}

#[tokio::test]
async fn a_recogniser_that_is_away_is_waited_for_and_told_of_once() {
    let mut setup = setup(&[], 60_000, LOOPBACK).await;
    setup.say(ANN, 50);
    setup.say(BEN, 50);
    setup.live.hear_out(PATIENCE).await;
    let troubles = setup.live.troubles();
    assert!(troubles.len() == 1 && troubles[0].contains("away"), "{troubles:?}");
    let (said, figures) = setup.live.finish(PATIENCE).await;
    assert_eq!(said.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["w50", "w50"]);
    assert_eq!(figures, LiveFigures { posted: 2, ..LiveFigures::default() });
}

#[tokio::test]
async fn what_is_not_recognised_at_the_end_is_counted() {
    let mut setup = setup(&[], 60_000, LOOPBACK).await;
    setup.say(ANN, 1);
    assert_eq!(setup.called.recv().await, Some(1));
    let (said, figures) = setup.live.finish(Duration::ZERO).await;
    assert_eq!((said.len(), figures.unrecognised_ms), (0, 600));
}

#[tokio::test]
async fn a_receiver_in_trouble_gets_the_same_words_again_and_one_that_refuses_does_not() {
    let mut setup = setup(&[StatusCode::BAD_GATEWAY, StatusCode::OK, StatusCode::NOT_FOUND], 60_000, LOOPBACK).await;
    setup.say(ANN, 2);
    setup.say(ANN, 3);
    let (said, figures) = setup.live.finish(PATIENCE).await;
    assert_eq!((said.len(), figures.posted, figures.failed), (2, 1, 1));
    let bodies = setup.receiver.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn the_guard_holds_for_live_words_and_without_a_receiver_there_are_words_all_the_same() {
    let mut guarded = setup(&[], 60_000, Some(&[])).await;
    guarded.say(ANN, 2);
    let (said, figures) = guarded.live.finish(PATIENCE).await;
    assert_eq!((said.len(), figures.failed), (1, 1));
    assert_eq!(guarded.receiver.bodies.lock().unwrap().len(), 0);
    let mut unheard = setup(&[], 60_000, None).await;
    unheard.say(ANN, 2);
    unheard.live.gone("p1");
    let (said, figures) = unheard.live.finish(PATIENCE).await;
    assert_eq!((said.len(), figures), (1, LiveFigures::default()));
}
