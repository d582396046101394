//! One connection: carries a voice to the recogniser and its words back.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::voice::{Step, Voice};
use super::{Event, Reader, Shared};
use crate::SAMPLES_PER_MS;
use crate::listen::Heard;
use crate::speech::redacted;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Audio may run ahead of the permitted rate by this much.
const BURST: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As agreed: all words of what was sent were given.
    Closed,
    /// Otherwise. `useful` if it gave words before.
    Lost { problem: String, useful: bool },
    /// The recogniser does not want us; `surely` if it said so instead of opening a stream.
    Refused { problem: String, surely: bool },
}

pub(super) const fn lost(problem: String, useful: bool) -> Ended {
    Ended::Lost { problem, useful }
}

/// A connection of a voice.
pub(super) struct Connection<'a> {
    shared: &'a Shared,
    voice: &'a Voice,
    heard: &'a mpsc::UnboundedSender<Heard>,
    sink: SplitSink<Socket, Message>,
    incoming: SplitStream<Socket>,
    reader: Box<dyn Reader>,
    useful: bool,
    /// When this began, and how much audio was sent since.
    began: Instant,
    streamed: Duration,
    /// When anything came last.
    came: Instant,
    /// When we last showed that we are there.
    beaten: Instant,
    /// Since when there is speech without an answer.
    owing: Option<Instant>,
    /// Audio sent since the recogniser answered last.
    unanswered: Duration,
    /// Since when there is a pause.
    paused: Option<Instant>,
    /// Asked to end; until when the last words may come.
    closing: Option<Instant>,
    /// What the recogniser said is wrong; its close, with a code, follows.
    complaint: Option<String>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        socket: Socket,
        shared: &'a Shared,
        voice: &'a Voice,
        heard: &'a mpsc::UnboundedSender<Heard>,
    ) -> Self {
        let (sink, incoming) = socket.split();
        let now = Instant::now();
        let reader = shared.protocol.reader();
        Self {
            shared,
            voice,
            heard,
            sink,
            incoming,
            reader,
            useful: false,
            began: now,
            streamed: Duration::ZERO,
            came: now,
            beaten: now,
            owing: None,
            unanswered: Duration::ZERO,
            paused: None,
            closing: None,
            complaint: None,
        }
    }

    /// Carries until it is over.
    pub(super) async fn serve(mut self) -> Ended {
        let ended = loop {
            // What came is read between any two messages, or a long resend would fill the other side's buffers.
            while let Some(message) = self.incoming.next().now_or_never() {
                if let Some(ended) = self.receive(message) {
                    return self.over(ended);
                }
            }
            match self.act().await {
                Ok(true) => {}
                Ok(false) => {
                    if let Some(ended) = self.wait().await {
                        break ended;
                    }
                }
                Err(problem) => break lost(problem, self.useful),
            }
        };
        self.over(ended)
    }

    /// What was final is kept, however the connection ended.
    fn over(mut self, ended: Ended) -> Ended {
        if let Some(rest) = self.reader.rest() {
            self.accept(rest);
        }
        if matches!(ended, Ended::Closed) {
            self.voice.settle(&self.shared.budget);
        }
        match ended {
            Ended::Lost { problem, .. } => lost(problem, self.useful),
            other => other,
        }
    }

    /// Does what is to be done now; false if that is nothing.
    async fn act(&mut self) -> Result<bool, String> {
        if self.closing.is_some() || self.ahead().is_some() {
            return Ok(false);
        }
        // To a recogniser that answers only words, music is nothing: the end of the stream settles it.
        if self.unanswered >= self.shared.pace.mute && !self.shared.protocol.answers_silence() {
            self.close().await?;
            return Ok(true);
        }
        let protocol = &self.shared.protocol;
        match self.voice.step(protocol.message()) {
            Step::Audio(pcm16k) => {
                self.paused = None;
                let length = Duration::from_millis((pcm16k.len() / SAMPLES_PER_MS) as u64);
                self.streamed += length;
                self.unanswered += length;
                let bytes: Vec<u8> = pcm16k.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                self.send(Message::Binary(bytes.into())).await?;
                if self.owing.is_none() && self.voice.owes() {
                    self.owing = Some(Instant::now());
                }
            }
            Step::Flush => self.send(Message::text(protocol.flush())).await?,
            Step::End => self.close().await?,
            Step::Wait { pause } => {
                if !pause {
                    self.paused = None;
                    return Ok(false);
                }
                // Silence after the last word may stay without an answer.
                self.owing = None;
                let since = *self.paused.get_or_insert_with(Instant::now);
                if since.elapsed() < self.shared.pace.idle {
                    return Ok(false);
                }
                self.close().await?;
            }
        }
        Ok(true)
    }

    async fn close(&mut self) -> Result<(), String> {
        self.closing = Some(Instant::now() + self.shared.pace.close);
        self.send(Message::text(self.shared.protocol.close())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let hang = self.shared.pace.hang;
        match tokio::time::timeout(hang, self.sink.send(message)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the recogniser took nothing for {} s", hang.as_secs_f32())),
        }
    }

    /// When the next audio may be sent, unless it may now.
    fn ahead(&self) -> Option<Instant> {
        let due = self.began + (self.streamed * 100 / self.shared.protocol.percent()).saturating_sub(BURST);
        (due > Instant::now()).then_some(due)
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) -> Option<Ended> {
        let pace = self.shared.pace;
        let beat = self.beaten + pace.keep_alive;
        let dead = self.came + pace.hang;
        let mute = self.owing.filter(|_| self.shared.protocol.answers_silence()).map(|since| since + pace.hang);
        let idle = self.paused.filter(|_| self.closing.is_none()).map(|since| since + pace.idle);
        let timers = [Some(beat), Some(dead), mute, idle, self.closing, self.ahead()];
        let next = timers.into_iter().flatten().min().unwrap_or(dead);
        tokio::select! {
            message = self.incoming.next() => return self.receive(message),
            () = self.voice.changed(), if self.closing.is_none() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        let now = Instant::now();
        let over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
        if over(self.closing) {
            return Some(lost("the recogniser did not end the stream when asked to".to_owned(), self.useful));
        }
        if over(Some(dead)) || over(mute) {
            return Some(lost(format!("nothing came for {} s", pace.hang.as_secs_f32()), self.useful));
        }
        if over(Some(beat)) {
            self.beaten = now;
            return self.beat().await.err().map(|problem| lost(problem, self.useful));
        }
        None
    }

    /// Shows the other side that we are there, and makes it show that it is.
    async fn beat(&mut self) -> Result<(), String> {
        if self.paused.is_some()
            && self.closing.is_none()
            && let Some(message) = self.shared.protocol.keep_alive()
        {
            self.send(Message::text(message)).await?;
        }
        self.send(Message::Ping(Bytes::new())).await
    }

    fn receive(&mut self, message: Option<Result<Message, WsError>>) -> Option<Ended> {
        self.came = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => self.read(&text),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                Some(match code {
                    // Our own close is answered by the vendor's.
                    Some(1000) | None if self.closing.is_some() => Ended::Closed,
                    _ => self.failed(code, &reason),
                })
            }
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(lost(error.to_string(), self.useful)),
            None => Some(lost("the connection ended".to_owned(), self.useful)),
        }
    }

    fn read(&mut self, text: &str) -> Option<Ended> {
        for event in self.reader.read(text) {
            (self.owing, self.unanswered) = (None, Duration::ZERO);
            match event {
                Event::Alive => {}
                Event::Final(last) => self.accept(last),
                Event::Failed(None, reason) => self.complaint = Some(reason),
                Event::Failed(code, reason) => return Some(self.failed(code, &reason)),
                Event::Done if self.closing.is_some() => return Some(Ended::Closed),
                Event::Done => {}
            }
        }
        if self.paused.is_none() && self.voice.owes() {
            self.owing = Some(Instant::now());
        }
        None
    }

    fn accept(&mut self, last: super::Final) {
        if let Some(phrase) = self.voice.accept(last, &self.shared.budget) {
            self.useful = true;
            self.shared.works();
            let _ = self.heard.send(Heard::Phrase(phrase));
        }
    }

    /// A connection that gave words was no wrong key: what ends it is worth another try.
    fn failed(&self, code: Option<u16>, reason: &str) -> Ended {
        let code_text = code.map_or_else(String::new, |code| format!(" with {code}"));
        let said = &redacted(self.complaint.as_deref().unwrap_or(reason), None);
        let problem = format!("the recogniser closed the stream{code_text} {said}").trim_end().to_owned();
        match code {
            Some(code) if !self.useful && self.shared.protocol.refuses(code, said) => {
                Ended::Refused { problem, surely: false }
            }
            _ => lost(problem, self.useful),
        }
    }
}
