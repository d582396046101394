//! The bot process: one meeting, heard, recorded and reported.
//!
//! A supervisor starts the process and speaks with it over its standard streams ([`run_from_stdio`]; the words are in
//! `muster_session::protocol`). The walk of a call:
//!
//! 1. `process` reads the spec, says that it is ready and turns signals and the end of the input into orders to leave.
//! 2. `page` starts the browser and opens the meeting in it; `muster_platform` finds the way in and says what it sees.
//!    A simulated bot has `simulated` in its place, and no browser.
//! 3. `run` waits for what happens: in the page, outside, and by the clock. It acts, and decides nothing.
//! 4. `call` decides, without I/O and with time as an argument: what to report, when to repair the capture
//!    (`watchdog`), when to leave and why. The reason is decided once.
//! 5. `media` takes the audio from admission on: onto one timeline, into the recording, to live listeners and to
//!    speech to text. What cannot follow is given up in this order: live copies, tracks of participants, never the call.
//! 6. `hold` bounds it all: a bot whose supervisor stands still leaves before its session can be somebody else's.
//! 7. At the end the page is left, everything is stored within a bound, and `Ended` is the last word.
//!
//! Nothing here knows a meeting product, and nothing assumes one bot per browser but `page`.

mod call;
mod clock;
mod hold;
mod live_audio;
mod media;
mod outside;
mod page;
mod process;
mod report;
mod room;
mod run;
mod simulated;
mod spec;
mod stdio;
mod watchdog;

pub use process::run_from_stdio;

#[cfg(test)]
pub(crate) fn spec_for_tests() -> muster_session::protocol::BotSpec {
    serde_json::from_value(serde_json::json!({
        "bot": "0198f0a0-0000-7000-8000-000000000001",
        "tenant": "test",
        "attempt": 1,
        "meeting": {"link": "http://127.0.0.1/r", "platform": "sandbox", "label": "Sandbox", "join_url": "http://127.0.0.1/r", "key": "r"},
        "bot_name": "Notes",
        "leave": muster_session::leave::LeavePolicy::default(),
        "media": {},
        "custom_attributes": {},
        "pack": "",
        "storage": "file:///nowhere",
        "segment_seconds": 5,
        "browser": {},
        "speech": null,
        "allow_private": [],
        "join_timeout_ms": 60000,
        "capture_timeout_ms": 10000,
    }))
    .unwrap()
}
