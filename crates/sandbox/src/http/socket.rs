//! The signalling socket of one page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{interval, timeout};

use super::Shared;
use super::answer::{Failure, same_origin};
use super::rate::Rate;
use crate::engine::Command;
use crate::room::connection::Outgoing;
use crate::room::{Connection, Entered};
use crate::scenario::is_id;
use crate::wire::{ClientMessage, ServerMessage};

/// Bytes of a message: an answer for 64 participants has about 40,000.
const MAX_MESSAGE: usize = 256 * 1024;
/// For the first message of a page.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// For the network to take a message.
const SEND_WITHIN: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(10);
/// A page that answers no ping for so long is gone.
const SILENT_FOR: Duration = Duration::from_secs(35);

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// Why a socket is closed from this side.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    message: String,
}

/// `GET /sandbox/{room}/ws`
pub(super) async fn open(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !is_id(&room) {
        return Failure::no_room(&room).into_response();
    }
    if !same_origin(&headers) {
        return Failure::new(StatusCode::FORBIDDEN, "pages of other sites are refused").into_response();
    }
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| serve(shared, room, socket))
}

async fn serve(shared: Arc<Shared>, room: String, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let Hello { name, resume, media } = match timeout(HELLO_WITHIN, hello(&mut stream)).await {
        Ok(Some(Ok(hello))) => hello,
        Ok(Some(Err(refusal))) => return refuse(&mut sink, refusal).await,
        Ok(None) | Err(_) => return,
    };
    let id = shared.next_socket();
    let (mut connection, mut outgoing) = Connection::new(id);
    connection.media = media;
    let enter = |reply| Command::Enter { room: room.clone(), name, resume, connection, reply };
    let Ok(entered) = shared.engine.ask(enter).await else { return };
    let Entered::As(guest) = entered else {
        // Why is in its messages, if it may know.
        while let Some(message) = outgoing.messages.recv().await {
            if !send(&mut sink, &message).await {
                return;
            }
        }
        return close(&mut sink).await;
    };
    let socket = Socket { shared: &shared, room: &room, guest: &guest, id };
    let refusal = socket.run(&mut sink, &mut stream, &mut outgoing).await;
    // First the room: what the page does next must find it told.
    let gone = Command::Gone { room: room.clone(), guest: guest.clone(), connection: id };
    let _ = shared.engine.tell(gone).await;
    match refusal {
        Some(refusal) => refuse(&mut sink, refusal).await,
        None => close(&mut sink).await,
    }
}

/// What a page says first.
#[derive(Debug)]
struct Hello {
    name: String,
    resume: Option<String>,
    media: bool,
}

/// The first message; none if the page has gone.
async fn hello(stream: &mut Stream) -> Option<Result<Hello, Refusal>> {
    loop {
        match parse(stream.next().await?.ok()?) {
            Incoming::Said(ClientMessage::Hello { name, resume, media }) => {
                return Some(Ok(Hello { name, resume, media }));
            }
            Incoming::Said(_) => {
                let message = "the first message must be `hello`".to_owned();
                return Some(Err(Refusal { code: "bad_message", message }));
            }
            Incoming::Bad(refusal) => return Some(Err(refusal)),
            Incoming::Alive => {}
            Incoming::Closed => return None,
        }
    }
}

/// A page whose guest is in the room.
#[derive(Debug)]
struct Socket<'a> {
    shared: &'a Shared,
    room: &'a str,
    guest: &'a str,
    id: u64,
}

impl Socket<'_> {
    /// Runs until either side ends it; answers why if it is the page's fault.
    async fn run(&self, sink: &mut Sink, stream: &mut Stream, outgoing: &mut Outgoing) -> Option<Refusal> {
        let mut ping = interval(PING_EVERY);
        let mut heard = Instant::now();
        let mut rate = Rate::new(heard);
        loop {
            tokio::select! {
                // What the room says comes first: its last words, above all.
                biased;
                () = outgoing.hopeless.cancelled() => return None,
                message = outgoing.messages.recv() => {
                    if !send(sink, &message?).await {
                        return None;
                    }
                }
                message = stream.next() => {
                    heard = Instant::now();
                    let incoming = parse(message?.ok()?);
                    if !rate.take(heard) {
                        let message = "the page says too much at once".to_owned();
                        return Some(Refusal { code: "too_fast", message });
                    }
                    match incoming {
                        Incoming::Said(message) => self.tell(message).await?,
                        Incoming::Bad(refusal) => return Some(refusal),
                        Incoming::Alive => {}
                        Incoming::Closed => return None,
                    }
                }
                _ = ping.tick() => {
                    let sent = timeout(SEND_WITHIN, sink.send(Message::Ping(bytes::Bytes::new()))).await;
                    if heard.elapsed() > SILENT_FOR || !matches!(sent, Ok(Ok(()))) {
                        return None;
                    }
                }
            }
        }
    }

    async fn tell(&self, message: ClientMessage) -> Option<()> {
        let (room, guest) = (self.room.to_owned(), self.guest.to_owned());
        self.shared.engine.tell(Command::Heard { room, guest, connection: self.id, message }).await.ok()
    }
}

enum Incoming {
    Said(ClientMessage),
    Bad(Refusal),
    Alive,
    Closed,
}

fn parse(message: Message) -> Incoming {
    let bad = |message| Incoming::Bad(Refusal { code: "bad_message", message });
    match message {
        Message::Text(text) => match serde_json::from_str(&text) {
            Ok(message) => Incoming::Said(message),
            Err(error) => bad(format!("the message is not valid: {error}")),
        },
        Message::Binary(_) => bad("messages are JSON text".to_owned()),
        Message::Ping(_) | Message::Pong(_) => Incoming::Alive,
        Message::Close(_) => Incoming::Closed,
    }
}

async fn send(sink: &mut Sink, message: &ServerMessage) -> bool {
    let text = match serde_json::to_string(message) {
        Ok(text) => Utf8Bytes::from(text),
        Err(error) => {
            tracing::error!(%error, "a sandbox message cannot be written");
            return false;
        }
    };
    matches!(timeout(SEND_WITHIN, sink.send(Message::Text(text))).await, Ok(Ok(())))
}

async fn refuse(sink: &mut Sink, refusal: Refusal) {
    let Refusal { code, message } = refusal;
    if send(sink, &ServerMessage::Error { code, message }).await {
        close(sink).await;
    }
}

async fn close(sink: &mut Sink) {
    let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
    // The page may have gone already.
    let _ = timeout(SEND_WITHIN, sink.send(Message::Close(Some(frame)))).await;
}
