use std::fmt;

use ::ogg::writing::{PacketWriteEndInfo, PacketWriter};

use super::{PACKET, VENDOR};

/// Packets per page: one second.
const PAGE: u64 = 50;

/// Writes one Ogg/Opus file of 20 ms packets into memory.
#[derive(Debug)]
pub struct Writer {
    inner: Joiner,
}

impl Writer {
    /// Starts a file with a mono stream. `pre_skip` samples at the start of what decodes are not to be played (the
    /// encoder's lookahead); `tags` are comments for `OpusTags`, names without `=`.
    #[must_use]
    pub fn new(serial: u32, pre_skip: u16, tags: &[(&str, &str)]) -> Self {
        Self { inner: Joiner::new(serial, pre_skip, tags) }
    }

    /// Adds a packet of 20 ms.
    pub fn push(&mut self, packet: &[u8]) {
        self.inner.push(packet);
    }

    /// Packets so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.inner.packets
    }

    /// Ends the stream and gives the file. `samples`, if given, is the length to play (pre-skip not counted); what
    /// decodes beyond it is to be cut off.
    #[must_use]
    pub fn finish(self, samples: Option<u64>) -> Vec<u8> {
        self.inner.finish(samples)
    }
}

/// As [`Writer`], for long files: what is written so far can be taken out on the way.
pub struct Joiner {
    inner: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    pre_skip: u16,
    packets: u64,
    /// Held back, because the last one is written differently.
    last: Option<Vec<u8>>,
}

impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joiner").field("serial", &self.serial).field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Joiner {
    /// As [`Writer::new`].
    #[must_use]
    pub fn new(serial: u32, pre_skip: u16, tags: &[(&str, &str)]) -> Self {
        let mut joiner = Self { inner: PacketWriter::new(Vec::new()), serial, pre_skip, packets: 0, last: None };
        joiner.write(head(pre_skip), PacketWriteEndInfo::EndPage, 0);
        joiner.write(comments(tags), PacketWriteEndInfo::EndPage, 0);
        joiner
    }

    /// Adds a packet of 20 ms.
    pub fn push(&mut self, packet: &[u8]) {
        if let Some(before) = self.last.replace(packet.to_vec()) {
            let end = if self.packets.is_multiple_of(PAGE) {
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            self.write(before, end, self.packets * PACKET);
        }
        self.packets += 1;
    }

    /// Takes the bytes of the pages that are complete. They continue what was taken before.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.inner.inner_mut())
    }

    /// Ends the stream and gives the bytes that were not taken; `samples` as for [`Writer::finish`].
    #[must_use]
    pub fn finish(mut self, samples: Option<u64>) -> Vec<u8> {
        let all = self.packets * PACKET;
        let granule = samples.map_or(all, |samples| (samples + u64::from(self.pre_skip)).min(all));
        // A stream without audio still needs its end marked; an empty packet on its own page does that.
        let last = self.last.take().unwrap_or_default();
        self.write(last, PacketWriteEndInfo::EndStream, granule);
        self.inner.into_inner()
    }

    fn write(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, granule: u64) {
        self.inner.write_packet(packet, self.serial, end, granule).expect("writing into memory does not fail");
    }
}

fn head(pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    head.extend([1, 1]); // version, channels
    head.extend(pre_skip.to_le_bytes());
    head.extend(crate::RATE.to_le_bytes());
    head.extend([0, 0, 0]); // gain, channel mapping family
    head
}

fn comments(tags: &[(&str, &str)]) -> Vec<u8> {
    let mut packet = b"OpusTags".to_vec();
    let mut text = |text: &str| {
        packet.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        packet.extend(text.as_bytes());
    };
    text(VENDOR);
    let lines: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    packet.extend(u32::try_from(lines.len()).unwrap_or(0).to_le_bytes());
    for line in lines {
        packet.extend(u32::try_from(line.len()).unwrap_or(0).to_le_bytes());
        packet.extend(line.as_bytes());
    }
    packet
}
