//! Integration tests of the server: one binary, one module per part.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod autoscale;
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
mod keys;
mod live;
mod relay;
mod sdk;
mod tiers;
mod words;
mod workers;
