//! The sound of a meeting, taken out of its page by a script of ours (`capture/*.js`).
//!
//! The script wraps `RTCPeerConnection` before the page's scripts run, in every frame. Every remote audio track is
//! copied, held by a muted media element of its own (Chromium decodes only what some element plays), read on the main
//! thread, mixed to mono and sent out through a binding in batches of 100 ms. A page's content security policy and
//! address space do not matter to a binding. Video that the other side offers is answered `inactive`, so it is not even
//! sent.
//!
//! Each track has its own timeline: samples are counted, and the count is tied to the page's wall clock by the blocks
//! that came with the least delay. So `at_us` is smooth while sound flows, and jumps forward where sound is missing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

/// Name of the binding that the script speaks through. Add it to the page before the script runs.
pub const BINDING: &str = "__muster_capture";

/// The parts of the script, in this order.
const PARTS: [&str; 6] = [
    include_str!("capture/head.js"),
    include_str!("capture/timeline.js"),
    include_str!("capture/tap.js"),
    include_str!("capture/tracks.js"),
    include_str!("capture/connections.js"),
    include_str!("capture/measure.js"),
];

/// Samples in one message; the script sends 4,800.
const MOST_SAMPLES: usize = 48_000;
/// Streams that one track may be part of, and bytes of any text: what is more is not from our script.
const MOST_STREAMS: usize = 64;
const MOST_TEXT_BYTES: usize = 1_024;

/// How to capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Receive video too. Without, every video that is offered to the page is answered `inactive`.
    pub video: bool,
}

/// What the script has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureEvent {
    /// A remote track is there; again with the same number when it has become part of other streams (a participant's
    /// place was given to another).
    TrackStarted {
        /// Unique among the frames and documents of the page.
        track: u32,
        /// Ids of the media streams it is part of, as the meeting's server named them.
        stream_ids: Vec<String>,
        /// Id of the media track.
        track_id: String,
        /// Its line in the session description.
        mid: Option<String>,
    },
    /// The track has ended: stopped by the other side, or its connection closed. The next participant at the same
    /// place is a new track. Not said when the document is left
    /// ([`BrowserEvent::Navigated`](crate::page::BrowserEvent::Navigated)) or the page crashes.
    TrackEnded {
        /// As given at its start.
        track: u32,
    },
    /// Sound of one track, 48 kHz mono. Comes also when nothing is said (then all zero), as long as Chromium decodes.
    Audio {
        /// As given at its start.
        track: u32,
        /// When the first sample reached the page, before the jitter buffer: microseconds since the Unix epoch by the
        /// page's clock. Never goes back within a track.
        at_us: u64,
        /// The samples.
        pcm: Vec<i16>,
    },
    /// Every second while a document has connections.
    Stats {
        /// Bytes of audio that the document's connections have received so far, the closed ones included. Starts at
        /// zero again in a new document.
        received_bytes: u64,
    },
    /// Something is not as it should be. The same text comes once.
    Trouble {
        /// For people.
        text: String,
    },
}

/// A message that is not from the script, or from a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the capture script: {0}")]
pub struct DecodeError(&'static str);

/// The script, for [`Page::add_script`](crate::page::Page::add_script).
#[must_use]
pub fn script(options: &Options) -> String {
    let settings = json!({ "binding": BINDING, "video": options.video });
    format!("(function (settings) {{\n'use strict';\n{}}})({settings});", PARTS.concat())
}

/// An expression that attaches to all tracks of the document and its frames again, and to those that were missed. Its
/// value is the number of tracks. For frames of other sites it has to be evaluated there
/// ([`Page::evaluate_everywhere`](crate::page::Page::evaluate_everywhere)).
#[must_use]
pub const fn reattach_expression() -> &'static str {
    "(function all(frame) {
        let tracks = 0;
        try { tracks += frame[Symbol.for('muster.capture')]?.reattach() ?? 0; } catch { /* another site's */ }
        for (let i = 0; i < frame.length; i++) tracks += all(frame[i]);
        return tracks;
    })(window)"
}

/// Reads what came through the binding.
///
/// # Errors
/// If it is not a message of the script. The page's own scripts could send anything, so this is no bug of ours.
pub fn decode(payload: &str) -> Result<CaptureEvent, DecodeError> {
    if let Some(audio) = payload.strip_prefix("a ") {
        return decode_audio(audio);
    }
    let message: Message = serde_json::from_str(payload).map_err(|_| DecodeError("neither sound nor known JSON"))?;
    Ok(match message {
        Message::Started { track, streams, id, mid } => {
            if streams.len() > MOST_STREAMS {
                return Err(DecodeError("too many streams"));
            }
            if streams.iter().chain([&id]).chain(&mid).any(|text| text.len() > MOST_TEXT_BYTES) {
                return Err(DecodeError("an id is too long"));
            }
            CaptureEvent::TrackStarted { track, stream_ids: streams, track_id: id, mid }
        }
        Message::Ended { track } => CaptureEvent::TrackEnded { track },
        Message::Stats { bytes } => CaptureEvent::Stats { received_bytes: bytes },
        Message::Trouble { mut text } => {
            text.truncate(text.floor_char_boundary(MOST_TEXT_BYTES));
            CaptureEvent::Trouble { text }
        }
    })
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Message {
    Started { track: u32, streams: Vec<String>, id: String, mid: Option<String> },
    Ended { track: u32 },
    Stats { bytes: u64 },
    Trouble { text: String },
}

/// `TRACK MICROSECONDS SAMPLES BASE64`, or `-` for silence.
fn decode_audio(text: &str) -> Result<CaptureEvent, DecodeError> {
    let mut parts = text.splitn(4, ' ');
    let mut part = || parts.next().ok_or(DecodeError("sound with too few parts"));
    let track = part()?.parse().map_err(|_| DecodeError("not a track number"))?;
    let at_us = part()?.parse().map_err(|_| DecodeError("not a time"))?;
    let samples: usize = part()?.parse().map_err(|_| DecodeError("not a number of samples"))?;
    if samples == 0 || samples > MOST_SAMPLES {
        return Err(DecodeError("no or too many samples"));
    }
    let data = part()?;
    let pcm = if data == "-" {
        vec![0; samples]
    } else {
        // Checked before decoding, so that nothing large is ever made.
        if data.len() != (samples * 2).div_ceil(3) * 4 {
            return Err(DecodeError("sound of another length than it says"));
        }
        let bytes = STANDARD.decode(data).map_err(|_| DecodeError("sound that is not base64"))?;
        if bytes.len() != samples * 2 {
            return Err(DecodeError("sound of another length than it says"));
        }
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    Ok(CaptureEvent::Audio { track, at_us, pcm })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_read_sample_by_sample() {
        let data = STANDARD.encode([1, 0, 255, 255, 0, 128]);
        let want = CaptureEvent::Audio { track: 7, at_us: 1_700_000_000_000_000, pcm: vec![1, -1, i16::MIN] };
        assert_eq!(decode(&format!("a 7 1700000000000000 3 {data}")), Ok(want));
        let silence = CaptureEvent::Audio { track: 7, at_us: 5, pcm: vec![0; 4_800] };
        assert_eq!(decode("a 7 5 4800 -"), Ok(silence));
    }

    #[test]
    fn the_rest_is_json() {
        let table = [
            (
                r#"{"kind":"started","track":1,"streams":["s"],"id":"t","mid":"0"}"#,
                CaptureEvent::TrackStarted {
                    track: 1,
                    stream_ids: vec!["s".into()],
                    track_id: "t".into(),
                    mid: Some("0".into()),
                },
            ),
            (
                r#"{"kind":"started","track":4294967295,"streams":[],"id":"","mid":null}"#,
                CaptureEvent::TrackStarted { track: u32::MAX, stream_ids: vec![], track_id: String::new(), mid: None },
            ),
            (r#"{"kind":"ended","track":1}"#, CaptureEvent::TrackEnded { track: 1 }),
            (r#"{"kind":"stats","bytes":12}"#, CaptureEvent::Stats { received_bytes: 12 }),
            (r#"{"kind":"trouble","text":"x"}"#, CaptureEvent::Trouble { text: "x".into() }),
        ];
        for (payload, want) in table {
            assert_eq!(decode(payload), Ok(want), "{payload}");
        }
    }

    #[test]
    fn what_is_not_from_the_script_is_refused_and_nothing_panics() {
        let long = "x".repeat(MOST_TEXT_BYTES + 1);
        let table = [
            String::new(),
            "a".into(),
            "a ".into(),
            "a 1".into(),
            "a 1 2 3".into(),
            "a 1 2 3 ".into(),
            "a 1 2 0 -".into(),
            "a 1 2 48001 -".into(),
            "a 1 2 18446744073709551615 -".into(),
            "a 1 2 99999999999999999999 -".into(),
            "a -1 2 3 -".into(),
            "a 4294967296 2 3 -".into(),
            "a 1 -2 3 -".into(),
            "a 1 1.5 3 -".into(),
            "a 1 2 3 AAAA".into(),
            "a 1 2 3 AAAAAAA=".into(),
            "a 1 2 3 AAAAAAA*".into(),
            "a 1 2 3 ÄÄÄÄ".into(),
            "a 1 2 3 AAAAAAAA AAAA".into(),
            "b 1 2 3 AAAAAAAA".into(),
            "{}".into(),
            "null".into(),
            "[]".into(),
            "\u{0}".into(),
            r#"{"kind":"other"}"#.into(),
            r#"{"kind":"ended"}"#.into(),
            r#"{"kind":"ended","track":-1}"#.into(),
            r#"{"kind":"ended","track":4294967296}"#.into(),
            r#"{"kind":"stats","bytes":-1}"#.into(),
            r#"{"kind":"stats","bytes":1e400}"#.into(),
            r#"{"kind":"started","track":1,"streams":"s","id":"t","mid":"0"}"#.into(),
            format!(r#"{{"kind":"started","track":1,"streams":[],"id":"{long}","mid":null}}"#),
            format!(r#"{{"kind":"started","track":1,"streams":["{long}"],"id":"","mid":null}}"#),
            format!(r#"{{"kind":"started","track":1,"streams":[],"id":"","mid":"{long}"}}"#),
            format!(r#"{{"kind":"started","track":1,"streams":[{}],"id":"","mid":null}}"#, vec!["\"\""; 65].join(",")),
            "[".repeat(100_000),
        ];
        for payload in &table {
            let short: String = payload.chars().take(60).collect();
            assert!(decode(payload).is_err(), "{short}");
        }
    }

    #[test]
    fn a_long_complaint_is_cut_between_characters() {
        let payload = json!({ "kind": "trouble", "text": "ä".repeat(5_000) }).to_string();
        let Ok(CaptureEvent::Trouble { text }) = decode(&payload) else { panic!("not read") };
        assert_eq!(text.len(), MOST_TEXT_BYTES);
    }

    #[test]
    fn the_script_is_one_call_with_its_settings() {
        let script = script(&Options { video: true });
        assert!(
            script.starts_with("(function (settings) {\n'use strict';\n//")
                && script.ends_with(r#")({"binding":"__muster_capture","video":true});"#)
        );
    }
}
