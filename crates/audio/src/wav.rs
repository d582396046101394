//! WAV files with 16-bit PCM.

use crate::Error;

/// The samples of a WAV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second and channel.
    pub rate: u32,
    /// Channels, interleaved in `samples`.
    pub channels: u16,
    /// All samples.
    pub samples: Vec<i16>,
}

impl Wav {
    /// The mean of all channels.
    #[must_use]
    pub fn to_mono(&self) -> Vec<i16> {
        let channels = usize::from(self.channels.max(1));
        let mean = |group: &[i16]| {
            let sum: i32 = group.iter().map(|s| i32::from(*s)).sum();
            i16::try_from(sum / i32::from(self.channels.max(1))).unwrap_or(0)
        };
        self.samples.chunks_exact(channels).map(mean).collect()
    }
}

/// Reads a WAV file. A data length that is too long is taken as "until the end", as programs that write to a pipe
/// leave it.
pub fn read(bytes: &[u8]) -> Result<Wav, Error> {
    let mut rest = match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', rest @ ..] => rest,
        _ => return Err(Error::Wav("no RIFF header")),
    };
    let mut format = None;
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, size @ ..] = *header;
        let size = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
        let body = &after[..size.min(after.len())];
        match &[a, b, c, d] {
            b"fmt " => format = Some(read_format(body)?),
            b"data" => {
                let (rate, channels) = format.ok_or(Error::Wav("data before its format"))?;
                let samples = body.as_chunks::<2>().0.iter().map(|s| i16::from_le_bytes(*s)).collect();
                return Ok(Wav { rate, channels, samples });
            }
            _ => {}
        }
        rest = after.get(size.saturating_add(size % 2)..).unwrap_or_default();
    }
    Err(Error::Wav("no data"))
}

fn read_format(body: &[u8]) -> Result<(u32, u16), Error> {
    const PCM: u16 = 1;
    const EXTENSIBLE: u16 = 0xfffe;
    let short = |at: usize| body.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let (Some(mut kind), Some(channels), Some(bits), Some(rate)) =
        (short(0), short(2), short(14), body.get(4..8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
    else {
        return Err(Error::Wav("the format is cut off"));
    };
    if kind == EXTENSIBLE {
        kind = short(24).unwrap_or(kind);
    }
    if kind != PCM || bits != 16 {
        return Err(Error::Wav("not 16-bit PCM"));
    }
    if channels == 0 || rate == 0 {
        return Err(Error::Wav("no channels or no rate"));
    }
    Ok((rate, channels))
}

/// Writes a WAV file of interleaved samples.
#[must_use]
pub fn write(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let size = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend((size + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let wav = Wav { rate: 22_050, channels: 2, samples: vec![1, 3, -5, -7, i16::MAX, i16::MAX] };
        let read = read(&write(wav.rate, wav.channels, &wav.samples)).unwrap();
        assert_eq!(read, wav);
        assert_eq!(read.to_mono(), [2, -6, i16::MAX]);
    }

    #[test]
    fn other_chunks_and_lengths_from_pipes_are_accepted() {
        let plain = write(16_000, 1, &[1, 2, 3]);
        let mut file = plain[..36].to_vec();
        file.extend(b"LIST\x03\0\0\0abc\0");
        file.extend(b"data\xff\xff\xff\x7f");
        file.extend(&plain[44..]);
        assert_eq!(read(&file).unwrap().samples, [1, 2, 3]);
    }

    #[test]
    fn other_formats_are_refused() {
        let mut float = write(16_000, 1, &[1]);
        float[20] = 3;
        assert!(matches!(read(&float), Err(Error::Wav("not 16-bit PCM"))));
        assert!(read(b"RIFF").is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(cut in 0_usize..60, at in 0_usize..50, byte: u8) {
            let mut file = write(48_000, 2, &[1, 2, 3, 4]);
            let length = file.len();
            file[at % length] = byte;
            if let Ok(wav) = read(&file[..cut.min(length)]) {
                let _ = wav.to_mono();
            }
        }
    }
}
