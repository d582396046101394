//! Opus in Ogg (RFC 7845): whole files with one mono stream.

mod read;
mod write;

pub use read::{Stream, decode, read};
pub use write::{Joiner, Writer};

/// Samples per packet in the streams that this crate writes.
const PACKET: u64 = crate::FRAME as u64;
/// What `OpusTags` and the encoder name themselves.
const VENDOR: &str = concat!("muster ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
