//! Keeps one WebSocket open to the receiver for as long as there is something to send.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use muster_hooks::socket::{ConnectError, Socket, connect_websocket};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::retry::Retries;
use super::{Queue, Settings, wire};
use crate::report::{Level, Reporter};

const CONNECT: Duration = Duration::from_secs(5);
/// A receiver that takes nothing for so long is disconnected.
const STALL: Duration = Duration::from_secs(10);
/// For the receiver's side of the closing handshake.
const CLOSE: Duration = Duration::from_secs(2);

/// Sends until the queue is finished, over as many connections as it takes.
pub(super) async fn run(settings: Settings, queue: Arc<Queue>, reporter: Reporter) {
    let mut retries = Retries::default();
    loop {
        // Once there is no more to come, what waits gets one more connection.
        let last = queue.is_finished();
        let problem = match connect_websocket(&settings.url, &settings.policy, CONNECT).await {
            Ok(socket) => {
                let since = Instant::now();
                match serve(socket, &settings, &queue).await {
                    Ended::Finished => return,
                    Ended::Lost(problem) => {
                        retries.lasted(since.elapsed());
                        problem
                    }
                }
            }
            Err(ConnectError::Refused(refused)) => {
                reporter.note(Level::Warn, format!("live audio is not sent: {refused}"));
                // What comes is counted as dropped by the queue itself.
                return;
            }
            Err(error) => error.to_string(),
        };
        if last {
            return;
        }
        if let Some(further) = retries.note() {
            reporter.note(Level::Warn, format!("live audio: {problem}; trying again{further}"));
        }
        tokio::select! {
            () = tokio::time::sleep(retries.pause()) => {}
            () = queue.finished() => if queue.waiting() == 0 { return },
        }
    }
}

enum Ended {
    /// Everything was sent and the connection closed.
    Finished,
    /// The connection is gone and there is more to send.
    Lost(String),
}

async fn serve(socket: Socket, settings: &Settings, queue: &Queue) -> Ended {
    let (mut sink, mut incoming) = socket.split();
    if let Err(problem) = send(&mut sink, Message::text(wire::ready(settings.bot))).await {
        return Ended::Lost(problem);
    }
    loop {
        tokio::select! {
            frame = queue.next() => match frame {
                Some(frame) => if let Err(problem) = send(&mut sink, Message::Binary(frame)).await {
                    queue.count_dropped();
                    return Ended::Lost(problem);
                },
                None => break,
            },
            // Answers to pings are sent along by the library; acknowledgements say nothing we need.
            message = incoming.next() => match message {
                Some(Ok(Message::Close(frame))) => return Ended::Lost(closed(frame.as_ref())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ended::Lost(error.to_string()),
                None => return Ended::Lost("the connection ended".to_owned()),
            },
        }
    }
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if send(&mut sink, Message::Close(Some(goodbye))).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = incoming.next().await {} };
        let _ = tokio::time::timeout(CLOSE, answered).await;
    }
    Ended::Finished
}

async fn send<S>(sink: &mut S, message: Message) -> Result<(), String>
where
    S: SinkExt<Message> + Unpin,
    S::Error: std::fmt::Display,
{
    match tokio::time::timeout(STALL, sink.send(message)).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the receiver took nothing for {} s", STALL.as_secs())),
    }
}

fn closed(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(frame) => format!("the receiver closed the connection with {}", u16::from(frame.code)),
        None => "the receiver closed the connection".to_owned(),
    }
}
