//! Recordings from the first frame to the manifest, against stores in memory and on disk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod finalising;
mod long_call;
mod mix_only;
mod support;
mod tracks;
mod writing;
