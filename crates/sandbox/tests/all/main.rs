//! The sandbox from outside: over HTTP, and with guests who speak WebRTC without a browser.

#![expect(clippy::unwrap_used, reason = "what is unexpected here fails the test")]

mod api;
mod calls;
mod guest;
mod page;
mod world;
