use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use muster_session::protocol::Report;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::report;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection carried.
#[derive(Debug, Default)]
struct Heard {
    ready: Vec<serde_json::Value>,
    frames: Vec<Frame>,
    close: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    id: String,
    name: String,
    pcm: Vec<i16>,
}

/// As a receiver reads it, written from the description and not from the encoder.
fn decode(bytes: &[u8]) -> Frame {
    let (kind, rest) = bytes.split_first().unwrap();
    assert_eq!(*kind, 1);
    let label = |rest: &[u8]| {
        let length = usize::from(rest[0]) + 256 * usize::from(rest[1]);
        (String::from_utf8(rest[2..2 + length].to_vec()).unwrap(), rest[2 + length..].to_vec())
    };
    let (id, rest) = label(rest);
    let (name, rest) = label(&rest);
    assert_eq!(rest.len() % 2, 0);
    let pcm = rest.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    Frame { id, name, pcm }
}

/// A receiver that hangs up without a word after `frames` frames of its first connection.
async fn serve(listener: TcpListener, hang_up_after: Option<usize>) -> mpsc::UnboundedReceiver<Heard> {
    let (done, heard) = mpsc::unbounded_channel();
    let first = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let app = Router::new().route(
        "/audio",
        any(move |upgrade: WebSocketUpgrade| {
            let limit = first.swap(false, Ordering::SeqCst).then_some(hang_up_after).flatten();
            let done = done.clone();
            async move {
                upgrade.on_upgrade(move |socket| async move {
                    let _ = done.send(listen(socket, limit).await);
                })
            }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    heard
}

async fn listen(mut socket: WebSocket, limit: Option<usize>) -> Heard {
    let mut heard = Heard::default();
    while limit.is_none_or(|limit| heard.frames.len() < limit) {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => {
                heard.ready.push(serde_json::from_str(&text).unwrap());
                socket.send(Message::Text(r#"{"type":"ack"}"#.into())).await.unwrap();
                socket.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
            }
            Some(Ok(Message::Binary(frame))) => {
                assert!(!heard.ready.is_empty(), "audio before ready");
                heard.frames.push(decode(&frame));
            }
            Some(Ok(Message::Close(frame))) => heard.close = frame.map(|f| f.code),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    heard
}

fn settings(url: &str, open: bool) -> Settings {
    let policy = if open { Policy::new(["127.0.0.0/8"]).unwrap() } else { Policy::default() };
    Settings {
        bot: BotId::from_uuid("0198f0a0-0000-7000-8000-000000000001".parse().unwrap()),
        url: url.parse().unwrap(),
        policy,
    }
}

struct Bench {
    listener: TcpListener,
    url: String,
    reporter: Reporter,
    said: tokio::io::DuplexStream,
    _writing: report::Writing,
}

async fn bench() -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/audio", listener.local_addr().unwrap());
    let (ours, said) = tokio::io::duplex(1 << 16);
    let (reporter, writing) = report::start(ours, Clock::start());
    Bench { listener, url, reporter, said, _writing: writing }
}

fn ada() -> Option<Person> {
    Some(Person { id: "p1".into(), name: "Ada Löß".into() })
}

fn grace() -> Option<Person> {
    Some(Person { id: "p2".into(), name: "Grace".into() })
}

/// One frame on the wire whose samples all are `value`.
fn push_frame(live: &mut LiveAudio, value: i16, speaker: Option<Person>) {
    for _ in 0..MIXED_PER_FRAME {
        live.push(&[value; 960], speaker.clone());
    }
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("a connection that ends").unwrap()
}

#[tokio::test]
async fn a_receiver_reads_ready_then_labelled_audio_then_close_1000() {
    let bench = bench().await;
    let mut heard = serve(bench.listener, None).await;
    let mut live = LiveAudio::start(settings(&bench.url, true), bench.reporter);
    push_frame(&mut live, 7, ada());
    for speaker in [None, ada(), grace(), grace(), None] {
        live.push(&[-8; 960], speaker);
    }
    push_frame(&mut live, 9, None);
    live.push(&[10; 960], ada());
    assert_eq!(live.finish(PATIENCE).await, 0);
    let heard = next(&mut heard).await;
    assert_eq!(heard.close, Some(1000));
    let [ready] = &heard.ready[..] else { panic!("{:?}", heard.ready) };
    assert_eq!((&ready["type"], &ready["bot_id"]), (&"ready".into(), &"0198f0a0-0000-7000-8000-000000000001".into()));
    assert!(ready["message"].is_string());
    let labels: Vec<_> = heard.frames.iter().map(|f| (f.id.as_str(), f.name.as_str(), f.pcm[0], f.pcm.len())).collect();
    let want = [
        ("p1", "Ada Löß", 7, 4800),
        ("p2", "Grace", -8, 4800),
        ("NoSpeaker", "NoSpeaker", 9, 4800),
        ("p1", "Ada Löß", 10, 960),
    ];
    assert_eq!(labels, want);
}

#[tokio::test]
async fn what_a_receiver_misses_is_dropped_oldest_first_and_counted() {
    let bench = bench().await;
    let mut live = LiveAudio::start(settings(&bench.url, true), bench.reporter);
    // The kernel takes the connection, nobody answers the handshake.
    for n in 0..60 {
        push_frame(&mut live, n, ada());
    }
    assert_eq!(live.dropped(), 10);
    let mut heard = serve(bench.listener, None).await;
    assert_eq!(live.finish(PATIENCE).await, 10);
    let frames = next(&mut heard).await.frames;
    assert_eq!(frames.iter().map(|f| f.pcm[0]).collect::<Vec<_>>(), (10..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_connection_is_made_again_with_a_new_ready() {
    let bench = bench().await;
    let mut heard = serve(bench.listener, Some(3)).await;
    let mut live = LiveAudio::start(settings(&bench.url, true), bench.reporter);
    for n in 0..3 {
        push_frame(&mut live, n, ada());
    }
    let first = next(&mut heard).await;
    assert_eq!((first.ready.len(), first.frames.len(), first.close), (1, 3, None));
    // The loss is seen, and said, at the latest when something is sent.
    let mut said = tokio::io::BufReader::new(bench.said);
    let mut note = String::new();
    tokio::time::timeout(PATIENCE, tokio::io::AsyncBufReadExt::read_line(&mut said, &mut note)).await.unwrap().unwrap();
    let note: Report = serde_json::from_str(&note).unwrap();
    assert!(
        matches!(&note, Report::Note { level, text, .. } if level == "warn" && text.contains("trying again")),
        "{note:?}"
    );
    for n in 3..6 {
        push_frame(&mut live, n, ada());
    }
    assert_eq!(live.finish(PATIENCE).await, 0);
    let second = next(&mut heard).await;
    assert_eq!((second.ready.len(), second.frames.len(), second.close), (1, 3, Some(1000)));
}

#[tokio::test]
async fn a_private_address_is_not_dialled() {
    let bench = bench().await;
    let mut live = LiveAudio::start(settings(&bench.url, false), bench.reporter);
    push_frame(&mut live, 1, ada());
    assert_eq!(live.finish(PATIENCE).await, 1);
    let accepted = tokio::time::timeout(Duration::from_millis(50), bench.listener.accept()).await;
    assert!(accepted.is_err(), "the guard was passed");
}

#[test]
fn absurd_labels_are_cut_at_a_character() {
    let name = "ß".repeat(40_000);
    let frame = decode(&wire::audio(Some(&Person { id: name.clone(), name }), &[1, 0]));
    assert_eq!((frame.id.len(), frame.name.len(), frame.pcm), (1_024, 1_024, vec![1]));
}
