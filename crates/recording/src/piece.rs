//! One segment file: a stretch of a continuous Opus stream that says by itself where it belongs.

use muster_audio::{FRAME, codec, ogg};
use muster_session::Timestamp;

use crate::layout::TrackId;

/// A stretch of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whose; everybody's if absent.
    pub track: Option<TrackId>,
    /// When frame 0 of the attempt began.
    pub start: Timestamp,
    /// Pieces with the same run come from one encoder without a break: the run's first frame in the attempt.
    pub run: u64,
    /// First frame of this piece, counted from the start of the attempt.
    pub first: u64,
    /// How many frames.
    pub frames: u64,
    /// The encoder's lookahead.
    pub pre_skip: u16,
    /// One packet per frame. A piece that ends its run has one more, with what the encoder held back.
    pub packets: Vec<Vec<u8>>,
}

/// A piece that is damaged or is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error(transparent)]
    Audio(#[from] muster_audio::Error),
    #[error("no usable {0}")]
    Tag(&'static str),
    #[error("cut off")]
    Cut,
}

const START: &str = "MUSTER_START_MS";
const RUN: &str = "MUSTER_RUN";
const FIRST: &str = "MUSTER_FRAME";
const FRAMES: &str = "MUSTER_FRAMES";
const TRACK: &str = "MUSTER_TRACK";
const NAME: &str = "MUSTER_NAME";

/// The largest frame number that is believed: a year.
const MOST_FRAMES: u64 = 50 * 60 * 60 * 24 * 366;

impl Piece {
    /// The file of this piece; it plays by itself.
    pub(crate) fn to_ogg(&self) -> Vec<u8> {
        let numbers =
            [self.start.as_millis().to_string(), self.run.to_string(), self.first.to_string(), self.frames.to_string()];
        let [start, run, first, frames] = &numbers;
        let mut tags: Vec<(&str, &str)> = vec![(START, start), (RUN, run), (FIRST, first), (FRAMES, frames)];
        if let Some(track) = &self.track {
            tags.extend([(TRACK, track.id()), (NAME, track.name())]);
        }
        // Players tell chained streams apart by the serial number; nothing here chains, so any stable one does but 0.
        let serial = u32::try_from(self.first).unwrap_or(0).saturating_add(1);
        let mut writer = ogg::Writer::new(serial, self.pre_skip, &tags);
        self.packets.iter().for_each(|packet| writer.push(packet));
        let ends = self.packets.len() as u64 > self.frames;
        writer.finish(ends.then_some(self.frames * FRAME as u64))
    }

    pub(crate) fn from_ogg(bytes: &[u8]) -> Result<Self, Damaged> {
        let stream = ogg::read(bytes)?;
        let number = |name| stream.tag(name).and_then(|text| text.parse::<i64>().ok()).ok_or(Damaged::Tag(name));
        let count = |name| {
            let number = u64::try_from(number(name)?).ok().filter(|n| *n <= MOST_FRAMES);
            number.ok_or(Damaged::Tag(name))
        };
        let start = Timestamp::from_millis(number(START)?);
        let (run, first, frames) = (count(RUN)?, count(FIRST)?, count(FRAMES)?);
        let track = stream.tag(TRACK).map(|id| TrackId::new(id, stream.tag(NAME).unwrap_or_default()));
        let extra = (stream.packets.len() as u64).checked_sub(frames);
        if !stream.complete || !matches!(extra, Some(0 | 1)) {
            return Err(Damaged::Cut);
        }
        Ok(Self { track, start, run, first, frames, pre_skip: stream.pre_skip, packets: stream.packets })
    }

    /// The frame after this piece.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.frames
    }

    /// The packets of the frames, and the one after them: what plays the last bit of the last frame.
    pub(crate) fn split(&self) -> (&[Vec<u8>], &[u8]) {
        let frames = usize::try_from(self.frames).unwrap_or(usize::MAX).min(self.packets.len());
        let (frames, rest) = self.packets.split_at(frames);
        (frames, rest.first().map_or(&codec::SILENCE[..], Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece() -> Piece {
        Piece {
            track: Some(TrackId::new("a=b/ü", "Ünal = \"the\nname\"")),
            start: Timestamp::from_millis(1_700_000_000_123),
            run: 100,
            first: 350,
            frames: 3,
            pre_skip: 312,
            packets: vec![codec::SILENCE.to_vec(); 4],
        }
    }

    #[test]
    fn a_piece_comes_back_as_it_was() {
        assert_eq!(Piece::from_ogg(&piece().to_ogg()).unwrap(), piece());
        let middle = Piece { track: None, packets: vec![codec::SILENCE.to_vec(); 3], ..piece() };
        assert_eq!(Piece::from_ogg(&middle.to_ogg()).unwrap(), middle);
        assert_eq!(ogg::decode(&piece().to_ogg()).unwrap().len(), 3 * FRAME);
    }

    #[test]
    fn a_piece_with_packets_missing_or_too_many_is_damaged() {
        for count in [0, 2, 5] {
            let piece = Piece { packets: vec![codec::SILENCE.to_vec(); count], ..piece() };
            assert!(matches!(Piece::from_ogg(&piece.to_ogg()), Err(Damaged::Cut)), "{count}");
        }
    }
}
