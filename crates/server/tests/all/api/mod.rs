//! The HTTP API on the real embedded store, called through its router.
#![expect(clippy::unwrap_used, reason = "a test may end where something is missing")]

mod artifacts;
mod create;
mod errors;
mod harness;
mod keys;
mod ledger;
mod lifecycle;
mod limits;
mod list;
mod malformed;
mod media;
mod openapi;
mod parallel;
mod races;
mod retention;
mod scaling;
mod scheduled;
mod transcribing;
mod transcripts;
mod waiting;
mod webhooks;
