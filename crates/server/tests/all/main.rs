//! Integration tests of the server: one binary, one module per part.

mod api;
mod crash;
mod easyrtc;
mod e2e;
mod harness;
mod live;
