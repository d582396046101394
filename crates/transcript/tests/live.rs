//! Live transcription against a real receiver.

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
use muster_transcript::live::{Live, LiveFigures, LiveSettings, Spoken};
use muster_transcript::speech::{Error, Recognised, RecognisedSegment, SpeechToText, Word};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);

/// Recognises the length of the audio. Pieces of 1 ms wait for the gate; pieces of 13 ms are too much for it.
#[derive(Debug)]
struct Fake {
    gate: Semaphore,
    called: mpsc::UnboundedSender<usize>,
}

#[async_trait]
impl SpeechToText for Fake {
    async fn transcribe(&self, pcm16k: &[i16], _: Option<&str>) -> Result<Recognised, Error> {
        let ms = pcm16k.len() / 16;
        self.called.send(ms).unwrap();
        match ms {
            0 => return Ok(Recognised::default()),
            1 => self.gate.acquire().await.unwrap().forget(),
            13 => return Err(Error::Rejected { status: 400, detail: "unlucky".into() }),
            _ => {}
        }
        let word = Word { word: format!("w{ms}"), start_ms: 0, end_ms: 1, confidence: 0.0 };
        let segment = RecognisedSegment { start_ms: 0, end_ms: 1, text: word.word.clone(), words: vec![word] };
        Ok(Recognised { language: None, segments: vec![segment] })
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
    fake: Arc<Fake>,
    called: mpsc::UnboundedReceiver<usize>,
    receiver: Receiver,
    _tasks: JoinSet<()>,
}

async fn setup(answers: &[StatusCode], queue: usize, concurrency: usize, policy: &[&str]) -> Setup {
    let receiver = Receiver { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Receiver::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = LiveSettings {
        bot: BotId::from_uuid(uuid::Uuid::from_u128(7)),
        custom_attributes: Map::new(),
        webhook: format!("http://{}/live", listener.local_addr().unwrap()).parse().unwrap(),
        language: None,
        queue,
        concurrency,
    };
    let app = Router::new().route("/live", post(receive)).with_state(receiver.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let client = GuardedClient::new(Policy::new(policy.iter().copied()).unwrap(), Limits::default()).unwrap();
    let (sender, called) = mpsc::unbounded_channel();
    let fake = Arc::new(Fake { gate: Semaphore::new(0), called: sender });
    let live = Live::start(settings, Arc::clone(&fake) as Arc<dyn SpeechToText>, client);
    Setup { live, fake, called, receiver, _tasks: tasks }
}

fn spoken(ms: usize) -> Spoken {
    Spoken {
        speaker_id: "p1".into(),
        speaker: "Ann".into(),
        at: Timestamp::from_millis(0),
        start_ms: 0,
        pcm16k: vec![0; ms * 16],
        end_of_turn: true,
    }
}

#[tokio::test]
async fn posts_keep_the_order_of_speech_even_if_recognition_does_not() {
    let mut setup = setup(&[], 8, 2, &["127.0.0.0/8"]).await;
    assert!(setup.live.offer(spoken(1)) && setup.live.offer(spoken(2)));
    assert!(setup.live.offer(spoken(13)) && setup.live.offer(spoken(0)) && setup.live.offer(spoken(3)));
    let mut first = [setup.called.recv().await.unwrap(), setup.called.recv().await.unwrap()];
    first.sort_unstable();
    assert_eq!(first, [1, 2]);
    setup.fake.gate.add_permits(1);
    let figures = setup.live.finish(PATIENCE).await;
    assert_eq!(figures, LiveFigures { dropped: 0, unrecognised: 1, posted: 3, failed: 0 });
    let bodies = setup.receiver.bodies.lock().unwrap();
    let texts: Vec<_> = bodies.iter().map(|body| body["new_text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["w1", "w2", "w3"]);
    assert_eq!(bodies[2]["transcript"], "w1 w2 w3");
}

#[tokio::test]
async fn what_cannot_be_followed_is_dropped_and_counted() {
    let mut setup = setup(&[], 2, 1, &["127.0.0.0/8"]).await;
    assert!(setup.live.offer(spoken(1)));
    assert_eq!(setup.called.recv().await, Some(1));
    // One is at the recogniser's gate and two may wait.
    let taken = (0..10).filter(|_| setup.live.offer(spoken(2))).count();
    assert_eq!((taken, setup.live.figures().dropped), (2, 8));
    setup.fake.gate.add_permits(1);
    assert_eq!(setup.live.finish(PATIENCE).await.posted, 3);
}

#[tokio::test]
async fn a_receiver_in_trouble_gets_the_same_words_again_and_one_that_refuses_does_not() {
    let setup = setup(&[StatusCode::BAD_GATEWAY, StatusCode::OK, StatusCode::NOT_FOUND], 8, 1, &["127.0.0.0/8"]).await;
    assert!(setup.live.offer(spoken(2)) && setup.live.offer(spoken(3)));
    let figures = setup.live.finish(PATIENCE).await;
    assert_eq!((figures.posted, figures.failed), (1, 1));
    let bodies = setup.receiver.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn the_guard_holds_for_live_words_too() {
    let setup = setup(&[], 8, 1, &[]).await;
    assert!(setup.live.offer(spoken(2)));
    assert_eq!(setup.live.finish(PATIENCE).await.failed, 1);
    assert_eq!(setup.receiver.bodies.lock().unwrap().len(), 0);
}
