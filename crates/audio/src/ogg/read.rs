use std::io::Cursor;

use ::ogg::reading::PacketReader;

use crate::Error;
use crate::codec::Decoder;

/// The packets of an Ogg/Opus file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Samples at the start of what decodes that are not to be played.
    pub pre_skip: u16,
    /// Comments, in order.
    pub tags: Vec<(String, String)>,
    /// Audio packets, in order.
    pub packets: Vec<Vec<u8>>,
    /// Granule position at the end: samples to play plus pre-skip.
    pub end_granule: u64,
    /// The end is marked; false for a file that was cut off between pages.
    pub complete: bool,
}

impl Stream {
    /// The first comment with this name; upper and lower case are one.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Decodes to 48 kHz mono, with pre-skip and what is beyond the end cut off.
    pub fn decode(&self) -> Result<Vec<i16>, Error> {
        let mut decoder = Decoder::new()?;
        let mut pcm = Vec::with_capacity(self.packets.len() * crate::FRAME);
        for packet in &self.packets {
            pcm.extend_from_slice(decoder.decode(packet)?);
        }
        if self.complete {
            pcm.truncate(usize::try_from(self.end_granule).unwrap_or(usize::MAX));
        }
        pcm.drain(..pcm.len().min(usize::from(self.pre_skip)));
        Ok(pcm)
    }
}

/// Reads a whole file to 48 kHz mono, with pre-skip and what is beyond the end cut off.
pub fn decode(bytes: &[u8]) -> Result<Vec<i16>, Error> {
    read(bytes)?.decode()
}

/// Reads a whole file; checks the checksum of every page, the headers and that packets are not empty.
pub fn read(bytes: &[u8]) -> Result<Stream, Error> {
    let mut reader = PacketReader::new(Cursor::new(bytes));
    let head = reader.read_packet()?.ok_or(Error::Stream("empty"))?;
    let pre_skip = pre_skip(&head.data)?;
    let serial = head.stream_serial();
    let comments = reader.read_packet()?.ok_or(Error::Stream("ends before its comments"))?;
    let mut stream = Stream { pre_skip, tags: tags(&comments.data)?, ..Stream::default() };
    while let Some(packet) = reader.read_packet()? {
        if packet.stream_serial() != serial {
            return Err(Error::Stream("more than one stream"));
        }
        stream.end_granule = packet.absgp_page();
        stream.complete = packet.last_in_stream();
        if !packet.data.is_empty() {
            stream.packets.push(packet.data);
        } else if !stream.complete {
            return Err(Error::Stream("an empty packet"));
        }
    }
    Ok(stream)
}

fn pre_skip(head: &[u8]) -> Result<u16, Error> {
    let rest = head.strip_prefix(b"OpusHead").ok_or(Error::Stream("no OpusHead"))?;
    match rest {
        [version, channels, low, high, _, _, _, _, _, _, family, ..] => {
            if version & 0xf0 != 0 {
                return Err(Error::Stream("unknown version"));
            }
            if !(1..=2).contains(channels) || *family != 0 {
                return Err(Error::Stream("more than two channels"));
            }
            Ok(u16::from_le_bytes([*low, *high]))
        }
        _ => Err(Error::Stream("OpusHead is cut off")),
    }
}

fn tags(packet: &[u8]) -> Result<Vec<(String, String)>, Error> {
    const CUT: Error = Error::Stream("OpusTags is cut off");
    let mut rest = packet.strip_prefix(b"OpusTags").ok_or(Error::Stream("no OpusTags"))?;
    take_text(&mut rest).ok_or(CUT)?;
    let count = take_length(&mut rest).ok_or(CUT)?;
    let mut tags = Vec::new();
    for _ in 0..count {
        let line = String::from_utf8_lossy(take_text(&mut rest).ok_or(CUT)?).into_owned();
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        tags.push((name.to_owned(), value.to_owned()));
    }
    Ok(tags)
}

fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*length))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_length(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}
