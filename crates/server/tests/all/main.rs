//! Integration tests of the server: one binary, one module per part.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod backends;
mod chaos;
mod crash;
mod deepgram;
mod deliveries;
mod e2e;
mod easyrtc;
mod fleet;
mod harness;
mod hybrid;
mod inbound;
mod live;
mod sdk;
mod words;
mod workers;
