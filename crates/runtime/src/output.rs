//! What a bot process says: reports on its standard output, logs on its standard error. Both are read to their end
//! whatever the bot does, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_session::BotId;
use muster_session::protocol::Report;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Longest report.
const MAX_REPORT_BYTES: usize = 1 << 20;
/// Log lines are cut here.
const MAX_LOG_BYTES: usize = 4 << 10;
/// Log lines passed on in a second; more are counted.
const LOG_LINES_PER_SECOND: u32 = 100;
/// Log lines kept to explain a failed launch.
const TAIL: usize = 12;
/// Malformed reports that are logged one by one.
const MALFORMED_LOGGED: u64 = 5;

/// Lines of bounded length. What exceeds `max` is skipped up to the next line.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(reader: R, max: usize) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), max }
    }

    /// The next line without its end and whether it is whole. `None` at the end of the input or when it breaks.
    async fn next(&mut self) -> Option<(&[u8], bool)> {
        self.line.clear();
        let mut whole = true;
        let mut any = false;
        loop {
            let available = self.reader.fill_buf().await.ok()?;
            if available.is_empty() {
                return any.then_some((&self.line, whole));
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..end.unwrap_or(available.len())];
            let room = self.max - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            whole &= piece.len() <= room;
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Some((&self.line, whole));
            }
        }
    }
}

/// Reads reports until the output ends. `ready` is told of the first [`Report::Ready`]; that one is not passed on.
pub(crate) async fn reports(
    bot: BotId,
    output: impl AsyncRead + Unpin,
    ready: oneshot::Sender<()>,
    reports: mpsc::Sender<Report>,
) {
    let mut ready = Some(ready);
    let (mut malformed, mut crowded_out) = (0_u64, 0_u64);
    let mut lines = Lines::new(output, MAX_REPORT_BYTES);
    while let Some((line, whole)) = lines.next().await {
        if line.is_empty() {
            continue;
        }
        let report = match serde_json::from_slice(line) {
            Ok(report) if whole => report,
            result => {
                malformed += 1;
                if malformed <= MALFORMED_LOGGED {
                    let start = String::from_utf8_lossy(&line[..line.len().min(200)]);
                    let error = result.err().map(|e| e.to_string()).unwrap_or_else(|| "line too long".to_owned());
                    tracing::warn!(%bot, %error, %start, "a malformed report");
                }
                continue;
            }
        };
        match report {
            Report::Ready if ready.is_some() => {
                let _ = ready.take().map(|ready| ready.send(()));
            }
            // The next one says the same; the reader of the reports has other troubles.
            Report::Health { .. } | Report::Note { .. } => {
                if reports.try_send(report).is_err() {
                    crowded_out += 1;
                }
            }
            report => {
                // Without a receiver the output is still read, so that the bot does not block.
                let _ = reports.send(report).await;
            }
        }
    }
    if malformed > 0 || crowded_out > 0 {
        tracing::warn!(%bot, malformed, crowded_out, "reports of a bot were not passed on");
    }
}

/// The last log lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Passes log lines on until the output ends.
pub(crate) async fn logs(bot: BotId, output: impl AsyncRead + Unpin, tail: Tail) {
    let mut lines = Lines::new(output, MAX_LOG_BYTES);
    let (mut window, mut passed, mut held_back) = (Instant::now(), 0, 0_u64);
    while let Some((line, _)) = lines.next().await {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        tail.push(text.to_owned());
        if window.elapsed() >= Duration::from_secs(1) {
            if held_back > 0 {
                tracing::warn!(%bot, lines = held_back, "log lines of a bot were held back");
            }
            (window, passed, held_back) = (Instant::now(), 0, 0);
        }
        if passed >= LOG_LINES_PER_SECOND {
            held_back += 1;
            continue;
        }
        passed += 1;
        log(bot, text);
    }
    if held_back > 0 {
        tracing::warn!(%bot, lines = held_back, "log lines of a bot were held back");
    }
}

/// At the level that the line itself begins with.
fn log(bot: BotId, text: &str) {
    let (level, rest) = text.split_once(' ').unwrap_or((text, ""));
    match level {
        "ERROR" => tracing::error!(target: "muster_bot", %bot, "{}", rest.trim_start()),
        "WARN" => tracing::warn!(target: "muster_bot", %bot, "{}", rest.trim_start()),
        "INFO" => tracing::info!(target: "muster_bot", %bot, "{}", rest.trim_start()),
        "DEBUG" | "TRACE" => tracing::debug!(target: "muster_bot", %bot, "{}", rest.trim_start()),
        _ => tracing::info!(target: "muster_bot", %bot, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], max: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(input, max);
        let mut all = Vec::new();
        while let Some((line, whole)) = lines.next().await {
            all.push((String::from_utf8(line.to_vec()).unwrap(), whole));
        }
        all
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_is_whole_again() {
        let want = [("abcd", true), ("efgh", false), ("", true), ("i", true)].map(|(l, w)| (l.to_owned(), w));
        assert_eq!(read(b"abcd\nefghXYZ\n\ni", 4).await, want);
        assert_eq!(read(b"", 4).await, []);
        let long = [vec![b'x'; 100_000], b"\nend\n".to_vec()].concat();
        assert_eq!(read(&long, 3).await, [("xxx".to_owned(), false), ("end".to_owned(), true)]);
    }
}
