//! Recordings: numbered segments written during the call, joined by an idempotent finalise step after it.
//!
//! A [`Writer`] in the bot encodes frames as they come and stores a file every few seconds, so a bot that is killed
//! loses at most the segment it was working on. [`finalise`](finalise()), in a worker, joins what is there: packets
//! are copied, not encoded again; what is missing becomes silence, so that the recording keeps the call's time. It may
//! run twice or after any crash and gives the same bytes.
//!
//! Below the prefix of a bot:
//!
//! | Path | Written by | What |
//! | --- | --- | --- |
//! | `a1/mixed/000000.ogg` | writer | everybody, in pieces; `a1` is the first attempt |
//! | `a1/tracks/{track}/000000.ogg` | writer | one participant, only where they speak |
//! | `a1/events/000000.jsonl` | writer | who spoke when, and whatever the bot noted; the last one says that it is the last |
//! | `audio.ogg` | finalise | the recording |
//! | `tracks/{track}/000000.ogg` | finalise | one run of speech of one participant each |
//! | `mix-only/{track}/000000.ogg` | finalise | what a participant said without audio of their own, from the mix |
//! | `events.jsonl` | finalise | all notes of the bot, in order |
//! | `manifest.json` | finalise, last | [`Manifest`] |
//!
//! Stores replace objects atomically; a local directory is not synced to disk at each segment, so after a power failure
//! (not after a crash) young segments can be missing or torn, which finalise notices by their checksums.

mod error;
mod finalise;
mod layout;
mod manifest;
mod piece;
mod read;
pub mod storage;
mod writer;

pub use error::Error;
pub use finalise::{Finalised, finalise};
pub use layout::{Layout, TrackId};
pub use manifest::{AudioFile, Gap, Manifest, Participant, Segment, Span, Stream};
pub use read::{Note, delete_all, load_manifest, read_audio_16k, read_notes};
pub use writer::{Limits, Writer, WriterStats};
