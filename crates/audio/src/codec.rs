//! Opus at 48 kHz, mono, frames of 20 ms.

use std::fmt;

use crate::{Error, FRAME, RATE};

/// The largest packet that [`Encoder`] makes.
const MAX_PACKET: usize = 1_275;
/// The longest packet that Opus knows: 120 ms.
const MAX_DECODED: usize = 5_760;

/// A packet that decodes to 20 ms of silence after any other: fullband CELT with the silence flag set, which depends
/// on nothing before it.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// What the encoder favours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// One voice.
    Voice,
    /// A mix of voices, or anything else.
    Mix,
}

impl Tuning {
    /// Bits per second that are transparent enough for the purpose.
    #[must_use]
    pub const fn default_bitrate(self) -> i32 {
        match self {
            Self::Voice => 32_000,
            Self::Mix => 40_000,
        }
    }
}

/// An encoder of one continuous stream.
pub struct Encoder {
    inner: opus::Encoder,
    packet: Box<[u8; MAX_PACKET]>,
    lookahead: u16,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("lookahead", &self.lookahead).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder at rest, with variable bit rate around `bitrate` bits per second (6,000 to 510,000).
    pub fn new(tuning: Tuning, bitrate: i32) -> Result<Self, Error> {
        let application = match tuning {
            Tuning::Voice => opus::Application::Voip,
            Tuning::Mix => opus::Application::Audio,
        };
        let mut inner = opus::Encoder::new(RATE, opus::Channels::Mono, application)?;
        inner.set_bitrate(opus::Bitrate::Bits(bitrate))?;
        inner.set_vbr(true)?;
        // Half the work of the default (9 for fixed use) at a difference nobody hears in a meeting.
        inner.set_complexity(5)?;
        let lookahead = u16::try_from(inner.get_lookahead()?).unwrap_or(0);
        Ok(Self { inner, packet: Box::new([0; MAX_PACKET]), lookahead })
    }

    /// Encodes 20 ms. The packet lives in the encoder until the next call.
    pub fn encode(&mut self, frame: &[i16; FRAME]) -> Result<&[u8], Error> {
        let length = self.inner.encode(frame, &mut self.packet[..])?;
        Ok(&self.packet[..length])
    }

    /// Samples by which decoded audio lags what was encoded: the pre-skip of a stream that starts here.
    #[must_use]
    pub fn lookahead(&self) -> u16 {
        self.lookahead
    }
}

/// A decoder of one continuous stream, mono or stereo, to mono.
pub struct Decoder {
    inner: opus::Decoder,
    pcm: Box<[i16; MAX_DECODED]>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder at rest.
    pub fn new() -> Result<Self, Error> {
        let inner = opus::Decoder::new(RATE, opus::Channels::Mono)?;
        Ok(Self { inner, pcm: Box::new([0; MAX_DECODED]) })
    }

    /// Decodes one packet of any duration. The samples live in the decoder until the next call.
    pub fn decode(&mut self, packet: &[u8]) -> Result<&[i16], Error> {
        let length = self.inner.decode(packet, &mut self.pcm[..], false)?;
        Ok(&self.pcm[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{level, probe, tone};

    #[test]
    fn a_tone_survives_with_its_level_and_frequency() {
        for tuning in [Tuning::Voice, Tuning::Mix] {
            let mut encoder = Encoder::new(tuning, tuning.default_bitrate()).unwrap();
            let mut decoder = Decoder::new().unwrap();
            let (mut out, mut bytes) = (Vec::new(), 0);
            let tone = tone::sine(440.0, 2_000, 0.5, RATE);
            for frame in tone.as_chunks::<FRAME>().0 {
                let packet = encoder.encode(frame).unwrap();
                bytes += packet.len();
                out.extend_from_slice(decoder.decode(packet).unwrap());
            }
            assert_eq!(out.len(), tone.len());
            assert!(bytes < 15_000, "{tuning:?}: {bytes} bytes for two seconds");
            let settled = &out[9_600..];
            assert!((probe::dominant_frequency(settled, RATE) - 440.0).abs() < 1.0);
            let change = level::rms_dbfs(settled) - level::rms_dbfs(&tone[9_600..]);
            assert!(change.abs() < 1.0, "{tuning:?}: {change} dB");
        }
    }

    #[test]
    fn the_silence_packet_is_20_ms_of_silence_also_after_loud_speech() {
        for tuning in [Tuning::Voice, Tuning::Mix] {
            let mut encoder = Encoder::new(tuning, tuning.default_bitrate()).unwrap();
            let mut decoder = Decoder::new().unwrap();
            for frame in tone::sine(300.0, 1_000, 0.9, RATE).as_chunks::<FRAME>().0 {
                decoder.decode(encoder.encode(frame).unwrap()).unwrap();
            }
            // The first one carries the tail of what was before.
            let mut peaks = Vec::new();
            for _ in 0..10 {
                let pcm = decoder.decode(&SILENCE).unwrap();
                assert_eq!(pcm.len(), FRAME);
                peaks.push(pcm.iter().map(|s| s.unsigned_abs()).max().unwrap());
            }
            assert!(peaks[2..].iter().all(|peak| *peak <= 2), "{tuning:?}: {peaks:?}");
        }
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(Decoder::new().unwrap().decode(&[0xff; 3]).is_err());
    }
}
