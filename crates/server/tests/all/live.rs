//! A customer's live-audio server, decoding the binary frames as MeetStream documents them.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::PATIENCE;

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) ready: Value,
    pub(crate) pcm: Vec<i16>,
    /// (first sample, speaker name) of each frame.
    pub(crate) frames: Vec<(usize, String)>,
    pub(crate) close_code: Option<u16>,
}

impl Heard {
    pub(crate) fn speaker_at(&self, sample: usize) -> &str {
        self.frames.iter().rev().find(|(at, _)| *at <= sample).map_or("", |(_, name)| name)
    }
}

pub(crate) struct AudioServer {
    pub(crate) url: String,
    done: mpsc::Receiver<Heard>,
}

impl AudioServer {
    pub(crate) async fn start() -> Self {
        let (sender, done) = mpsc::channel(4);
        let app = Router::new().route(
            "/audio",
            any(move |upgrade: WebSocketUpgrade| {
                let sender = sender.clone();
                async move {
                    upgrade.on_upgrade(move |socket| async move {
                        let _ = sender.send(listen(socket).await).await;
                    })
                }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/audio", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, done }
    }

    /// What the first connection carried, once it is closed.
    pub(crate) async fn finished(mut self) -> Heard {
        let wait: Duration = PATIENCE;
        tokio::time::timeout(wait, self.done.recv()).await.expect("a live audio connection that ends").unwrap()
    }
}

async fn listen(mut socket: WebSocket) -> Heard {
    let mut heard = Heard::default();
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Text(text) if heard.ready.is_null() => heard.ready = serde_json::from_str(&text).unwrap(),
            Message::Binary(frame) => decode(&frame, &mut heard),
            Message::Close(frame) => heard.close_code = frame.map(|f| f.code),
            _ => {}
        }
    }
    heard
}

/// `u8 type=1 · u16 id length · id · u16 name length · name · s16le PCM`, little endian.
fn decode(frame: &[u8], heard: &mut Heard) {
    assert_eq!(frame[0], 1);
    let id_len = usize::from(u16::from_le_bytes([frame[1], frame[2]]));
    let rest = &frame[3 + id_len..];
    let name_len = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
    let name = std::str::from_utf8(&rest[2..2 + name_len]).unwrap();
    heard.frames.push((heard.pcm.len(), name.to_owned()));
    heard.pcm.extend(rest[2 + name_len..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
}
