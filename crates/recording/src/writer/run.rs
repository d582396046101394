use muster_audio::FRAME;
use muster_audio::codec::{Encoder, SILENCE, Tuning};

use crate::layout::{Layout, TrackId};
use crate::piece::Piece;

/// A stretch of sound without a break, encoded by one encoder and cut into pieces.
#[derive(Debug)]
pub(super) struct Run {
    encoder: Encoder,
    /// The run's first frame.
    run: u64,
    /// First frame that is not in a piece yet.
    first: u64,
    packets: Vec<Vec<u8>>,
}

impl Run {
    pub(super) fn start(tuning: Tuning, first: u64) -> Self {
        let encoder = Encoder::new(tuning, tuning.default_bitrate()).expect("libopus accepts these constants");
        Self { encoder, run: first, first, packets: Vec::new() }
    }

    pub(super) fn push(&mut self, frame: &[i16; FRAME]) {
        let packet = self.encode(frame);
        self.packets.push(packet);
    }

    fn encode(&mut self, frame: &[i16; FRAME]) -> Vec<u8> {
        self.encoder.encode(frame).map(<[u8]>::to_vec).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a frame could not be encoded and is silent");
            SILENCE.to_vec()
        })
    }

    /// Frames that are not in a piece yet.
    pub(super) fn frames(&self) -> u64 {
        self.packets.len() as u64
    }

    /// Everything before frame `end` as a piece; the run goes on. Nothing if that is no frame.
    pub(super) fn cut(&mut self, end: u64, layout: &Layout, track: Option<&TrackId>) -> Option<Piece> {
        let count = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.packets.len());
        let later = self.packets.split_off(count);
        let packets = std::mem::replace(&mut self.packets, later);
        let piece = Piece {
            track: track.cloned(),
            start: layout.start,
            run: self.run,
            first: self.first,
            frames: count as u64,
            pre_skip: self.encoder.lookahead(),
            packets,
        };
        self.first = piece.end();
        (count > 0).then_some(piece)
    }

    /// What the encoder holds back, as one more packet.
    fn rest(&mut self) -> Vec<u8> {
        self.encode(&[0; FRAME])
    }

    /// Ends the run before frame `end`, which may be before what was pushed. Answers nothing if no frame is left.
    pub(super) fn end(mut self, end: u64, layout: &Layout, track: Option<&TrackId>) -> Option<Piece> {
        let mut piece = self.cut(end, layout, track)?;
        // The packet after the last frame holds the end of that frame.
        let rest = if self.packets.is_empty() { self.rest() } else { self.packets.swap_remove(0) };
        piece.packets.push(rest);
        Some(piece)
    }
}
