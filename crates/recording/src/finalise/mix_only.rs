//! Speech of which there is no audio of the speaker's own: it is cut from the mix.

use std::ops::Range;
use std::sync::Arc;

use muster_audio::{FRAME, FRAME_MS, codec, ogg};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::mixed::Placed;
use super::{piece, tracks};
use crate::Error;
use crate::layout::{TrackId, file};
use crate::manifest::{Participant, Span, Stream};

/// Less is no word, but what the detector's beginnings and ends leave at the edges of a run.
const LEAST: u64 = 5;
/// So much is kept around what is cut out, as runs of speech have it: the detector hears no soft beginnings and ends.
const AROUND: u64 = 10;

/// What was cut from the mix.
#[derive(Debug, Default)]
pub(super) struct MixOnly {
    pub(super) participants: Vec<Participant>,
    /// Speech that is not in the mix either.
    pub(super) lost_ms: u64,
}

/// Frames of the mix to be cut out.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    speaker: TrackId,
    /// The speech.
    speech: Range<u64>,
    /// With what is around it.
    frames: Range<u64>,
}

/// Cuts out what was said, in order of time, as far as the participants' own audio does not have it.
pub(super) async fn cut(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    placed: &[Placed],
    speech: &[Span],
    participants: &[Participant],
) -> Result<MixOnly, Error> {
    let mut mix_only = MixOnly::default();
    let recorded = placed.last().map_or(0, |last| last.place + last.frames);
    for cut in plan(&uncovered(speech, participants), recorded) {
        let lost = cut.speech.end - cut.speech.start - covered(placed, &cut.speech);
        mix_only.lost_ms += lost * FRAME_MS;
        let mut from = cut.frames.start;
        while from < cut.frames.end {
            let to = cut.frames.end.min(from + tracks::LONGEST);
            store_part(store, prefix, placed, &cut.speaker, from..to, &mut mix_only.participants).await?;
            from = to;
        }
    }
    Ok(mix_only)
}

/// The parts of speech of which there is no audio of the speaker's own, in order of time.
fn uncovered(speech: &[Span], participants: &[Participant]) -> Vec<(TrackId, Range<u64>)> {
    let mut left = Vec::new();
    for span in speech {
        let own = participants.iter().filter(|p| p.id == span.speaker_id).flat_map(|p| &p.streams);
        let mut own: Vec<Range<u64>> = own
            .flat_map(|stream| &stream.segments)
            .map(|segment| segment.start_ms..segment.start_ms + segment.duration_ms)
            .filter(|segment| segment.start < span.end_ms && segment.end > span.start_ms)
            .collect();
        own.sort_by_key(|segment| segment.start);
        let mut from = span.start_ms;
        for segment in own.into_iter().chain(std::iter::once(span.end_ms..span.end_ms)) {
            let part = from / FRAME_MS..segment.start / FRAME_MS;
            if part.end >= part.start + LEAST {
                left.push((TrackId::new(&span.speaker_id, &span.speaker_name), part));
            }
            from = from.max(segment.end);
        }
    }
    left.sort_by_key(|(_, part)| part.start);
    left
}

/// What to cut out of a mix of so many frames: no frame twice, or what two say at once would be recognised twice.
fn plan(speech: &[(TrackId, Range<u64>)], recorded: u64) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut done = 0;
    for (index, (speaker, part)) in speech.iter().enumerate() {
        let part = part.start.max(done)..part.end.min(recorded);
        if part.end < part.start + LEAST {
            continue;
        }
        let next = speech.get(index + 1).map_or(recorded, |(_, next)| next.start.clamp(part.end, recorded));
        let frames = part.start.saturating_sub(AROUND).max(done)..next.min(part.end + AROUND);
        done = frames.end;
        cuts.push(Cut { speaker: speaker.clone(), speech: part, frames });
    }
    cuts
}

/// So many of the frames are in the mix.
fn covered(placed: &[Placed], frames: &Range<u64>) -> u64 {
    let within = |p: &Placed| (p.place + p.frames).min(frames.end).saturating_sub(p.place.max(frames.start));
    placed.iter().map(within).sum()
}

/// Writes a file with these frames and lists it; none if the mix has none of them.
async fn store_part(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    placed: &[Placed],
    speaker: &TrackId,
    frames: Range<u64>,
    participants: &mut Vec<Participant>,
) -> Result<(), Error> {
    let length = frames.end - frames.start;
    // One packet more: it plays the end of the last frame.
    let mut packets = vec![codec::SILENCE.to_vec(); usize::try_from(length + 1).unwrap_or(usize::MAX)];
    let mut pre_skip = None;
    let first = placed.partition_point(|p| p.place + p.frames <= frames.start);
    for found in placed[first..].iter().take_while(|p| p.place <= frames.end) {
        let bytes = store.get(&found.path).await?.bytes().await?;
        let Some(piece) = piece(&found.path, &bytes) else { continue };
        pre_skip = pre_skip.or((found.place < frames.end).then_some(piece.pre_skip));
        let (own, rest) = piece.split();
        let own = own.iter().map(Vec::as_slice).chain([rest]);
        for (frame, packet) in (found.place..).zip(own) {
            let slot = frame.checked_sub(frames.start).and_then(|index| usize::try_from(index).ok());
            if let Some(slot) = slot.and_then(|index| packets.get_mut(index)) {
                *slot = packet.to_vec();
            }
        }
    }
    let Some(pre_skip) = pre_skip else { return Ok(()) };
    let (id, name) = (speaker.id(), speaker.name());
    let at = participants.iter().position(|known| known.id == id).unwrap_or_else(|| {
        let streams = vec![Stream { id: format!("mix-only-{}", speaker.directory()), segments: Vec::new() }];
        participants.push(Participant { id: id.to_owned(), name: name.to_owned(), streams });
        participants.len() - 1
    });
    let Some(stream) = participants[at].streams.first_mut() else { return Ok(()) };
    let index = stream.segments.len() as u64;
    let path = prefix.clone().join("mix-only").join(speaker.directory()).join(file(index));
    let mut out = ogg::Writer::new(1, pre_skip, &[("ARTIST", name), ("MUSTER_TRACK", id)]);
    packets.iter().for_each(|packet| out.push(packet));
    store.put(&path, PutPayload::from(out.finish(Some(length * FRAME as u64)))).await?;
    stream.segments.push(tracks::segment(index, path, frames.start, length));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, from: u64, to: u64) -> Span {
        Span { speaker_id: id.into(), speaker_name: id.into(), start_ms: from * FRAME_MS, end_ms: to * FRAME_MS }
    }

    fn with_audio(id: &str, parts: &[Range<u64>]) -> Participant {
        let segments = (0..)
            .zip(parts)
            .map(|(index, part)| tracks::segment(index, Path::default(), part.start, part.end - part.start));
        let streams = vec![Stream { id: id.into(), segments: segments.collect() }];
        Participant { id: id.into(), name: id.into(), streams }
    }

    fn plain(parts: Vec<(TrackId, Range<u64>)>) -> Vec<(String, Range<u64>)> {
        parts.into_iter().map(|(id, part)| (id.id().to_owned(), part)).collect()
    }

    #[test]
    fn what_own_audio_has_is_not_cut_out() {
        let own = [with_audio("a", &[95..300, 400..500]), with_audio("b", &[])];
        let speech = [span("a", 100, 290), span("a", 310, 600), span("b", 10, 20), span("c", 5, 9), span("a", 93, 96)];
        let left = plain(uncovered(&speech, &own));
        let want = [("b", 10..20), ("a", 310..400), ("a", 500..600)];
        assert_eq!(left, want.map(|(id, part)| (id.to_owned(), part)));
    }

    #[test]
    fn no_frame_is_cut_out_twice() {
        let part = |id: &str, part: Range<u64>| (TrackId::new(id, id), part);
        let speech =
            [part("a", 4..100), part("b", 50..120), part("c", 60..110), part("d", 125..200), part("e", 300..400)];
        let cuts: Vec<_> = plan(&speech, 395).into_iter().map(|cut| (cut.speech, cut.frames)).collect();
        assert_eq!(cuts, [(4..100, 0..100), (100..120, 100..120), (125..200, 120..210), (300..395, 290..395)]);
    }
}
