//! Splits the pipe's bytes into documents: each ends with a NUL.

use bytes::{Bytes, BytesMut};

/// A longer document is not from a browser that works: 64 MiB.
const LONGEST: usize = 64 << 20;

/// Collects bytes until documents are whole.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// Bytes at the front that are known to hold no NUL.
    searched: usize,
}

/// A document grew without end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Frames {
    /// Where the next bytes go.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(64 << 10);
        &mut self.buffer
    }

    /// The next whole document, without its NUL.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == 0) else {
            self.searched = self.buffer.len();
            return if self.searched > LONGEST { Err(TooLong) } else { Ok(None) };
        };
        let mut document = self.buffer.split_to(self.searched + end + 1);
        document.truncate(document.len() - 1);
        self.searched = 0;
        Ok(Some(document.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for part in parts {
            frames.buffer().extend_from_slice(part);
            while let Some(document) = frames.next().expect("short enough") {
                found.push(document.to_vec());
            }
        }
        found
    }

    #[test]
    fn documents_are_split_wherever_the_reads_fall() {
        type Parts = &'static [&'static [u8]];
        let table: &[(Parts, Parts)] = &[
            (&[], &[]),
            (&[b"{}"], &[]),
            (&[b"{}\0"], &[b"{}"]),
            (&[b"{", b"}", b"\0"], &[b"{}"]),
            (&[b"a\0b\0", b"c", b"\0d"], &[b"a", b"b", b"c"]),
            (&[b"\0\0a\0"], &[b"", b"", b"a"]),
            (&[b"a", b"\0b", b"\0"], &[b"a", b"b"]),
        ];
        for (parts, want) in table {
            assert_eq!(feed(parts), *want, "{parts:?}");
        }
    }

    #[test]
    fn every_split_of_a_stream_gives_the_same_documents() {
        let stream = b"{\"id\":1}\0\0{\"method\":\"x\"}\0tail";
        let whole = feed(&[stream]);
        for cut in 0..stream.len() {
            assert_eq!(feed(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_document_without_end_is_an_error() {
        let mut frames = Frames::default();
        frames.buffer().resize(LONGEST + 1, b'x');
        assert_eq!(frames.next(), Err(TooLong));
    }
}
