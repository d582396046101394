//! Requests of 1 KiB, over connections that are kept, and how long they took. As little of an HTTP client as that takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use muster_hooks::sign::SigningSecret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::at;
use crate::serve::{SECRET, SOURCE};

const BODY_BYTES: usize = 1_024;
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";

/// What was measured.
pub struct Measured {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Sends for so long; prints what was measured. A rate of 0 is as fast as answers come; otherwise so many a second at an even
/// pace, and a request that had to wait for its turn took that time, too.
pub async fn process(address: &str, connections: usize, seconds: f64, rate: f64) -> Result<()> {
    let request = request(address)?;
    // One after the other: what does not fit the other side's backlog would come a second later.
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let (begin, long) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut tasks: JoinSet<Result<Vec<f64>>> = JoinSet::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        let request = request.clone();
        tasks.spawn(async move {
            let (mut millis, mut answer) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 10));
            let step = if rate > 0.0 { connections as f64 / rate } else { 0.0 };
            let mut turn = begin + Duration::from_secs_f64(step * number as f64 / connections as f64);
            loop {
                if rate > 0.0 {
                    tokio::time::sleep_until(turn).await;
                }
                let asked = if rate > 0.0 { turn } else { Instant::now() };
                if asked.duration_since(begin) >= long {
                    return Ok(millis);
                }
                stream.write_all(&request).await.context("asking")?;
                answered(&mut stream, &mut answer).await?;
                millis.push(asked.elapsed().as_secs_f64() * 1e3);
                turn += Duration::from_secs_f64(step);
            }
        });
    }
    let mut millis = Vec::new();
    while let Some(done) = tasks.join_next().await {
        millis.extend(done??);
    }
    let per_second = millis.len() as f64 / begin.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    println!("{per_second} {} {}", at(&millis, 0.5), at(&millis, 0.99));
    Ok(())
}

fn request(address: &str) -> Result<Vec<u8>> {
    let written = |message: &str| format!("{{\"event\":\"bot.inmeeting\",\"bot_id\":\"b\",\"message\":\"{message}\"}}");
    let body = written(&"x".repeat(BODY_BYTES - written("").len())).into_bytes();
    let body = body.as_slice();
    let seconds = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let signature = SigningSecret::parse(SECRET)?.standard(ID, seconds, body);
    let head = format!(
        "POST /webhooks/{SOURCE} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nwebhook-id: {ID}\r\n\
         webhook-timestamp: {seconds}\r\nwebhook-signature: {signature}\r\nuser-agent: bench\r\naccept: */*\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), body].concat())
}

/// Reads one answer, which has no body, and wants it to be a 200.
async fn answered(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    while !answer.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(answer).await.context("reading the answer")? > 0, "the server closed the connection");
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("not a 200: {}", String::from_utf8_lossy(answer));
    }
    Ok(())
}
