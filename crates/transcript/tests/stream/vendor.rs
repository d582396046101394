//! A vendor's server, of which a test plays every move.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use url::Url;

/// A listening server.
pub(crate) struct Vendor {
    listener: TcpListener,
}

/// A stream that a client opened.
pub(crate) struct Stream {
    socket: WebSocketStream<TcpStream>,
    /// What the client asked for.
    pub(crate) url: Url,
    pub(crate) authorization: String,
    /// Everything that was sent, in samples.
    pub(crate) audio: Vec<i16>,
    /// Samples of each message.
    pub(crate) messages: Vec<usize>,
}

/// What a client sends besides audio.
#[derive(Debug, PartialEq)]
pub(crate) enum Sent {
    Text(Value),
    Closed,
}

impl Vendor {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn url(&self) -> Url {
        format!("ws://{}", self.listener.local_addr().unwrap()).parse().unwrap()
    }

    /// Goes away and comes back at the same address.
    pub(crate) async fn restart(self) -> Self {
        let address = self.listener.local_addr().unwrap();
        drop(self.listener);
        Self { listener: TcpListener::bind(address).await.unwrap() }
    }

    /// A connection of which nothing is answered.
    pub(crate) async fn ignore(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    pub(crate) async fn accept(&self) -> Stream {
        let (mut uri, mut authorization) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            uri = request.uri().to_string();
            authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
            Ok(response)
        };
        let stream = self.ignore().await;
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        let url = self.url().join(&uri).unwrap();
        Stream { socket, url, authorization, audio: Vec::new(), messages: Vec::new() }
    }

    /// Answers with a status instead of a stream.
    pub(crate) async fn decline(&self, status: u16) {
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let refuse = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            let mut answer = ErrorResponse::new(Some("no".to_owned()));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            Err(answer)
        };
        let stream = self.ignore().await;
        let refused = tokio_tungstenite::accept_hdr_async(stream, refuse).await;
        refused.unwrap_err();
    }

    /// Fails if a client waits to be let in.
    pub(crate) fn assert_left_alone(self) {
        let listener = self.listener.into_std().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

impl Stream {
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        self.url.query_pairs().into_owned().collect()
    }

    /// Reads audio until something else comes.
    pub(crate) async fn next(&mut self) -> Sent {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => self.take(&bytes),
                Some(Ok(Message::Text(text))) => return Sent::Text(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Sent::Closed,
            }
        }
    }

    /// Reads until so much audio came.
    pub(crate) async fn hear(&mut self, ms: usize) {
        while self.audio.len() < ms * 16 {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => self.take(&bytes),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.messages.push(bytes.len() / 2);
        self.audio.extend(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }

    /// The words so far: level, start and end in milliseconds of the stream.
    pub(crate) fn words(&self) -> Vec<(i16, usize, usize)> {
        let mut words: Vec<(i16, usize, usize)> = Vec::new();
        for (index, chunk) in self.audio.chunks(160).enumerate().filter(|(_, chunk)| chunk[0] != 0) {
            let at = index * 10;
            match words.last_mut() {
                Some(last) if last.0 == chunk[0] && last.2 == at => last.2 += 10,
                _ => words.push((chunk[0], at, at + 10)),
            }
        }
        words
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Breaks off without a word.
    pub(crate) fn drop(self) {}
}
