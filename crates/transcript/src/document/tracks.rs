//! From the audio of participants to segments, a little at a time.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use super::{JOIN_MS, Segment, Transcript, merged};
use crate::speech::{Error, RecognisedSegment, SpeechToText, Word};
use crate::{SAMPLES_PER_MS, duration_ms, runs};

/// Requests to the recogniser at a time.
const CONCURRENCY: usize = 2;
/// Parts of one track closer than this are joined; the recording's clock is not finer.
const JITTER_MS: u64 = 40;
/// Speech without a long pause is worked off from this length on, whether or not it goes on.
const LONGEST_MS: u64 = 5 * 60 * 1_000;

/// A part of one participant's audio.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackAudio {
    /// Id of the participant.
    pub speaker_id: String,
    /// Name of the participant.
    pub speaker: String,
    /// Where it begins in the recording.
    pub start_ms: u64,
    /// Mono, 16 kHz.
    pub pcm16k: Vec<i16>,
}

impl std::fmt::Debug for TrackAudio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackAudio")
            .field("speaker_id", &self.speaker_id)
            .field("start_ms", &self.start_ms)
            .field("duration_ms", &duration_ms(&self.pcm16k))
            .finish_non_exhaustive()
    }
}

/// Makes the transcript of a recording out of the audio of its participants: all of one, in order of time, then all of the
/// next. Silence is not sent to the recogniser. Fails with the first error of either. Cancel safe.
///
/// Parts are asked for as they are needed, and given up once they are recognised: what is held at a time is one part,
/// up to 5 minutes before it, and a few pieces of 25 s, however long the call was and however many took part.
pub async fn transcribe_tracks<E: From<Error> + Send>(
    parts: impl Stream<Item = Result<TrackAudio, E>> + Send,
    speech: &dyn SpeechToText,
    language: Option<&str>,
) -> Result<Transcript, E> {
    let mut duration_ms = 0;
    let mut heard = None;
    let mut segments = Vec::new();
    {
        let mut recognised = std::pin::pin!(
            pieces(parts)
                .map(|piece| async move {
                    let piece = piece?;
                    let recognised = match &piece.pcm16k[..] {
                        [] => None,
                        pcm16k => Some(speech.transcribe(pcm16k, language).await?),
                    };
                    Ok::<_, E>((piece, recognised))
                })
                .buffered(CONCURRENCY)
        );
        while let Some((piece, recognised)) = recognised.try_next().await? {
            duration_ms = duration_ms.max(piece.end_ms);
            let Some(recognised) = recognised else { continue };
            heard = heard.or(recognised.language);
            segments.extend(recognised.segments.into_iter().map(|segment| labelled(&piece, segment)));
        }
    }
    Ok(Transcript { segments: merged(segments), language: heard, duration_ms })
}

/// Audio to recognise in one go, or just the news of how long a track is.
struct Piece {
    speaker_id: String,
    speaker: String,
    start_ms: u64,
    /// Where the track it is of ends, as far as is known.
    end_ms: u64,
    pcm16k: Vec<i16>,
}

/// Cuts parts into pieces, each where it belongs in the recording.
fn pieces<E: Send>(
    parts: impl Stream<Item = Result<TrackAudio, E>> + Send,
) -> impl Stream<Item = Result<Piece, E>> + Send {
    let state = (Box::pin(parts), Some(Cutter::default()));
    stream::try_unfold(state, |(mut parts, mut cutter)| async move {
        loop {
            let Some(open) = &mut cutter else { return Ok(None) };
            if let Some(piece) = open.ready.pop_front() {
                return Ok(Some((piece, (parts, cutter))));
            }
            match parts.try_next().await? {
                Some(part) => open.add(part),
                None => {
                    open.close();
                    let rest = std::mem::take(&mut open.ready);
                    cutter = (!rest.is_empty()).then_some(Cutter { open: None, ready: rest });
                }
            }
        }
    })
}

/// Puts the parts of a participant together where one follows on another, and finds the pieces in them.
#[derive(Default)]
struct Cutter {
    open: Option<TrackAudio>,
    ready: VecDeque<Piece>,
}

impl Cutter {
    fn add(&mut self, part: TrackAudio) {
        match &mut self.open {
            Some(open) if open.speaker_id == part.speaker_id && follows(open, part.start_ms) => {
                let missing_ms = part.start_ms.saturating_sub(open.start_ms + duration_ms(&open.pcm16k));
                open.pcm16k.extend(std::iter::repeat_n(0, missing_ms as usize * SAMPLES_PER_MS));
                open.pcm16k.extend(part.pcm16k);
            }
            _ => {
                self.close();
                self.open = Some(part);
            }
        }
        self.shorten();
    }

    /// Works off what is open, but for its last piece: that may go on.
    fn shorten(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| duration_ms(&open.pcm16k) >= LONGEST_MS) else { return };
        let ranges = runs::pieces(&open.pcm16k);
        // Aligned to milliseconds, as the frames are in which pieces are found.
        let kept = ranges.last().map_or(open.pcm16k.len(), |last| last.start);
        let rest = TrackAudio {
            speaker_id: open.speaker_id.clone(),
            speaker: open.speaker.clone(),
            start_ms: open.start_ms + (kept / SAMPLES_PER_MS) as u64,
            pcm16k: open.pcm16k[kept..].to_vec(),
        };
        let open = std::mem::replace(open, rest);
        let done = ranges.len().saturating_sub(1);
        self.cut(&open, ranges.into_iter().take(done));
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.cut(&open, runs::pieces(&open.pcm16k).into_iter());
        }
    }

    fn cut(&mut self, track: &TrackAudio, ranges: impl Iterator<Item = std::ops::Range<usize>>) {
        let end_ms = track.start_ms + duration_ms(&track.pcm16k);
        let piece = |start_ms: u64, pcm16k: Vec<i16>| Piece {
            speaker_id: track.speaker_id.clone(),
            speaker: track.speaker.clone(),
            start_ms,
            end_ms,
            pcm16k,
        };
        let at = |sample: usize| track.start_ms + (sample / SAMPLES_PER_MS) as u64;
        self.ready.extend(ranges.map(|range| piece(at(range.start), track.pcm16k[range].to_vec())));
        // Silence has a length too.
        self.ready.push_back(piece(end_ms, Vec::new()));
    }
}

/// Whether audio that starts at `start_ms` goes on where `track` ends, give or take a pause in a sentence.
fn follows(track: &TrackAudio, start_ms: u64) -> bool {
    let end_ms = track.start_ms + duration_ms(&track.pcm16k);
    start_ms + JITTER_MS >= end_ms && start_ms < end_ms + JOIN_MS
}

fn labelled(piece: &Piece, segment: RecognisedSegment) -> Segment {
    let words = segment.words.into_iter().map(|word| Word {
        start_ms: piece.start_ms + word.start_ms,
        end_ms: piece.start_ms + word.end_ms,
        ..word
    });
    Segment {
        speaker: piece.speaker.clone(),
        speaker_id: piece.speaker_id.clone(),
        start_ms: piece.start_ms + segment.start_ms,
        end_ms: piece.start_ms + segment.end_ms,
        text: segment.text,
        words: words.collect(),
    }
}

#[cfg(test)]
mod tests;
