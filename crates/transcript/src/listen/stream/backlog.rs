//! Audio of one voice until its words are final, and where it lies in the stream. Pure.
//!
//! Time is counted in samples here: on the clock of the call, and within the stream of one connection, which holds only
//! what was worth sending.

use std::collections::VecDeque;

use super::gate::Frame;
use crate::SAMPLES_PER_MS;
use crate::listen::Phrase;
use crate::speech::Word;

/// Frames whose times differ from their lengths by less follow on each other.
const JITTER: u64 = SAMPLES_PER_MS as u64;
/// The shortest piece that recognisers take.
const MIN_MESSAGE: usize = 50 * SAMPLES_PER_MS;

/// Final words of a stream. Times are milliseconds of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Final {
    pub(crate) text: String,
    pub(crate) words: Vec<Word>,
    pub(crate) language: Option<String>,
    pub(crate) end_of_turn: bool,
    /// Everything that was said before this is final.
    pub(crate) until_ms: u64,
}

/// Audio that waits for its words.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<Piece>,
    /// Samples of all of them.
    kept: usize,
    /// The first so many pieces were sent over this connection.
    sent: usize,
    /// Samples sent over this connection.
    streamed: u64,
    /// Where sent audio lies; in order.
    runs: VecDeque<Run>,
    /// End of the last word, on the clock of the call.
    said_ms: u64,
}

#[derive(Debug)]
struct Piece {
    at: u64,
    pcm16k: Vec<i16>,
    speech: bool,
    /// Where it begins in the stream, once sent.
    stream: u64,
}

/// A stretch of the stream that is one stretch of the call.
#[derive(Clone, Copy, Debug)]
struct Run {
    stream: u64,
    at: u64,
    length: u64,
}

impl Backlog {
    pub(super) fn push(&mut self, frame: Frame) {
        let at = frame.at_ms * SAMPLES_PER_MS as u64;
        self.kept += frame.pcm16k.len();
        self.pieces.push_back(Piece { at, pcm16k: frame.pcm16k, speech: frame.speech, stream: 0 });
    }

    /// Samples that wait for their words.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// Samples that are to be sent over this connection.
    pub(super) fn unsent(&self) -> usize {
        self.pieces.iter().skip(self.sent).map(|piece| piece.pcm16k.len()).sum()
    }

    /// True if speech waits for its words, sent or not.
    pub(super) fn has_speech(&self) -> bool {
        self.pieces.iter().any(|piece| piece.speech)
    }

    /// True if speech was sent and waits for its words.
    pub(super) fn owes(&self) -> bool {
        self.pieces.iter().take(self.sent).any(|piece| piece.speech)
    }

    /// Length of the speech that waits for its words.
    pub(super) fn speech_ms(&self) -> u64 {
        let speech = self.pieces.iter().filter(|piece| piece.speech);
        speech.map(|piece| piece.pcm16k.len() as u64).sum::<u64>() / SAMPLES_PER_MS as u64
    }

    /// The next message: about `wanted` samples, padded with silence if they are too few for one.
    pub(super) fn take(&mut self, wanted: usize) -> Vec<i16> {
        let mut message = Vec::with_capacity(wanted.clamp(MIN_MESSAGE, 1_000 * SAMPLES_PER_MS));
        while message.len() < wanted
            && let Some(piece) = self.pieces.get_mut(self.sent)
        {
            piece.stream = self.streamed + message.len() as u64;
            let length = piece.pcm16k.len() as u64;
            match self.runs.back_mut() {
                Some(run)
                    if run.stream + run.length == piece.stream
                        && (run.at + run.length).abs_diff(piece.at) <= JITTER =>
                {
                    run.length += length;
                }
                _ => self.runs.push_back(Run { stream: piece.stream, at: piece.at, length }),
            }
            message.extend_from_slice(&piece.pcm16k);
            self.sent += 1;
        }
        message.resize(message.len().max(MIN_MESSAGE), 0);
        self.streamed += message.len() as u64;
        message
    }

    /// What final words say, on the clock of the call; the samples that need not be kept any more. Words that were
    /// said before are left out.
    pub(super) fn accept(&mut self, voice: &str, heard: Final) -> (Option<Phrase>, usize) {
        let total = heard.words.len();
        let words: Vec<Word> = heard
            .words
            .into_iter()
            .map(|word| {
                let start_ms = self.place(word.start_ms, false);
                Word { start_ms, end_ms: self.place(word.end_ms, true).max(start_ms), ..word }
            })
            .filter(|word| word.end_ms > self.said_ms || word.start_ms >= self.said_ms)
            .collect();
        let text = if words.len() == total { heard.text } else { joined(&words) };
        let phrase = Phrase::of(voice, text, words, heard.language, heard.end_of_turn);
        self.said_ms = phrase.as_ref().map_or(self.said_ms, |phrase| phrase.end_ms.max(self.said_ms));
        (phrase, self.settle(heard.until_ms.saturating_mul(SAMPLES_PER_MS as u64)))
    }

    /// The connection is gone: what waits for its words is to be sent over a new one, whose time begins at zero.
    pub(super) fn restart(&mut self) {
        (self.sent, self.streamed) = (0, 0);
        self.runs.clear();
    }

    /// The recogniser has given all words of what was sent; the samples that need not be kept any more.
    pub(super) fn settle_sent(&mut self) -> usize {
        self.settle(self.streamed)
    }

    /// Gives up everything; the samples that need not be kept any more.
    pub(super) fn clear(&mut self) -> usize {
        self.restart();
        self.pieces.clear();
        std::mem::take(&mut self.kept)
    }

    /// Forgets what was sent before `until` in the stream.
    fn settle(&mut self, until: u64) -> usize {
        let mut freed = 0;
        while self.sent > 0
            && let Some(first) = self.pieces.front_mut()
            && first.stream < until
        {
            let length = first.pcm16k.len();
            let gone = length.min(usize::try_from(until - first.stream).unwrap_or(usize::MAX));
            freed += gone;
            if gone < length {
                first.pcm16k.drain(..gone);
                first.at += gone as u64;
                first.stream += gone as u64;
                break;
            }
            self.pieces.pop_front();
            self.sent -= 1;
        }
        self.kept -= freed;
        // One that is over is kept: words may lie at its very end.
        while self.runs.len() > 1 && self.runs[1].stream + self.runs[1].length < until {
            self.runs.pop_front();
        }
        freed
    }

    /// The time of the call that a time of the stream stands for: of a word's start, or of its end.
    fn place(&self, stream_ms: u64, end: bool) -> u64 {
        let stream = stream_ms.saturating_mul(SAMPLES_PER_MS as u64);
        let run = self.runs.iter().rev().find(|run| run.stream < stream || (!end && run.stream == stream));
        let Some(run) = run.or_else(|| self.runs.front()) else { return self.said_ms };
        (run.at + stream.saturating_sub(run.stream).min(run.length)) / SAMPLES_PER_MS as u64
    }
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
