//! As little of an HTTP client as a create call takes, so that the server has the machine for itself.

use std::str;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ours;
use muster_bench_kit::KEY;

/// One connection that is kept.
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let body = ours::request().to_string();
        let request = format!(
            "POST /api/v1/bots/create_bot HTTP/1.1\r\nHost: {address}\r\nAuthorization: Token {KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self { stream, request: request.into_bytes(), answer: Vec::new() })
    }

    /// Makes a bot; its id.
    pub async fn create(&mut self) -> Result<String> {
        self.stream.write_all(&self.request).await.context("asking")?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.context("reading the answer")?;
            ensure!(read > 0, "the server closed the connection");
            if let Some(body) = body(&self.answer)? {
                let body: serde_json::Value = serde_json::from_slice(body).context("the answer")?;
                return Ok(body["bot_id"].as_str().context("no bot_id in the answer")?.to_owned());
            }
        }
    }
}

/// The body of a 201, once it is there.
fn body(answer: &[u8]) -> Result<Option<&[u8]>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&answer[..end])?;
    if !head.starts_with("HTTP/1.1 201") {
        bail!("not a 201: {}", String::from_utf8_lossy(answer));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.context("an answer without a length")??;
    let body = &answer[end + 4..];
    Ok((body.len() >= length).then(|| &body[..length]))
}
